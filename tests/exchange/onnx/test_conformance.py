"""ONNX's own cases: each is computed within its tolerance, or told apart with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scripts import document_onnx
from tests.exchange.onnx.conformance import (
    OPERATORS,
    ApartError,
    case_in,
    case_of,
    chosen,
    difference,
    exactly,
    outcomes,
    prepared,
    reason,
)

from isoconv import nn
from isoconv.exchange import from_onnx
from isoconv.graph.operation import Array
from isoconv.run.evaluate import evaluate


def test_every_case_is_computed_or_told_apart() -> None:
    """No case gives another result, and what is told apart is so for a reason that is known."""
    wrong = [f"{each.name}: {each.wrong}" for each in outcomes() if each.wrong]
    assert not wrong, "\n".join(wrong)
    unknown = [f"{each.name}: {each.apart}" for each in outcomes() if each.apart]
    unknown = [line for line in unknown if not reason(line)]
    assert not unknown, "\n".join(unknown)
    assert len(outcomes()) > 600
    assert not set(OPERATORS) - {each.operator for each in outcomes()}


@pytest.mark.slow
def test_networks_that_pytorch_exported_are_computed() -> None:
    """The package's files made by PyTorch give their results, but for four beyond float32."""
    from onnx.backend.test.loader import load_model_tests

    count, apart = 0, 0
    for kind in ("pytorch-converted", "pytorch-operator"):
        for given in load_model_tests(kind=kind):
            case = case_in(given)
            count += 1
            try:
                ready = prepared(case)
            except ApartError as error:
                assert reason(str(error)) == "numbers beyond float32"  # noqa: PT017
                apart += 1
                continue
            assert not difference(case, exactly(ready)), given.name
    assert (count, apart) == (117, 4)


LIGHT = {"densenet121": 704, "inception_v1": 143, "inception_v2": 405, "resnet50": 176,
         "shufflenet": 203, "squeezenet": 66}  # fmt: skip
"""Networks of the package and how many layers they have; three more take much memory."""


@pytest.mark.parametrize("name", LIGHT)
def test_published_networks_are_read(name: str) -> None:
    """A published topology becomes a network for its images, and gives a row of its classes."""
    import onnx

    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    model = from_onnx(folder / f"light_{name}.onnx")
    assert (len(model.steps), model.input_shape) == (LIGHT[name], (224, 224, 3))
    assert nn.trace_model(model, (224, 224, 3), training=False).output_tensor.shape == (1000,)


def test_the_page_says_so() -> None:
    """The table of docs/onnx.md is that of the cases; python -m scripts.document_onnx makes it."""
    text = document_onnx.PAGE.read_text("utf-8")
    assert text == document_onnx.page(text)


def sample() -> list[str]:
    """The first case of each operator that is computed from numbers."""
    first: dict[str, str] = {}
    for given in chosen():
        first.setdefault(given.model.graph.node[0].op_type, given.name)
    return list(first.values())


@pytest.mark.slow
def test_kernels_give_the_same_bits() -> None:
    """A case of each operator through compiled kernels gives the bits of the references."""
    names, differ, count = set(sample()), [], 0
    for given in chosen():
        if given.name not in names:
            continue
        try:
            ready = prepared(case_of(given))
        except ApartError:
            continue
        if ready.graph is None:
            continue
        count += 1
        found: dict[str, Array] = evaluate(ready.graph, ready.arrays, ready.images)
        wanted = exactly(ready)
        differ += [given.name for name in found if not np.array_equal(found[name], wanted[name])]
    assert not differ
    assert count > 80

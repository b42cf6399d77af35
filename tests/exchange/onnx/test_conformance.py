"""ONNX's own cases: each is computed within its tolerance, or told apart with a reason."""

from __future__ import annotations

import numpy as np
import pytest
from scripts import document_onnx
from tests.exchange.onnx.conformance import (
    OPERATORS,
    ApartError,
    case_of,
    chosen,
    exactly,
    outcomes,
    prepared,
    reason,
)

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

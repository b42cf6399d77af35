"""Every registered operation keeps its promises: rules, reference, gradient, documentation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tests.ops.cases import CASES, ELSEWHERE, IMAGES, Case, add_inputs, make_array

from isoconv.errors import IsoconvError
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import operation, operations
from isoconv.graph.verify import verify
from isoconv.ops.interpret import interpret


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    """One use of one operation."""
    used: Case = request.param
    return used


def test_every_operation_has_a_case() -> None:
    """No operation escapes this file."""
    assert set(operations()) - ELSEWHERE == {case.op for case in CASES}


@pytest.mark.parametrize("name", sorted(operations()))
def test_summary(name: str) -> None:
    """A summary is one sentence, and says what the result is."""
    summary = operation(name).summary
    assert summary.endswith(".")
    assert "\n" not in summary
    assert "=" in summary or name in ELSEWHERE


@pytest.mark.parametrize("name", sorted(operations()))
def test_gradient_or_reason(name: str) -> None:
    """An operation has a gradient rule or says why not, never both."""
    entry = operation(name)
    assert (entry.gradient is None) == bool(entry.why_no_gradient)


def test_attrs_are_frozen_and_documented(case: Case) -> None:
    """Settings are frozen records with slots and a docstring of their own."""
    if case.attrs is None:
        return
    kind = type(case.attrs)
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(kind)
    assert kind.__doc__
    assert not kind.__doc__.startswith(f"{kind.__name__}(")
    hash(case.attrs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reference_gives_what_the_shape_rule_says(case: Case, dtype: str) -> None:
    """Shape and dtype are as inferred, twice the same bits, and the inputs stay as they were."""
    rng = np.random.default_rng(1)
    arrays = [make_array(item, dtype, rng) for item in case.inputs]
    before = [array.copy() for array in arrays]
    b = GraphBuilder()
    y = b.add(case.op, *add_inputs(b, case, arrays), attrs=case.attrs)
    graph = verify(b.graph([("y", y)]))
    named = {f"x{i}": array for i, array in enumerate(arrays)}
    first = interpret(graph, named, IMAGES)["y"]
    second = interpret(graph, named, IMAGES)["y"]
    assert first.tobytes() == second.tobytes()
    assert np.isfinite(first).all()
    for array, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_an_image_does_not_depend_on_the_others(case: Case) -> None:
    """A batched result computed for one image alone has the same bits."""
    rng = np.random.default_rng(2)
    arrays = [make_array(item, "float32", rng) for item in case.inputs]
    b = GraphBuilder()
    y = b.add(case.op, *add_inputs(b, case, arrays), attrs=case.attrs)
    if not b.spec(y).batched:
        return
    graph = b.graph([("y", y)])
    whole = interpret(graph, {f"x{i}": a for i, a in enumerate(arrays)}, IMAGES)["y"]
    for n in range(IMAGES):
        part = {
            f"x{i}": array[n : n + 1] if item.batched else array
            for i, (item, array) in enumerate(zip(case.inputs, arrays, strict=True))
        }
        alone = interpret(graph, part, 1)["y"]
        assert alone.tobytes() == whole[n : n + 1].tobytes()


def computed(case: Case, arrays: list[np.ndarray]) -> np.ndarray:
    """What a case's reference makes of these arrays."""
    b = GraphBuilder()
    y = b.add(case.op, *add_inputs(b, case, arrays), attrs=case.attrs)
    named = {f"x{i}": array for i, array in enumerate(arrays)}
    return interpret(b.graph([("y", y)]), named, IMAGES)["y"]


@pytest.mark.parametrize("case", [c for c in CASES if operation(c.op).pointwise], ids=str)
def test_pointwise_work_stays_at_its_place(case: Case) -> None:
    """Another element of an input of the result's shape changes the result at its place alone."""
    rng = np.random.default_rng(4)
    arrays = [make_array(item, "float32", rng) for item in case.inputs]
    before = computed(case, arrays)
    for array in arrays:
        if array.shape != before.shape or not array.size:
            continue
        place = tuple(side // 2 for side in array.shape)
        old = array[place]
        array[place] = old * 2 + 1
        after = computed(case, arrays)
        array[place] = old
        changed = {tuple(map(int, index)) for index in np.argwhere(after != before)}
        assert changed <= {place}


@pytest.mark.parametrize("case", [c for c in CASES if operation(c.op).asks_for_sign], ids=str)
def test_what_is_asked_for_signs(case: Case) -> None:
    """Other numbers that are positive at the same places give the same bits."""
    rng = np.random.default_rng(5)
    arrays = [make_array(item, "float32", rng) for item in case.inputs]
    before = computed(case, arrays)
    for position in operation(case.op).asks_for_sign:
        positive = arrays[position] > 0
        arrays[position] = np.where(positive, np.float32(7), np.float32(-0.0))
    assert computed(case, arrays).tobytes() == before.tobytes()
    assert positive.any()
    assert not positive.all()


def test_what_passes_may_ask() -> None:
    """Which operations are repeated, take work behind them, are summed or read as signs."""
    table = operations()
    said = {trait: {name for name, entry in table.items() if getattr(entry, trait)}
            for trait in ("cheap", "epilogue", "sums", "asks_for_sign", "view", "part", "gathers",
                          "heavy", "multiply_adds")}  # fmt: skip
    pools = {"max_pool", "max_pool_grad", "max_pool_places", "avg_pool", "avg_pool_grad",
             "fractional_max_pool", "fractional_max_pool_places"}  # fmt: skip
    rows = {"softmax", "softmax_grad", "log_softmax", "log_softmax_grad", "cross_entropy",
            "cross_entropy_grad", "hits", "one_hot", "top_k"}  # fmt: skip
    moves = {"transpose", "take", "resample"}
    assert said == {
        "cheap": {
            "add",
            "sub",
            "mul",
            "neg",
            "scale",
            "offset",
            "clip",
            "hardswish",
            "full_like",
            "group_norm",
        },
        "epilogue": {
            "conv",
            "conv_grad_input",
            "matmul",
            *pools,
            "winograd_output",
            "winograd_input_grad",
            "layer_norm",
            "layer_norm_grad",
        },
        "sums": {"sum", "sum_axes"},
        "asks_for_sign": {"relu_grad"},
        "view": {"reshape"},
        "part": {"slice_channels", "crop"},
        "gathers": {"augment", "layer_norm", "layer_norm_grad", *rows, *moves},
        "heavy": {
            *moves,
            "max_pool_places",
            "max_unpool",
            "fractional_max_pool",
            "fractional_max_pool_places",
            "conv",
            "conv_grad_input",
            "layer_norm",
            "matmul",
            "max_pool",
            "avg_pool",
            "sum",
            "sum_axes",
            "concat",
            *moves,
        },
        "multiply_adds": {"conv", "conv_grad_input", "matmul", "winograd_product"},
    }
    assert {name: entry.key for name, entry in table.items() if entry.key is not None} == {
        "dropout": 2,
        "uniform_like": 2,
    }
    assert all(table[name].pointwise for name in said["cheap"] | said["asks_for_sign"])
    assert not any(table[name].pointwise for name in said["epilogue"] | said["sums"])


def test_wrong_dtype_names_the_operation(case: Case) -> None:
    """Integers where floats belong (or the reverse) are refused by name."""
    if case.op in (
        "convert",
        "copy",
        "reshape",
        "concat",
        "slice_channels",
        "embed_channels",
        "pad",
        "crop",
        "transpose",
        "take",
    ):
        pytest.skip("moves values of every dtype")
    specs = [TensorSpec(item.shape, "uint8", item.batched) for item in case.inputs]
    with pytest.raises(IsoconvError, match=rf"^{case.op}: .* must be .*; got .*uint8") as caught:
        operation(case.op).infer(case.attrs, *specs)
    assert isinstance(caught.value, TypeError)


def test_gradient_by_finite_differences(case: Case) -> None:
    """In float64 the gradient rule agrees with central differences along random directions."""
    if operation(case.op).gradient is None or not any(i.is_float for i in case.inputs):
        pytest.skip("no gradient")
    rng = np.random.default_rng(3)
    arrays = [make_array(item, "float64", rng) for item in case.inputs]
    b = GraphBuilder()
    inputs = add_inputs(b, case, arrays)
    y = b.add(case.op, *inputs, attrs=case.attrs)
    spec = b.spec(y)
    dy = b.input("dataset" if spec.batched else "parameter", "dy", spec.shape, spec.dtype)
    wanted = [
        (i, source)
        for i, source in enumerate(inputs)
        if case.inputs[i].is_float and i not in case.constants
    ]
    found = differentiate(b, {y: dy}, [source for _, source in wanted])
    graph = verify(b.graph([(f"d{i}", found[source]) for i, source in wanted]))
    forward = b.graph([("y", y)])
    shape = (IMAGES, *spec.shape) if spec.batched else spec.shape
    values = {f"x{i}": array for i, array in enumerate(arrays)}
    cotangent = rng.normal(size=shape)
    gradients = interpret(graph, {**values, "dy": cotangent}, IMAGES)

    def loss(name: str, array: np.ndarray) -> float:
        result = interpret(forward, {**values, name: array}, IMAGES)["y"]
        return float(np.sum(result * cotangent))

    step = 1e-5
    for i, _ in wanted:
        name = f"x{i}"
        for _ in range(2):
            direction = rng.normal(size=values[name].shape)
            up = loss(name, values[name] + step * direction)
            down = loss(name, values[name] - step * direction)
            expected = (up - down) / (2 * step)
            actual = np.sum(gradients[f"d{i}"] * direction)
            np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-7)

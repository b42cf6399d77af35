"""Every operation on the kernels against its reference; and what `evaluate` refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.ops.cases import CASES, IMAGES, Case, add_inputs, make_array
from tests.run.graphs import check, random_arrays

import isoconv.ops as ops
from isoconv.compile import lowering
from isoconv.compile.lowering import rule_of
from isoconv.compile.pointwise.cpu.operations import POINTWISE
from isoconv.compile.target import host_target
from isoconv.errors import ArgumentError, DTypeError, GraphError, ShapeError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType
from isoconv.graph.operation import Operation, operation, operations
from isoconv.run.evaluate import evaluate

FIRST = {case.op: case for case in reversed(CASES)}.values()


def check_case(case: Case, dtype: DType) -> None:
    """One use of one operation, by itself."""
    rng = np.random.default_rng(4)
    arrays = [make_array(item, dtype, rng) for item in case.inputs]
    b = GraphBuilder()
    y = b.add(case.op, *add_inputs(b, case, arrays), attrs=case.attrs)
    check(b.graph([("y", y)]), {f"x{i}": array for i, array in enumerate(arrays)}, IMAGES)


def test_every_operation_has_a_kernel() -> None:
    """A registered operation that nothing lowers is found here, not by a user."""
    for name, entry in operations().items():
        if name == "input":
            continue
        if entry.pointwise:
            assert name in POINTWISE or name == "convert", name
        else:
            assert (rule_of(name) is None) == entry.sums, name
    assert set(lowering._RULES) <= set(operations())


def test_no_kernel_for_an_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation whose family has no rule for it is named."""
    table = dict(operations())
    table["concat"] = replace(operation("concat"), kernels="")
    monkeypatch.setattr("isoconv.graph.operation._TABLE", table)
    monkeypatch.setattr(lowering, "_RULES", {})
    with pytest.raises(GraphError, match="no kernel computes 'concat'"):
        rule_of("concat")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operation(case: Case) -> None:
    """The kernel gives the reference's bits, in float32."""
    check_case(case, "float32")


@pytest.mark.parametrize("case", FIRST, ids=str)
def test_operation_in_double(case: Case) -> None:
    """And in float64."""
    check_case(case, "float64")


def test_copy() -> None:
    """A copy has its own memory and the same elements, of every dtype."""
    b = GraphBuilder()
    outputs = []
    for dtype in ("float32", "float64", "int32", "int64", "uint8"):
        x = b.input("dataset", dtype, (2, 3), dtype)
        outputs.append((f"copy {dtype}", b.copy(x)))
    graph = b.graph(outputs)
    check(graph, random_arrays(graph, 2), 2)


def test_outputs_of_every_kind() -> None:
    """Inputs, views, numbers, and one value under several names are outputs like others."""
    b = GraphBuilder()
    x, p = b.input("dataset", "x", (4, 3)), b.input("parameter", "p", (6, 2))
    s = b.input("scalar", "s", ())
    y = b.add("neg", x)
    total = b.add("sum", y, attrs=ops.Sum(0, batched=False))
    outputs = {
        "x": x, "p": p, "s": s, "y": y, "y again": y, "total": total, "total again": total,
        "view of x": b.add("reshape", x, attrs=ops.Shape((2, 6))),
        "view of p": b.add("slice_channels", p, attrs=ops.Slice(1, 2)),
        "view of y": b.add("slice_channels", y, attrs=ops.Slice(0, 2)),
        "per image": b.add("sum", y, attrs=ops.Sum(0, batched=True)),
    }  # fmt: skip
    graph = b.graph(list(outputs.items()))
    check(graph, random_arrays(graph, 3), 3)


def test_results_are_new_arrays() -> None:
    """Two calls give arrays that do not share memory, and leave the inputs as they were."""
    b = GraphBuilder()
    graph = b.graph([("y", b.add("exp", b.input("dataset", "x", (5,))))])
    x = np.ones((2, 5), np.float32)
    x.setflags(write=False)
    first, second = (evaluate(graph, {"x": x}, 2)["y"] for _ in range(2))
    first[...] = 0
    assert (second != 0).all()


def test_inputs_need_not_be_contiguous() -> None:
    """Transposed and misaligned arrays are taken as they are."""
    b = GraphBuilder()
    graph = b.graph([("y", b.add("neg", b.input("dataset", "x", (5, 7))))])
    x = np.arange(70, dtype=np.float32).reshape(7, 5, 2).T
    check(graph, {"x": x}, 2)
    raw = np.zeros(281, np.uint8)
    odd = np.frombuffer(raw.data, np.float32, offset=1, count=70).reshape(2, 5, 7)
    check(graph, {"x": odd}, 2)


def test_no_images() -> None:
    """Of no images there are empty results, and sums of +0.0."""
    b = GraphBuilder()
    x, w = b.input("dataset", "x", (4, 4, 3)), b.input("parameter", "w", (3, 3, 3, 5))
    geometry = ops.ConvGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    y = b.add("conv", x, w, attrs=geometry)
    graph = b.graph([("y", y), ("sum", b.add("sum", y, attrs=ops.Sum(1, batched=False)))])
    arrays = {"x": np.zeros((0, 4, 4, 3), np.float32), "w": np.ones((3, 3, 3, 5), np.float32)}
    found = evaluate(graph, arrays, 0)
    assert found["y"].shape == (0, 4, 4, 5)
    assert found["sum"].tobytes() == bytes(20)


def test_what_is_refused() -> None:
    """Arrays that are missing, or of another shape or dtype, are named."""
    b = GraphBuilder()
    x, p = b.input("dataset", "x", (3,)), b.input("parameter", "p", (3,))
    graph = b.graph([("y", b.add("mul", x, p))])
    X, P = np.ones((2, 3), np.float32), np.ones(3, np.float32)
    with pytest.raises(ShapeError, match=r"'x' must have shape \(3, 3\); got \(2, 3\)"):
        evaluate(graph, {"x": X, "p": P}, 3)
    with pytest.raises(ShapeError, match=r"'p' must have shape \(3,\); got \(4,\)"):
        evaluate(graph, {"x": X, "p": np.ones(4, np.float32)}, 2)
    for other in ((6,), (3, 2), (2, 3, 1), (1, 6)):
        with pytest.raises(ShapeError, match=r"'x' must have shape \(2, 3\); got"):
            evaluate(graph, {"x": X.reshape(other), "p": P}, 2)
    for other in ((1, 3), (3, 1)):
        with pytest.raises(ShapeError, match=r"'p' must have shape \(3,\); got"):
            evaluate(graph, {"x": X, "p": P.reshape(other)}, 2)
    with pytest.raises(DTypeError, match="'p' must be float32; got float64"):
        evaluate(graph, {"x": X, "p": np.ones(3)}, 2)
    with pytest.raises(ArgumentError, match="'p'"):
        evaluate(graph, {"x": X}, 2)
    with pytest.raises(ArgumentError, match="'avx1024'"):
        evaluate(graph, {"x": X, "p": P}, 2, target="avx1024")


def test_an_operation_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be lowered is named."""
    entry = operation("softmax")
    new = Operation("frobnicate", "", entry.infer, entry.reference, entry.gradient)
    monkeypatch.setattr("isoconv.graph.operation._TABLE", {**operations(), "frobnicate": new})
    b = GraphBuilder()
    graph = b.graph([("y", b.add("frobnicate", b.input("dataset", "x", (3,))))])
    with pytest.raises(GraphError, match="no kernel computes 'frobnicate'"):
        evaluate(graph, {"x": np.ones((1, 3), np.float32)}, 1)


def test_the_cache_is_optional(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a cache nothing is written, and the result is the same."""
    b = GraphBuilder()
    graph = b.graph([("y", b.add("exp", b.input("dataset", "x", (3,))))])
    x = np.array([[1, 2, 3]], np.float32)
    here = evaluate(graph, {"x": x}, 1)["y"]
    monkeypatch.setattr("isoconv.run.team.default_folder", lambda: tmp_path / "kernels")
    there = evaluate(graph, {"x": x}, 1, cache=False, target=host_target())["y"]
    assert here.tobytes() == there.tobytes()
    assert not (tmp_path / "kernels").exists()

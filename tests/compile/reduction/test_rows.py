"""Kernels on rows of classes against the references, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.compile.harness import aligned, run_kernel
from tests.compile.places import placed, same_bits, targets
from tests.run.graphs import check as check_graph
from tests.run.graphs import random_arrays

from isoconv.compile.native.build import emit_object
from isoconv.compile.pointwise.expression import Domain, Operand
from isoconv.compile.reduction.rows import RowsSpec
from isoconv.compile.target import Target, host_target
from isoconv.errors import CompileError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType
from isoconv.graph.operation import Array, operation
from isoconv.ops import CrossEntropy, Hits, OneHot, TopK


def data(shape: tuple[int, ...], dtype: DType = "float32", seed: int = 0) -> Array:
    """Logits with some equal ones."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal(shape) * 4
    x[draw.random(shape) < 0.2] = 1.5
    return x.astype(dtype)


def run(
    op: str,
    attrs: CrossEntropy | Hits | None,
    arrays: list[Array],
    *,
    per_image: bool = False,
    gaps: tuple[int, ...] = (),
    target: Target | None = None,
    parts: int = 1,
) -> Array:
    """Run the kernel on arrays (images, axes..., K), (images,)."""
    x = arrays[0]
    buffers, operands = [], []
    for number, array in enumerate(arrays):
        if array.ndim == 1:
            buffers.append(aligned(array))
            operands.append(Operand(number, str(array.dtype), (), 1))
        else:
            whole, at, _ = placed(array, number, gaps)
            buffers.append(whole)
            operands.append(at)
    shape = x.shape[:1] if per_image else x.shape
    result, where, view = placed(np.zeros(shape, x.dtype), len(arrays), () if per_image else gaps)
    spec = RowsSpec(
        op=op,
        attrs=attrs,
        dtype=str(x.dtype),
        domain=Domain(x.shape[1:]),
        operands=tuple(operands),
        result=where,
        buffers=len(arrays) + 1,
    )
    run_kernel(spec, [*buffers, result], images=len(x), target=target, parts=parts)
    return view


def check(op: str, attrs: CrossEntropy | Hits | None, arrays: list[Array], **settings: Any) -> None:
    """Compare with the reference."""
    expected = operation(op).reference(attrs, *arrays, images=len(arrays[0]))
    same_bits(run(op, attrs, arrays, **settings), expected)


def check_all(
    images: int,
    classes: int,
    dtype: DType = "float32",
    special: tuple[Any, ...] | list[Any] = (),
    **settings: Any,
) -> None:
    """All operations on one set of rows."""
    x, dy = data((images, classes), dtype), data((images, classes), dtype, seed=1)
    for place, value in special:
        x[place] = value
    labels = np.random.default_rng(2).integers(0, classes, images).astype(np.int32)
    weights = data((images,), dtype, seed=3)
    for op in ("softmax", "log_softmax"):
        check(op, None, [x], **settings)
    for op in ("softmax_grad", "log_softmax_grad"):
        check(op, None, [x, dy], **settings)
    for smoothing in (0.0, 0.1):
        attrs = CrossEntropy(smoothing)
        check("cross_entropy", attrs, [x, labels], per_image=True, **settings)
        check("cross_entropy_grad", attrs, [x, labels, weights], **settings)
    for k in (1, 5):
        check("hits", Hits(k), [x, labels], per_image=True, **settings)


@pytest.mark.parametrize("classes", [1, 2, 3, 7, 8, 9, 10, 16, 17, 33, 100, 1003])
def test_classes(classes: int) -> None:
    """Rows around the vector width and long ones."""
    check_all(5, classes, parts=3)


@pytest.mark.parametrize("target", targets())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_targets(target: Target, dtype: DType) -> None:
    """Every target gives the same bits, in both dtypes."""
    check_all(4, 13, dtype, target=target)


def test_special_values() -> None:
    """NaN, infinities and zeros of both signs."""
    special = [((0, 3), np.nan), ((1, 2), np.inf), ((2, 9), -np.inf), ((3, slice(None)), -np.inf)]
    check_all(6, 11, special=[*special, ((4, slice(0, 6)), 0.0), ((4, slice(6, 11)), -0.0)])


@pytest.mark.parametrize("target", targets())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ranks(target: Target, dtype: DType) -> None:
    """Greatest elements, their places, and rows with a one, of a data set's numbers too."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (3, 19), dtype)
    outputs = [
        (f"{places}", b.add("top_k", x, attrs=TopK(5, places=places))) for places in (False, True)
    ]
    for kind in ("int32", "int64", dtype):
        label = b.input("dataset", kind, (2,), kind)
        outputs.append((f"one {kind}", b.add("one_hot", label, attrs=OneHot(9, dtype))))
    graph = b.graph(outputs)
    arrays = {**random_arrays(graph, 4), "x": data((4, 3, 19), dtype)}
    check_graph(graph, arrays, 4, target=target)


@pytest.mark.parametrize("target", targets())
@pytest.mark.parametrize("classes", [1, 3, 7, 8, 9, 16, 27])
def test_ranks_of_special_values(classes: int, target: Target) -> None:
    """NaN, infinities and zeros of both signs in every lane; all of a row, and its first ones."""
    b = GraphBuilder()
    x = b.input("dataset", "x", (4, classes))
    outputs = [
        (f"{k} {places}", b.add("top_k", x, attrs=TopK(k, places=places)))
        for k in {classes, -(-classes // 2)}
        for places in (False, True)
    ]
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 1.0, -2.0], np.float32)
    rows = np.random.default_rng(classes).choice(values, (9, 4, classes))
    rows[0] = np.nan
    check_graph(b.graph(outputs), {"x": rows}, 9, target=target)


def test_hits_by_hand() -> None:
    """Equal logits rank by their index; a NaN is no hit."""
    x = np.array([[1, 3, 3, 2], [1, 3, 3, 2], [np.nan, 0, 1, 2]], "float32")
    labels = np.array([1, 2, 0], np.int32)
    same_bits(run("hits", Hits(1), [x, labels], per_image=True), np.array([1, 0, 0], np.float32))
    same_bits(run("hits", Hits(2), [x, labels], per_image=True), np.array([1, 1, 0], np.float32))


def test_outer_axes_and_gaps() -> None:
    """Rows along the last of several axes, with gaps between them."""
    x, dy = data((2, 3, 4, 11)), data((2, 3, 4, 11), seed=1)
    check("softmax", None, [x], gaps=(1, 2, 3), parts=3)
    check("log_softmax", None, [x], gaps=(1, 2, 3))
    check("softmax_grad", None, [x, dy], gaps=(1, 2, 3))
    check("log_softmax_grad", None, [x, dy], gaps=(1, 2, 3))


@pytest.mark.parametrize("classes", [2, 11])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_of_places(classes: int, smoothing: float) -> None:
    """A label for each place of a map; of those outside the classes nothing is looked up."""
    b = GraphBuilder()
    x, dy = b.input("dataset", "x", (3, 5, classes)), b.input("dataset", "dy", (3, 5))
    labels = b.input("dataset", "labels", (3, 5), "int32")
    attrs = CrossEntropy(smoothing)
    outputs = [
        ("loss", b.add("cross_entropy", x, labels, attrs=attrs)),
        ("dx", b.add("cross_entropy_grad", x, labels, dy, attrs=attrs)),
        ("hits", b.add("hits", x, labels, attrs=Hits(1))),
    ]
    numbers = np.arange(30, dtype=np.int32).reshape(2, 3, 5) % (classes + 2) - 1
    numbers[0, 0, 0], numbers[1, 2, 4] = -(2**31), 2**31 - 1
    arrays = {"x": data((2, 3, 5, classes)), "dy": data((2, 3, 5), seed=1), "labels": numbers}
    check_graph(b.graph(outputs), arrays, 2)


def test_gathered_labels() -> None:
    """Labels of a shard are picked from the labels of a data set by the order of samples."""
    x = data((3, 10))
    every = np.arange(20, dtype=np.int32) % 10
    order = np.array([0, 7, 3, 12, 19, 5], np.int64)
    result = aligned(np.zeros(3, "float32"))
    spec = RowsSpec(
        "cross_entropy",
        CrossEntropy(),
        "float32",
        Domain((10,)),
        (Operand(0, "float32", (1,), 10), Operand(1, "int32", (), 1, rows="gathered")),
        Operand(3, "float32", (), 1),
        4,
    )
    run_kernel(spec, [aligned(x), aligned(every), aligned(order), result], images=3, first=2)
    labels = every[order[2:5]]
    expected = operation("cross_entropy").reference(CrossEntropy(), x, labels, images=3)
    same_bits(result, expected)


def test_unknown_operation() -> None:
    """An operation without an emitter is refused by name."""
    at = Operand(0, "float32", (1,), 4)
    spec = RowsSpec("sort", None, "float32", Domain((4,)), (at,), at, 1)
    with pytest.raises(CompileError, match="'sort'"):
        emit_object(spec, host_target(), "kernel")

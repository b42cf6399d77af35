"""Winograd's kernels against the references, bit for bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from tests.compile.geometries import extremes
from tests.compile.harness import run_kernel
from tests.compile.places import FILLER, placed, plain_store, same_bits, targets
from tests.compile.winograd_graphs import arrays_for, cases
from tests.run.graphs import check, numbers

import isoconv.ops as ops
from isoconv.compile.pointwise.expression import Domain, Operand
from isoconv.compile.target import Target
from isoconv.compile.winograd.maps import WinogradComponentsSpec, WinogradMapSpec
from isoconv.compile.winograd.weights import WinogradPackSpec, WinogradWeightSpec
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Graph
from isoconv.graph.operation import Array, operation

PATCHES = {
    "even": ((6, 4), ((1, 1), (1, 1))),
    "odd": ((7, 5), ((1, 1), (1, 1))),
    "inside": ((6, 7), ((0, 0), (0, 0))),
    "wide padding": ((3, 4), ((2, 2), (2, 2))),
    "uneven padding": ((5, 6), ((0, 2), (3, 1))),
    "one result": ((1, 1), ((1, 1), (1, 1))),
    "much padding": ((2, 1), ((5, 4), (4, 5))),
}


def components_in_memory(array: Array, buffer: int) -> tuple[Array, Operand, Callable[[], Array]]:
    """Components behind each other with gaps, each holding all images: memory, operand and view."""
    images, places, *rest = array.shape
    size = images * int(np.prod(rest))
    whole = np.full((places, size + 24), FILLER, array.dtype)
    view = whole[:, :size].reshape((places, images, *rest))
    view[...] = array.swapaxes(0, 1)
    channels, columns = rest[-1], rest[-2]
    strides = (size + 24, columns * channels, channels, 1)
    operand = Operand(buffer, str(array.dtype), strides, int(np.prod(rest)))
    return whole, operand, lambda: whole[:, :size].reshape(view.shape).swapaxes(0, 1)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("name", PATCHES)
def test_input(name: str, parts: int) -> None:
    """Patches of the padded input in components; nothing is written beyond them."""
    patches = ops.WinogradPatches(*PATCHES[name])
    (height, width), ((top, _), (left, _)) = patches.sides, patches.padding
    rows, columns = patches.tiles
    x = numbers((2, height, width, 19), "float32", 0)
    room = np.zeros((2, 2 * rows + 2, 2 * columns + 2, 19), np.float32)
    room[:, top : top + height, left : left + width] = x
    source, at, _ = placed(room, 0)
    expected = operation("winograd_input").reference(patches, x, images=2)
    components, where, view = components_in_memory(np.zeros_like(expected), 1)
    spec = WinogradComponentsSpec("input", "float32", patches.tiles, 19, (0, 0), at, where, 2)
    run_kernel(spec, [source, components], images=2, parts=parts)
    same_bits(view(), expected)
    assert (components == FILLER).sum() == 16 * 24


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("name", PATCHES)
def test_input_grad(name: str, parts: int) -> None:
    """Overlapping patches are added in the definition's order, and only inside the input."""
    patches = ops.WinogradPatches(*PATCHES[name])
    dv = extremes((2, 16, *patches.tiles, 19), "float32", 1)
    source, at, _ = components_in_memory(dv, 0)
    with np.errstate(all="ignore"):
        expected = operation("winograd_input_grad").reference(patches, dv, images=2)
    result, where, view = placed(np.zeros_like(expected), 1, (1, 2))
    (above, _), (left, _) = patches.padding
    spec = WinogradMapSpec(
        "input_grad", "float32", patches.sides, patches.tiles, 19, (above, left), at,
        Domain((*patches.sides, 19)), plain_store("float32", where), 2,
    )  # fmt: skip
    run_kernel(spec, [source, result], images=2, parts=parts)
    same_bits(view, expected)
    assert (result == FILLER).sum() == result.size - view.size


@pytest.mark.parametrize("target", targets())
@pytest.mark.parametrize("kind", ["weight", "weight_grad"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weight(kind: str, dtype: DType, target: Target) -> None:
    """Kernels into components and back, also where pairs of channels fill no vector."""
    shape = (3, 3, 5, 27) if kind == "weight" else (16, 5, 27)
    given_ = extremes(shape, dtype, 0)
    with np.errstate(all="ignore"):
        expected = operation(f"winograd_{kind}").reference(None, given_, images=0)
    for parts in (1, 2, 3):
        found = np.full(expected.size + 3, FILLER, dtype)
        spec = WinogradWeightSpec(kind, dtype, 5 * 27, 3)
        run_kernel(spec, [given_, found], target=target, parts=parts)
        same_bits(found[3:].reshape(expected.shape), expected)
        assert (found[:3] == FILLER).all()


def packed_by_hand(u: Array, spec: WinogradPackSpec) -> Array:
    """Components, blocks of vectors, links of the chain, lanes; zeros beyond the last lane."""
    weights = u.swapaxes(1, 2) if spec.transposed else u
    vectors = -(-spec.width // spec.lanes)
    whole = np.zeros((16, spec.chain, vectors * spec.lanes), u.dtype)
    whole[..., : spec.width] = weights
    step = spec.vectors * spec.lanes
    blocks = [whole[..., first : first + step] for first in range(0, whole.shape[-1], step)]
    return np.stack([np.concatenate([b[t].ravel() for b in blocks]) for t in range(16)])


@pytest.mark.parametrize("transformed", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("channels", "filters", "vectors", "lanes"),
    [(16, 32, 2, 8), (5, 7, 1, 4), (19, 33, 3, 8), (35, 18, 2, 16), (8, 8, 6, 8), (3, 70, 3, 16)],
)
def test_pack(
    channels: int, filters: int, vectors: int, lanes: int, transposed: bool, transformed: bool
) -> None:
    """Packed weights are the transformed kernel's elements in the contraction's order."""
    dtype = "float64" if lanes == 4 else "float32"
    w = numbers((3, 3, channels, filters), dtype, 0)
    u = operation("winograd_weight").reference(None, w, images=0)
    spec = WinogradPackSpec(dtype, channels, filters, transposed, vectors, lanes, transformed)
    for parts in (1, 2, 3):
        packed = np.full(spec.size + 5, FILLER, dtype)
        run_kernel(spec, [u if transformed else w, packed], parts=parts)
        same_bits(packed[:-5].reshape(16, spec.component), packed_by_hand(u, spec))
        assert (packed[-5:] == FILLER).all()


# Through the lowering ---------------------------------------------------------------------------


def whole_graph(patches: ops.WinogradPatches, channels: int, filters: int, dtype: DType) -> Graph:
    """All nine operations on inputs of their own, and the convolution they make up."""
    b = GraphBuilder()
    tiles, outputs = patches.tiles, ops.WinogradOutput(patches.outputs)
    x = b.input("dataset", "x", (*patches.sides, channels), dtype)
    w = b.input("parameter", "w", (3, 3, channels, filters), dtype)
    dy = b.input("dataset", "dy", (*outputs.sides, filters), dtype)
    v = b.input("dataset", "v", (16, *tiles, channels), dtype)
    m = b.input("dataset", "m", (16, *tiles, filters), dtype)
    u = b.input("parameter", "u", (16, channels, filters), dtype)
    made_v, made_u = b.add("winograd_input", x, attrs=patches), b.add("winograd_weight", w)
    made_m = b.add("winograd_output_grad", dy, attrs=outputs)
    product = b.add("winograd_product", made_v, made_u)
    return b.graph(
        [
            ("v", made_v),
            ("m", made_m),
            ("u", made_u),
            ("y", b.add("relu", b.add("winograd_output", product, attrs=outputs))),
            ("output", b.add("winograd_output", m, attrs=outputs)),
            ("dx", b.add("winograd_input_grad", v, attrs=patches)),
            ("dw", b.add("winograd_weight_grad", u)),
            ("product", b.add("winograd_product", v, u)),
            ("dv", b.add("winograd_product_grad_input", m, u)),
            ("du", b.add("winograd_product_grad_weight", v, m)),
            ("by input", b.add("winograd_product_grad_input", made_m, made_u)),
            ("by weight", b.add("winograd_product_grad_weight", made_v, made_m)),
        ]
    )


@pytest.mark.slow
@settings(max_examples=6, deadline=None, derandomize=True)
@given(cases())
def test_random_shapes(case: tuple[ops.WinogradPatches, int, int, DType, int]) -> None:
    """Every operation on the kernels is its reference, whatever the sizes."""
    patches, channels, filters, dtype, images = case
    graph = whole_graph(patches, channels, filters, dtype)
    check(graph, arrays_for(graph, images, numbers), images, cache=False)


@pytest.mark.slow
@pytest.mark.parametrize("target", targets())
def test_targets(target: Target) -> None:
    """The same bits with every instruction set, from numbers of every size."""
    graph = whole_graph(ops.WinogradPatches((5, 6), ((1, 1), (0, 2))), 17, 9, "float32")
    check(graph, arrays_for(graph, 2, extremes), 2, target=target.name)


def test_halo_on_components() -> None:
    """Components that a padded convolution reads lie in a halo; contractions still find them."""
    b = GraphBuilder()
    patches = ops.WinogradPatches((4, 4), ((1, 1), (1, 1)))
    x = b.input("dataset", "x", (4, 4, 3))
    u, w = b.input("parameter", "u", (16, 3, 3)), b.input("parameter", "w", (3, 1, 1, 3, 2))
    line = ops.ConvGeometry((3, 1, 1), (1, 1, 1), ((1, 1), (0, 0), (0, 0)), (1, 1, 1))
    v = b.add("winograd_input", x, attrs=patches)
    m = b.add("winograd_product", v, u)
    outputs = [
        ("from patches", b.add("conv", v, w, attrs=line)),
        ("from products", b.add("conv", m, w, attrs=line)),
        ("result", b.add("winograd_output", m, attrs=ops.WinogradOutput((4, 4)))),
    ]
    graph = b.graph(outputs)
    check(graph, arrays_for(graph, 2, numbers), 2)

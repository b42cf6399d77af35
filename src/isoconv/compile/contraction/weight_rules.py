"""How gradients by the kernel become kernel calls: blocks, tiles, panels.

``rules`` enters them with convolutions.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from isoconv.compile.calls import Arguments
from isoconv.compile.contraction.depthwise import DepthwiseWeightSpec
from isoconv.compile.contraction.index_maps import forward_axes, forward_halo
from isoconv.compile.contraction.padding import inside_share
from isoconv.compile.contraction.panels import panel_map, panels_pay
from isoconv.compile.contraction.tiles import choose_tile, row_cycles
from isoconv.compile.contraction.weight_gradient import (
    UNROLLED_ELEMENTS,
    ContractWeightSpec,
    WeightSchedule,
    run_length,
)
from isoconv.compile.layout import Buffer
from isoconv.compile.lowering import Lowering, lowers
from isoconv.compile.pointwise.expression import Operand
from isoconv.compile.target import Target
from isoconv.graph.groups import Group
from isoconv.graph.ir import DTYPES, TensorSpec

_BLOCK_POSITIONS = 256  # positions per block of the weight gradient, so that spilling stays cheap
_BLOCK_SHARE = 1 / 4  # of the second cache that source and gradient of such a block may take
_IMAGES_SHARE = 25 / 32  # the same where a block is several whole images
_INSIDE_ROWS = 0.96  # rows that meet no padding, at most, for the others to be left out
_INSIDE_COLUMNS = 0.95  # the same of columns, with what smaller tiles cost


@lowers("conv_grad_weight", halos=forward_halo)
def lower_conv_grad_weight(lowering: Lowering, group: Group) -> None:
    """The gradient by the kernel."""
    node = lowering.graph[group.anchor]
    x, dy = node.inputs
    geometry = node.attrs
    outputs = lowering.spec(dy).shape[:-1]
    *_, channels, total = node.spec.shape
    filters = total // geometry.groups
    axes = forward_axes(geometry, outputs).axes
    arguments = Arguments()
    source = arguments.operand(lowering.places[x], lowering.spec(x), lowering.spec(x))
    gradient = arguments.operand(lowering.places[dy], lowering.spec(dy), lowering.spec(dy))
    place = lowering.allocate(group.anchor)
    result = arguments.add(place.buffer, write=True)
    if axes and channels == filters == 1 < geometry.groups:
        depthwise = DepthwiseWeightSpec(
            dtype=node.spec.dtype,
            axes=axes,
            channels=total,
            source=source,
            gradient=gradient,
            result=result,
            offset=place.offset,
            buffers=len(arguments.buffers),
        )
        lowering.emit(depthwise, arguments, node.name)
        return
    spec, schedule = weight_contraction(
        lowering.target, geometry, lowering.spec(x), lowering.spec(dy), source, gradient, result,
        place.offset, len(arguments.buffers), lowering.capacity,
    )  # fmt: skip
    if schedule.panels is not None:
        size = panel_map(spec, schedule).bytes
        arguments.add(Buffer("scratch", "scratch", size), write=True)
    lowering.emit(spec, arguments, node.name, schedule=schedule)


def weight_contraction(
    target: Target,
    geometry: Any,
    x: TensorSpec,
    dy: TensorSpec,
    source: Operand,
    gradient: Operand,
    result: int,
    offset: int,
    buffers: int,
    capacity: int,
) -> tuple[ContractWeightSpec, WeightSchedule]:
    """The kernel for the gradient by weights of x's convolution, given where everything lies.

    Where its schedule has panels, one more pointer follows the others, to scratch memory for them.
    """
    sides, outputs = x.shape[:-1], dy.shape[:-1]
    channels, total = x.shape[-1] // geometry.groups, dy.shape[-1]
    filters = total // geometry.groups
    axes = forward_axes(geometry, outputs).axes
    elements = prod(geometry.kernel) * channels
    run = elements
    if elements > UNROLLED_ELEMENTS:
        run = run_length(axes, geometry.groups, channels, source.strides[:-1])
    spec = ContractWeightSpec(
        dtype=dy.dtype,
        axes=axes,
        groups=geometry.groups,
        channels=channels,
        filters=filters,
        source=source,
        gradient=gradient,
        result=result,
        offset=offset,
        buffers=buffers,
        sides=(0,) * len(axes),
    )
    positions = prod(outputs)
    image_bytes = DTYPES[dy.dtype] * (prod(sides) * channels * geometry.groups + positions * total)
    images, rows = _block(target, outputs, image_bytes, capacity)
    # Tiles of which none reaches from one kernel position along the last axis into the next.
    apart = choose_tile(target, 1, channels, filters, dy.dtype)
    if axes:
        panels = WeightSchedule(apart, images, rows, 0, buffers)
        left_out = replace(spec, sides=_left_out(spec, sides, inside_share(axes[-1:], sides[-1:])))
        if panels_pay(target, left_out, panels):
            return replace(left_out, buffers=buffers + 1), panels
    tile = choose_tile(target, 1, run, filters, dy.dtype)
    saved = inside_share(axes[-1:], sides[-1:]) * row_cycles(target, apart, channels)
    spec = replace(spec, sides=_left_out(spec, sides, saved / row_cycles(target, tile, run)))
    if any(spec.sides[-1:]):
        tile = apart
    ahead = 0
    if prod(geometry.kernel) == 1:
        # Each step goes to another line of the source, and few tiles go through the same lines:
        # the first one to come would wait for memory at every step.
        if axes and rows < outputs[0]:
            ahead = rows * axes[0].in_step * source.strides[0]
        elif images < capacity:
            ahead = images * source.image
    return spec, WeightSchedule(tile, images, rows, ahead, None)


def _block(
    target: Target, outputs: tuple[int, ...], image_bytes: int, capacity: int
) -> tuple[int, int]:
    """Images and rows of a block: several whole images, or some rows of one."""
    positions, own = prod(outputs), target.core.own_cache
    images = min(-(-_BLOCK_POSITIONS // positions), int(own * _IMAGES_SHARE) // image_bytes)
    rows = outputs[0] if outputs else 1
    if image_bytes > own * _BLOCK_SHARE and positions > _BLOCK_POSITIONS:
        share = max(own * _BLOCK_SHARE / image_bytes, _BLOCK_POSITIONS / positions)
        rows = max(1, min(rows, round(rows * share)))
    return max(1, min(images, capacity)), rows


def _left_out(spec: ContractWeightSpec, sides: tuple[int, ...], columns: float) -> tuple[int, ...]:
    """Along which axes products with padding are left out: `ContractWeightSpec.sides`.

    Args:
        spec: the sum.
        sides: spatial sizes of the source.
        columns: the time that is left where they are along the last axis.
    """
    found = [0] * len(sides)
    if prod(axis.taps for axis in spec.axes) * spec.channels > UNROLLED_ELEMENTS:
        if inside_share(spec.axes[:-1], sides[:-1]) <= _INSIDE_ROWS:
            found[:-1] = sides[:-1]
        if len(sides) > 1 and columns <= _INSIDE_COLUMNS:
            found[-1] = sides[-1]
    return tuple(found)

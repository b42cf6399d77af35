"""How gradients by the kernel become kernel calls: blocks, tiles, panels.

``rules`` enters them with convolutions.
"""

from __future__ import annotations

from math import prod
from typing import Any

from isoconv.compile.calls import Arguments
from isoconv.compile.contraction.depthwise import DepthwiseWeightSpec
from isoconv.compile.contraction.index_maps import forward_axes, forward_halo
from isoconv.compile.contraction.padding import inside_share
from isoconv.compile.contraction.panels import panels_pay
from isoconv.compile.contraction.tiles import choose_tile, row_cycles
from isoconv.compile.contraction.weight_gradient import (
    UNROLLED_ELEMENTS,
    ContractWeightSpec,
    WeightSchedule,
    runs_on,
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
        size = schedule.panel_map(spec).bytes
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
    """The kernel for the gradient by weights of x's convolution, given where everything lies."""
    sides, outputs = x.shape[:-1], dy.shape[:-1]
    channels, total = x.shape[-1] // geometry.groups, dy.shape[-1]
    filters = total // geometry.groups
    axes = forward_axes(geometry, outputs).axes
    elements = prod(geometry.kernel) * channels
    run = elements
    if elements > UNROLLED_ELEMENTS:
        joined = runs_on(axes, geometry.groups, channels, source.strides[:-1])
        run = channels * (axes[-1].taps if joined else 1)
    tile = choose_tile(target, 1, run, filters, dy.dtype)
    # Tiles of which none reaches from one kernel position along the last axis into the next.
    apart = choose_tile(target, 1, channels, filters, dy.dtype)
    panels = panels_pay(target, axes, channels, filters, apart, source, gradient)
    if panels:
        run, tile = channels, apart
    left_out = [0] * len(axes)
    if elements > UNROLLED_ELEMENTS and inside_share(axes[:-1], sides[:-1]) <= _INSIDE_ROWS:
        left_out[:-1] = sides[:-1]
    if elements > UNROLLED_ELEMENTS and len(axes) > 1:
        saved = inside_share(axes[-1:], sides[-1:]) * row_cycles(target, apart, channels)
        if saved <= _INSIDE_COLUMNS * row_cycles(target, tile, run):
            tile, left_out[-1] = apart, sides[-1]
    positions = prod(outputs)
    image_bytes = DTYPES[dy.dtype] * (prod(sides) * channels * geometry.groups + positions * total)
    own = target.core.own_cache
    images = min(-(-_BLOCK_POSITIONS // positions), int(own * _IMAGES_SHARE) // image_bytes)
    images = max(1, min(images, capacity))
    rows = outputs[0] if outputs else 1
    if image_bytes > own * _BLOCK_SHARE and positions > _BLOCK_POSITIONS:
        share = max(own * _BLOCK_SHARE / image_bytes, _BLOCK_POSITIONS / positions)
        rows = max(1, min(rows, round(rows * share)))
    ahead = 0
    if prod(geometry.kernel) == 1 and not panels:
        # Each step goes to another line of the source, and few tiles go through the same lines:
        # the first one to come would wait for memory at every step.
        if axes and rows < outputs[0]:
            ahead = rows * axes[0].in_step * source.strides[0]
        elif images < capacity:
            ahead = images * source.image
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
        buffers=buffers + panels,
        sides=tuple(left_out),
    )
    return spec, WeightSchedule(tile, images, rows, ahead, buffers if panels else None)

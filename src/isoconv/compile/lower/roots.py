"""How each operation that is not pointwise becomes kernel calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from isoconv.compile.augmentation.kernel import AugmentSpec
from isoconv.compile.calls import Arguments
from isoconv.compile.contraction.rules import (
    lower_conv,
    lower_conv_grad_input,
    lower_conv_grad_weight,
)
from isoconv.compile.layout import dense_strides
from isoconv.compile.pointwise.expression import Domain
from isoconv.compile.reduction.rows import RowsSpec
from isoconv.compile.window.gradient import PoolGradSpec
from isoconv.compile.window.pool import PoolSpec
from isoconv.compile.winograd.rules import (
    lower_from_planes,
    lower_product,
    lower_product_grad_weight,
    lower_to_planes,
    lower_weight,
    lower_weight_grad,
)
from isoconv.graph.groups import Group

if TYPE_CHECKING:
    from isoconv.compile.lower.driver import Lowering

__all__ = ["ROOTS"]

Rule = Callable[["Lowering", Group], None]

# Windows ----------------------------------------------------------------------------------------


def _pool(lowering: Lowering, group: Group) -> None:
    node = lowering.graph[group.root]
    (x,) = node.inputs
    average = node.op == "avg_pool"
    arguments = Arguments()
    seen = lowering.spec(x)
    source = arguments.operand(lowering.places[x], seen, seen)
    expression, _ = lowering.expression(group, node.spec, arguments)
    expression = lowering.streamed(expression, arguments)
    spec = PoolSpec(
        kind="avg" if average else "max",
        dtype=node.spec.dtype,
        window=node.attrs.window if average else node.attrs,
        sides=seen.shape[:-1],
        channels=seen.shape[-1],
        source=source,
        count_include_pad=node.attrs.count_include_pad if average else False,
        domain=Domain(node.spec.shape),
        epilogue=expression,
        buffers=len(arguments.buffers),
    )
    lowering.emit(spec, arguments, node.name)


def _pool_grad(lowering: Lowering, group: Group) -> None:
    node = lowering.graph[group.root]
    average = node.op == "avg_pool_grad"
    dy = node.inputs[-1]
    arguments = Arguments()
    source = None
    if not average:
        seen = lowering.spec(node.inputs[0])
        source = arguments.operand(lowering.places[node.inputs[0]], seen, seen)
    gradient = arguments.operand(lowering.places[dy], lowering.spec(dy), lowering.spec(dy))
    expression, _ = lowering.expression(group, node.spec, arguments)
    expression = lowering.streamed(expression, arguments)
    spec = PoolGradSpec(
        kind="avg" if average else "max",
        dtype=node.spec.dtype,
        window=node.attrs.window if average else node.attrs,
        sides=node.spec.shape[:-1],
        channels=node.spec.shape[-1],
        source=source,
        gradient=gradient,
        count_include_pad=node.attrs.count_include_pad if average else False,
        domain=Domain(node.spec.shape),
        epilogue=expression,
        buffers=len(arguments.buffers),
    )
    lowering.emit(spec, arguments, node.name)


# Rows and images --------------------------------------------------------------------------------


def _rows(lowering: Lowering, group: Group) -> None:
    node = lowering.graph[group.root]
    arguments = Arguments()
    operands = tuple(
        arguments.operand(lowering.places[i], lowering.spec(i), lowering.spec(i))
        for i in node.inputs
    )
    domain = lowering.spec(node.inputs[0])
    place = lowering.allocate(group.root)
    result = arguments.operand(place, node.spec, node.spec, write=True)
    spec = RowsSpec(
        op=node.op,
        attrs=node.attrs,
        dtype=domain.dtype,
        domain=Domain(domain.shape, domain.batched),
        operands=operands,
        result=result,
        buffers=len(arguments.buffers),
    )
    lowering.emit(spec, arguments, node.name)


def _augment(lowering: Lowering, group: Group) -> None:
    node = lowering.graph[group.root]
    arguments = Arguments()
    images, table = (
        arguments.operand(lowering.places[i], lowering.spec(i), lowering.spec(i))
        for i in node.inputs
    )
    place = lowering.allocate(group.root)
    result = arguments.operand(place, node.spec, node.spec, write=True)
    spec = AugmentSpec(
        attrs=node.attrs,
        domain=Domain(node.spec.shape),
        images=images,
        table=table,
        result=result,
        buffers=len(arguments.buffers),
    )
    lowering.emit(spec, arguments, node.name)


# Shapes -----------------------------------------------------------------------------------------


def _reshape(lowering: Lowering, group: Group) -> None:
    index = group.root
    (source,) = lowering.graph[index].inputs
    seen, spec = lowering.spec(source), lowering.spec(index)
    place = lowering.places[source]
    bordered = any(map(any, lowering.borders.get(index, ())))
    if place.is_dense(seen) and not bordered:
        lowering.places[index] = replace(place, strides=dense_strides(spec.shape))
    else:
        lowering.copy(place, seen, lowering.allocate(index), spec)


def _view(lowering: Lowering, group: Group) -> None:
    """A slice of channels or a crop: the same memory from another first element."""
    index = group.root
    node = lowering.graph[index]
    (source,) = node.inputs
    place = lowering.places[source]
    if node.op == "slice_channels":
        shift = node.attrs.start * place.strides[-1]
    else:
        shift = sum(
            before * stride
            for (before, _), stride in zip(node.attrs.pairs, place.strides, strict=False)
        )
    view = replace(place, offset=place.offset + shift)
    if any(map(any, lowering.borders.get(index, ()))):
        lowering.copy(view, node.spec, lowering.allocate(index), node.spec)
    else:
        lowering.places[index] = view


def _concat(lowering: Lowering, group: Group) -> None:
    node = lowering.graph[group.root]
    place = lowering.allocate(group.root)
    first = 0
    for source in node.inputs:
        spec = lowering.spec(source)
        part = replace(place, offset=place.offset + first * place.strides[-1])
        lowering.copy(lowering.places[source], spec, part, spec)
        first += spec.shape[-1]


def _into_zeros(lowering: Lowering, group: Group) -> None:
    """Zero padding, or channels among zeros: zeros first, then the value inside."""
    node = lowering.graph[group.root]
    (source,) = node.inputs
    place = lowering.allocate(group.root)
    lowering.fill_zero(place, node.spec)
    if node.op == "embed_channels":
        shift = node.attrs.start * place.strides[-1]
    else:
        shift = sum(
            before * stride
            for (before, _), stride in zip(node.attrs.pairs, place.strides, strict=False)
        )
    spec = lowering.spec(source)
    lowering.copy(lowering.places[source], spec, replace(place, offset=place.offset + shift), spec)


ROOTS: dict[str, Rule] = {
    "conv": lower_conv,
    "conv_grad_input": lower_conv_grad_input,
    "conv_grad_weight": lower_conv_grad_weight,
    "max_pool": _pool,
    "avg_pool": _pool,
    "max_pool_grad": _pool_grad,
    "avg_pool_grad": _pool_grad,
    "softmax": _rows,
    "softmax_grad": _rows,
    "log_softmax": _rows,
    "log_softmax_grad": _rows,
    "cross_entropy": _rows,
    "cross_entropy_grad": _rows,
    "hits": _rows,
    "augment": _augment,
    "reshape": _reshape,
    "slice_channels": _view,
    "crop": _view,
    "concat": _concat,
    "pad": _into_zeros,
    "embed_channels": _into_zeros,
    "winograd_input": lower_to_planes,
    "winograd_input_grad": lower_from_planes,
    "winograd_weight": lower_weight,
    "winograd_weight_grad": lower_weight_grad,
    "winograd_output": lower_from_planes,
    "winograd_output_grad": lower_to_planes,
    "winograd_product": lower_product,
    "winograd_product_grad_input": lower_product,
    "winograd_product_grad_weight": lower_product_grad_weight,
}

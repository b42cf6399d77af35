"""How pooling and its gradients become kernel calls."""

from __future__ import annotations

from isoconv.compile.calls import Arguments
from isoconv.compile.lowering import Lowering, lowers
from isoconv.compile.pointwise.expression import Domain
from isoconv.compile.window.fractional import FractionalPoolGradSpec, FractionalPoolSpec
from isoconv.compile.window.gradient import PoolGradSpec
from isoconv.compile.window.pool import PoolSpec
from isoconv.compile.window.unpool import UnpoolSpec
from isoconv.graph.groups import Group
from isoconv.ops.pool import AvgPool, AvgPoolGrad


@lowers("max_pool", "max_pool_places", "avg_pool")
def lower_pool(lowering: Lowering, group: Group) -> None:
    """One kernel, with the pointwise work behind it."""
    node = lowering.graph[group.anchor]
    (x,) = node.inputs
    average = isinstance(node.attrs, AvgPool)
    arguments = Arguments()
    seen = lowering.spec(x)
    source = lowering.read(x, arguments)
    expression, _ = lowering.expression(group, node.spec, arguments)
    expression = lowering.nontemporal(expression, arguments)
    kinds = {"max_pool": "max", "max_pool_places": "place", "avg_pool": "avg"}
    spec = PoolSpec(
        kind=kinds[node.op],
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


@lowers("max_pool_grad", "avg_pool_grad")
def lower_pool_grad(lowering: Lowering, group: Group) -> None:
    """One kernel, with the pointwise work behind it."""
    node = lowering.graph[group.anchor]
    average = isinstance(node.attrs, AvgPoolGrad)
    dy = node.inputs[-1]
    arguments = Arguments()
    source = None
    if not average:
        source = lowering.read(node.inputs[0], arguments)
    gradient = lowering.read(dy, arguments)
    expression, _ = lowering.expression(group, node.spec, arguments)
    expression = lowering.nontemporal(expression, arguments)
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


@lowers("max_unpool", "at_places")
def lower_places(lowering: Lowering, group: Group) -> None:
    """One kernel that puts values at places, or picks them from there."""
    node = lowering.graph[group.anchor]
    values, places = node.inputs
    result = lowering.allocate(group.anchor)
    arguments = Arguments()
    kernel = UnpoolSpec(
        put=node.op == "max_unpool",
        values=Domain(lowering.spec(values).shape),
        places=Domain(lowering.spec(places).shape),
        result=Domain(node.spec.shape),
        operands=(
            lowering.read(values, arguments),
            lowering.read(places, arguments),
            arguments.operand(result, node.spec, node.spec, write=True),
        ),
        buffers=len(arguments.buffers),
    )
    lowering.emit(kernel, arguments, node.name)


@lowers("fractional_max_pool", "fractional_max_pool_places")
def lower_fractional(lowering: Lowering, group: Group) -> None:
    """One kernel, with the pointwise work behind it."""
    node = lowering.graph[group.anchor]
    x = lowering.spec(node.inputs[0])
    arguments = Arguments()
    source, offsets = (lowering.read(i, arguments) for i in node.inputs)
    expression, _ = lowering.expression(group, node.spec, arguments)
    kernel = FractionalPoolSpec(
        kind="place" if node.op == "fractional_max_pool_places" else "max",
        dtype=node.spec.dtype,
        window=node.attrs,
        sides=x.shape[:-1],
        channels=x.shape[-1],
        source=source,
        offsets=offsets,
        domain=Domain(node.spec.shape),
        epilogue=lowering.nontemporal(expression, arguments),
        buffers=len(arguments.buffers),
    )
    lowering.emit(kernel, arguments, node.name)


@lowers("fractional_max_pool_grad")
def lower_fractional_grad(lowering: Lowering, group: Group) -> None:
    """One kernel that adds each gradient where its window's maximum stands."""
    node = lowering.graph[group.anchor]
    result = lowering.allocate(group.anchor)
    arguments = Arguments()
    source, offsets, gradient = (lowering.read(i, arguments) for i in node.inputs)
    kernel = FractionalPoolGradSpec(
        dtype=node.spec.dtype,
        window=node.attrs,
        sides=node.spec.shape[:-1],
        channels=node.spec.shape[-1],
        source=source,
        offsets=offsets,
        gradient=gradient,
        result=arguments.operand(result, node.spec, node.spec, write=True),
        buffers=len(arguments.buffers),
    )
    lowering.emit(kernel, arguments, node.name)

"""What a kernel call computes, moves and is called, as its specification tells.

1 FMA = 2 FLOP, and every operand crosses the memory bus once. Products with padding that a kernel
leaves out are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from isoconv.compile.augmentation.kernel import AugmentSpec
from isoconv.compile.contraction.contract import ContractSpec
from isoconv.compile.contraction.depthwise import DepthwiseSpec, DepthwiseWeightSpec
from isoconv.compile.contraction.inside import InsideContractSpec
from isoconv.compile.contraction.packing import Packing
from isoconv.compile.contraction.padding import inside_terms
from isoconv.compile.contraction.weight_gradient import ContractWeightSpec
from isoconv.compile.lower.driver import Call, Lowered
from isoconv.compile.native.kernels import KernelSpec
from isoconv.compile.pointwise.halo import HaloSpec
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.compile.reduction.rows import RowsSpec
from isoconv.compile.reduction.sums import ReduceSpec
from isoconv.compile.window.gradient import PoolGradSpec
from isoconv.compile.window.pool import PoolSpec
from isoconv.compile.winograd.chunks import WinogradConvSpec, WinogradConvWeightSpec
from isoconv.compile.winograd.components import PlanesSpec
from isoconv.compile.winograd.maps import WinogradMapSpec, WinogradPlanesSpec
from isoconv.compile.winograd.weights import WinogradWeightSpec

__all__ = ["bytes_of", "flops_of", "kernel_names"]


_PATCH = {"input": 32, "output_grad": 12, "output": 24, "input_grad": 48}
_KERNEL = {"weight": 35, "weight_grad": 42}
"""Operations of Winograd's maps, for a patch and a channel or for a kernel."""


def flops_of(call: Call, images: int) -> int:
    """Multiplications and additions of a call on so many images."""
    return _flops(call.spec, images)


def _flops(spec: KernelSpec, images: int) -> int:
    if isinstance(spec, PlanesSpec):
        return spec.count * _flops(spec.inner, images * spec.positions)
    if isinstance(spec, WinogradConvSpec):
        return (
            _flops(spec.maps, images) + _flops(spec.product, images) + _flops(spec.result, images)
        )
    if isinstance(spec, WinogradConvWeightSpec):
        return (
            _flops(spec.source, images)
            + _flops(spec.gradient, images)
            + _flops(spec.product, images)
        )
    if isinstance(spec, WinogradPlanesSpec):
        return images * prod(spec.tiles) * spec.channels * _PATCH[spec.kind]
    if isinstance(spec, WinogradMapSpec):
        work = prod(spec.tiles) * _PATCH[spec.kind]
        return images * spec.channels * (work + prod(spec.sides) * len(spec.epilogue.steps))
    if isinstance(spec, WinogradWeightSpec):
        return spec.size * _KERNEL[spec.kind]
    if isinstance(spec, ContractSpec):
        positions = spec.flat or prod(axis.positions for axis in spec.axes)
        terms = spec.taps * positions
        if isinstance(spec, InsideContractSpec):
            terms = inside_terms(spec.axes, spec.sides)
        work = 2 * terms * spec.channels + positions * len(spec.epilogue.steps)
        return images * spec.groups * spec.filters * work
    if isinstance(spec, ContractWeightSpec):
        terms = inside_terms(spec.axes, spec.sides)
        return 2 * images * terms * spec.groups * spec.filters * spec.channels
    if isinstance(spec, (DepthwiseSpec, DepthwiseWeightSpec)):
        terms = prod(axis.positions * axis.taps for axis in spec.axes)
        return 2 * images * terms * spec.channels
    if isinstance(spec, (PointwiseSpec, ReduceSpec)):
        elements = prod(spec.domain.axes) * (images if spec.domain.batched else 1)
        sums = len(spec.results) if isinstance(spec, ReduceSpec) else 0
        return elements * (len(spec.expression.steps) + sums)
    return 0


def bytes_of(call: Call, images: int, rows: Mapping[str, int]) -> int:
    """Bytes of a call's operands, each once; what it keeps in scratch memory is none.

    Args:
        call: the call.
        images: that it works on.
        rows: bytes of one row of each data set.
    """
    moved = 0
    for buffer in call.buffers:
        if buffer.region in ("dataset", "output"):
            moved += images * rows.get(buffer.name, 0)
        elif buffer.region != "scratch":
            moved += buffer.bytes * (images if buffer.batched else 1)
    return moved


def kernel_names(lowered: Lowered) -> list[str]:
    """What each call of `lowered.prepare`, then of `lowered.shard`, does, in words."""
    transposed = {
        call.buffers[1]: call.spec.transposed
        for call in (*lowered.prepare, *lowered.shard)
        if isinstance(call.spec, Packing)
    }
    known: set[str] = set()
    names = []
    for call in (*lowered.prepare, *lowered.shard):
        back = any(transposed.get(buffer, False) for buffer in call.buffers)
        if isinstance(call.spec, DepthwiseSpec):
            # Its weights are not packed; a layer's forward pass comes before its gradient.
            back = call.layer in known
            known.add(call.layer)
        names.append(_name(call, back=back))
    return names


def _name(call: Call, *, back: bool) -> str:
    spec = call.spec.inner if isinstance(call.spec, PlanesSpec) else call.spec
    if isinstance(spec, Packing):
        return "packing of weights"
    if isinstance(spec, (WinogradPlanesSpec, WinogradMapSpec, WinogradWeightSpec)):
        return f"Winograd, {spec.kind.replace('_grad', ', gradient')}"
    if isinstance(spec, (ContractSpec, DepthwiseSpec, WinogradConvSpec)):
        return "gradient by input" if back else "forward"
    if isinstance(spec, (ContractWeightSpec, DepthwiseWeightSpec, WinogradConvWeightSpec)):
        return "gradient by weight"
    if isinstance(spec, PoolSpec):
        return f"{spec.kind} pooling"
    if isinstance(spec, PoolGradSpec):
        return f"{spec.kind} pooling, gradient"
    if isinstance(spec, RowsSpec):
        return str(spec.op).replace("_", " ").replace(" grad", ", gradient")
    if isinstance(spec, ReduceSpec):
        return "sums"
    if isinstance(spec, AugmentSpec):
        return "augmentation"
    if isinstance(spec, HaloSpec):
        return "halo of zeros"
    return "pointwise"

"""Clipping by the global norm: the length of the whole gradient, and the factor that shortens it.

for every block of 4096 elements:                 # threads share the blocks
    eight partial sums of x * x, then their tree
the blocks' sums in the binary tree that shards use
norm = sqrt(total); factor = limit / norm if norm > limit else 1
"""

from __future__ import annotations

from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import F32, Kernel, Value
from isoconv.compile.reduction.clip import BLOCK, ClipBlocksSpec, ClipFactorSpec

_PARTIALS = 8


@emits(ClipBlocksSpec)
def clip_blocks(k: Kernel, spec: ClipBlocksSpec) -> None:
    """Share out blocks."""
    blocks = -(-spec.size // BLOCK)
    begin, end = k.share(k.const(blocks))
    with k.loop(begin, end) as block:
        first = k.mul(block, BLOCK)
        last = k.minimum(k.add(first, BLOCK), k.const(spec.size))
        total = _block(k, first, last)
        k.store(total, k.at(k.buffers[1], block, "float32"))


def _block(k: Kernel, first: Value, last: Value) -> Value:
    b = k.builder
    vector = k.buffers[0]
    partials = k.variable(k.splat_const(0.0, "float32", _PARTIALS))
    rest = b.srem(b.sub(last, first), k.const(_PARTIALS))
    whole = b.sub(last, rest)
    with k.loop(first, whole, _PARTIALS) as i:
        x = k.load_vector(k.at(vector, i, "float32"), "float32", _PARTIALS)
        partials.set(b.fadd(partials.get(), b.fmul(x, x)))
    with k.loop(whole, last) as i:
        x = k.load_scalar(k.at(vector, i, "float32"), "float32")
        lane = b.sub(i, whole)
        sums = partials.get()
        one = b.fadd(b.extract_element(sums, lane), b.fmul(x, x))
        partials.set(b.insert_element(sums, one, lane))
    lanes = [b.extract_element(partials.get(), k.const(i)) for i in range(_PARTIALS)]
    while len(lanes) > 1:
        lanes = [b.fadd(lanes[i], lanes[i + 1]) for i in range(0, len(lanes), 2)]
    return lanes[0]


@emits(ClipFactorSpec)
def clip_factor(k: Kernel, spec: ClipFactorSpec) -> None:
    """The tree, the norm, the factor."""
    b = k.builder
    sums, factor = k.buffers
    distance = 1
    while distance < spec.blocks:
        with k.loop(0, spec.blocks - distance, 2 * distance) as i:
            left = k.at(sums, i, "float32")
            right = k.load_scalar(k.at(sums, k.add(i, distance), "float32"), "float32")
            k.store(b.fadd(k.load_scalar(left, "float32"), right), left)
        distance *= 2
    norm = k.call("llvm.sqrt.f32", F32, k.load_scalar(sums, "float32"))
    limit = F32(spec.limit)
    longer = b.fcmp_ordered(">", norm, limit)
    k.store(b.select(longer, b.fdiv(limit, norm), F32(1.0)), factor)

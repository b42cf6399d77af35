"""Clipping by the global norm: the length of the whole gradient, and the factor that shortens it.

for every block of 4096 elements:                 # threads share the blocks
    eight partial sums of x * x, then their tree
the blocks' sums in the binary tree that shards use
norm = sqrt(total); factor = limit / norm if norm > limit else 1
"""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.loops import F32, Kernel, Value

__all__ = ["BLOCK", "ClipBlocksSpec", "ClipFactorSpec"]

BLOCK = 4096
_PARTIALS = 8


@dataclass(frozen=True, slots=True)
class ClipBlocksSpec:
    """Sums of squares of the blocks of a vector; buffers are (vector, block sums).

    Attributes:
        size: elements of the vector.
    """

    size: int
    buffers: int = 2

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body."""
        blocks = -(-self.size // BLOCK)
        begin, end = k.share(k.const(blocks))
        with k.loop(begin, end) as block:
            first = k.mul(block, BLOCK)
            last = k.minimum(k.add(first, BLOCK), k.const(self.size))
            total = self._block(k, first, last)
            k.store(total, k.at(k.buffers[1], block, "float32"))

    def _block(self, k: Kernel, first: Value, last: Value) -> Value:
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


@dataclass(frozen=True, slots=True)
class ClipFactorSpec:
    """The factor from the blocks' sums; buffers are (block sums, factor).

    The tree is walked in place: at each level a sum and its right neighbour, if there is one,
    become one.

    Attributes:
        blocks: number of sums.
        limit: the largest norm that is left as it is.
    """

    blocks: int
    limit: float
    buffers: int = 2

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body."""
        b = k.builder
        sums, factor = k.buffers
        distance = 1
        while distance < self.blocks:
            with k.loop(0, self.blocks - distance, 2 * distance) as i:
                left = k.at(sums, i, "float32")
                right = k.load_scalar(k.at(sums, k.add(i, distance), "float32"), "float32")
                k.store(b.fadd(k.load_scalar(left, "float32"), right), left)
            distance *= 2
        norm = k.call("llvm.sqrt.f32", F32, k.load_scalar(sums, "float32"))
        limit = F32(self.limit)
        longer = b.fcmp_ordered(">", norm, limit)
        k.store(b.select(longer, b.fdiv(limit, norm), F32(1.0)), factor)

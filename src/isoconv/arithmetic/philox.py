"""Random numbers that are a function of where they are used, and of nothing else.

A number is named by (seed, purpose, stream, epoch, sample, index). Philox 4×32-10 turns a 128-bit
counter and a 64-bit key into four 32-bit words; there is no state to carry, so it does not matter
which thread or machine computes a number, or when.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC 2011.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from isoconv.arithmetic.bits import Array
from isoconv.arithmetic.elementary import cos_turns, log, sin_turns
from isoconv.checks import refusal
from isoconv.errors import ShapeError

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
"""Multipliers of counter words 0 and 2 (Salmon et al., section 4.3)."""
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
"""What the two key words grow by after each round: the golden ratio and sqrt(3) - 1."""

_LOW = np.uint64(0xFFFF_FFFF)
_HALF = np.uint64(32)


class Purpose(IntEnum):
    """What a random number is for; two purposes never share a number."""

    INITIAL_WEIGHTS = 1
    DATA_ORDER = 2
    AUGMENTATION = 3
    DROPOUT = 4
    SPLITS = 5
    FRACTIONAL_POOLING = 6


def philox4x32(counter: ArrayLike, key: ArrayLike) -> Array:
    """Philox 4×32-10: four random words from four counter words and two key words.

    Each of the ten rounds replaces (c0, c1, c2, c3) by
    ``(hi(M1*c2) ^ c1 ^ k0, lo(M1*c2), hi(M0*c0) ^ c3 ^ k1, lo(M0*c0))``; between rounds the key
    words grow by their constants, modulo 2**32.

    Args:
        counter: words of 32 bits, shape (..., 4).
        key: words of 32 bits, shape (..., 2); the leading axes broadcast.

    Returns:
        uint32 of shape (..., 4).

    Raises:
        ShapeError: the last axes are not 4 and 2.

    Example:
        >>> [hex(word) for word in philox4x32([0, 0, 0, 0], [0, 0])]
        ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    counters = np.asarray(counter, dtype=np.uint64)
    keys = np.asarray(key, dtype=np.uint64)
    if counters.shape[-1:] != (4,) or keys.shape[-1:] != (2,):
        raise ShapeError(
            "philox4x32 takes counters of shape (..., 4) and keys of shape (..., 2); "
            f"got {counters.shape} and {keys.shape}"
        )
    c0, c1, c2, c3 = (counters[..., i] for i in range(4))
    return np.stack(_rounds(c0, c1, c2, c3, keys[..., 0], keys[..., 1]), axis=-1).astype(np.uint32)


def words(
    seed: int,
    purpose: int,
    stream: int,
    epoch: int,
    sample: ArrayLike,
    index: ArrayLike,
) -> Array:
    """The random 32-bit words of these names.

    Key: the seed's low word, then its high word. Counter: ``index >> 2`` modulo 2**32,
    ``sample`` modulo 2**32, ``epoch``, ``purpose << 16 | stream``. The word taken is number
    ``index & 3``.

    Args:
        seed: 0 ≤ seed < 2**64.
        purpose: 0 ≤ purpose < 2**16; :class:`Purpose` lists those in use.
        stream: 0 ≤ stream < 2**16: tells users of one purpose apart (one parameter, one layer).
        epoch: 0 ≤ epoch < 2**32.
        sample: number of the sample in its data set, integers ≥ 0 of any shape.
        index: which number, integers 0 ≤ index < 2**34; its shape broadcasts with ``sample``.

    Returns:
        uint32 of the broadcast shape.

    Raises:
        ArgumentError: a name lies outside its range.

    Example:
        >>> hex(words(0, 0, 0, 0, 0, 3))
        '0x9b00dbd8'
    """
    _check("seed", seed, 64)
    _check("purpose", purpose, 16)
    _check("stream", stream, 16)
    _check("epoch", epoch, 32)
    samples = _integers("sample", sample, 63)
    indices = _integers("index", index, 34)
    blocks = indices >> np.uint64(2)
    first = int(blocks.min()) if blocks.size else 0
    count = int(blocks.max()) - first + 1 if blocks.size else 0
    # Four neighbouring indices share one block: for a dense run of indices of one sample, each
    # block is computed once and looked up.
    dense = samples.ndim == 0 and 2 * count <= blocks.size
    wanted = np.arange(first, first + count, dtype=np.uint64) if dense else blocks
    four = _rounds(
        wanted,
        samples & _LOW,
        np.uint64(epoch),
        np.uint64(purpose << 16 | stream),
        np.uint64(seed & 0xFFFF_FFFF),
        np.uint64(seed >> 32),
    )
    if dense:
        table = np.empty((count, 4), np.uint32)
        for column, some in enumerate(four):
            table[:, column] = some
        return table.ravel()[(indices - np.uint64(4 * first)).astype(np.intp)]
    which = (indices & np.uint64(3)).astype(np.intp)
    return np.choose(which, four).astype(np.uint32)


def uniform32(
    seed: int,
    purpose: int,
    stream: int,
    epoch: int,
    sample: ArrayLike,
    index: ArrayLike,
) -> Array:
    """Uniform float32 in [0, 1): ``(word >> 8) * 2**-24``, one word each.

    Arguments, shapes and errors are those of :func:`words`.

    Example:
        >>> float(uniform32(0, 0, 0, 0, 0, 0))
        0.3990464210510254
    """
    top = words(seed, purpose, stream, epoch, sample, index) >> np.uint32(8)
    return top.astype(np.float32) * np.float32(2.0**-24)


def normal32(
    seed: int,
    purpose: int,
    stream: int,
    epoch: int,
    sample: ArrayLike,
    index: ArrayLike,
) -> Array:
    """Standard normal float32 by the Box–Muller transform, computed in float64 and then rounded.

    The numbers of index 2k and 2k + 1 come from the words u = word(2k) and v = word(2k + 1):
    ``r = sqrt(-2 * log((2 * u + 1) * 2**-33))``, then ``r * cos(2π * v * 2**-32)`` for the even
    index and ``r * sin(2π * v * 2**-32)`` for the odd one. No number exceeds 6.8 in size.
    Source: G. E. P. Box and M. E. Muller, "A note on the generation of random normal deviates",
    Annals of Mathematical Statistics 29(2), 1958.

    Arguments, shapes and errors are those of :func:`words`.

    Example:
        >>> import numpy as np
        >>> normal32(0, 1, 0, 0, 0, np.arange(10_000)).shape
        (10000,)
    """
    indices = _integers("index", index, 34)
    even = indices & ~np.uint64(1)
    first = words(seed, purpose, stream, epoch, sample, even).astype(np.float64)
    second = words(seed, purpose, stream, epoch, sample, even + np.uint64(1)).astype(np.float64)
    radius = np.sqrt(-2.0 * log((2.0 * first + 1.0) * 2.0**-33))
    turns = second * 2.0**-32
    odd = (indices & np.uint64(1)) == 1
    wave = np.where(odd, sin_turns(turns), cos_turns(turns))
    return np.asarray(radius * wave).astype(np.float32)[()]


def integers(
    bound: int,
    seed: int,
    purpose: int,
    stream: int,
    epoch: int,
    sample: ArrayLike,
    index: ArrayLike,
) -> Array:
    """Integers in [0, bound): ``(word * bound) >> 32``, one word each.

    The probability of a value differs from ``1 / bound`` by less than 2**-32.

    Args:
        bound: 1 ≤ bound ≤ 2**32.
        seed: this and the rest as in :func:`words`.
        purpose: see :func:`words`.
        stream: see :func:`words`.
        epoch: see :func:`words`.
        sample: see :func:`words`.
        index: see :func:`words`.

    Returns:
        int64 of the broadcast shape.

    Raises:
        ArgumentError: ``bound`` or a name lies outside its range.

    Example:
        >>> int(integers(10, 0, 0, 0, 0, 0, 0))
        3
    """
    if not 1 <= bound <= 2**32:
        raise refusal("bound", "lie in [1, 2**32]", bound, got=f"{bound}")
    wide = words(seed, purpose, stream, epoch, sample, index).astype(np.uint64) * np.uint64(bound)
    return (wide >> _HALF).astype(np.int64)


def permutation(n: int, seed: int, purpose: int, epoch: int, stream: int = 0) -> Array:
    """A random order of 0 … n - 1: by random 64-bit keys, equal keys in increasing number.

    Number i has the key ``word(2i) << 32 | word(2i + 1)`` of sample 0.

    Args:
        n: 0 ≤ n < 2**33.
        seed: as in :func:`words`.
        purpose: as in :func:`words`.
        epoch: as in :func:`words`.
        stream: as in :func:`words`.

    Returns:
        int64 of shape (n,).

    Raises:
        ArgumentError: ``n`` or a name lies outside its range.

    Example:
        >>> sorted(permutation(5, seed=0, purpose=Purpose.DATA_ORDER, epoch=0).tolist())
        [0, 1, 2, 3, 4]
    """
    _check("n", n, 33)
    pairs = words(seed, purpose, stream, epoch, 0, np.arange(2 * n, dtype=np.uint64))
    wide = pairs.astype(np.uint64)
    keys = wide[0::2] << _HALF | wide[1::2]
    return np.argsort(keys, kind="stable").astype(np.int64)


def _rounds(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> list[Array]:
    """The ten rounds on 32-bit words held in uint64."""
    first, second = (np.uint64(value) for value in MULTIPLIERS)
    step0, step1 = (np.uint64(value) for value in KEY_STEPS)
    for _ in range(ROUNDS):
        # A product of two 32-bit words fits into 64 bits exactly.
        left, right = first * c0, second * c2
        c0, c1, c2, c3 = (
            (right >> _HALF) ^ c1 ^ k0,
            right & _LOW,
            (left >> _HALF) ^ c3 ^ k1,
            left & _LOW,
        )
        k0, k1 = (k0 + step0) & _LOW, (k1 + step1) & _LOW
    return list(np.broadcast_arrays(c0, c1, c2, c3))


def _check(name: str, value: int, bits: int) -> None:
    if not 0 <= value < 2**bits:
        raise refusal(name, f"lie in [0, 2**{bits})", value, got=f"{value}")


def _integers(name: str, values: ArrayLike, bits: int) -> Array:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise refusal(name, "be whole numbers", values, got=f"dtype {array.dtype}")
    if array.size:
        _check(name, int(array.min()), bits)
        _check(name, int(array.max()), bits)
    return array.astype(np.uint64)

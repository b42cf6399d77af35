"""Memory for kernels: aligned, zeroed, and given back."""

from __future__ import annotations

import gc
import mmap

import numpy as np
import pytest

from isoconv.errors import ArgumentError
from isoconv.run.memory import aligned_bytes, aligned_copy

HUGE = 2**21


@pytest.mark.parametrize("size", [1, 100, 2 * HUGE - 1, 2 * HUGE, 3 * HUGE + 5])
def test_aligned_bytes(size: int) -> None:
    """Zeros from a cache line on, or from a huge page on, all of which can be written."""
    found = aligned_bytes(size)
    assert found.shape == (size,)
    assert found.ctypes.data % (HUGE if size >= 2 * HUGE else 64) == 0
    assert not found.any()
    found[...] = 7
    assert (found == 7).all()


def test_large_memory_is_fresh_and_given_back() -> None:
    """What was freed is not cut up and used again: new memory is zeros without being cleared."""
    first = aligned_bytes(4 * HUGE)
    first[...] = 1
    view = first[HUGE : HUGE + 8].view(np.int64)
    del first
    gc.collect()
    assert view[0] == 0x0101010101010101
    assert not aligned_bytes(4 * HUGE).any()


def test_large_copies() -> None:
    """Elements, shape and dtype are the array's."""
    array = np.arange(HUGE, dtype=np.float64).reshape(4, -1)[:, ::2]
    found = aligned_copy(array)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("missing", ["MAP_ANONYMOUS", "MADV_HUGEPAGE"])
def test_systems_without(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Where the system lacks one or the other, memory is the same but for its pages."""
    monkeypatch.delattr(mmap, missing, raising=False)
    found = aligned_bytes(2 * HUGE)
    assert found.ctypes.data % HUGE == 0
    assert not found.any()


def test_too_much_memory() -> None:
    """What no machine has is refused with what to do."""
    with pytest.raises(ArgumentError, match=r"not enough memory for .* GiB; a smaller shard_size"):
        aligned_bytes(2**60)

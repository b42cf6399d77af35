"""Memory that native code works in: on cache lines, large blocks in huge pages."""

from __future__ import annotations

import contextlib
import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.errors import NotEnoughMemoryError

_LINE = 64
_SLACK = 256
_HUGE = 2**21  # bytes of a huge page, on x86-64 and usually on AArch64
_LARGE = _HUGE // 2


def aligned_bytes(size: int) -> NDArray[np.uint8]:
    """Zeroed bytes that start on a cache line, with room to read a little past the end.

    Large ones lie in pages of their own, huge ones where the system has them: kernels that stride
    through an arena would otherwise wait for the addresses of small pages.
    """
    line = _HUGE if size >= _LARGE else _LINE
    room = size + _SLACK + line
    try:
        raw = _fresh(room) if line == _HUGE else np.zeros(room, np.uint8)
    except (MemoryError, OSError, OverflowError, ValueError):
        raise NotEnoughMemoryError(
            f"there is not enough memory for {size / 2**30:.1f} GiB; a smaller shard_size or fewer "
            "threads need less"
        ) from None
    start = -raw.ctypes.data % line
    return raw[start : start + size]


def _fresh(size: int) -> NDArray[np.uint8]:
    """Fresh pages: memory that was used and freed before is cut into small ones for good."""
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.zeros(size, np.uint8)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # A system without them says so; small pages do as well, if slower.
        with contextlib.suppress(OSError):
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, np.uint8)


def aligned_copy(array: NDArray[Any]) -> NDArray[Any]:
    """A contiguous copy that starts on a cache line."""
    copy = aligned_bytes(array.nbytes).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy

"""Arrays that nobody can change."""

from __future__ import annotations

import numpy as np
import pytest

from isoconv.graph.operation import Array
from isoconv.run.immutable import immutable_copy, is_immutable

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.arange(6, dtype=np.float64).reshape(2, 3).T,
    np.arange(4, dtype=">f4"),
    np.zeros((0, 3), np.float32),
    np.array(3, np.float32),
    np.array([np.nan, -0.0, np.inf], np.float32),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_copy(array: Array) -> None:
    """A copy has the same elements, in memory of its own."""
    copy = immutable_copy(array)
    assert is_immutable(copy)
    assert copy.shape == array.shape
    assert copy.dtype == array.dtype.newbyteorder("=")
    assert copy.tobytes() == array.astype(copy.dtype).tobytes()
    assert not np.shares_memory(copy, array)
    assert immutable_copy(copy) is copy


def test_nobody_can_write() -> None:
    """Neither the array nor a view of it is made writable again."""
    copy = immutable_copy(np.ones((2, 2), np.float32))
    for array in (copy, copy[0], copy.view(np.uint32), copy.reshape(-1)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True


def test_what_can_change() -> None:
    """Read-only views of memory that somebody else may write are not fixed."""
    owner = np.ones((2, 2), np.float32)
    view = owner.view()
    view.flags.writeable = False
    alone = np.ones(2)
    alone.flags.writeable = False
    for array in (owner, view, alone, np.frombuffer(bytearray(8), np.uint8), [1.0], 1.0):
        assert not is_immutable(array)
    assert is_immutable(np.frombuffer(bytes(8), np.uint8))
    assert not is_immutable(immutable_copy(owner).T)

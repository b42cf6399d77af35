"""Arrays that nobody can change: what was worked out from one need never be worked out again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def immutable_copy(array: NDArray[Any]) -> NDArray[Any]:
    """The same elements, row-major in native byte order, in memory that no one can write.

    It belongs to a ``bytes`` object, so that NumPy refuses to make the array writable again.

    Example:
        >>> immutable_copy(np.ones(2)).flags.writeable = True
        Traceback (most recent call last):
        ValueError: cannot set WRITEABLE flag to True of this array
    """
    if is_immutable(array):
        return array
    native = np.asarray(array, array.dtype.newbyteorder("="))
    return np.ndarray(native.shape, native.dtype, native.tobytes())


def is_immutable(array: object) -> bool:
    """Whether an array's elements stay as they are for as long as it lives."""
    if type(array) is not np.ndarray or not array.flags.c_contiguous:
        return False
    base: object = array
    while type(base) is np.ndarray:
        base = base.base
    return type(base) is bytes and not array.flags.writeable

"""Runs one kernel on arrays, for tests: `run_kernel(spec, arrays, images)`."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from isoconv.compile.native.build import emit_object
from isoconv.compile.native.context import CONTEXT, CONTEXT_WORDS
from isoconv.compile.native.jit import LoadedLibrary
from isoconv.compile.native.specification import Specification
from isoconv.compile.target import Target, host_target
from isoconv.graph.operation import Array


@functools.lru_cache(maxsize=64)
def _kernel(spec: Specification, target: Target) -> tuple[LoadedLibrary, Callable[..., None]]:
    loaded = LoadedLibrary([emit_object(spec, target, "kernel_under_test")], target)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(
        loaded.address("kernel_under_test")
    )
    return loaded, function


def aligned(array: Array) -> Array:
    """A copy that starts on a cache line and has room to read past its end."""
    raw = np.zeros(array.nbytes + 256, np.uint8)
    start = -raw.ctypes.data % 64
    copy = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def run_kernel(
    spec: Specification,
    arrays: Sequence[Array],
    images: int = 1,
    first: int = 0,
    target: Target | None = None,
    parts: int = 1,
) -> None:
    """Call the kernel once for each part of the work; the arrays are changed in place."""
    target = target or host_target()
    # A protocol does not promise that what keeps it can be hashed.
    key: Any = spec
    _, function = _kernel(key, target)
    pointers = (ctypes.c_void_p * len(arrays))(*(a.ctypes.data for a in arrays))
    for part in range(parts):
        context = np.zeros(CONTEXT_WORDS, np.int64)
        context[CONTEXT["images"]] = images
        context[CONTEXT["part"]] = part
        context[CONTEXT["parts"]] = parts
        context[CONTEXT["first"]] = first
        function(ctypes.addressof(pointers), context.ctypes.data)

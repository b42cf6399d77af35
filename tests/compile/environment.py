"""The floating-point environment of an x86 processor, for tests."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir
import numpy as np
import pytest

from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import Kernel
from isoconv.compile.native.specification import Specification
from isoconv.compile.target import host_target
from isoconv.graph.operation import Array
from isoconv.run.team import library_for

LIBRARY = library_for()


def address(spec: Any) -> int:
    """Where a kernel is."""
    return LIBRARY.addresses([spec])[spec]


def pointer(array: Array) -> int:
    """Where an array is."""
    return int(array.ctypes.data)


needs_x86 = pytest.mark.skipif(
    not host_target().triple.startswith("x86_64"), reason="the register is x86's"
)
DEFAULT, FLUSH, UPWARD, STATUS = 0x1F80, 0x8040, 0x4000, 0x3F


@dataclass(frozen=True, slots=True)
class ControlSpec(Specification):
    """Reads (args: state) or writes the floating-point control register."""

    write: bool
    buffers: int = 1


@emits(ControlSpec)
def emit_control(k: Kernel, spec: ControlSpec) -> None:
    """Read or write."""
    name = "llvm.x86.sse.ldmxcsr" if spec.write else "llvm.x86.sse.stmxcsr"
    k.call(name, ir.VoidType(), k.buffers[0])


def control(write: int | None = None) -> int:
    """The present state of the register without its status bits; or set it."""
    state = np.array([write or 0], np.uint32)
    pointers = (ctypes.c_void_p * 1)(pointer(state))
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
    kind(address(ControlSpec(write is not None)))(ctypes.addressof(pointers), None)
    return int(state[0]) & ~STATUS

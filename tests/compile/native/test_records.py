"""Records: Python and native code find the same fields in the same places."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import pytest

from isoconv.compile.native.emitters import emits
from isoconv.compile.native.kernels import KernelLibrary
from isoconv.compile.native.loops import Kernel
from isoconv.compile.native.records import (
    ARGUMENTS,
    BARRIER,
    CONTROL,
    INSTRUCTION,
    WAKE_FLAG,
    Record,
)
from isoconv.compile.native.specification import Specification
from isoconv.compile.target import host_target

RECORDS = {"arguments": ARGUMENTS, "barrier": BARRIER, "control": CONTROL,
           "instruction": INSTRUCTION, "wake flag": WAKE_FLAG}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DoubleSpec(Specification):
    """Doubles all fields of the third of some records."""

    record: str
    buffers: int = 1


@emits(DoubleSpec)
def double(k: Kernel, spec: DoubleSpec) -> None:
    """Field by field."""
    record = RECORDS[spec.record]
    third = record.beyond(k, k.buffers[0], 2)
    for field in record.dtype.names or ():
        k.store(k.add(record.load(k, third, field), record.load(k, third, field)),
                record.at(k, third, field))  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_fields(name: str) -> None:
    """What Python wrote into a field is what a kernel reads there, and the other way round."""
    record = RECORDS[name]
    found = record.zeros(4)
    fields = record.dtype.names or ()
    for number, field in enumerate(fields):
        found[field] = [10 * number + place for place in range(4)]
    before = found.copy()
    spec = DoubleSpec(name)
    addresses = KernelLibrary(host_target(), None).addresses([spec])
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(addresses[spec])
    kernel(np.array([found.ctypes.data], np.int64).ctypes.data, None)
    for number, field in enumerate(fields):
        assert found[field].tolist() == [
            *before[field][:2],
            2 * (10 * number + 2),
            *before[field][3:],
        ]


@pytest.mark.parametrize("record", [ARGUMENTS, BARRIER, CONTROL, WAKE_FLAG])
def test_threads_write_lines_of_their_own(record: Record) -> None:
    """Each record is a cache line."""
    for count in range(1, 5):
        found = record.zeros(count)
        assert (found.ctypes.data % 64, found.strides, found.nbytes) == (0, (64,), 64 * count)

"""Pages of a mapped file that is cut while native code reads it: zeros in their place, and a mark.

A system ends the process that reads beyond the end of a mapped file (SIGBUS), and that which reads
what a disk does not give. Where the memory is one that is watched here, the signal is answered by
mapping zeros over the rest of it, and the memory is marked as lost: native code comes to its end,
and whoever called it finds the mark and throws away what came of it. Any other such signal goes to
whoever was asked before, in the end to the system.

Of systems Linux alone is served so; elsewhere the process is ended.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import signal
import sys
import threading
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.compile.native.jit import LoadedLibrary, compile_object
from isoconv.compile.target import host_target

Array = NDArray[Any]

HAS_SIGNALS = sys.platform.startswith("linux") and sys.maxsize > 2**32
"""Whether it is known how this system tells of lost pages."""

_MOST = 512
"""Pieces of memory that are watched at once; those that come later are not."""
_FREE = 2**63 - 1
_START, _END, _LOST = range(3)

# The handler of the signal: siginfo_t has its code at byte 8 (above 0 where the system itself sends
# it) and the address at byte 16. To ask for the old handler again has the instruction fault anew.
_HANDLER = """
target triple = "{triple}"

declare ptr @mmap(ptr, i64, i32, i32, i32, i64)
declare i32 @sigaction(i32, ptr, ptr)

define void @{name}(i32 %number, i64 %info, i64 %context) {{
begin:
  %code_at = add i64 %info, 8
  %code_pointer = inttoptr i64 %code_at to ptr
  %code = load i32, ptr %code_pointer
  %by_system = icmp sgt i32 %code, 0
  br i1 %by_system, label %look, label %other

look:
  %address_at = add i64 %info, 16
  %address_pointer = inttoptr i64 %address_at to ptr
  %address = load i64, ptr %address_pointer
  br label %entry

entry:
  %row = phi i64 [ {table}, %look ], [ %next, %following ]
  %start_pointer = inttoptr i64 %row to ptr
  %start = load i64, ptr %start_pointer
  %end_at = add i64 %row, 8
  %end_pointer = inttoptr i64 %end_at to ptr
  %end = load i64, ptr %end_pointer
  %behind = icmp sge i64 %address, %start
  %before = icmp slt i64 %address, %end
  %inside = and i1 %behind, %before
  br i1 %inside, label %lost, label %following

following:
  %next = add i64 %row, 24
  %more = icmp slt i64 %next, {table_end}
  br i1 %more, label %entry, label %other

lost:
  %page = and i64 %address, {mask}
  %size = sub i64 %end, %page
  %page_pointer = inttoptr i64 %page to ptr
  %mapped = call ptr @mmap(ptr %page_pointer, i64 %size, i32 1, i32 {flags}, i32 -1, i64 0)
  %mapped_at = ptrtoint ptr %mapped to i64
  %done = icmp eq i64 %mapped_at, %page
  br i1 %done, label %marked, label %other

marked:
  %mark_at = add i64 %row, 16
  %mark_pointer = inttoptr i64 %mark_at to ptr
  store volatile i64 1, ptr %mark_pointer
  ret void

other:
  %old = inttoptr i64 {old} to ptr
  %ignored = call i32 @sigaction(i32 %number, ptr %old, ptr null)
  ret void
}}
"""
_NAME = "isoconv_lost_pages"
_FLAGS = 0x02 | 0x10 | 0x20 | 0x4000  # MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE
_SIGINFO, _ONSTACK, _NODEFER = 0x4, 0x08000000, 0x40000000


class _Action(ctypes.Structure):
    """``struct sigaction`` as 64-bit Linux has it in its C libraries."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_uint64 * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class _Text:
    """A module of LLVM's, as text."""

    name = _NAME

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


class _Watch:
    """The table of what is watched, and the handler that looks into it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table = np.full((_MOST, 3), (_FREE, 0, 0), np.int64)
        self._old = _Action()
        self._code = self._compiled()
        self._handler = self._code.address(_NAME)
        self._sigaction = ctypes.CDLL(None).sigaction

    def arm(self) -> None:
        """Have the handler asked: others who came later may have put theirs in its place."""
        now, number = _Action(), ctypes.c_int(signal.SIGBUS)
        with self._lock:
            self._sigaction(number, None, ctypes.byref(now))
            if now.handler == self._handler:
                return
            ctypes.pointer(self._old)[0] = now
            action = _Action()
            action.handler = self._handler
            action.flags = _SIGINFO | _ONSTACK | _NODEFER
            self._sigaction(number, ctypes.byref(action), None)

    def _compiled(self) -> LoadedLibrary:
        target = host_target()
        table = int(self._table.ctypes.data)
        text = _HANDLER.format(
            triple=target.triple,
            name=_NAME,
            table=table,
            table_end=table + self._table.nbytes,
            mask=-mmap.PAGESIZE,
            flags=_FLAGS,
            old=ctypes.addressof(self._old),
        )
        return LoadedLibrary([compile_object(_Text(text), target)], target)

    def begin(self, start: int, end: int) -> Array | None:
        """Watch memory from here on; None where there is no room for more."""
        with self._lock:
            free = np.flatnonzero(self._table[:, _START] == _FREE)
            if not len(free):
                return None
            row: Array = self._table[free[0]]
            row[_LOST] = 0
            # In this order, for the signal may come in between.
            row[_START] = start
            row[_END] = end
            return row

    def end(self, row: Array) -> None:
        """Watch it no longer."""
        with self._lock:
            row[_END] = 0
            row[_START] = _FREE


@functools.cache
def _watch() -> _Watch | None:
    return _Watch() if HAS_SIGNALS else None


class Watched:
    """Memory in which pages of a file may be lost.

    Attributes:
        row: of the table; None where nobody watches.
        lost: they were: what was read of it since is worth nothing.
    """

    def __init__(self, row: Array | None) -> None:
        self.row = row

    @property
    def lost(self) -> bool:
        """Whether a page was lost."""
        return self.row is not None and bool(self.row[_LOST])


def watched(array: Array) -> Watched:
    """Watch over an array that is a mapped file for as long as it lives.

    Args:
        array: C-contiguous; pages that it shares with others belong to the same file.
    """
    watch = _watch()
    if watch is not None:
        watch.arm()
    known = _WATCHED.get(id(array))
    if known is None:
        address = int(array.ctypes.data)
        page = mmap.PAGESIZE
        start, end = address // page * page, -(-(address + array.nbytes) // page) * page
        row = None if watch is None else watch.begin(start, end)
        known = _WATCHED[id(array)] = Watched(row)
        weakref.finalize(array, _forget, id(array)).atexit = False
    return known


_WATCHED: dict[int, Watched] = {}
"""What is watched, by the array's number, for as long as that is its own."""


def _forget(number: int) -> None:
    row = _WATCHED.pop(number).row
    if row is not None and (watch := _watch()) is not None:
        watch.end(row)

"""The native loop that runs a script of kernel calls, and the small kernels around it.

A script is a list of instructions (kernel, arguments, context, check). One native call per thread
runs a script a number of times; threads meet at barriers. Nothing here does arithmetic on results
but the copying of metrics and the look at whether the loss is finite.
"""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification

__all__ = [
    "ALLOWED_AT_DOOR",
    "ASLEEP",
    "INSTRUCTION_WORDS",
    "AdvanceSpec",
    "BarrierSpec",
    "FinishSpec",
    "GoSpec",
    "HyperSpec",
    "RunSpec",
    "ServeSpec",
]  # fmt: skip

ASLEEP = 2
"""What stands at the door of a thread that waits for work no longer: Python has to wake it."""
SEEN, LATE, ALLOWED_AT_DOOR = 1, 2, 3
"""Places in a door: what it said before, and the thread's patience."""
DOOR_WORDS = 16  # int32, a cache line for each
INSTRUCTION_WORDS = 4


@dataclass(frozen=True, slots=True)
class RunSpec(Specification):
    """``run(args)``: args are (script, control, state).

    ``control`` holds int64: the number of turns, and a flag that stops the run when an
    instruction with its check set comes by. A null kernel ends the script. At the end the threads
    meet at ``state``, as at a barrier: to be woken by another one would take longer.

    The floating-point environment is set on entry (round to nearest even, subnormal numbers kept)
    and restored on return: another library may have changed it.
    """

    buffers: int = 3


@dataclass(frozen=True, slots=True)
class ServeSpec(Specification):
    """``serve(args)``: args are (orders, door); runs as often as the door opens.

    What ``run`` does with ``orders`` as its args, and again whenever ``go`` has opened the door
    within some milliseconds: between runs that follow each other a thread does not ask for Python's
    lock. It waits as at a barrier (``waiting.py``), and sleeps for a moment only. When it returns,
    the door says ``ASLEEP``.
    """

    buffers: int = 2


@dataclass(frozen=True, slots=True)
class GoSpec(Specification):
    """``go(args)``: args are (orders, doors, counts); opens doors, and runs if nobody slept.

    ``counts`` holds int64: how many doors to open, and how many of those behind them are found
    asleep, which is written here. A door is 16 int32: the first is opened, what it said before
    goes into the second, and how long a thread waits there stands in the next two. If all are
    awake, the caller does what ``run`` does with ``orders`` as its args; else it has to wake them
    first.
    """

    buffers: int = 3


@dataclass(frozen=True, slots=True)
class BarrierSpec(Specification):
    """``barrier(args)``: args are (state); see ``waiting.py`` for what it holds."""

    buffers: int = 1


@dataclass(frozen=True, slots=True)
class AdvanceSpec(Specification):
    """``advance(_, context)``: the context's first image moves on by its stride."""

    buffers: int = 0


@dataclass(frozen=True, slots=True)
class HyperSpec(Specification):
    """``hyper(args)``: args are (table, step, scalars); copies row `step` and moves on.

    Attributes:
        columns: numbers in a row.
    """

    columns: int
    buffers: int = 3


@dataclass(frozen=True, slots=True)
class FinishSpec(Specification):
    """``finish(args)``: args are (sums, table, step, control).

    Copies the step's metrics into row `step` of the table, moves on, and raises the stop flag
    when the first metric, the loss, is not finite.

    Attributes:
        places: element of `sums` of each metric.
    """

    places: tuple[int, ...]
    buffers: int = 4

"""The native loop that runs a script of kernel calls, and the small kernels around it.

A script is a list of instructions. One native call per thread runs a script a number of times;
threads wait for one another at barriers. How all this lies in memory stands in ``records.py``.
Nothing here does arithmetic on results but the copying of metrics and the look at whether the loss
is finite.
"""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.compile.native.specification import Specification

ASLEEP = 2
"""The wake flag of a thread that waits for work no longer: Python has to wake it."""


@dataclass(frozen=True, slots=True)
class RunSpec(Specification):
    """``run(args)``: args are (script, control, state).

    A null kernel ends the script. At the end the threads wait at the barrier ``state``: to be
    woken by another one would take longer.

    The floating-point environment is set on entry (round to nearest even, subnormal numbers kept)
    and restored on return: another library may have changed it.
    """

    buffers: int = 3


@dataclass(frozen=True, slots=True)
class ServeSpec(Specification):
    """``serve(args)``: args are (orders, flag); runs as often as the flag is raised.

    What ``run`` does with ``orders`` as its args, and again whenever ``go`` has raised the flag
    within some milliseconds: between runs that follow each other a thread does not ask for Python's
    lock. It waits as at a barrier (``waiting.py``), and sleeps for a moment only. When it returns,
    the flag says ``ASLEEP``.
    """

    buffers: int = 2


@dataclass(frozen=True, slots=True)
class GoSpec(Specification):
    """``go(args)``: args are (orders, flags, counts); raises flags, and runs if nobody slept.

    ``counts`` holds int64: how many flags to raise, and how many of the threads that watch them
    are found asleep, which is written here. If all are awake, the caller does what ``run``
    does with ``orders`` as its args; else it has to wake them first.
    """

    buffers: int = 3


@dataclass(frozen=True, slots=True)
class BarrierSpec(Specification):
    """``barrier(args)``: args are (state)."""

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
class MetricsSpec(Specification):
    """``metrics(args)``: args are (sums, table, step, control).

    Copies the step's metrics into row `step` of the table, moves on, and raises the stop flag
    when the first metric, the loss, is not finite.

    Attributes:
        places: element of `sums` of each metric.
    """

    places: tuple[int, ...]
    buffers: int = 4

"""The native loop that runs a script of kernel calls, and the small kernels around it.

A script is a list of instructions (kernel, arguments, context, check). One native call per thread
runs a script a number of times; threads meet at barriers. Nothing here does arithmetic on results
but the copying of metrics and the look at whether the loss is finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import llvmlite.ir as ir

from isoconv.compile.native.loops import CONTEXT, I32, I64, POINTER, Kernel, Value
from isoconv.compile.native.waiting import (
    Patience,
    has_futex,
    meet,
    rouse,
    sleep_while,
    spin_while,
    typed,
)

__all__ = ["ALLOWED_AT_DOOR", "ASLEEP", "AdvanceSpec", "BarrierSpec", "FinishSpec", "GoSpec",
           "HyperSpec", "RunSpec", "ServeSpec"]  # fmt: skip

_CLOSED, _OPEN = 0, 1
ASLEEP = 2
"""What stands at the door of a thread that waits for work no longer: Python has to wake it."""
_DOZING = 3  # it sleeps in native code, for a moment
_DOZE = 0.005  # seconds
_SEEN, _LATE, ALLOWED_AT_DOOR = 1, 2, 3
"""Places in a door: what it said before, and the thread's `Patience`."""
_DOOR_WORDS = 16  # int32, a cache line for each
INSTRUCTION_WORDS = 4


@dataclass(frozen=True, slots=True)
class RunSpec:
    """``run(args)``: args are (script, control, state).

    ``control`` holds int64: the number of turns, and a flag that stops the run when an
    instruction with its check set comes by. A null kernel ends the script. At the end the threads
    meet at ``state``, as at a barrier: to be woken by another one would take longer.

    The floating-point environment is set on entry (round to nearest even, subnormal numbers kept)
    and restored on return: another library may have changed it.
    """

    buffers: int = 3

    def emit(self, k: Kernel) -> None:
        """Emit the loop."""
        script, control, state = k.buffers
        _run(k, script, control, state)


@dataclass(frozen=True, slots=True)
class ServeSpec:
    """``serve(args)``: args are (orders, door); runs as often as the door opens.

    What ``run`` does with ``orders`` as its args, and again whenever ``go`` has opened the door
    within some milliseconds: between runs that follow each other a thread does not ask for Python's
    lock. It waits as at a barrier (``waiting.py``), and sleeps for a moment only. When it returns,
    the door says ``ASLEEP``.
    """

    buffers: int = 2

    def emit(self, k: Kernel) -> None:
        """Emit the loop around the loop."""
        b = k.builder
        orders, door = k.buffers
        begin = b.append_basic_block("begin")
        doze = b.append_basic_block("doze")
        done = b.append_basic_block("served")
        b.branch(begin)
        b.position_at_end(begin)
        closed = ir.Constant(I32, _CLOSED)
        patience = Patience(k.at(door, ALLOWED_AT_DOOR, "int32"), k.at(door, _LATE, "int32"))

        def replaced(before: Value, after: Value) -> Value:
            found = b.cmpxchg(typed(k, door, I32), before, after, "acq_rel", "acquire")
            return b.extract_value(found, 1)

        b.store_atomic(closed, typed(k, door, I32), "monotonic", 4)
        # Written before the door was opened, and not the same each time.
        _run_orders(k, orders)
        now = spin_while(k, door, lambda now: b.icmp_signed("==", now, closed), patience)
        b.cbranch(b.icmp_signed("==", now, closed), doze, begin)
        b.position_at_end(doze)
        if has_futex(k):
            dozing = ir.Constant(I32, _DOZING)
            sleep = b.append_basic_block("sleep")
            b.cbranch(replaced(closed, dozing), sleep, begin)
            b.position_at_end(sleep)
            sleep_while(k, door, dozing, _DOZE)
            closed = dozing
        b.cbranch(replaced(closed, ir.Constant(I32, ASLEEP)), done, begin)
        b.position_at_end(done)


@dataclass(frozen=True, slots=True)
class GoSpec:
    """``go(args)``: args are (orders, doors, counts); opens doors, and runs if nobody slept.

    ``counts`` holds int64: how many doors to open, and how many of those behind them are found
    asleep, which is written here. A door is 16 int32: the first is opened, what it said before
    goes into the second, and how long a thread waits there stands in the next two. If all are
    awake, the caller does what ``run`` does with ``orders`` as its args; else it has to wake them
    first.
    """

    buffers: int = 3

    def emit(self, k: Kernel) -> None:
        """Emit the loop over the doors, and the run."""
        b = k.builder
        orders, doors, counts = k.buffers
        sleepers = k.variable(k.const(0))
        with k.loop(0, k.load_scalar(counts, "int64")) as number:
            door = k.at(doors, k.mul(number, _DOOR_WORDS), "int32")
            opened = ir.Constant(I32, _OPEN)
            before = b.atomic_rmw("xchg", typed(k, door, I32), opened, "acq_rel")
            k.store(before, k.at(door, _SEEN, "int32"))
            with k.when(b.icmp_signed("==", before, ir.Constant(I32, _DOZING))):
                rouse(k, door)
            slept = b.icmp_signed("==", before, ir.Constant(I32, ASLEEP))
            sleepers.set(b.add(sleepers.get(), b.zext(slept, I64)))
        k.store(sleepers.get(), k.at(counts, 1, "int64"))
        run, done = b.append_basic_block("go"), b.append_basic_block("gone")
        b.cbranch(b.icmp_signed("==", sleepers.get(), k.const(0)), run, done)
        b.position_at_end(run)
        _run_orders(k, orders)
        b.branch(done)
        b.position_at_end(done)


def _run_orders(k: Kernel, orders: Value) -> None:
    """What ``run`` does, with args that lie in memory."""
    script, control, state = (
        k.builder.load(k.at(orders, number, "int64"), typ=POINTER) for number in range(3)
    )
    _run(k, script, control, state)


def _run(k: Kernel, script: Value, control: Value, state: Value) -> None:
    """The loop over a script's instructions, and the meeting at its end."""
    b = k.builder
    restore = _set_environment(k)
    turns = k.load_scalar(control, "int64")
    stopped = k.at(control, 1, "int64")
    function = b.function
    turn_head = function.append_basic_block("turn")
    next_call = function.append_basic_block("call")
    body = function.append_basic_block("run")
    check = function.append_basic_block("check")
    onward = function.append_basic_block("onward")
    turn_end = function.append_basic_block("turned")
    leave = function.append_basic_block("leave")

    turn = k.variable(k.const(0))
    place = k.variable(script)
    b.branch(turn_head)
    b.position_at_end(turn_head)
    place.set(script)
    b.cbranch(b.icmp_signed("<", turn.get(), turns), next_call, leave)

    b.position_at_end(next_call)
    here = place.get()
    kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER])
    kernel = b.load(here, typ=kind.as_pointer())
    b.cbranch(b.icmp_unsigned("==", b.ptrtoint(kernel, I64), k.const(0)), turn_end, body)

    b.position_at_end(body)
    arguments = b.load(k.at(here, 1, "int64"), typ=POINTER)
    context = b.load(k.at(here, 2, "int64"), typ=POINTER)
    b.call(kernel, [arguments, context])
    place.set(k.at(here, INSTRUCTION_WORDS, "int64"))
    wants_check = k.load_scalar(k.at(here, 3, "int64"), "int64")
    b.cbranch(b.icmp_signed("!=", wants_check, k.const(0)), check, onward)

    b.position_at_end(check)
    flag = b.load_atomic(stopped, "acquire", 8, typ=I64)
    b.cbranch(b.icmp_signed("!=", flag, k.const(0)), leave, onward)

    b.position_at_end(onward)
    b.branch(next_call)

    b.position_at_end(turn_end)
    turn.set(b.add(turn.get(), k.const(1)))
    b.branch(turn_head)

    b.position_at_end(leave)
    restore()
    meet(k, state)


@dataclass(frozen=True, slots=True)
class BarrierSpec:
    """``barrier(args)``: args are (state); see ``waiting.py`` for what it holds."""

    buffers: int = 1

    def emit(self, k: Kernel) -> None:
        """Wait until all parties have come."""
        meet(k, k.buffers[0])


@dataclass(frozen=True, slots=True)
class AdvanceSpec:
    """``advance(_, context)``: the context's first image moves on by its stride."""

    buffers: int = 0

    def emit(self, k: Kernel) -> None:
        """Move on."""
        place = k.at(k.context, CONTEXT["first"], "int64")
        k.store(k.add(k.load_scalar(place, "int64"), k.slot("stride")), place)


@dataclass(frozen=True, slots=True)
class HyperSpec:
    """``hyper(args)``: args are (table, step, scalars); copies row `step` and moves on.

    Attributes:
        columns: numbers in a row.
    """

    columns: int
    buffers: int = 3

    def emit(self, k: Kernel) -> None:
        """Copy the row."""
        table, counter, scalars = k.buffers
        step = k.load_scalar(counter, "int64")
        for column in range(self.columns):
            source = k.at(table, k.add(k.mul(step, self.columns), column), "float32")
            k.store(k.load_scalar(source, "float32"), k.at(scalars, column, "float32"))
        k.store(k.add(step, 1), counter)


@dataclass(frozen=True, slots=True)
class FinishSpec:
    """``finish(args)``: args are (sums, table, step, control).

    Copies the step's metrics into row `step` of the table, moves on, and raises the stop flag
    when the first metric, the loss, is not finite.

    Attributes:
        places: element of `sums` of each metric.
    """

    places: tuple[int, ...]
    buffers: int = 4

    def emit(self, k: Kernel) -> None:
        """Copy and look."""
        b = k.builder
        sums, table, counter, control = k.buffers
        step = k.load_scalar(counter, "int64")
        loss: Value = None
        for column, place in enumerate(self.places):
            value = k.load_scalar(k.at(sums, place, "float32"), "float32")
            k.store(value, k.at(table, k.add(k.mul(step, len(self.places)), column), "float32"))
            loss = value if loss is None else loss
        k.store(k.add(step, 1), counter)
        bits = b.and_(b.bitcast(loss, I32), ir.Constant(I32, 0x7F800000))
        with k.when(b.icmp_unsigned("==", bits, ir.Constant(I32, 0x7F800000))):
            flag = k.at(control, 1, "int64")
            b.store_atomic(k.const(1), typed(k, flag, I64), "release", 8)


_MXCSR_DEFAULT = 0x1F80  # all exceptions masked, nearest even, no flush-to-zero


def _set_environment(k: Kernel):  # type: ignore[no-untyped-def]
    """Set the floating-point environment; returns what emits its restoration."""
    b = k.builder
    with b.goto_block(k.entry):
        slot = b.alloca(I32, size=2) if k.target.triple.startswith("x86_64") else b.alloca(I64)
    void = ir.VoidType()
    if k.target.triple.startswith("x86_64"):
        default = b.gep(slot, [k.const(1)], source_etype=I32)
        k.call("llvm.x86.sse.stmxcsr", void, slot)
        b.store(ir.Constant(I32, _MXCSR_DEFAULT), default)
        k.call("llvm.x86.sse.ldmxcsr", void, default)
        return lambda: k.call("llvm.x86.sse.ldmxcsr", void, slot)
    saved = k.call("llvm.aarch64.get.fpcr", I64)
    b.store(saved, slot)
    k.call("llvm.aarch64.set.fpcr", void, k.const(0))
    return lambda: k.call("llvm.aarch64.set.fpcr", void, b.load(slot, typ=I64))

"""The native loop that runs a script of kernel calls, and the small kernels around it."""

from __future__ import annotations

import llvmlite.ir as ir

from isoconv.compile.native.context import CONTEXT
from isoconv.compile.native.cpu.waiting import (
    has_futex,
    patience_of,
    rouse,
    sleep_while,
    spin_while,
    typed,
    wait_at_barrier,
)
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.loops import I32, I64, POINTER, Kernel, Value
from isoconv.compile.native.records import ARGUMENTS, CONTROL, INSTRUCTION, WAKE_FLAG
from isoconv.compile.native.runtime import (
    ASLEEP,
    AdvanceSpec,
    BarrierSpec,
    GoSpec,
    HyperSpec,
    MetricsSpec,
    RunSpec,
    ServeSpec,
)

_LOWERED, _RAISED = 0, 1
_DOZING = 3  # it sleeps in native code, for a moment
_DOZE = 0.005  # seconds


@emits(RunSpec)
def run(k: Kernel, _: RunSpec) -> None:
    """Emit the loop."""
    script, control, state = k.buffers
    _run(k, script, control, state)


@emits(ServeSpec)
def serve(k: Kernel, _: ServeSpec) -> None:
    """Emit the loop around the loop."""
    b = k.builder
    orders, flag = k.buffers
    begin = b.append_basic_block("begin")
    doze = b.append_basic_block("doze")
    done = b.append_basic_block("served")
    b.branch(begin)
    b.position_at_end(begin)
    lowered = ir.Constant(I32, _LOWERED)
    patience = patience_of(k, flag, WAKE_FLAG)

    def replaced(before: Value, after: Value) -> Value:
        found = b.cmpxchg(typed(k, flag, I32), before, after, "acq_rel", "acquire")
        return b.extract_value(found, 1)

    b.store_atomic(lowered, typed(k, flag, I32), "monotonic", 4)
    # Written before the flag was raised, and not the same each time.
    _run_orders(k, orders)
    now = spin_while(k, flag, lambda now: b.icmp_signed("==", now, lowered), patience)
    b.cbranch(b.icmp_signed("==", now, lowered), doze, begin)
    b.position_at_end(doze)
    if has_futex(k):
        dozing = ir.Constant(I32, _DOZING)
        sleep = b.append_basic_block("sleep")
        b.cbranch(replaced(lowered, dozing), sleep, begin)
        b.position_at_end(sleep)
        sleep_while(k, flag, dozing, _DOZE)
        lowered = dozing
    b.cbranch(replaced(lowered, ir.Constant(I32, ASLEEP)), done, begin)
    b.position_at_end(done)


@emits(GoSpec)
def go(k: Kernel, _: GoSpec) -> None:
    """Emit the loop over the flags, and the run."""
    b = k.builder
    orders, flags, counts = k.buffers
    sleepers = k.variable(k.const(0))
    with k.loop(0, k.load_scalar(counts, "int64")) as number:
        flag = WAKE_FLAG.beyond(k, flags, number)
        raised = ir.Constant(I32, _RAISED)
        before = b.atomic_rmw("xchg", typed(k, flag, I32), raised, "acq_rel")
        k.store(before, WAKE_FLAG.at(k, flag, "before"))
        with k.when(b.icmp_signed("==", before, ir.Constant(I32, _DOZING))):
            rouse(k, flag)
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
    fields = (ARGUMENTS.at(k, orders, name) for name in ("script", "control", "barrier"))
    _run(k, *(k.builder.load(field, typ=POINTER) for field in fields))


def _run(k: Kernel, script: Value, control: Value, state: Value) -> None:
    """The loop over a script's instructions, and the barrier at its end."""
    b = k.builder
    restore = _set_environment(k)
    turns = CONTROL.load(k, control, "turns")
    stopped = CONTROL.at(k, control, "stop")
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
    kernel = b.load(INSTRUCTION.at(k, here, "kernel"), typ=kind.as_pointer())
    b.cbranch(b.icmp_unsigned("==", b.ptrtoint(kernel, I64), k.const(0)), turn_end, body)

    b.position_at_end(body)
    fields = (INSTRUCTION.at(k, here, name) for name in ("arguments", "context"))
    b.call(kernel, [b.load(field, typ=POINTER) for field in fields])
    place.set(INSTRUCTION.beyond(k, here, 1))
    wants_check = INSTRUCTION.load(k, here, "check")
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
    wait_at_barrier(k, state)


@emits(BarrierSpec)
def barrier(k: Kernel, _: BarrierSpec) -> None:
    """Wait until all threads have come."""
    wait_at_barrier(k, k.buffers[0])


@emits(AdvanceSpec)
def advance(k: Kernel, _: AdvanceSpec) -> None:
    """Move on."""
    place = k.at(k.context, CONTEXT["first"], "int64")
    k.store(k.add(k.load_scalar(place, "int64"), k.field("stride")), place)


@emits(HyperSpec)
def fetch_hyper(k: Kernel, spec: HyperSpec) -> None:
    """Copy the row."""
    table, counter, scalars = k.buffers
    step = k.load_scalar(counter, "int64")
    for column in range(spec.columns):
        source = k.at(table, k.add(k.mul(step, spec.columns), column), "float32")
        k.store(k.load_scalar(source, "float32"), k.at(scalars, column, "float32"))
    k.store(k.add(step, 1), counter)


@emits(MetricsSpec)
def metrics(k: Kernel, spec: MetricsSpec) -> None:
    """Copy and look."""
    b = k.builder
    sums, table, counter, control = k.buffers
    step = k.load_scalar(counter, "int64")
    loss: Value = None
    for column, place in enumerate(spec.places):
        value = k.load_scalar(k.at(sums, place, "float32"), "float32")
        k.store(value, k.at(table, k.add(k.mul(step, len(spec.places)), column), "float32"))
        loss = value if loss is None else loss
    k.store(k.add(step, 1), counter)
    bits = b.and_(b.bitcast(loss, I32), ir.Constant(I32, 0x7F800000))
    with k.when(b.icmp_unsigned("==", bits, ir.Constant(I32, 0x7F800000))):
        flag = CONTROL.at(k, control, "stop")
        b.store_atomic(k.const(1), typed(k, flag, I64), "release", 8)


_MXCSR_DEFAULT = 0x1F80  # all exceptions masked, nearest even, no flush-to-zero


def _set_environment(k: Kernel):  # type: ignore[no-untyped-def]
    """Set the floating-point environment; returns what emits its restoration."""
    b = k.builder
    with b.goto_block(k.entry):
        kept = b.alloca(I32, size=2) if k.target.triple.startswith("x86_64") else b.alloca(I64)
    void = ir.VoidType()
    if k.target.triple.startswith("x86_64"):
        default = b.gep(kept, [k.const(1)], source_etype=I32)
        k.call("llvm.x86.sse.stmxcsr", void, kept)
        b.store(ir.Constant(I32, _MXCSR_DEFAULT), default)
        k.call("llvm.x86.sse.ldmxcsr", void, default)
        return lambda: k.call("llvm.x86.sse.ldmxcsr", void, kept)
    saved = k.call("llvm.aarch64.get.fpcr", I64)
    b.store(saved, kept)
    k.call("llvm.aarch64.set.fpcr", void, k.const(0))
    return lambda: k.call("llvm.aarch64.set.fpcr", void, b.load(kept, typ=I64))

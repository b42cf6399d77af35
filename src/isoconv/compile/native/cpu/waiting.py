"""How threads wait for one another: the code; the rule is in ``native/waiting.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import llvmlite.ir as ir

from isoconv.compile.native.loops import I32, I64, POINTER, Kernel, Value
from isoconv.compile.native.records import BARRIER, Record
from isoconv.compile.native.waiting import CROWDED, OFFERS, SHORT

_LONG = 8  # times what the spins took: a core that comes back later than that was used by others

_WAIT, _WAKE = 128, 129  # FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE
_FUTEX = {"x86_64": 202, "aarch64": 98}  # number of the system call
_NAP = 50  # microseconds of sleep where there is no futex


@dataclass(frozen=True, slots=True)
class Patience:
    """Where it stands how long a thread waits awake: two int32.

    Attributes:
        allowed: address of the number of spins, see `spins_for`.
        late: address of the number of waits that are still to be short.
    """

    allowed: Value
    late: Value


def patience_of(k: Kernel, state: Value, record: Record) -> Patience:
    """The patience that stands in a record."""
    return Patience(record.at(k, state, "allowed"), record.at(k, state, "late"))


def has_futex(k: Kernel) -> bool:
    """Whether the system lets a thread sleep until a word of memory changes."""
    return "linux" in k.target.triple and _architecture(k) in _FUTEX


def _architecture(k: Kernel) -> str:
    return k.target.triple.partition("-")[0]


def sleep_while(k: Kernel, word: Value, value: Value, seconds: float | None = None) -> None:
    """Sleep while an int32 has a value; it may end at any time for no reason.

    Args:
        k: the kernel.
        word: address of the int32.
        value: it.
        seconds: after which it ends; None for never. Without futex it is short in any case.
    """
    b = k.builder
    if not has_futex(k):
        k.call("usleep", I32, ir.Constant(I32, _NAP))
        return
    until: Value = ir.Constant(POINTER, None)
    if seconds is not None:
        with b.goto_block(k.entry):
            until = b.alloca(I64, size=2)
        b.store(k.const(int(seconds)), until)
        nanoseconds = b.gep(until, [k.const(1)], source_etype=I64)
        b.store(k.const(int(seconds % 1 * 1e9)), nanoseconds)
    _futex(k, word, _WAIT, b.zext(value, I64), until)


def rouse(k: Kernel, word: Value) -> None:
    """Wake all who sleep while this int32 has a value."""
    if has_futex(k):
        _futex(k, word, _WAKE, k.const(2**31 - 1), ir.Constant(POINTER, None))


def _futex(k: Kernel, word: Value, action: int, value: Value, until: Value) -> None:
    number = k.const(_FUTEX[_architecture(k)])
    k.call("syscall", I64, number, word, k.const(action), value, until)


def spin_while(
    k: Kernel, word: Value, waits: Callable[[Value], Value], patience: Patience
) -> Value:
    """Look at an int32 until it is as it should be, or patience is at its end.

    Args:
        k: the kernel.
        word: address of the int32.
        waits: from its value to whether to wait on.
        patience: how long.

    Returns:
        Its value the last time.
    """
    b = k.builder
    late = typed(k, patience.late, I32)
    head, again, offer, onward, leave, done = (
        b.append_basic_block(name)
        for name in ("spin", "again", "offer", "onward", "late", "waited")
    )  # fmt: skip
    allowed = b.zext(k.load_scalar(patience.allowed, "int32"), I64)
    left = b.load_atomic(late, "monotonic", 4, typ=I32)
    crowded = b.icmp_signed(">", left, ir.Constant(I32, 0))
    with k.when(crowded):
        b.store_atomic(b.sub(left, ir.Constant(I32, 1)), late, "monotonic", 4)
    spins = b.select(crowded, b.udiv(allowed, k.const(SHORT)), allowed)
    most = b.select(crowded, spins, k.mul(allowed, 1 + OFFERS))
    with b.goto_block(k.entry):
        found = b.alloca(I32)
    turns, spun, start = k.variable(k.const(0)), k.variable(k.const(0)), _clock(k)
    b.branch(head)

    b.position_at_end(head)
    now = b.load_atomic(typed(k, word, I32), "acquire", 4, typ=I32)
    b.store(now, found)
    count = turns.get()
    more = b.icmp_unsigned("<", count, most)
    b.cbranch(b.and_(waits(now), more), again, done)

    b.position_at_end(again)
    _pause(k)
    turns.set(b.add(count, k.const(1)))
    b.cbranch(b.icmp_unsigned("<", count, spins), head, offer)

    b.position_at_end(offer)
    before = _clock(k)
    with k.when(b.icmp_unsigned("==", count, spins)):
        spun.set(b.mul(b.sub(before, start), k.const(_LONG)))
    k.call("sched_yield", I32)
    taken = b.icmp_unsigned(">", b.sub(_clock(k), before), spun.get())
    b.cbranch(taken, leave, onward)
    b.position_at_end(onward)
    b.branch(head)
    b.position_at_end(leave)
    b.store_atomic(ir.Constant(I32, CROWDED), late, "monotonic", 4)
    # What was waited for may have come meanwhile.
    b.store(b.load_atomic(typed(k, word, I32), "acquire", 4, typ=I32), found)
    b.branch(done)

    b.position_at_end(done)
    return b.load(found, typ=I32)


def wait_at_barrier(k: Kernel, state: Value) -> None:
    """The last of the threads lets the others go; ``state`` is a ``BARRIER``."""
    b = k.builder
    generation = BARRIER.at(k, state, "generation")
    word = typed(k, generation, I32)
    arrived = typed(k, BARRIER.at(k, state, "arrived"), I32)
    threads = BARRIER.load(k, state, "threads")
    asleep = ir.Constant(I32, 1)
    mine = b.and_(b.load_atomic(generation, "acquire", 4, typ=I32), ir.Constant(I32, -2))
    before = b.atomic_rmw("add", arrived, ir.Constant(I32, 1), "acq_rel")
    last = b.icmp_signed("==", b.add(before, ir.Constant(I32, 1)), threads)
    with b.if_else(last) as (release, wait):
        with release:
            following = b.add(mine, ir.Constant(I32, 2))
            b.store_atomic(ir.Constant(I32, 0), arrived, "monotonic", 4)
            stood = b.atomic_rmw("xchg", word, following, "acq_rel")
            with k.when(b.icmp_signed("!=", stood, mine)):
                rouse(k, generation)
        with wait:
            _wait(k, state, mine, asleep)


def _wait(k: Kernel, state: Value, mine: Value, asleep: Value) -> None:
    """Until another generation has begun."""
    b = k.builder
    generation = BARRIER.at(k, state, "generation")
    word = typed(k, generation, I32)
    patience = patience_of(k, state, BARRIER)

    def waits(now: Value) -> Value:
        return b.icmp_signed("==", b.and_(now, ir.Constant(I32, -2)), mine)

    sleep, nap, done = (b.append_basic_block(name) for name in ("sleep", "nap", "met"))
    now = spin_while(k, generation, waits, patience)
    b.cbranch(waits(now), sleep, done)
    b.position_at_end(sleep)
    told = b.or_(mine, asleep)
    found = b.extract_value(b.cmpxchg(word, mine, told, "acq_rel", "acquire"), 0)
    b.cbranch(waits(found), nap, done)
    b.position_at_end(nap)
    sleep_while(k, generation, told)
    b.branch(sleep)
    b.position_at_end(done)


def typed(k: Kernel, address: Value, kind: ir.Type) -> Value:
    """The same address as llvmlite's atomic instructions want it: knowing what it points at."""
    place = k.builder.gep(address, [k.const(0)], source_etype=kind)
    place.type = kind.as_pointer()
    return place


def _pause(k: Kernel) -> None:
    if k.target.triple.startswith("x86_64"):
        k.builder.asm(ir.FunctionType(ir.VoidType(), []), "pause", "", [], side_effect=True)
    else:
        k.builder.asm(ir.FunctionType(ir.VoidType(), []), "yield", "", [], side_effect=True)


def _clock(k: Kernel) -> Value:
    """Ticks of a counter that goes on evenly, however long a tick is."""
    if k.target.triple.startswith("x86_64"):
        return k.call("llvm.readcyclecounter", I64)
    kind = ir.FunctionType(I64, [])
    return k.builder.asm(kind, "mrs $0, cntvct_el0", "=r", [], side_effect=True)

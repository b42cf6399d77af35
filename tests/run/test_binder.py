"""The binder: buffers become addresses, calls scripts, and threads meet where they must."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from isoconv.compile.calls import Call
from isoconv.compile.layout import Buffer
from isoconv.compile.lower.plan import make_plan
from isoconv.compile.native.runtime import AdvanceSpec, BarrierSpec
from isoconv.compile.native.specification import Specification
from isoconv.compile.pointwise.expression import Domain, Expression, Operand, Step
from isoconv.compile.pointwise.halo import HaloSpec
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.run.binder import Binder, Workspace, address_of
from isoconv.run.script import Context, ScriptBuilder
from isoconv.run.team import library_for

ARENA, WIDE = Buffer("arena", "a", 80, batched=True), Buffer("arena", "b", 64)
PACKED, SCRATCH = Buffer("packed", "p", 64), Buffer("scratch", "s", 32, start=64)
GIVEN, RESULT = Buffer("parameter", "given", 12, start=4), Buffer("output", "result", 12)


def addition(size: int) -> PointwiseSpec:
    """``c = a + b``."""
    a, b, c = (Operand(number, "float32", (1,)) for number in range(3))
    step = Step("add", (0, 1), None, "float32")
    return PointwiseSpec(
        Domain((size,), batched=False), Expression((a, b), "", (step,), ((2, c),)), 3
    )


class Listener:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, Any]] = []

    def begins(self, _script: ScriptBuilder, thread: int) -> None:
        """Nothing was recorded yet."""
        self.heard.append((thread, None))

    def follows(
        self, _script: ScriptBuilder, thread: int, call: Call | Specification, _: Context | None
    ) -> None:
        """Something was."""
        self.heard.append((thread, type(call.spec if isinstance(call, Call) else call)))


def test_addresses() -> None:
    """Each thread has an arena and scratch memory, all have the same packed weights."""
    plan = make_plan([Call(AdvanceSpec(), (ARENA, WIDE, PACKED, SCRATCH), (0,))], 3)
    workspace = Workspace(plan, 2)
    places = {("parameter", "given"): 10_000}
    first, second = (workspace.resolver(thread, thread, places) for thread in range(2))
    assert first(GIVEN) == second(GIVEN) == 10_004
    assert first(PACKED) == second(PACKED)
    assert first(WIDE) - first(ARENA) == plan.offsets[WIDE] - plan.offsets[ARENA]
    taken = [(first(ARENA), 240), (second(ARENA), 240), (first(SCRATCH), 32), (second(SCRATCH), 32),
             (first(PACKED), 64)]  # fmt: skip
    taken.sort()
    assert all(at + size <= after for (at, size), (after, _) in pairwise(taken))
    third = workspace.resolver(1, 0, places)
    assert (third(ARENA), third(SCRATCH)) == (first(ARENA), second(SCRATCH))


@pytest.mark.parametrize("unknown", [Buffer("arena", "c", 8), Buffer("output", "given", 8)])
def test_no_address_is_guessed(unknown: Buffer) -> None:
    """A buffer that no plan and no place knows is an error."""
    workspace = Workspace(make_plan([], 1), 1)
    with pytest.raises(KeyError):
        workspace.resolver(0, 0, {("parameter", "given"): 1})(unknown)


def test_calls_run_where_their_buffers_are() -> None:
    """A call reads and writes what its buffers stand for, and elsewhere once that has moved."""
    spec = addition(3)
    call = Call(spec, (GIVEN, GIVEN, RESULT), (2,))
    given, results = np.arange(4, dtype=np.float32), np.zeros((2, 3), np.float32)
    places = {("parameter", "given"): address_of(given), ("output", "result"): address_of(results)}
    binder = Binder(library_for(), 1, [spec])
    recorder = binder.recorder(0)
    resolve = Workspace(make_plan([call], 1), 1).resolver(0, 0, places)
    recorder.calls([call], resolve, Context())
    script = recorder.build()
    with binder.team as team:
        team.run([script], 1)
        script.move("output", "result", address_of(results[1]))
        given += 1
        team.run([script], 1)
    assert results.tolist() == [[2, 4, 6], [4, 6, 8]]


@pytest.mark.parametrize(("threads", "parts"), [(1, 1), (2, 1), (2, 2)])
def test_where_threads_meet(threads: int, parts: int) -> None:
    """After each kernel of a shard that is shared, but for halos; alone they meet nobody."""
    specs: list[Specification] = [
        HaloSpec("float32", (2, 2), 4, ((1, 1), (1, 1))),
        addition(4),
        addition(8),
    ]
    calls = [Call(spec, (GIVEN,) * spec.buffers, ()) for spec in specs]
    binder, listener = Binder(library_for(), threads, specs), Listener()
    with binder.observed(listener):
        script = binder.recorder(0)
        script.shard(calls, lambda _: 0, Context(part=0, parts=parts))
        script.barrier()
    kernels: list[Any] = [HaloSpec, PointwiseSpec, PointwiseSpec, AdvanceSpec]
    if parts > 1:
        kernels[1:3] = [PointwiseSpec, BarrierSpec] * 2
    if threads > 1:
        kernels.append(BarrierSpec)
    assert listener.heard == [(0, kind) for kind in (None, *kernels)]
    assert len(script.build()) == len(kernels)


def test_observers_are_asked_inside_alone() -> None:
    """Scripts that are begun before or after are none of theirs."""
    binder, listener = Binder(library_for(), 2, []), Listener()
    before = binder.recorder(0)
    with binder.observed(listener):
        during = binder.recorder(1)
    for script in (before, during, binder.recorder(0)):
        script.barrier(check=True)
    assert listener.heard == [(1, None), (1, BarrierSpec)]

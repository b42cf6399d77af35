"""Kernel calls bound to memory and recorded as scripts, for the threads of a team.

Training, predictions, evaluations, profiles and what measures the machine come this way: here alone
a buffer becomes an address, a barrier comes into a script, and an observer is asked what it wants
to know of each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from isoconv.compile.calls import Call
from isoconv.compile.layout import Buffer
from isoconv.compile.lower.plan import Plan
from isoconv.compile.native.fork import renew_in_child
from isoconv.compile.native.kernels import KernelLibrary
from isoconv.compile.native.runtime import AdvanceSpec, BarrierSpec, GoSpec, RunSpec, ServeSpec
from isoconv.compile.native.specification import Specification
from isoconv.compile.native.worker import WorkerPool
from isoconv.graph.operation import Array
from isoconv.run.memory import aligned_bytes
from isoconv.run.script import Context, Place, Script, ScriptBuilder
from isoconv.run.team import Team

Resolve = Callable[[Buffer], int]
"""Address of a buffer."""

_MOVING = ("dataset", "order", "output")
"""Regions whose buffers may lie elsewhere the next time: ``Script.move``."""


class Workspace:
    """The memory that a plan asks for: arenas, each thread's scratch memory, packed weights.

    Args:
        plan: where buffers lie in it.
        threads: number of threads.
        arenas: how many of them; None for one for each thread.
    """

    def __init__(self, plan: Plan, threads: int, arenas: int | None = None) -> None:
        self._plan = plan
        count = threads if arenas is None else arenas
        self._arenas = [aligned_bytes(plan.arena) for _ in range(count)]
        self._scratch = [aligned_bytes(plan.scratch) for _ in range(threads)]
        self._packed = aligned_bytes(plan.packed)

    def resolver(self, thread: int, arena: int, places: Mapping[Place, int]) -> Resolve:
        """Where buffers lie for a thread that works in the arena of this number.

        Args:
            thread: its number.
            arena: the arena's.
            places: addresses of all memory that is not the plan's, by region and name.
        """
        bases = {
            "arena": address_of(self._arenas[arena]),
            "scratch": address_of(self._scratch[thread]),
            "packed": address_of(self._packed),
        }
        known: dict[int, int] = {}

        def resolve(buffer: Buffer) -> int:
            # The same buffers come by for many calls, and to look for one takes long.
            address = known.get(id(buffer))
            if address is None:
                base = bases.get(buffer.region)
                if base is None:
                    base = places[buffer.region, buffer.name]
                else:
                    base += self._plan.offsets[buffer]
                address = known[id(buffer)] = base + buffer.start
            return address

        return resolve


class Observer(Protocol):
    """Who is asked after each call that is recorded, and may add instructions of its own."""

    def begins(self, script: ScriptBuilder, thread: int, /) -> None:
        """A thread's script begins."""

    def follows(
        self,
        script: ScriptBuilder,
        thread: int,
        call: Call | Specification,
        context: Context | None,
        /,
    ) -> None:
        """A thread's script has got a call, or a kernel that works for no layer."""


class Binder:
    """Binds kernel calls to memory and records them.

    Args:
        library: where kernels come from.
        threads: number of threads.
        specs: all kernels that will be called.
        progress: called with (kernels ready, kernels in all).
        pool: helpers that were started before.

    Attributes:
        team: the threads that run the scripts.
        target: the machine that the kernels are made for.
    """

    def __init__(
        self,
        library: KernelLibrary,
        threads: int,
        specs: Iterable[Specification],
        progress: Callable[[int, int], None] | None = None,
        pool: WorkerPool | None = None,
    ) -> None:
        own = (BarrierSpec(), AdvanceSpec(), RunSpec(), ServeSpec(), GoSpec())
        self._addresses = library.addresses([*specs, *own], progress, pool)
        self._calls: dict[int, tuple[Call, int]] = {}
        self._observer: Observer | None = None
        self.team, self.target = Team(threads, library), library.target
        renew_in_child(self, Binder._renew)

    def _renew(self) -> None:
        """In a forked process the thread that observes may not be there."""
        self._observer = None

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """Inside, an observer is asked while scripts are recorded; for who has the team's turn."""
        self._observer = observer
        try:
            yield
        finally:
            self._observer = None

    def recorder(self, thread: int) -> Recorder:
        """A script for a thread, still empty."""
        return Recorder(self, thread, self._observer)

    def address(self, spec: Specification) -> int:
        """Where a kernel lies."""
        return self._addresses[spec]

    def address_for(self, call: Call) -> int:
        """Where a call's kernel lies."""
        # A call comes by for every shard, and its specification is large: it is looked up once.
        known = self._calls.get(id(call))
        if known is None:
            known = self._calls[id(call)] = call, self._addresses[call.kernel]
        return known[1]


class Recorder:
    """Records the script of one thread.

    Args:
        binder: of the team.
        thread: its number.
        observer: who is asked after each call.
    """

    def __init__(self, binder: Binder, thread: int, observer: Observer | None) -> None:
        self._binder = binder
        self._thread = thread
        self._observer = observer
        self._script = ScriptBuilder()
        if observer is not None:
            observer.begins(self._script, thread)

    def calls(self, calls: Iterable[Call], resolve: Resolve, context: Context) -> None:
        """Call the kernels of these calls in order."""
        for call in calls:
            moving = [
                (number, (buffer.region, buffer.name), buffer.start)
                for number, buffer in enumerate(call.buffers)
                if buffer.region in _MOVING
            ]
            pointers = [resolve(buffer) for buffer in call.buffers]
            self._script.add(self._binder.address_for(call), pointers, context, moving=moving)
            self._follows(call, context)

    def shard(self, calls: Iterable[Call], resolve: Resolve, context: Context) -> None:
        """Call a shard's kernels and move on; threads that share it wait after each kernel."""
        for call in calls:
            self.calls([call], resolve, context)
            if context["parts"] > 1 and call.spec.waited_for:
                self.barrier()
        self.kernel(AdvanceSpec(), [], context)

    def kernel(
        self,
        spec: Specification,
        arrays: Sequence[Array],
        context: Context | None = None,
        *,
        check: bool = False,
    ) -> None:
        """Call a kernel on arrays; with `check` the script may end after it."""
        pointers = [address_of(array) for array in arrays]
        address = self._binder.address(spec)
        self._script.add(address, pointers, context, check=check, keep=arrays)
        self._follows(spec, context)

    def barrier(self, *, check: bool = False) -> None:
        """Wait for the other threads; with `check` the script may end here."""
        if self._binder.team.threads > 1 or check:
            spec = BarrierSpec()
            self._script.add(self._binder.address(spec), [self._binder.team.barrier], check=check)
            self._follows(spec, None)

    def _follows(self, call: Call | Specification, context: Context | None) -> None:
        if self._observer is not None:
            self._observer.follows(self._script, self._thread, call, context)

    def build(self) -> Script:
        """The script."""
        return self._script.build()


def address_of(array: Array) -> int:
    """Where an array's elements lie."""
    return int(array.ctypes.data)

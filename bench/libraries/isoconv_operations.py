"""Single operations on isoconv's kernels, as a training step runs them.

The images are cut into a shard for each thread; each thread runs the operation's kernels on its
shard, and sums over images (gradients by weight) are added at the end. Inputs already lie where a
layer before would have left them: inside their halo of zeros. The packing of the weights is part
of the time, since a training step does it once.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.worker import Array
from isoconv.compile.calls import Call
from isoconv.compile.layout import Buffer, Placement, dense_placement
from isoconv.compile.lower.driver import lower
from isoconv.compile.lower.plan import make_plan
from isoconv.compile.target import Target
from isoconv.graph.ir import Graph
from isoconv.run.binder import Binder, Recorder, Resolve, Workspace, address_of
from isoconv.run.memory import aligned_bytes, aligned_copy
from isoconv.run.script import Context, Script
from isoconv.run.step import reduction
from isoconv.run.team import library_for

__all__ = ["WORK", "Operation"]

WORK = "work"
"""Layer name of the nodes that are timed; what comes before them only brings the inputs."""


class Operation:
    """A graph, ready to be run again and again.

    Args:
        graph: the nodes to time carry the layer name ``work``.
        arrays: an array for each input, by name.
        threads: that share the images.
        target: what is compiled for; None for the best that this machine can run.
    """

    def __init__(
        self,
        graph: Graph,
        arrays: Mapping[str, Array],
        threads: int,
        target: Target | None = None,
    ) -> None:
        self._graph = graph
        self._images = next(
            len(arrays[node.attrs.name]) for _, node in graph.inputs() if node.spec.batched
        )
        self._threads = threads
        library = library_for(target)
        self._shard = -(-self._images // threads)
        self._memory: dict[tuple[str, str], Array] = {}
        inputs = self._inputs(arrays)
        outputs = self._outputs()
        lowered = lower(graph, library.target, capacity=self._shard, inputs=inputs, outputs=outputs)
        calls = lowered.shard
        first = next(i for i, call in enumerate(calls) if call.layer == WORK)
        last = max(i for i, call in enumerate(calls) if call.layer == WORK)
        self._bring, self._work, self._store = (
            calls[:first], calls[first : last + 1], calls[last + 1 :]
        )  # fmt: skip
        self._prepare = lowered.prepare
        # The inputs must outlive the work, which is done again and again on them.
        plan = make_plan([*lowered.prepare, *calls, *self._bring], self._shard)
        self._workspace = Workspace(plan, threads)
        self._reductions = {name: reduction(array.size) for name, array in self._sums.items()}
        specs = [call.kernel for call in (*lowered.prepare, *calls)]
        self._binder = Binder(library, threads, [*specs, *self._reductions.values()])
        self._scripts = self._timed()
        self._pack_scripts = [self._packing(t).build() for t in range(threads)]

    # Memory

    def _inputs(self, arrays: Mapping[str, Array]) -> dict[str, Placement]:
        places = {}
        for _, node in self._graph.inputs():
            name, spec = node.attrs.name, node.spec
            region = "dataset" if spec.batched else "parameter"
            self._memory[region, name] = aligned_copy(arrays[name])
            if spec.batched:
                self._memory["order", name] = np.arange(self._images)
            places[name] = dense_placement(Buffer(region, name, spec.size * spec.itemsize), spec)
        return places

    def _outputs(self) -> dict[str, Placement]:
        places = {}
        self._sums: dict[str, Array] = {}
        for name, index in self._graph.outputs:
            spec = self._graph[index].spec
            lead = self._images if spec.batched else self._threads
            array = aligned_bytes(lead * spec.size * spec.itemsize).view(spec.dtype)
            self._memory["output", name] = array.reshape(lead, *spec.shape)
            if not spec.batched:
                self._sums[name] = self._memory["output", name][0]
            places[name] = dense_placement(Buffer("output", name, spec.size * spec.itemsize), spec)
        return places

    def _resolver(self, thread: int) -> Resolve:
        places = {place: address_of(array) for place, array in self._memory.items()}
        for name in self._sums:
            places["output", name] = address_of(self._memory["output", name][thread])
        return self._workspace.resolver(thread, thread, places)

    # Scripts

    def _context(self, thread: int) -> Context:
        first = thread * self._shard
        return Context(images=min(self._shard, self._images - first), first=first)

    def _packing(self, thread: int) -> Recorder:
        """A script that packs the weights, and goes on when all are packed."""
        script = self._binder.recorder(thread)
        if self._prepare:
            part = Context(part=thread, parts=self._threads)
            script.calls(self._prepare, self._resolver(thread), part)
            script.barrier()
        return script

    def _timed(self) -> list[Script]:
        scripts = []
        for thread in range(self._threads):
            script = self._packing(thread)
            script.calls(self._work, self._resolver(thread), self._context(thread))
            if self._reductions and self._threads > 1:
                script.barrier()
                part = Context(part=thread, parts=self._threads)
                for name, spec in self._reductions.items():
                    first, *others = self._memory["output", name]
                    for other in others:
                        script.kernel(spec, [first, other], part)
            script.barrier()
            scripts.append(script.build())
        return scripts

    def _around(self, calls: list[Call]) -> None:
        scripts = []
        for thread in range(self._threads):
            script = self._binder.recorder(thread)
            script.calls(calls, self._resolver(thread), self._context(thread))
            scripts.append(script.build())
        self._binder.team.run(scripts, 1)

    # Use

    @property
    def calls(self) -> list[Call]:
        """The kernel calls that are timed, of a shard."""
        return [*self._work]

    def results(self) -> dict[str, Array]:
        """Bring the inputs, do the work once, and return copies of the outputs."""
        self._around(self._bring)
        self.run()
        self._around(self._store)
        return {
            name: (self._sums[name] if name in self._sums else self._memory["output", name]).copy()
            for name, _ in self._graph.outputs
        }

    def run(self, turns: int = 1) -> None:
        """The work again: one native call for each thread."""
        self._binder.team.run(self._scripts, turns)

    def pack(self, turns: int = 1) -> None:
        """The packing of the weights alone."""
        self._binder.team.run(self._pack_scripts, turns)

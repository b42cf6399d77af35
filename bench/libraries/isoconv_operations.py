"""Single operations on isoconv's kernels, as a training step runs them.

The images are cut into a shard for each thread; each thread runs the operation's kernels on its
shard, and sums over images (gradients by weight) are added at the end. Inputs already lie where a
layer before would have left them: inside their halo of zeros. The packing of the weights is part
of the time, since a training step does it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.worker import Array
from isoconv.compile.layout import Buffer, Placement, dense_strides
from isoconv.compile.lower.driver import Call, lower
from isoconv.compile.lower.plan import make_plan, region_offsets
from isoconv.compile.native.runtime import BarrierSpec
from isoconv.compile.pointwise.expression import Domain, Expression, Operand, Step
from isoconv.compile.pointwise.kernel import PointwiseSpec
from isoconv.graph.ir import Graph
from isoconv.run.memory import Context, Resolve, Script, ScriptBuilder, aligned_bytes, aligned_copy
from isoconv.run.team import Team, library_for

__all__ = ["WORK", "Operation"]

WORK = "work"
"""Layer name of the nodes that are timed; what comes before them only brings the inputs."""


class Operation:
    """A graph, ready to be run again and again.

    Args:
        graph: the nodes to time carry the layer name ``work``.
        arrays: an array for each input, by name.
        threads: that share the images.
    """

    def __init__(self, graph: Graph, arrays: Mapping[str, Array], threads: int) -> None:
        self._graph = graph
        self._images = next(
            len(arrays[node.attrs.name]) for _, node in graph.inputs() if node.spec.batched
        )
        self._threads = threads
        self._library = library_for()
        self._shard = -(-self._images // threads)
        self._memory: dict[tuple[str, str], Array] = {
            ("order", "order"): np.arange(self._images, dtype=np.int64)
        }
        inputs = self._inputs(arrays)
        outputs = self._outputs()
        lowered = lower(
            graph, self._library.target, capacity=self._shard, inputs=inputs, outputs=outputs
        )
        calls = lowered.shard
        first = next(i for i, call in enumerate(calls) if call.layer == WORK)
        last = max(i for i, call in enumerate(calls) if call.layer == WORK)
        self._bring, self._work, self._store = (
            calls[:first], calls[first : last + 1], calls[last + 1 :]
        )  # fmt: skip
        self._prepare = lowered.prepare
        # The inputs must outlive the work, which is done again and again on them.
        self._plan = make_plan([*calls, *self._bring], self._shard)
        self._packed, size = region_offsets(
            buffer
            for call in (*lowered.prepare, *calls)
            for buffer in call.buffers
            if buffer.region == "packed"
        )
        self._packs = aligned_bytes(size)
        self._arenas = [aligned_bytes(self._plan.size) for _ in range(threads)]
        merges = {name: _merge(array.size) for name, array in self._sums.items()}
        specs = [call.spec for call in (*lowered.prepare, *calls)]
        self._addresses = self._library.addresses([*specs, *merges.values(), BarrierSpec()])
        self._merges = merges
        self._team = Team(threads, self._library)
        self._scripts = self._timed()
        self._pack_scripts = [self._script(t, pack=True).finish() for t in range(threads)]

    # Memory

    def _inputs(self, arrays: Mapping[str, Array]) -> dict[str, Placement]:
        places = {}
        for _, node in self._graph.inputs():
            name, spec = node.attrs.name, node.spec
            region = "dataset" if spec.batched else "parameter"
            self._memory[region, name] = aligned_copy(arrays[name])
            rows = ("gathered", spec.size) if spec.batched else ("", 0)
            buffer = Buffer(region, name, spec.size * spec.itemsize)
            places[name] = Placement(
                buffer, spec.dtype, dense_strides(spec.shape), rows[1], 0, rows[0]
            )
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
            buffer = Buffer("output", name, spec.size * spec.itemsize)
            image, rows = (spec.size, "shifted") if spec.batched else (0, "")
            places[name] = Placement(buffer, spec.dtype, dense_strides(spec.shape), image, 0, rows)
        return places

    def _resolver(self, thread: int) -> Resolve:
        arena, packs = int(self._arenas[thread].ctypes.data), int(self._packs.ctypes.data)

        def resolve(buffer: Buffer) -> int:
            if buffer.region == "arena":
                return arena + self._plan.offsets[buffer]
            if buffer.region == "packed":
                return packs + self._packed[buffer]
            array = self._memory[buffer.region, buffer.name]
            own = buffer.region == "output" and buffer.name in self._sums
            return int(array[thread].ctypes.data if own else array.ctypes.data)

        return resolve

    # Scripts

    def _address(self, call: Call) -> int:
        return self._addresses[call.spec]

    def _context(self, thread: int) -> Context:
        first = thread * self._shard
        return Context(images=min(self._shard, self._images - first), first=first)

    def _script(self, thread: int, *, pack: bool) -> ScriptBuilder:
        script = ScriptBuilder()
        if pack and self._prepare:
            part = Context(part=thread, parts=self._threads)
            script.calls(self._prepare, self._address, self._resolver(thread), part)
            self._wait(script)
        return script

    def _wait(self, script: ScriptBuilder) -> None:
        if self._threads > 1:
            script.add(self._addresses[BarrierSpec()], [self._team.barrier])

    def _timed(self) -> list[Script]:
        scripts = []
        for thread in range(self._threads):
            script = self._script(thread, pack=True)
            resolve = self._resolver(thread)
            script.calls(self._work, self._address, resolve, self._context(thread))
            if self._merges and self._threads > 1:
                self._wait(script)
                part = Context(part=thread, parts=self._threads)
                for name, spec in self._merges.items():
                    places = [int(row.ctypes.data) for row in self._memory["output", name]]
                    for other in places[1:]:
                        script.add(self._addresses[spec], [places[0], other], part)
            self._wait(script)
            scripts.append(script.finish())
        return scripts

    def _around(self, calls: list[Call]) -> None:
        scripts = []
        for thread in range(self._threads):
            script = ScriptBuilder()
            script.calls(calls, self._address, self._resolver(thread), self._context(thread))
            scripts.append(script.finish())
        self._team.run(scripts, 1)

    # Use

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
        self._team.run(self._scripts, turns)

    def pack(self, turns: int = 1) -> None:
        """The packing of the weights alone."""
        self._team.run(self._pack_scripts, turns)


def _merge(size: int) -> Any:
    """Left = left + right."""
    left, right = Operand(0, "float32", (1,)), Operand(1, "float32", (1,))
    steps = (Step("add", (0, 1), None, "float32"),)
    expression = Expression((left, right), "", steps, ((2, left),))
    return PointwiseSpec(Domain((size,), batched=False), expression, 2)

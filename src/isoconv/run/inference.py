"""Predictions in native code: chunks of images through a forward graph, on all threads.

Each image's result is its own chain of operations, so that neither its neighbours in a chunk nor
the thread that runs it change a bit.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoconv.compile.layout import Buffer, Placement, dense_strides
from isoconv.compile.lower import lower
from isoconv.compile.plan import make_plan, region_offsets
from isoconv.compile.runtime import AdvanceSpec, BarrierSpec
from isoconv.errors import ArgumentError, DTypeError, ShapeError
from isoconv.graph.ir import DTYPES, Graph
from isoconv.run.memory import Context, Script, ScriptBuilder, aligned_bytes, aligned_copy
from isoconv.run.team import Team, default_threads, library_for
from isoconv.run.tree import shard_ranges

__all__ = ["Predictor"]

Array = NDArray[Any]


class Predictor:
    """Runs a forward graph on any number of images; threads of a program may share it.

    Args:
        graph: a graph whose outputs are batched.
        shard_size: images that one thread takes at a time; changes speed and memory alone.
        threads: number of threads; None for one per core.
        target: machine to compile for; None for the one at hand.
        fusion: whether nodes are fused.
        cache: whether compiled kernels are kept on disk.
        progress: called with (kernels ready, kernels in all).
    """

    def __init__(
        self,
        graph: Graph,
        *,
        shard_size: int = 32,
        threads: int | None = None,
        target: str | None = None,
        fusion: bool = True,
        cache: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if shard_size < 1:
            raise ArgumentError(f"shard_size must be at least 1; got {shard_size}")
        self.graph = graph
        self.shard_size = shard_size
        self.threads = threads or default_threads()
        library = library_for(target, cache=cache)
        self._memory: dict[tuple[str, str], Array] = {}
        inputs: dict[str, Placement] = {}
        for _, node in graph.inputs():
            name, spec = node.attrs.name, node.spec
            region = "dataset" if spec.batched else "parameter"
            if not spec.batched:
                zeros = np.zeros(spec.shape, spec.dtype)
                self._memory[region, name] = aligned_copy(zeros)
            buffer = Buffer(region, name, spec.size * spec.itemsize)
            image, rows = (spec.size, "gathered") if spec.batched else (0, "")
            inputs[name] = Placement(buffer, spec.dtype, dense_strides(spec.shape), image, 0, rows)
        outputs: dict[str, Placement] = {}
        for name, index in graph.outputs:
            spec = graph[index].spec
            if not spec.batched:
                raise ShapeError(f"output {name!r} must have an image axis; it is {spec}")
            buffer = Buffer("output", name, 0)
            outputs[name] = Placement(
                buffer, spec.dtype, dense_strides(spec.shape), spec.size, 0, "shifted"
            )
        self._lowered = lower(
            graph, library.target, capacity=shard_size, inputs=inputs, outputs=outputs,
            fusion=fusion,
        )  # fmt: skip
        calls = [*self._lowered.prepare, *self._lowered.shard]
        specs = [call.spec for call in calls]
        self._addresses = library.addresses([*specs, AdvanceSpec(), BarrierSpec()], progress)
        self._plan = make_plan(self._lowered.shard, shard_size)
        self._packed, size = region_offsets(
            buffer for call in calls for buffer in call.buffers if buffer.region == "packed"
        )
        self._packs = aligned_bytes(size)
        self._arenas = [aligned_bytes(self._plan.size) for _ in range(self.threads)]
        self._team = Team(self.threads, library)
        self._lock = threading.Lock()
        weakref.finalize(self, self._team.close)

    def run(self, weights: Mapping[str, Array], datasets: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the outputs for all rows of the data sets.

        Args:
            weights: arrays of the unbatched inputs, by name.
            datasets: arrays of the batched inputs, by name, one row for each image.

        Returns:
            Arrays by output name, one row for each image.

        Raises:
            ShapeError: an array has another shape than the graph's.
            DTypeError: a data set has another dtype than the graph's.
            ArgumentError: an input has no array.
        """
        with self._lock:
            return self._run(weights, datasets)

    def _run(self, weights: Mapping[str, Array], datasets: Mapping[str, Array]) -> dict[str, Array]:
        images = self._load(weights, datasets)
        results: dict[str, Array] = {}
        for name, index in self.graph.outputs:
            spec = self.graph[index].spec
            size = images * spec.size * DTYPES[spec.dtype]
            results[name] = aligned_bytes(size).view(spec.dtype).reshape((images, *spec.shape))
            self._memory["output", name] = results[name]
        if images:
            self._prepare()
            self._predict(images)
        return results

    def _load(self, weights: Mapping[str, Array], datasets: Mapping[str, Array]) -> int:
        counts = {}
        for _, node in self.graph.inputs():
            name, spec = node.attrs.name, node.spec
            if name not in (datasets if spec.batched else weights):
                raise ArgumentError(f"every input needs an array: {name!r} is missing")
            if not spec.batched:
                array = np.asarray(weights[name])
                if array.shape != spec.shape:
                    raise ShapeError(f"{name!r} must have shape {spec.shape}; got {array.shape}")
                self._memory["parameter", name][...] = array
                continue
            array = np.ascontiguousarray(datasets[name])
            if array.shape[1:] != spec.shape:
                raise ShapeError(
                    f"{name!r} must have shape (N, {', '.join(map(str, spec.shape))}); "
                    f"got {array.shape}"
                )
            if array.dtype != spec.dtype:
                raise DTypeError(f"{name!r} must be {spec.dtype}; got {array.dtype}")
            self._memory["dataset", name] = array
            counts[name] = len(array)
        if len(set(counts.values())) != 1:
            raise ShapeError(f"all inputs must have one row for each image; got {counts}")
        images = next(iter(counts.values()))
        self._memory["order", "order"] = np.arange(max(1, images), dtype=np.int64)
        return images

    def _resolve(self, thread: int) -> Callable[[Buffer], int]:
        arena = int(self._arenas[thread].ctypes.data)
        packs = int(self._packs.ctypes.data)

        def resolve(buffer: Buffer) -> int:
            if buffer.region == "arena":
                return arena + self._plan.offsets[buffer]
            if buffer.region == "packed":
                return packs + self._packed[buffer]
            return int(self._memory[buffer.region, buffer.name].ctypes.data)

        return resolve

    def _prepare(self) -> None:
        """Pack the weights; threads share the work."""
        scripts = []
        for thread in range(self.threads):
            script = ScriptBuilder()
            context = Context(part=thread, parts=self.threads)
            script.calls(self._lowered.prepare, self._address, self._resolve(thread), context)
            scripts.append(script.finish())
        self._team.run(scripts, 1)

    def _address(self, call: Any) -> int:
        return self._addresses[call.spec]

    def _predict(self, images: int) -> None:
        whole, rest = divmod(images, self.shard_size)
        if whole < self.threads:
            # Too few chunks to go round: the threads share each chunk's kernels.
            self._together(images)
            return
        scripts: list[Script] = []
        turns: list[int] = []
        for thread, chunks in enumerate(shard_ranges(whole, self.threads)):
            context = Context(
                images=self.shard_size,
                first=chunks.start * self.shard_size,
                stride=self.shard_size,
            )
            script = ScriptBuilder()
            script.calls(self._lowered.shard, self._address, self._resolve(thread), context)
            script.add(self._addresses[AdvanceSpec()], [], context)
            scripts.append(script.finish())
            turns.append(len(chunks))
        self._team.run(scripts, turns)
        if rest:
            script = ScriptBuilder()
            context = Context(images=rest, first=whole * self.shard_size)
            script.calls(self._lowered.shard, self._address, self._resolve(0), context)
            self._team.run([script.finish()], 1)

    def _together(self, images: int) -> None:
        """All threads on the same chunk, kernel by kernel, meeting after each."""
        parties = np.zeros(16, np.int32)
        parties[2] = self.threads
        contexts = []
        scripts = []
        for thread in range(self.threads):
            context = Context(part=thread, parts=self.threads)
            script = ScriptBuilder()
            for call in self._lowered.shard:
                script.calls([call], self._address, self._resolve(0), context)
                if self.threads > 1:
                    script.add(self._addresses[BarrierSpec()], [int(parties.ctypes.data)])
            scripts.append(script.finish())
            contexts.append(context)
        for first in range(0, images, self.shard_size):
            for context in contexts:
                context.set(images=min(self.shard_size, images - first), first=first)
            self._team.run(scripts, 1)

    def close(self) -> None:
        """End the threads."""
        self._team.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

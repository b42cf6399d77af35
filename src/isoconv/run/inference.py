"""Predictions in native code: chunks of images through a forward graph, on all threads.

Each image's result is its own chain of operations, so that neither its neighbours in a chunk nor
the thread that runs it change a bit.

Scripts stay from call to call, and so do packed weights whose arrays nobody can have changed.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from isoconv.checks import check_count
from isoconv.compile.layout import Buffer, Placement, dense_placement
from isoconv.compile.lower.driver import lower
from isoconv.compile.lower.plan import make_plan
from isoconv.compile.native.fork import renew_in_child
from isoconv.errors import ArgumentError, DTypeError, ShapeError
from isoconv.graph.ir import Graph, TensorSpec
from isoconv.graph.operation import Array
from isoconv.rows import Rows, rows_behind
from isoconv.run.binder import Binder, Workspace, address_of
from isoconv.run.demand import Demand, bytes_of
from isoconv.run.immutable import is_immutable
from isoconv.run.mapped import before_reading, have_read
from isoconv.run.memory import aligned_copy
from isoconv.run.script import Context, Place, Script
from isoconv.run.shard_size import shard_size_for
from isoconv.run.team import library_for, team_size

CALL_SECONDS = 0.5
"""How long a native call may last once it is known how long its turns take: Ctrl-C waits for it."""

_Known = tuple["weakref.ref[Array]", np.dtype[Any], tuple[int, ...]]
"""An array whose elements were loaded, for as long as it lives, and how it was read."""


class Predictor:
    """Runs a forward graph on any number of images; threads of a program may share it.

    Args:
        graph: a graph whose outputs are batched.
        shard_size: images that one thread takes at a time, at most; changes speed and memory
            alone. None for what suits the graph (see ``run/shard_size.py``).
        threads: number of threads; None for one per core.
        target: machine to compile for; None for the one at hand.
        fusion: whether nodes are fused.
        cache: whether compiled kernels are kept on disk.
        progress: called with (kernels ready, kernels in all).
        memory: bytes that there are; None for what the machine has.

    Raises:
        NotEnoughMemoryError: the graph needs more, even for one image.
        ArgumentError: a setting outside its range.
        ShapeError: an output without an image axis.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        shard_size: int | None = None,
        threads: int | None = None,
        target: str | None = None,
        fusion: bool = True,
        cache: bool = True,
        progress: Callable[[int, int], None] | None = None,
        memory: int | None = None,
    ) -> None:
        self.threads = team_size(threads)
        library = library_for(target, cache=cache)
        adapts = shard_size is None
        if shard_size is None:
            shard_size = shard_size_for(graph, library.target)
        self.graph = graph
        self.shard_size = shard_size = check_count("shard_size", shard_size)
        self._weights: dict[str, TensorSpec] = {}
        self._rows: dict[str, TensorSpec] = {}
        inputs: dict[str, Placement] = {}
        for _, node in graph.inputs():
            name, spec = node.attrs.name, node.spec
            (self._rows if spec.batched else self._weights)[name] = spec
            region = "dataset" if spec.batched else "parameter"
            buffer = Buffer(region, name, spec.size * spec.itemsize)
            inputs[name] = dense_placement(buffer, spec)
        self._results: dict[str, TensorSpec] = {}
        outputs: dict[str, Placement] = {}
        for name, index in graph.outputs:
            spec = graph[index].spec
            if not spec.batched:
                raise ShapeError(f"output {name!r} must have an image axis; it is {spec}")
            self._results[name] = spec
            outputs[name] = dense_placement(Buffer("output", name, 0), spec)
        self._lowered = lower(
            graph, library.target, capacity=shard_size, inputs=inputs, outputs=outputs,
            fusion=fusion, written_halos=True,
        )  # fmt: skip
        calls = [*self._lowered.prepare, *self._lowered.shard]
        plan = make_plan(calls, shard_size)
        fixed = {
            "weights": bytes_of(self._read_weights().values()),
            "packed weights": plan.packed,
            "scratch memory": plan.scratch * self.threads,
        }
        self._demand = Demand(
            fixed, arena=plan.arena, shard_size=shard_size, threads=self.threads,
            result=bytes_of(self._results.values()), limit=memory,
            adapts=adapts,
        )  # fmt: skip
        self._binder = Binder(library, self.threads, [call.kernel for call in calls], progress)
        self._team = self._binder.team
        weakref.finalize(self, self._team.retire)
        self._workspace = Workspace(plan, self.threads)
        self._order = np.arange(0, dtype=np.int64)
        self._order_address = 0
        self._memory = self._own_weights()
        self._known: dict[str, _Known] = {}
        self._version: object | None = None
        self._data_parallel: _Scripts | None = None
        self._turns_per_call = 1
        self._cooperative: _Scripts | None = None
        renew_in_child(self, Predictor._renew)

    def _renew(self) -> None:
        """In a forked process, perhaps in the middle of another thread's run.

        That may have moved half a script and come to a barrier. Weights need no care here: those
        that are not whole are not taken for loaded ones, see `_load`.
        """
        if self._team.torn:
            self._forget_scripts()
            self._team.torn = False

    def _forget_scripts(self) -> None:
        self._data_parallel = self._cooperative = None

    def _own_weights(self) -> dict[str, Array]:
        """Memory for the weights that a shard's kernels read as they are, not packed."""
        return {
            name: aligned_copy(np.zeros(spec.shape, spec.dtype))
            for name, spec in self._read_weights().items()
        }

    def _read_weights(self) -> dict[str, TensorSpec]:
        buffers = (buffer for call in self._lowered.shard for buffer in call.buffers)
        read = {buffer.name for buffer in buffers if buffer.region == "parameter"}
        return {name: spec for name, spec in self._weights.items() if name in read}

    def run(
        self,
        weights: Mapping[str, Array],
        datasets: Mapping[str, Array],
        *,
        version: object | None = None,
    ) -> dict[str, Array]:
        """Compute the outputs for all rows of the data sets.

        Args:
            weights: arrays of the unbatched inputs, by name.
            datasets: arrays of the batched inputs, or `Rows` of some, by name, one row for each
                image.
            version: an object that stands for the values of these weights: given again, they are
                not looked at. None: each array is asked whether it can have changed.

        Returns:
            Arrays by output name, one row for each image.

        Raises:
            ShapeError: an array has another shape than the graph's.
            DTypeError: a data set has another dtype than the graph's.
            ArgumentError: an input has no array.
            DataFileError: a file that rows lie in was changed meanwhile.
        """
        with self._team.turn:
            return self._run(weights, datasets, version)

    def _run(
        self,
        weights: Mapping[str, Array],
        datasets: Mapping[str, Array],
        version: object | None,
    ) -> dict[str, Array]:
        rows = self._checked_datasets(datasets)
        images = len(next(iter(rows.values())))
        if version is None or version is not self._version:
            self._version = None
            self._load(weights)
            self._version = version
        if images > self._demand.granted:
            self._demand.grant(images)
        results = self._new_results(images)
        if images:
            held = [found for array in rows.values() if (found := rows_behind(array)) is not None]
            self._predict(images, self._places(images, rows, results), held)
            for found in held:
                have_read(found)
        return results

    def _new_results(self, images: int) -> dict[str, Array]:
        return {
            name: np.empty((images, *spec.shape), spec.dtype)
            for name, spec in self._results.items()
        }

    def _places(
        self, images: int, rows: Mapping[str, Array], results: Mapping[str, Array]
    ) -> dict[Place, int]:
        """Addresses of what is another array in each call."""
        if len(self._order) < images:
            order = np.arange(images, dtype=np.int64)
            # In this order: a fork in between leaves the child an address that is good for both.
            self._order_address = int(order.ctypes.data)
            self._order = order
        places: dict[Place, int] = {}
        for name, array in rows.items():
            held = rows_behind(array)
            places["dataset", name] = address_of(array if held is None else held.base)
            at = self._order_address if held is None else address_of(held.numbers)
            places["order", name] = at
        places |= {("output", name): int(array.ctypes.data) for name, array in results.items()}
        return places

    def _checked_datasets(self, datasets: Mapping[str, Array]) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for name, spec in self._rows.items():
            array = _given("datasets", datasets, name)
            if (held := rows_behind(array)) is None:
                array = np.ascontiguousarray(array)
            else:
                before_reading(held)
            if array.shape[1:] != spec.shape:
                raise ShapeError(
                    f"{name!r} must have shape (N, {', '.join(map(str, spec.shape))}); "
                    f"got {array.shape}"
                )
            if array.dtype != spec.dtype:
                raise DTypeError(f"{name!r} must be {spec.dtype}; got {array.dtype}")
            found[name] = array
        counts = {name: len(array) for name, array in found.items()}
        if len(set(counts.values())) != 1:
            raise ShapeError(f"all inputs must have one row for each image; got {counts}")
        return found

    # Weights ------------------------------------------------------------------------------------

    def _load(self, weights: Mapping[str, Array]) -> None:
        """Copy and pack the weights if they may differ from those of the last call.

        Only arrays that nobody can change, and that were there the last time, are as they were.
        """
        if self._all_known(weights):
            return
        loaded: dict[str, Array] = {}
        for name, spec in self._weights.items():
            given = _given("weights", weights, name)
            if np.shape(given) != spec.shape:
                raise ShapeError(f"{name!r} must have shape {spec.shape}; got {np.shape(given)}")
            loaded[name] = np.asarray(given, spec.dtype, order="C")
        # Whatever happens from here on, half-loaded weights are not taken for loaded ones.
        self._known.clear()
        for name, memory in self._memory.items():
            memory[...] = loaded[name]
        self._pack(loaded)
        for name in self._weights:
            given = weights[name]
            if is_immutable(given):
                self._known[name] = weakref.ref(given), given.dtype, given.shape

    def _all_known(self, weights: Mapping[str, Array]) -> bool:
        """Whether nothing needs to be loaded; quickly, as it is asked for each image."""
        if len(self._known) != len(self._weights):
            return False
        for name, (array, dtype, shape) in self._known.items():
            given = weights.get(name)
            if given is None or array() is not given:
                return False
            # An array can be told to read its memory in another way.
            as_then = given.dtype is dtype and given.shape == shape
            if not (as_then and given.flags.c_contiguous):
                return False
        return True

    def _pack(self, weights: Mapping[str, Array]) -> None:
        """Pack weights; threads share the work."""
        if not self._lowered.prepare:
            return
        places = {("parameter", name): address_of(array) for name, array in weights.items()}
        scripts = []
        for thread in range(self.threads):
            script = self._binder.recorder(thread)
            context = Context(part=thread, parts=self.threads)
            resolve = self._workspace.resolver(thread, thread, places)
            script.calls(self._lowered.prepare, resolve, context)
            scripts.append(script.build())
        self._team.run(scripts, 1)

    # Images -------------------------------------------------------------------------------------

    def _predict(self, images: int, places: Mapping[Place, int], held: Sequence[Rows]) -> None:
        rounds, rest = self._rounds(images)
        for first, each, turns in rounds:
            scripts = self._data_parallel
            if scripts is None:
                scripts = self._data_parallel = self._data_parallel_scripts(places)
            scripts.move(places)
            self._run_data_parallel(scripts, first, each, turns, held)
        most = self._demand.at_once
        for first in range(rest, images, most):
            scripts = self._cooperative
            if scripts is None:
                scripts = self._cooperative = self._cooperative_scripts(places)
            scripts.move(places)
            count = min(most, images - first)
            for rows in held:
                rows.expect(rows.numbers[first : first + count])
            for context in scripts.contexts:
                context.set(images=count, first=first)
            self._team.run(scripts.scripts, 1)

    def _run_data_parallel(
        self, scripts: _Scripts, first: int, each: int, turns: int, held: Sequence[Rows]
    ) -> None:
        """So many turns for each thread; Python hears of Ctrl-C between native calls."""
        done = 0
        most = min((rows.at_once // (each * self.threads) for rows in held), default=turns)
        while done < turns:
            count = min(turns - done, self._turns_per_call, max(1, most))
            for thread, context in enumerate(scripts.contexts):
                start = first + (thread * turns + done) * each
                context.set(images=each, first=start, stride=each)
                for rows in held:
                    rows.expect(rows.numbers[start : start + count * each])
            begin = time.perf_counter()
            self._team.run(scripts.scripts, count)
            seconds = time.perf_counter() - begin
            if seconds > CALL_SECONDS:
                self._turns_per_call = max(1, count // 2)
            elif count == self._turns_per_call and seconds < CALL_SECONDS / 4:
                self._turns_per_call *= 2
            done += count

    def _rounds(self, images: int) -> tuple[list[tuple[int, int, int]], int]:
        """Where each thread gets as much as all others: (first image, images of a chunk, turns).

        And the first of the last images, fewer than threads: on those they cooperate.
        """
        size, team = self._demand.at_once, self.threads
        turns = images // (size * team)
        rounds = [(0, size, turns)] if turns else []
        done = turns * size * team
        each = (images - done) // team
        if each:
            rounds.append((done, each, 1))
        return rounds, done + each * team

    def _data_parallel_scripts(self, places: Mapping[Place, int]) -> _Scripts:
        """Each thread on chunks of its own: data-parallel."""
        contexts = [Context() for _ in range(self.threads)]
        return self._record(contexts, range(self.threads), places)

    def _cooperative_scripts(self, places: Mapping[Place, int]) -> _Scripts:
        """All threads on the same chunk, with a barrier after each kernel: cooperative."""
        contexts = [Context(part=t, parts=self.threads) for t in range(self.threads)]
        return self._record(contexts, [0] * self.threads, places)

    def _record(
        self, contexts: list[Context], arenas: Iterable[int], places: Mapping[Place, int]
    ) -> _Scripts:
        """A script for each thread, through a chunk in the arena of its number."""
        weights = {("parameter", name): address_of(held) for name, held in self._memory.items()}
        scripts = []
        for thread, (context, arena) in enumerate(zip(contexts, arenas, strict=True)):
            script = self._binder.recorder(thread)
            resolve = self._workspace.resolver(thread, arena, {**weights, **places})
            script.shard(self._lowered.shard, resolve, context)
            scripts.append(script.build())
        return _Scripts(scripts, contexts)

    def close(self) -> None:
        """End the threads."""
        self._team.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Scripts:
    """A script and a context for each thread."""

    scripts: list[Script]
    contexts: list[Context]

    def move(self, places: Mapping[Place, int]) -> None:
        """The addresses of this call's data sets and outputs."""
        for script in self.scripts:
            for (region, name), address in places.items():
                script.move(region, name, address)


def _given(argument: str, arrays: Mapping[str, Array], name: str) -> Array:
    if name not in arrays:
        text = f"every input needs an array: {name!r} is missing"
        raise ArgumentError(text, argument=f"{argument}[{name!r}]")
    return arrays[name]

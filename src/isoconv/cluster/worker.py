"""A worker: an engine in a process of a node, which runs shards and makes every update itself."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isoconv.cluster.material import PackPlace, opened, unseen
from isoconv.cluster.signs import Living
from isoconv.errors import TrainingError
from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.run.step import StepGraph
from isoconv.run.training import TrainingEngine
from isoconv.run.tree import add_pair
from isoconv.train.plain_settings import versions

State = tuple[dict[str, Array], dict[str, Array], dict[str, dict[str, Array]]]
"""Parameters, states, and the optimizer's vectors by slot."""


def state_digest(state: State) -> str:
    """SHA-256 of all that a training has come to."""
    parameters, states, slots = state
    parts = {"parameter": parameters, "state": states}
    parts |= {f"slot {slot}": vectors for slot, vectors in slots.items()}
    return storage.digest(
        {f"{part}:{name}": array for part, own in parts.items() for name, array in own.items()}
    )


def flat_digest(vectors: Sequence[Array]) -> str:
    """SHA-256 of sums in their order."""
    return storage.digest({str(number): vector for number, vector in enumerate(vectors)})


class Worker(Living):
    """What runs in a process of a node; the driver calls it, and calls come in their order.

    What it is given lies in the node's object store: arrays are read where they are. It counts the
    states that it has had, and so a driver can ask what an interrupted step has come to.

    Args:
        number: of the worker.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._made: TrainingEngine | None = None
        self._stands: tuple[int, Array | None] = 0, None

    @property
    def _engine(self) -> TrainingEngine:
        if self._made is None:
            raise TrainingError(f"worker {self.number} was asked to run shards before it was ready")
        return self._made

    def about(self, packs: Sequence[PackPlace] = ()) -> dict[str, Any]:
        """Versions of the software, the process, and why it does not see which packed files."""
        return {**versions(), "pid": os.getpid(), "unseen": unseen(packs)}

    def prepare(
        self,
        step: StepGraph,
        settings: Mapping[str, Any],
        digest: str,
        names: Sequence[str],
        packs: Sequence[PackPlace],
        *arrays: Array,
    ) -> None:
        """Check the data, compile the kernels.

        Args:
            step: what is computed.
            settings: of the engine.
            digest: of the arrays.
            names: of the arrays.
            packs: files of which some arrays are numbers of rows.
            arrays: those.

        Raises:
            TrainingError: the data are not those of the driver.
            DataFileError: a packed file is another one by now.
            NotEnoughMemoryError: training needs more memory than the node has.
        """
        data = dict(zip(names, arrays, strict=True))
        self._check("data", digest, data)
        self._made = TrainingEngine(step, opened(packs, data), **settings)

    def prove(
        self,
        weights: tuple[dict[str, Array], dict[str, Array]],
        epoch: tuple[Any, ...],
        order: Array,
        *tables: Array,
    ) -> list[Array]:
        """The sums of the first shard of an epoch: what the driver has found, if all is well."""
        self._engine.load(*weights)
        self.begin_epoch(epoch, order, *tables)
        return list(self._engine.sums(0, range(1)).values())

    def load(self, version: int, state: State, row: Array | None = None) -> None:
        """Take parameters, states and the optimizer's vectors; the metrics of the step before."""
        self._engine.load(*state)
        self._stands = version, row

    def begin_epoch(self, epoch: tuple[Any, ...], order: Array, *tables: Array) -> None:
        """Begin an epoch: its number, the digest of its arrays, the names of the tables."""
        number, digest, names = epoch
        found = dict(zip(names, tables, strict=True))
        self._check(f"order of epoch {number + 1}", digest, {"": order, **found})
        self._engine.begin_epoch(number, order, found)

    def sums(self, step: int, shards: range) -> list[Any]:
        """Seconds that it took, then the sums of the fewest nodes that cover the shards."""
        begin = time.perf_counter()
        found = self._engine.sums(step, shards)
        return [time.perf_counter() - begin, *found.values()]

    def agrees(self, step: int, shards: range, *vectors: Array) -> bool:
        """Whether sums that another worker has handed over are what this one finds."""
        own = list(self._engine.sums(step, shards).values())
        return flat_digest(own) == flat_digest(vectors)

    def add(self, left: Array, right: Array) -> Array:
        """The sum of the two halves of a node."""
        return add_pair(left, right)

    def update(self, version: int, step: int, total: Array, hyper: Array) -> Array:
        """Update the weights, unless the loss is not finite, and say the step's metrics."""
        row = self._engine.update(step, total, hyper)
        if np.isfinite(row[0]):
            self._stands = version, row
        return row

    def stands(self) -> tuple[int, Array | None]:
        """The number of the state that it has come to, and the metrics of the step that led to it.

        Calls come in their order: whoever has an answer knows that nothing else is under way.
        """
        return self._stands

    def state(self) -> State:
        """All that the training has come to."""
        engine = self._engine
        return engine.parameters(), engine.states(), engine.slots()

    def digest(self) -> str:
        """That of the state."""
        return state_digest(self.state())

    def _check(self, what: str, wanted: str, arrays: Mapping[str, Array]) -> None:
        found = storage.digest(arrays)
        if found != wanted:
            raise TrainingError(
                f"worker {self.number} must have the {what} of the driver, sha256:{wanted}; it "
                f"got sha256:{found}"
            )

"""What a planned computation needs of memory, added up before any of it is taken.

Counted is what is written while it runs: an arena is made for whole shards, but of fewer images
only their part of it is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from isoconv.compile.reduction.clip import BLOCK
from isoconv.errors import NotEnoughMemoryError
from isoconv.graph.ir import TensorSpec
from isoconv.graph.operation import Array
from isoconv.memory import check_memory
from isoconv.rows import rows_behind
from isoconv.run.step import StepPlan
from isoconv.run.step_schedule import StepSchedule

_HELP = {
    "arenas of threads": "a smaller shard_size, fewer threads or smaller images",
    "gradients of shards": "fewer threads, a smaller batch_size or a smaller model",
    "results": "fewer images at a time",
    "scratch memory": "fewer threads or a smaller model",
    "the order of the data": "fewer samples",
}


def bytes_of(specs: Iterable[TensorSpec], images: int = 1) -> int:
    """Bytes of values, of batched ones for so many images."""
    total = 0
    for spec in specs:
        total += spec.size * spec.itemsize * (images if spec.batched else 1)
    return total


def step_demand(
    plan: StepPlan,
    data: Mapping[str, Array],
    *,
    samples: int,
    batch_size: int,
    threads: int,
) -> dict[str, int]:
    """Bytes that training needs beside the model and its data, by what they are for.

    Args:
        plan: of a step.
        data: the data set's arrays; those that native code cannot read as they lie are copied, of
            rows of an array the order alone.
        samples: of the data set.
        batch_size: images of a step.
        threads: number of threads.
    """
    step = plan.step
    images = min(batch_size, samples)
    shards = -(-images // plan.shard_size)
    schedule = StepSchedule(range(shards), shards, threads)
    # Of an arena for many images a few touch at least their share.
    arena = plan.memory.arena * min(plan.shard_size, images) // plan.shard_size
    vectors = 4 * step.size * (1 + len(step.slots)) + 4 * plan.states.size
    scratch = plan.memory.scratch * threads + plan.update_memory.arena + 4 * step.size // BLOCK
    copied = 0
    for array in data.values():
        rows = rows_behind(array)
        if rows is not None:
            copied += rows.numbers.nbytes
        elif not array.flags.c_contiguous:
            copied += array.nbytes
    return {
        "parameters and optimizer": vectors,
        "copies of them for a checkpoint": vectors,
        "gradients of shards": 4 * plan.sums.size * len(set(schedule.buffers.values())),
        "arenas of threads": arena * schedule.working,
        "scratch memory": scratch,
        "packed weights": plan.memory.packed,
        "the order of the data": 16 * samples + copied,
    }


def what_helps(needs: Mapping[str, int]) -> str:
    """What makes the largest of some needs smaller."""
    return _HELP.get(max(needs, key=lambda name: needs[name]), "a smaller model")


class Demand:
    """What predictions need beside the model and the images, asked for as images come.

    Whoever predicts few images at a time touches little of the arenas, which are made for whole
    shards on all threads.

    Args:
        fixed: bytes that do not depend on the images, by what they are for; "weights" are written
            at once.
        arena: bytes of an arena for a whole shard.
        shard_size: images of a whole shard.
        threads: number of threads.
        result: bytes of an image's results.
        limit: bytes that there are; None for what the machine has.
        adapts: threads may take fewer images at a time than a whole shard, where nobody asked for
            so many.

    Attributes:
        granted: images for which there is memory.
        at_once: of them a thread takes so many at a time.

    Raises:
        NotEnoughMemoryError: there is not enough for a single image.
    """

    def __init__(
        self,
        fixed: Mapping[str, int],
        *,
        arena: int,
        shard_size: int,
        threads: int,
        result: int,
        limit: int | None,
        adapts: bool = False,
    ) -> None:
        self._fixed = fixed
        self._arena, self._shard_size, self._threads = arena, shard_size, threads
        self.at_once, self._adapts = shard_size, adapts
        self._result = result
        self._limit = limit
        needs = self._needs(1)
        check_memory("predicting an image", needs, what_helps(needs), limit)
        self.granted = 0
        self._taken = {"weights": fixed["weights"]}

    def _needs(self, images: int) -> dict[str, int]:
        working = self._threads if images >= self._threads else 1
        each = min(self.at_once, images // working)
        # Of an arena for many images a few touch at least their share.
        arenas = working * (self._arena * each // self._shard_size)
        return {**self._fixed, "arenas of threads": arenas, "results": self._result * images}

    def grant(self, images: int) -> None:
        """See that there is memory for so many images at a time.

        Raises:
            NotEnoughMemoryError: there is not.
        """
        before = self.at_once
        while True:
            try:
                self._grant(images)
            except NotEnoughMemoryError:
                if not self._adapts or self.at_once == 1:
                    self.at_once = before
                    raise
                self.at_once //= 2
            else:
                return

    def _grant(self, images: int) -> None:
        needs = self._needs(images)
        taken = self._taken if self._limit is None else {}
        missing = {name: size - taken.get(name, 0) for name, size in needs.items()}
        what = "an image" if images == 1 else f"{images:,} images at a time"
        check_memory(f"predicting {what}", missing, what_helps(missing), self._limit)
        self.granted = images
        # Results belong to the caller, the rest stays.
        self._taken = {**needs, "results": 0}

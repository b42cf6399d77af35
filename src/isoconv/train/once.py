"""What frozen layers give for each image: computed once, where there is memory to keep it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from isoconv.graph.cut import cut_behind
from isoconv.graph.ir import Graph
from isoconv.graph.operation import Array
from isoconv.memory import check_memory
from isoconv.run.demand import bytes_of
from isoconv.run.inference import Predictor

_PART = 64
"""Images after which a person is told how far it is."""


@dataclass(frozen=True, slots=True)
class Once:
    """The rest of a graph, and what it takes of each image in place of the image.

    Attributes:
        graph: the rest.
        rows: what was computed before it, by the names of the graph's inputs.
    """

    graph: Graph
    rows: Mapping[str, Array]

    @classmethod
    def of(
        cls,
        graph: Graph,
        fixed: Collection[str],
        weights: Mapping[str, Array],
        images: Array,
        *,
        threads: int | None = None,
        target: str | None = None,
        compiling: Callable[[int, int], None] | None = None,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> Once | None:
        """Compute what does not change; bit for bit what each step would compute.

        Args:
            graph: the work on a shard, of images of the data set's input ``images``.
            fixed: names of the weights that no step changes.
            weights: arrays of the graph's inputs without an image axis.
            images: one row for each image.
            threads: number of threads; None for one per core.
            target: machine to compile for; None for the one at hand.
            compiling: called with (kernels ready, kernels in all).
            progress: called with (images done, images in all).

        Returns:
            None where it is all the same to each step, for nothing is fixed or an image is changed
            at random before.

        Raises:
            NotEnoughMemoryError: there is no memory to keep it.
        """
        cut = cut_behind(graph, {"images", *fixed}) if fixed else None
        if cut is None:
            return None
        count = len(images)
        specs = {name: cut.before[index].spec for name, index in cut.before.outputs}
        kept = bytes_of(specs.values(), count)
        what = f"what the frozen layers give for {count:,} images"
        check_memory("keeping", {what: kept}, "more frozen layers or fewer images")
        machine: dict[str, Any] = {"threads": threads, "target": target, "progress": compiling}
        with Predictor(cut.before, **machine) as predictor:
            # Put together at the end they would be there twice.
            rows = {
                name: np.empty((count, *spec.shape), spec.dtype) for name, spec in specs.items()
            }
            same = object()
            for first in range(0, count, _PART):
                part = slice(first, first + _PART)
                found = predictor.run(weights, {"images": images[part]}, version=same)
                for name, array in found.items():
                    rows[name][part] = array
                progress(min(first + _PART, count), count)
        return cls(cut.after, rows)

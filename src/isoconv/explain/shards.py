"""Images in shards, and a network on each: what an inspection works off, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from isoconv.arithmetic.sums import tree_sum
from isoconv.explain.network import Network
from isoconv.graph.operation import Array
from isoconv.memory import check_memory
from isoconv.nn import Module

PART_BYTES = 256 * 2**20
"""Memory for the values and gradients of the images that are taken at a time, about."""


class ImageShards:
    """The images in shards, and the network on each; of one shard alone it is kept."""

    def __init__(
        self, model: Module, images: Array, labels: Array | None, scale: float | None,
        size: int | None, *, training: bool, **settings: Any,
    ) -> None:  # fmt: skip
        self.model = model
        self.images = images
        self.labels = labels
        self.training = training
        # The images are scaled already.
        self._settings = {**settings, "training": training, "scale": None if scale is None else 1}
        self.whole = self._network(0, 1)
        numbers = 0
        for index in range(self.whole.forward):
            spec = self.whole.node(index).spec
            numbers += spec.size if spec.batched else 0
        # The way back holds up to two values for each one of the way there.
        self.per_image = 4 * numbers * (1 if labels is None else 3)
        fitting = max(1, PART_BYTES // max(1, self.per_image))
        if training and size is None:
            # Batch normalisation looks at all images of a shard: which ones is for the person.
            fitting = len(images)
        self.size = min(size or fitting, len(images))
        self._kept: Network | None = None

    def _network(self, first: int, size: int) -> Network:
        labels = None if self.labels is None else self.labels[first : first + size]
        return Network(
            self.model, self.images[first : first + size], labels, batch=len(self.images),
            samples=range(first, min(first + size, len(self.images))), **self._settings,
        )  # fmt: skip

    @property
    def several(self) -> bool:
        """Whether there is more than one shard."""
        return self.size < len(self.images)

    def networks(self) -> Iterator[Network]:
        """The network on each shard, in the order of the images."""
        if not self.several:
            if self._kept is None:
                self._kept = self._network(0, self.size)
            yield self._kept
            return
        for first in range(0, len(self.images), self.size):
            yield self._network(first, self.size)

    def joined(self, index: int, read: str) -> Array:
        """A node's value, or the gradient by it, for all images.

        Raises:
            NotEnoughMemoryError: all of it does not fit.
        """
        spec = self.whole.node(index).spec
        needs = {"the array": 4 * spec.size * len(self.images), "a shard": self.per_image}
        check_memory("an inspection's array", needs, "fewer images")
        found = []
        for network in self.networks():
            if self.several and read == "value":
                network.compute([index])
            found.append(getattr(network, read)(index))
        return found[0] if len(found) == 1 else np.concatenate(found)


class ShardTree:
    """Arrays of shards added by the tree over their positions, as few at hand as can be."""

    def __init__(self) -> None:
        self._stack: list[tuple[int, dict[int, Array]]] = []

    def add(self, arrays: dict[int, Array]) -> None:
        """The next shard's arrays."""
        level = 0
        while self._stack and self._stack[-1][0] == level:
            arrays = self._added(self._stack.pop()[1], arrays)
            level += 1
        self._stack.append((level, arrays))

    def sums(self) -> dict[int, Array]:
        """All shards together; none where nothing was added."""
        if not self._stack:
            return {}
        found = self._stack[-1][1]
        for _, left in reversed(self._stack[:-1]):
            found = self._added(left, found)
        return found

    @staticmethod
    def _added(left: dict[int, Array], right: dict[int, Array]) -> dict[int, Array]:
        return {index: tree_sum([array, right[index]]) for index, array in left.items()}

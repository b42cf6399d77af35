"""The tree over shards as the arithmetic writes it, for tests."""

from __future__ import annotations

from typing import Any


def written(level: int, place: int, shards: int) -> Any:
    """The sum that the arithmetic asks for, as nested pairs; None where there is no shard."""
    if place << level >= shards:
        return None
    if level == 0:
        return place
    left = written(level - 1, 2 * place, shards)
    right = written(level - 1, 2 * place + 1, shards)
    return left if right is None else (left, right)

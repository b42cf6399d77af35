"""A list of places cut into pieces that lie at even steps: what strided copies can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """Places of the result one behind the other, and those that they take.

    Place ``first + i * counts[1] + j`` takes ``start + i * steps[0] + j * steps[1]``; without steps
    it is zero.

    Attributes:
        first: the first place of the result.
        counts: how many steps there are of each kind.
        start: the place that the first one takes.
        steps: from one to the next; None for zeros.
    """

    first: int
    counts: tuple[int, int]
    start: int = 0
    steps: tuple[int, int] | None = None


def pieces(indices: Sequence[int]) -> list[Piece]:
    """The fewest pieces that a single look finds: of two steps if it is the whole, else of one.

    Example:
        >>> pieces([0, 0, 1, 1, 2, 2])
        [Piece(first=0, counts=(3, 2), start=0, steps=(1, 0))]
        >>> [(piece.first, piece.start, piece.steps) for piece in pieces([1, 0, 1, 2, -1])]
        [(0, 1, (0, -1)), (2, 1, (0, 1)), (4, 0, None)]
    """
    whole = _nested(indices)
    if whole is not None:
        return [whole]
    found, first = [], 0
    while first < len(indices):
        count = _even(indices, first)
        if indices[first] < 0:
            found.append(Piece(first, (1, count)))
        else:
            step = indices[first + 1] - indices[first] if count > 1 else 0
            found.append(Piece(first, (1, count), indices[first], (0, step)))
        first += count
    return found


def _even(indices: Sequence[int], first: int) -> int:
    """How many places from one on follow one another in even steps; zeros keep to themselves."""
    end = first + 1
    while end < len(indices) and (indices[end] < 0) == (indices[first] < 0):
        if indices[end] - indices[end - 1] != indices[first + 1] - indices[first]:
            break
        end += 1
    return end - first


def _nested(indices: Sequence[int]) -> Piece | None:
    """All places as steps within steps, if they are."""
    inner = _even(indices, 0)
    outer, rest = divmod(len(indices), inner)
    if rest or min(indices) < 0:
        return None
    near = indices[1] - indices[0] if inner > 1 else 0
    far = indices[inner] - indices[0] if outer > 1 else 0
    steps = [indices[0] + i * far + j * near for i in range(outer) for j in range(inner)]
    return Piece(0, (outer, inner), indices[0], (far, near)) if steps == list(indices) else None

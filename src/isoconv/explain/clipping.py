"""Clipping by the global norm in terms: squares in blocks, the norm, the factor that shortens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isoconv.arithmetic.sums import NORM_BLOCK
from isoconv.graph.terms import Element, Formula, Number, Partials, Term, Tree


def block_terms(size: int) -> tuple[Partials, ...]:
    """The sums of squares of a flat vector's blocks, of which operand 0 is the vector.

    Args:
        size: elements of the vector; the last block may be shorter than `NORM_BLOCK`.

    Example:
        >>> [len(block.terms) for block in block_terms(5000)]
        [4096, 904]
    """
    elements = [Element(0, (i,)) for i in range(size)]
    return tuple(
        Partials(tuple(each * each for each in elements[first : first + NORM_BLOCK]))
        for first in range(0, size, NORM_BLOCK)
    )


def norm_term(blocks: Sequence[Term]) -> Formula:
    """The norm of a vector from its blocks' sums of squares: their tree, then the root.

    Args:
        blocks: the sums, as terms or as elements that hold them.

    Example:
        >>> from isoconv.graph.values import evaluate
        >>> float(evaluate(norm_term(block_terms(2)), [np.float32([3, 4])]))
        5.0
    """
    return Formula("sqrt({0})", (Tree(tuple(blocks)),), np.sqrt)


def factor_term(norm: Any, limit: float) -> Formula | Number:
    """The factor for a gradient, of which operand 0 is the norm, of shape (1,).

    Args:
        norm: its value, on which it depends whether there is anything to shorten.
        limit: the greatest norm that is left as it is.

    Example:
        >>> factor_term(np.float32(2), 1.0).text, factor_term(np.float32(0.5), 1.0).value
        ('{0} / {1}', 1.0)
    """
    if norm > np.float32(limit):
        return Formula("{0} / {1}", (Number(limit), Element(0, (0,))), np.divide)
    return Number(1.0)

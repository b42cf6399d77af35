"""Clipping and the sum over shards by terms: the arithmetic's bits, and the kernels'."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.compile.clipping import clip
from tests.compile.places import same_bits
from tests.ops.by_terms import mixed

from isoconv.arithmetic.sums import partial_sum, square_norm_blocks, tree_sum
from isoconv.explain.clipping import block_terms, factor_term, norm_term
from isoconv.graph.operation import Array
from isoconv.graph.terms import Element, Number, Partials, Tree
from isoconv.graph.values import evaluate


def one(value: Any) -> Array:
    """A number as an array."""
    return np.asarray(value).reshape(1)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 9000), st.integers(0, 999), st.sampled_from([0.0, 0.01]))
@example(4096, 1, 0.0)
@example(4097, 2, 0.0)
@example(8193, 3, 0.0)
def test_norm(size: int, seed: int, share: float) -> None:
    """Rounded squares in eight partial sums, blocks of 4096 by the tree, then the root."""
    vector = mixed((size,), "float32", seed, share)
    with np.errstate(all="ignore"):
        wanted = np.sqrt(square_norm_blocks(vector))
    same_bits(one(evaluate(norm_term(block_terms(size)), [vector])), one(wanted))


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_kernels(limit: float) -> None:
    """The factor by terms is the kernels', of two blocks and a short third one."""
    vector = mixed((2 * 4096 + 13,), "float32", 4)
    norm = evaluate(norm_term(block_terms(vector.size)), [vector])
    factor = evaluate(factor_term(norm, limit), [one(norm)])
    same_bits(one(factor), one(clip(vector, limit)[1]))
    assert (factor == 1) == (limit > 1)


@pytest.mark.parametrize("limit", [0.1, 5.0, 5.1, 1e30])
def test_factor(limit: float) -> None:
    """Limit / norm where the norm is greater, else 1; a norm that is no number shortens nothing."""
    for norm in np.array([5, 0, np.inf, np.nan], np.float32):
        wanted = np.float32(limit) / norm if norm > np.float32(limit) else np.float32(1)
        term = factor_term(norm, limit)
        assert isinstance(term, Number) == (not norm > np.float32(limit))
        same_bits(one(evaluate(term, [one(norm)])), one(wanted))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", range(1, 18))
def test_shards(count: int, dtype: str) -> None:
    """The tree over any number of shards, whose own sums may be terms too."""
    values = mixed((count, 19), dtype, count)
    found = evaluate(Tree(tuple(Element(0, (i, 3)) for i in range(count))), [values], dtype)
    same_bits(one(found), one(tree_sum(list(values[:, 3]))))
    sums = tuple(Partials(tuple(Element(0, (i, j)) for j in range(19))) for i in range(count))
    wanted = tree_sum([partial_sum(row) for row in values])
    same_bits(one(evaluate(Tree(sums), [values], dtype)), one(wanted))

"""Shards are dealt to workers by their speed, in runs that few sums cover."""

from __future__ import annotations

import pytest

from isoconv.cluster.deal import deal, nodes_of


@pytest.mark.parametrize("rates", [[1.0], [1.0, 1.0], [3.0, 1.0, 1e-9], [0.1] * 5, [2.0, 7.0, 1.0]])
@pytest.mark.parametrize("run", [range(1), range(7), range(5, 69), range(1000)])
def test_every_shard_has_one_worker(run: range, rates: list[float]) -> None:
    """Runs lie behind one another, each within an eighth and a shard of its worker's share."""
    runs = deal(run, rates)
    assert len(runs) == len(rates)
    assert [shard for each in runs for shard in each] == [*run]
    total = 0.0
    for rate in rates:
        total += rate
    for each, rate in zip(runs, rates, strict=True):
        share = len(run) * rate / total
        assert abs(len(each) - share) <= share / 4 + 1


def test_cuts_lie_between_subtrees() -> None:
    """Nearly equal workers hand over one sum each, and a slow one gets less."""
    assert deal(range(64), [1.0, 1.05, 0.97, 1.01]) == [
        range(16), range(16, 32), range(32, 48), range(48, 64)
    ]  # fmt: skip
    assert [len(nodes_of(run, 64)) for run in deal(range(64), [1.0, 1.05])] == [1, 1]
    assert [len(run) for run in deal(range(64), [3.0, 1.0])] == [48, 16]

"""The model of a cluster's steps, by cases that can be worked out by hand."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from bench.cluster_model import Costs, main, rows, step, stops

FREE = Costs(64, 1.0, 0.001, 1e-9, 1e-9, 1e-9, 1e-9)


def test_what_costs_nothing_scales() -> None:
    """Up to the shards there are, and no further."""
    for workers in (1, 2, 4, 64):
        assert step(FREE, workers, 10).seconds == pytest.approx(64 / workers)
    assert step(FREE, 128, 10).seconds == pytest.approx(1)
    assert stops(FREE, 10) == (64, "there are no more shards")
    assert [row[1] for row in rows(FREE)][:3] == ["1", "2", "4"]


@pytest.mark.parametrize(
    ("dear", "why"),
    [
        ({"sums_bytes": 1.25e9}, "sums that travel"),
        ({"driver_seconds": 1.0}, "calls and additions"),
        ({"update_seconds": 30.0}, "the update"),
    ],
)
def test_why_it_ends(dear: dict[str, float], why: str) -> None:
    """What is made dear is named."""
    last, reason = stops(replace(FREE, **dear), 10)  # type: ignore[arg-type]
    assert last < 64
    assert reason == why


def test_three_transfers_of_a_tree() -> None:
    """Eight workers join in three levels; the total goes over in three turns, or in seven."""
    costs = replace(FREE, sums_bytes=1.25e9)
    assert step(costs, 8, 10).tree == pytest.approx(3)
    assert step(costs, 8, 10).total == pytest.approx(3)
    assert step(costs, 8, 10, handed_on=False).total == pytest.approx(7)


def test_costs_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """All costs of one's own need nothing that was measured; a cost of 0 is refused."""
    values = asdict(replace(FREE, shards=8)).items()
    given = [word for name, value in values for word in (f"--{name.replace('_', '-')}", str(value))]
    assert main(given) == 0
    assert "10 Gbit/s: 8 workers; then there are no more shards" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*given[:-1], "0"])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    assert "--add-seconds SECONDS" in told
    assert "seconds for adding two such vectors" in told
    assert "\n    python -m bench.cluster_model --shards 64" in told

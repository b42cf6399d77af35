"""Writes how fast steps are on a cluster, by the model of its costs, into docs/cluster.md.

    python -m scripts.document_cluster

The costs are those of ``bench/results/cluster.json``, the speeds are computed from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.cluster_model import GBITS, Costs, measured, rows, stops
from scripts.marks import between_marks, table, write

PAGE = Path(__file__).parents[1] / "docs" / "cluster.md"
LARGE = 1024
"""Shards of a batch that has one for each worker of the largest cluster."""


def works() -> Iterator[tuple[str, Costs]]:
    """What was measured, with its own batch and with a large one."""
    for work, costs in measured().items():
        yield f"{work}, {costs.shards} shards", costs
        yield f"{work.partition(' [')[0]}, {LARGE:,} shards", replace(costs, shards=LARGE)


def costs_table() -> str:
    """What the parts of a step cost."""
    heads = (
        "work",
        "a shard",
        "sums",
        "adding two",
        "update",
        "a call",
        "the driver, for each call",
    )
    return table(heads, [
        (
            work, f"{costs.shard_seconds * 1e3:.1f} ms", f"{costs.sums_bytes / 1e6:.1f} MB",
            *(f"{seconds * 1e3:.2f} ms" for seconds in (
                costs.add_seconds, costs.update_seconds, costs.call_seconds, costs.driver_seconds
            )),
        )
        for work, costs in measured().items()
    ])  # fmt: skip


def ends() -> str:
    """Where each stops to scale, and why."""
    heads = ("work", *(f"{gbits} Gbit/s" for gbits in GBITS))
    return table(heads, [
        (work, *(f"{last:,}: {why}" for last, why in (stops(costs, gbits) for gbits in GBITS)))
        for work, costs in works()
    ])  # fmt: skip


def speeds() -> str:
    """How many times as fast as one machine the large batches are."""
    texts = []
    for work, costs in works():
        if costs.shards == LARGE:
            heads = (f"workers, {work}", *(f"{gbits} Gbit/s" for gbits in GBITS))
            texts.append(table(heads, rows(costs)))
    return "\n".join(texts)


def documented(page: str) -> str:
    """The page with everything between its marks made anew."""
    texts = {"costs": costs_table(), "ends": ends(), "speeds": speeds()}
    return between_marks(page, texts)


if __name__ == "__main__":
    write(PAGE, documented)

r"""How fast a step is on a cluster, computed from what its parts cost on one machine.

    python -m bench.cluster_model                          # the costs of bench/results/cluster.json
    python -m bench.cluster_model --shards 64 --shard-seconds 0.02 --sums-bytes 1e8 \
        --add-seconds 0.01 --update-seconds 0.02 --call-seconds 0.0005 --driver-seconds 0.0002

Shards are dealt out and sums are added as `isoconv.cluster` does it. Workers are equal, each on a
node of its own with one link, which takes in one vector of sums at a time; nothing is lost and
nobody is late. How the total comes to all nodes is Ray's affair, so that a step lies between two
cases: each node that has a copy hands it on to another, or its owner sends all copies itself.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise, takewhile
from math import ceil, log2
from typing import Any

from bench.results import FOLDER
from isoconv.cluster.deal import deal, nodes_of
from isoconv.run.tree import Pair, TreeNode, walk

__all__ = ["GBITS", "WORKERS", "Costs", "Parts", "measured", "rows", "step", "stops"]

WORKERS = tuple(2**power for power in range(11))
GBITS = (1, 10, 25, 100)


def _of(what: str) -> Any:
    """A field, and what it holds."""
    return field(metadata={"what": what})


@dataclass(frozen=True)
class Costs:
    """What the parts of a step cost; each field says of what."""

    shards: int = _of("shards of a step")
    shard_seconds: float = _of("seconds that a worker needs for a shard")
    sums_bytes: float = _of("bytes of a vector of sums: gradients, statistics, metrics")
    add_seconds: float = _of("seconds for adding two such vectors")
    update_seconds: float = _of("seconds for an update of the weights")
    call_seconds: float = _of("seconds from a call of a worker to its answer")
    driver_seconds: float = _of("seconds of the driver for each of its calls")


@dataclass(frozen=True)
class Parts:
    """Seconds of a step, one after the other.

    Attributes:
        shards: until the last worker has run its own.
        tree: from there until the total is there.
        total: until all nodes have it.
        calls: that the driver still has to make by then.
        update: of the weights.
    """

    shards: float
    tree: float
    total: float
    calls: float
    update: float

    @property
    def seconds(self) -> float:
        """Of the whole step."""
        return self.shards + self.tree + self.total + self.calls + self.update


def step(costs: Costs, workers: int, gbits: float, *, handed_on: bool = True) -> Parts:
    """A step of so many workers on links of so many Gbit/s.

    Args:
        costs: of its parts.
        workers: how many.
        gbits: of each node's link, in either direction.
        handed_on: whether nodes that have the total hand it on; otherwise one node sends it to all.

    Example:
        >>> costs = Costs(8, 1.0, 125e6, 0.5, 0.25, 0.0, 0.0)
        >>> step(costs, 4, 1)
        Parts(shards=2.0, tree=3.0, total=2.0, calls=0.0, update=0.25)
        >>> step(costs, 1, 1)
        Parts(shards=8.0, tree=0.0, total=0.0, calls=0.0, update=0.25)
    """
    transfer = costs.sums_bytes * 8 / (gbits * 1e9)
    runs = deal(range(costs.shards), [1.0] * workers)
    # The driver calls one after the other, first for shards, then for sums, then for updates.
    free = [
        (worker + 1) * costs.driver_seconds + costs.call_seconds + len(run) * costs.shard_seconds
        for worker, run in enumerate(runs)
    ]
    link = [0.0] * workers
    shards = max(free)
    places: dict[TreeNode, tuple[float, int]] = {
        node: (free[worker], worker)
        for worker, run in enumerate(runs)
        for node in nodes_of(run, costs.shards)
    }
    order, (whole,) = walk(list(places), costs.shards)
    for pair in order:
        if isinstance(pair, Pair):
            (left, by), (right, other) = places.pop(pair.left), places.pop(pair.right)
            if other != by:
                right = link[by] = max(right, link[by]) + transfer
            done = max(left, right, free[by]) + costs.add_seconds + costs.call_seconds
            free[by] = done
            places[pair.node] = done, by
    asked = 2 * workers + sum(isinstance(pair, Pair) for pair in order)
    # Those without shards make the update, too.
    copies = ceil(log2(workers)) if handed_on else workers - 1
    there, total = places[whole][0], copies * transfer
    calls = max(0.0, asked * costs.driver_seconds - there - total)
    update = costs.update_seconds + costs.call_seconds
    return Parts(shards, there - shards, total, calls, update)


def speed(costs: Costs, workers: int, gbits: float, *, handed_on: bool = True) -> float:
    """How many times as fast as one such machine without a cluster."""
    alone = costs.shards * costs.shard_seconds + costs.update_seconds
    return alone / step(costs, workers, gbits, handed_on=handed_on).seconds


def rows(costs: Costs) -> list[tuple[str, ...]]:
    """A row for each number of workers: their speed on each link, the lower case to the higher."""
    found = []
    for workers in WORKERS:
        cells = []
        for gbits in GBITS:
            low, high = (
                f"{speed(costs, workers, gbits, handed_on=way):.3g}" for way in (False, True)
            )
            cells.append(high if low == high else f"{low} to {high}")
        found.append((f"{workers:,}", *cells))
    return found


def stops(costs: Costs, gbits: float) -> tuple[int, str]:
    """Up to how many workers twice as many are a half faster, and what stops them then."""
    pairs = list(pairwise(WORKERS))
    gains = takewhile(
        lambda pair: speed(costs, pair[1], gbits) >= 1.5 * speed(costs, pair[0], gbits), pairs
    )
    last = ([1] + [more for _, more in gains])[-1]
    if last >= costs.shards:
        return last, "there are no more shards"
    if last == WORKERS[-1]:
        return last, "nothing up to there"
    parts = step(costs, 2 * last, gbits)
    transfer = costs.sums_bytes * 8 / (gbits * 1e9)
    moved = parts.total + min(parts.tree, ceil(log2(2 * last)) * transfer)
    begun = costs.call_seconds + 2 * last * costs.driver_seconds
    share = {
        "sums that travel": moved,
        "calls and additions": begun + parts.calls + parts.tree + parts.total - moved,
        "the update": parts.update,
        "shards that do not divide evenly": parts.shards
        - begun
        - costs.shards * costs.shard_seconds / (2 * last),
    }
    return last, max(share, key=lambda name: share[name])


def measured() -> dict[str, Costs]:
    """The costs of what was measured by ``python -m bench cluster``, by its work.

    Raises:
        FileNotFoundError: nothing was.
    """
    content = json.loads((FOLDER / "cluster.json").read_text("utf-8"))
    names = [cost.name for cost in fields(Costs)]
    return {
        row["work"].partition(",")[0]: Costs(**{name: row["costs"][name] for name in names})
        for row in content["rows"]
    }


def main(arguments: list[str] | None = None) -> int:
    """Print a table for each work, or for costs that are given."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.cluster_model",
        description=__doc__,
        epilog="A cost that is not given is the measured one, of each work; with all seven given,\n"
        "nothing needs to be measured.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for cost in fields(Costs):
        kind: Any = int if cost.name == "shards" else float
        unit = "COUNT" if kind is int else cost.name.rpartition("_")[2].upper()
        word, what = f"--{cost.name.replace('_', '-')}", cost.metadata["what"]
        parser.add_argument(word, type=kind, dest=cost.name, metavar=unit, help=what)
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items()
             if value is not None}  # fmt: skip
    if any(value <= 0 for value in given.values()):
        parser.error(f"all costs must be above 0; got {given}")
    try:
        works = measured()
    except FileNotFoundError:
        if len(given) < len(fields(Costs)):
            parser.error("all costs must be given, or measured before (python -m bench cluster)")
        works = {"given": Costs(**given)}
    if len(given) == len(fields(Costs)):
        works = {"given": Costs(**given)}
    for work, costs in works.items():
        own = Costs(**{**asdict(costs), **given})
        print(f"{work}: {own}")
        print("workers", *(f"{gbits} Gbit/s" for gbits in GBITS), sep="\t")
        for row in rows(own):
            print(*row, sep="\t")
        for gbits in GBITS:
            last, why = stops(own, gbits)
            print(f"{gbits} Gbit/s: {last:,} workers; then {why}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

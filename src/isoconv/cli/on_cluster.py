"""Options of commands whose work a cluster can do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from isoconv.wording import called

if TYPE_CHECKING:
    from isoconv.cluster.settings import Cluster

ClusterAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Do that by the machines of a Ray cluster in place of --workers: auto, or HOST:PORT.",
        show_default=False,
    ),
]


def cluster_at(address: str | None, *, audit: float = 0.0) -> Cluster | None:
    """The cluster at an address; None for none.

    Raises:
        ArgumentError: the address is written in another way, or the audit out of range.
    """
    from isoconv.cluster.settings import Cluster

    if address is None:
        return None
    # What a worker that died was still asked for is told in isoconv's words alone.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    with called(address="--cluster", audit="--audit"):
        return Cluster(address, audit=audit)

"""A cluster as a person names it: what makes the executor of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isoconv.checks import check_count, check_number, check_text, refusal, settle

if TYPE_CHECKING:
    from isoconv.cluster.mapper import ClusterMapper
    from isoconv.graph.operation import Array
    from isoconv.run.executor import Executor
    from isoconv.run.step import StepGraph

__public__ = {"isoconv": ["Cluster"]}


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster on which a training runs, to the bits of one machine.

    Each node that has processors to give gets a worker, which runs some shards of each step. Who
    runs them, dies or joins changes no bit. This process has to be on a machine of the cluster.
    `isoconv.verify`, `isoconv.cross_validate` and `isoconv.grid_search` take one as ``cluster=``:
    there a worker has a stretch of epochs, or a fold, to itself.

    Args:
        address: ``"auto"`` for the cluster that this machine is part of, or ``"host:port"``.
        cpus: processors of a worker; None for all of its node.
        audit: share of the work that is done twice, from 0 to 1; a worker whose sums are wrong is
            named and put aside.
        patience: seconds for which workers are waited for, where there are none, or one gives no
            sign of life; what that one was at is given to another.

    Raises:
        ArgumentError: a setting outside its range.

    Example:
        >>> import isoconv as ic
        >>> trainer = ic.Trainer("small_resnet", executor=ic.Cluster("auto", audit=0.01))
        >>> trainer.executor
        Cluster(address='auto', cpus=None, audit=0.01, patience=60)
    """

    address: str = "auto"
    cpus: int | None = None
    audit: float = 0.0
    patience: float = 60

    def __post_init__(self) -> None:
        address = check_text("address", self.address)
        host, _, port = address.rpartition(":")
        known = host and "/" not in host and port.isdecimal() and 0 < int(port) < 2**16
        if address != "auto" and not known:
            rule = 'be "auto" or host:port of a cluster that this machine is part of'
            raise refusal("address", rule, self.address)
        settle(
            self,
            address=address,
            cpus=None if self.cpus is None else check_count("cpus", self.cpus),
            audit=check_number("audit", self.audit, least=0, most=1),
            patience=check_number("patience", self.patience, above=0),
        )

    def __call__(
        self,
        step: StepGraph,
        data: Mapping[str, Array],
        *,
        batch_size: int,
        shard_size: int,
        seed: int,
        threads: int | None,
        target: str | None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Executor:
        """The executor of a training, for `isoconv.Trainer`.

        Raises:
            MissingExtraError: Ray is not installed.
            TrainingError: no cluster answers, or none of its nodes can take part.
            NotEnoughMemoryError: training needs more memory than there is.
        """
        from isoconv.cluster.executor import ClusterExecutor

        return ClusterExecutor(
            step, data, batch_size=batch_size, shard_size=shard_size, seed=seed, threads=threads,
            target=target, progress=progress, address=self.address, cpus=self.cpus,
            audit=self.audit, patience=self.patience,
        )  # fmt: skip

    def mapper(
        self, tell: Callable[[str], None], writes: Path | None = None, reads: Sequence[Path] = ()
    ) -> ClusterMapper:
        """Who works on independent pieces, for what takes ``cluster=``.

        Args:
            tell: says a line to a person.
            writes: a folder that workers write to; None for none. Who does not see it is refused.
            reads: files that they must see, likewise.

        Raises:
            ArgumentError: an audit is asked for, which is for trainings.
            MissingExtraError: Ray is not installed.
            TrainingError: no cluster answers.
        """
        from isoconv.cluster.mapper import ClusterMapper

        if self.audit:
            rule = (
                "be 0 where each worker has a fold, a stretch or a part to itself: an audit is of "
                "steps that workers share"
            )
            raise refusal("audit", rule, self.audit)
        return ClusterMapper(self.address, self.cpus, self.patience, tell, writes, reads)

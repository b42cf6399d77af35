"""Independent pieces of work on the nodes of a Ray cluster (`isoconv.run.pieces.Mapper`)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar

from isoconv.cluster.connection import Connection
from isoconv.cluster.crew import Crew, Task
from isoconv.cluster.piece_worker import digest_of
from isoconv.graph.passes import passes_are_checked
from isoconv.run.piece_worker import Surroundings
from isoconv.run.pieces import Work
from isoconv.train.files import cannot_be_written
from isoconv.wording import spoken_options

__all__ = ["ClusterMapper"]

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_MARK = ".isoconv-cluster"
"""A file by which workers see whether a folder is the driver's."""
_MOMENT = 0.2
"""Seconds for which answers are waited for before nodes are looked for again."""


class ClusterMapper:
    """Works on a piece with each worker of a cluster.

    The work goes to each node once, and its arrays are read where they lie, so it may not write to
    them. A piece whose worker dies is done again; nodes that join are given pieces.

    Args:
        address: of the cluster.
        cpus: of each worker; None for all that its node has.
        patience: seconds for which somebody to work is waited for.
        tell: says a line to a person.
        writes: a folder that workers write to, and so have to see; None for none.
        reads: files that they have to see: of many that lie together one will do.
        connect: makes the connection to the cluster.

    Raises:
        MissingExtraError: Ray is not installed.
        TrainingError: no cluster answers.
    """

    def __init__(
        self,
        address: str,
        cpus: int | None,
        patience: float,
        tell: Callable[[str], None],
        writes: Path | None = None,
        reads: Sequence[Path] = (),
        connect: Callable[[str], Connection] = Connection,
    ) -> None:
        self._writes, self._reads = writes, reads
        self._cpus, self._patience, self._tell = cpus, patience, tell
        self._connection = connect(address)

    @property
    def size(self) -> int:
        """How many can work at the same time, as the cluster is now."""
        count = 0
        for node in self._connection.nodes():
            count += 1 if self._cpus is None else max(1, node.cpus // self._cpus)
        return max(1, count)

    def map(
        self,
        work: Work[Piece, Result],
        pieces: Iterable[Piece],
        told: Callable[[Piece, Any], None] | None = None,
    ) -> Generator[tuple[Piece, Result], None, None]:
        """See `isoconv.run.pieces.Mapper`.

        Raises:
            TrainingError: three workers died with a piece; or nobody can work.
        """
        around = Surroundings(passes_are_checked(), None, spoken_options())
        waiting, ended = iter(pieces), False
        with ExitStack() as opened:
            crew = Crew(
                self._connection, self._connection.put(work), around, self._cpus, self._patience,
                self._tell, self._sees(opened),
            )  # fmt: skip
            opened.callback(crew.close)
            while True:
                crew.look()
                for hand in crew.free():
                    if crew.lost:
                        crew.give(hand, crew.lost.pop(0))
                    elif not ended:
                        try:
                            crew.give(hand, Task(next(waiting)))
                        except StopIteration:
                            ended = True
                if ended and not crew.lost and not any(hand.task for hand in crew.hands):
                    return
                for hand, kind, content in crew.answers(_MOMENT):
                    task = hand.task
                    if task is None:
                        continue
                    if kind == "told":
                        if told is not None:
                            told(task.piece, content)
                    elif kind == "warned":
                        warnings.warn(content, stacklevel=2)
                    else:
                        hand.task = hand.answer = None
                        if kind == "failed":
                            raise content
                        yield task.piece, content

    def _sees(self, opened: ExitStack) -> dict[str, str]:
        """Files that workers must see, with their digests; a mark of the folder among them."""
        files = [*self._reads]
        if self._writes is not None:
            mark = self._writes / _MARK
            try:
                mark.write_text(token_hex(16), "utf-8")
            except OSError as error:
                raise cannot_be_written(mark, error) from error
            opened.callback(mark.unlink, missing_ok=True)
            files.append(mark)
        return {str(file): digest_of(file) for file in files}

    def close(self) -> None:
        """Leave the cluster."""
        self._connection.close()

    def __enter__(self) -> ClusterMapper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""Independent pieces of work on the nodes of a Ray cluster (`isoconv.run.pieces.Mapper`)."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, suppress
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

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_MARK = ".isoconv-cluster-"
"""How a file is called by which workers see whether a folder is the driver's, and then a token."""
_LEFT = 86_400.0
"""Seconds after which a mark has been left by a driver that was killed; others renew theirs."""
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
            mark = None if self._writes is None else opened.enter_context(Mark(self._writes))
            files = [*self._reads, *(() if mark is None else (mark.path,))]
            crew = Crew(
                self._connection, self._connection.put(work), around, self._cpus, self._patience,
                self._tell, {str(file): digest_of(file) for file in files},
            )  # fmt: skip
            opened.callback(crew.close)
            while True:
                if mark is not None:
                    mark.renew()
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
                    if task is None or hand not in crew.hands:
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

    def close(self) -> None:
        """Leave the cluster."""
        self._connection.close()

    def __enter__(self) -> ClusterMapper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Mark:
    """A file by which workers see whether a folder is the driver's, there while it is open.

    Each driver has one of its own: several may write to a folder at the same time.

    Args:
        folder: which it is in.

    Attributes:
        path: of the file.

    Raises:
        CheckpointError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{_MARK}{token_hex(16)}"
        self._renewed = time.monotonic()

    def renew(self) -> None:
        """See that nobody takes it for one that was left."""
        now = time.monotonic()
        if now - self._renewed > _LEFT / 24:
            self._renewed = now
            with suppress(OSError):
                os.utime(self.path)

    def __enter__(self) -> Mark:
        try:
            self.path.write_text(self.path.name, "utf-8")
            now = self.path.stat().st_mtime
        except OSError as error:
            raise cannot_be_written(self.path, error) from error
        for other in self.path.parent.glob(f"{_MARK}*"):
            with suppress(OSError):
                if now - other.stat().st_mtime > _LEFT:
                    other.unlink()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.path.unlink()

"""A worker on a node that works on independent pieces, and says what comes of them as it comes."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from isoconv.cores import set_part
from isoconv.graph.passes import check_passes
from isoconv.run.piece_worker import Surroundings, answer
from isoconv.train.plain_settings import versions
from isoconv.wording import spoken_on_the_command_line

__all__ = ["PieceWorker"]


class PieceWorker:
    """What runs in a process of a node; the driver calls it, and calls come in their order."""

    def __init__(self) -> None:
        self._work: Any = None
        self._around: Surroundings | None = None

    def about(self) -> dict[str, Any]:
        """Versions of the software, and the process."""
        return {**versions(), "pid": os.getpid()}

    def prepare(self, work: Any, around: Surroundings, cpus: int) -> None:
        """Take the work, whose arrays lie in the node's object store, and so many processors."""
        self._work, self._around = work, around
        check_passes(around.passes_checked)
        set_part(cpus)

    def work(self, piece: Any) -> Iterator[tuple[str, Any]]:
        """What is told of a piece and what it warns of, then what came of it ("done", "failed")."""
        said: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

        def run() -> None:
            with ExitStack() as speaks:
                if self._around is not None and self._around.options is not None:
                    speaks.enter_context(spoken_on_the_command_line(self._around.options))
                answer(lambda: self._work, lambda: piece, lambda *what: said.put(what))

        # What is told goes out while the work goes on.
        thread = threading.Thread(target=run, name="isoconv-piece", daemon=True)
        thread.start()
        kind = ""
        while kind not in ("done", "failed"):
            kind, content = said.get()
            yield kind, content
        thread.join()

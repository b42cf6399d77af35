"""A worker on a node that works on independent pieces, and says what comes of them as it comes."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from isoconv.cluster.signs import Living
from isoconv.cores import set_part
from isoconv.errors import IsoconvError
from isoconv.files import open_file
from isoconv.graph.passes import check_passes
from isoconv.run.piece_worker import Surroundings, answer
from isoconv.train.plain_settings import versions
from isoconv.wording import spoken_on_the_command_line

_HEAD = 1 << 16


def digest_of(path: Path) -> str:
    """SHA-256 of how a file begins; "" where there is none that can be read."""
    try:
        with open_file(path) as file:
            return hashlib.sha256(file.read(_HEAD)).hexdigest()
    except (OSError, IsoconvError):
        return ""


class PieceWorker(Living):
    """What runs in a process of a node; the driver calls it, and calls come in their order."""

    def __init__(self) -> None:
        self._work: Any = None
        self._around: Surroundings | None = None

    def about(self, place: str, sees: Mapping[str, str]) -> dict[str, Any]:
        """Versions of the software, the process, and which files it does not see.

        Args:
            place: the folder in which the driver is, where the work has to do with files.
            sees: files that the driver sees, with the digests of how they begin.
        """
        if sees:
            with suppress(OSError):
                os.chdir(place)
        unseen = [path for path, digest in sees.items() if digest_of(Path(path)) != digest]
        return {**versions(), "pid": os.getpid(), "unseen": unseen}

    def prepare(self, work: Any, around: Surroundings, cpus: int) -> None:
        """Take the work, whose arrays lie in the node's object store, and so many processors.

        Args:
            work: what is done with each piece.
            around: what is to be known of the driver.
            cpus: how many processors there are for it.
        """
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

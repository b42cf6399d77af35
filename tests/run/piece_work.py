"""Work for tests of pieces, in a module that other processes import."""

from __future__ import annotations

import os
import signal
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isoconv.errors import ArgumentError
from isoconv.graph.operation import Array
from isoconv.graph.passes import passes_are_checked
from isoconv.memory import limit_now
from isoconv.run.pieces import Tell
from isoconv.wording import setting


@dataclass
class Sums:
    """Sums rows of a large array, and says what it sees."""

    rows: Array
    fixed: Array
    names: dict[str, Any] = field(default_factory=dict)

    def __call__(self, piece: int, tell: Tell) -> tuple[int, dict[str, Any]]:
        """The sum of a row, and what is around."""
        tell(("begins", piece))
        if piece == 0:
            warnings.warn("of piece 0", UserWarning, stacklevel=1)
        self.rows[0, 0] += 1  # Seen by this process alone.
        os.write(1, b"what goes to standard output is no answer")
        around = {
            "process": os.getpid(),
            "writeable": (self.rows.flags.writeable, self.fixed.flags.writeable),
            "passes": passes_are_checked(),
            "memory": limit_now(),
            "words": setting("seed", "3"),
        }
        return int(np.sum(self.rows[1:][piece])), around


@dataclass
class Trouble:
    """Waits for other pieces, raises, or dies, as the piece says; leaves its number in a folder."""

    folder: Path

    def __call__(self, piece: str, tell: Tell) -> str:
        """As it says."""
        if piece == "stays":
            return self._stay(tell)
        tell(os.getpid())
        while piece in ("fails", "breaks", "dies") and not (self.folder / "all told").exists():
            time.sleep(0.01)
        if piece == "fails":
            raise ArgumentError("rate must be below 1; got 2", argument="rate", value=2)
        if piece == "breaks":
            raise ZeroDivisionError
        if piece == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        return piece

    def _stay(self, tell: Tell) -> str:
        try:
            tell(os.getpid())
            time.sleep(60)
        except KeyboardInterrupt:
            (self.folder / f"saved-{os.getpid()}").touch()
            raise
        return "stays"

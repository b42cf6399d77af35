"""Where the files of a run folder are, and which of them belong to what.

::

    RUN/
      run.json                      settings, model, data, versions; at the end the result
      receipt.json, steps.jsonl     what came of each epoch, for others to check
      samples.csv                   part, class, digest and path of every sample
      skipped.csv                   path and reason of every file that was left out, if any were
      metrics.jsonl                 one row for each epoch
      weights.safetensors           the model that the training leaves
      best.safetensors              the model of the best epoch
      checkpoints/last.json         where the run stands; names the file beside it and its SHA-256
      checkpoints/last-E-S.safetensors   parameters, states and optimizer vectors after E epochs
                                         and S steps of the next one
      checkpoints/epoch-E.safetensors    the same after E epochs, where they are kept
      .held                         there only while somebody trains into the folder: who that is
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from isoconv.checks import check_count, check_path
from isoconv.train.hold import HELD
from isoconv.train.stand import Stand


class Places:
    """The files of one run folder.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = check_path("path", path)

    @property
    def run_file(self) -> Path:
        """Settings and result."""
        return self.path / "run.json"

    @property
    def metrics_file(self) -> Path:
        """One JSON row for each epoch."""
        return self.path / "metrics.jsonl"

    @property
    def weights_file(self) -> Path:
        """The final weights."""
        return self.path / "weights.safetensors"

    @property
    def best_file(self) -> Path:
        """The weights of the best epoch."""
        return self.path / "best.safetensors"

    @property
    def receipt_file(self) -> Path:
        """What came of each epoch, for others to check."""
        return self.path / "receipt.json"

    @property
    def steps_file(self) -> Path:
        """The loss of every step, and each epoch's digest of every tensor."""
        return self.path / "steps.jsonl"

    @property
    def samples_file(self) -> Path:
        """Part, class, digest and path of every sample."""
        return self.path / "samples.csv"

    @property
    def skipped_file(self) -> Path:
        """Path and reason of every file that was left out."""
        return self.path / "skipped.csv"

    @property
    def checkpoint_file(self) -> Path:
        """Where the run stands."""
        return self.path / "checkpoints" / "last.json"

    @property
    def held_file(self) -> Path:
        """Who trains into the folder, while somebody does."""
        return self.path / HELD

    def kept_file(self, epoch: int) -> Path:
        """The state after so many epochs."""
        epoch = check_count("epoch", epoch, least=0, below=2**32)
        return self.checkpoint_file.parent / f"epoch-{epoch:05d}.safetensors"

    @property
    def crossed_file(self) -> Path:
        """What makes a folder that of a cross-validation, whose runs lie in it."""
        return self.path / "cross-validation.json"

    @property
    def grid_file(self) -> Path:
        """What makes a folder that of a search through a grid, likewise."""
        return self.path / "grid.json"

    @property
    def has_no_run(self) -> str:
        """In words, where there is no run.json."""
        if self.grid_file.exists():
            return "is a search through a grid, whose runs are the folders combination-1/fold-1 …"
        if self.crossed_file.exists():
            return "is a cross-validation, whose runs are the folders in it: fold-1 and so on"
        return "has no run.json"

    def kept_epochs(self) -> list[int]:
        """The epochs after which the state was kept, in order."""
        names = (path.stem for path in self.checkpoint_file.parent.glob("epoch-*.safetensors"))
        found = [int(name[6:]) for name in names if re.fullmatch(r"epoch-[0-9]{5,9}", name)]
        return sorted(epoch for epoch in found if self.kept_file(epoch).exists())

    @property
    def named(self) -> tuple[Path, ...]:
        """What always has the same name, but for run.json."""
        return (
            self.receipt_file, self.steps_file, self.samples_file, self.skipped_file,
            self.metrics_file, self.weights_file, self.best_file, self.checkpoint_file,
        )  # fmt: skip

    def _files(self) -> list[Path]:
        """The files that have a place in a run folder and are there, but for run.json."""
        arrays = (
            path
            for pattern in ("last-*.safetensors", "epoch-*.safetensors")
            for path in self.checkpoint_file.parent.glob(pattern)
        )
        return [path for path in (*self.named, *arrays) if path.exists()]

    def _of_a_start(self) -> tuple[Path, ...]:
        """What a training writes before its first step, but for run.json."""
        return (
            self.samples_file,
            self.skipped_file,
            self.kept_file(0),
            self.checkpoint_file.with_name(Stand.name(0, 0)),
            self.checkpoint_file,
            self.steps_file,
            self.receipt_file,
        )

    def _temporary(self) -> Iterator[Path]:
        """Files that were being written when their process was killed."""
        known = {path.name for path in (self.run_file, *self.named)}
        for folder in (self.path, self.checkpoint_file.parent):
            for path in folder.glob(".*.tmp"):
                found = _TEMPORARY.fullmatch(path.name)
                if found and (found[1] in known or _ARRAYS.fullmatch(found[1])):
                    yield path


_TEMPORARY = re.compile(r"\.(.+)\.[0-9]+\.[0-9]+\.tmp")
"""How `isoconv.nn.storage.replace_file` names them."""
_ARRAYS = re.compile(r"(last-[0-9]+-[0-9]+|epoch-[0-9]+)\.safetensors")

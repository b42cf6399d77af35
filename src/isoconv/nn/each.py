"""Predictions for any number of picture files, batch after batch, file by file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isoconv.data.pictures import PictureFiles
from isoconv.graph.operation import Array
from isoconv.nn.inference import files_as_trained, predict_read
from isoconv.nn.traced import trace_model

if TYPE_CHECKING:
    from isoconv.nn.module import Module

BATCH = 256
"""Most files of a batch."""
ROOM = 2**25
"""Numbers of the pictures of a batch, unless a single one has more."""


class FileResult(NamedTuple):
    """What came of one picture file.

    Attributes:
        path: of the file.
        result: of the model, float32; None for a file that cannot be read.
        reason: why it cannot be read; "" for all others.
    """

    path: Path
    result: Array | None
    reason: str = ""


def predict_each(
    model: Module,
    paths: Sequence[str | Path],
    *,
    scale: float | None = None,
    threads: int | None = None,
    target: str | None = None,
    told: Callable[[str], None] | None = None,
    finish: str | None = None,
) -> Iterator[FileResult]:
    """The results of `Module.predict_files` one after the other, in bounded memory.

    Each is the same to the last bit as among any others, and a file that cannot be read stops none.

    Args:
        model: a built model.
        paths: of the files; results come in their order.
        scale: as for `Module.predict_files`.
        threads: likewise.
        target: likewise.
        told: called in the end with what is to be told of the files that were read, line by line.
        finish: as for `Module.predict`.

    Raises:
        ArgumentError: as `Module.predict_files`.
        ShapeError: likewise.
        DataFileError: the model leaves open how pictures are to be read, and so do these files:
            not one of them can be read, or they do not go together.
        MissingExtraError: likewise.
    """
    files = files_as_trained(model, paths, scale, skip_bad=True)
    return _each(model, files, scale, threads, target, told, finish)


def _each(
    model: Module,
    files: PictureFiles,
    scale: float | None,
    threads: int | None,
    target: str | None,
    told: Callable[[str], None] | None,
    finish: str | None,
) -> Iterator[FileResult]:
    shape = model.input_shape or (1,)
    # Of results that are maps there are more numbers than of the pictures.
    given = trace_model(model, shape, training=False).output_tensor.shape
    size = max(1, min(BATCH, ROOM // max(prod(shape), prod(given))))
    for start in range(0, len(files.files), size):
        batch = files.files[start : start + size]
        read, images = files.read(batch)
        results = (
            predict_read(model, images, scale, threads=threads, target=target, finish=finish)
            if read
            else ()
        )
        found = dict(zip(read, results, strict=True))
        reasons = {each.path: each.reason for each in files.skipped()}
        for path in batch:
            yield FileResult(path, found.get(path), reasons.get(str(path), ""))
    if told is not None:
        for line in files.notes():
            told(line)

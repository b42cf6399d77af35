"""The explorer as the commands use it: a trained model, a picture, and what its run knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isoconv.data import Dataset
    from isoconv.explain.explorer import Explorer
    from isoconv.train import RunFolder

__all__ = ["explorer_of"]


def explorer_of(
    run: Path,
    image: Path | None,
    label: str | None,
    *,
    best: bool = False,
    data: str | None = None,
) -> Explorer:
    """An explorer of a run's or a saved model's network on a picture, with what the run knows.

    Args:
        run: a run folder, a saved model or a checkpoint.
        image: a picture file; None for the first one that the run was measured on, or without such
            ones for a picture of grey.
        label: the picture's class by name or number; None if it is not known.
        best: of a run folder, the best epoch.
        data: where a run's data are now; None for where they were.
    """
    from isoconv.explain.explorer import Explorer
    from isoconv.explain.history import follow
    from isoconv.explain.numbers import class_number
    from isoconv.train import RunFolder, load

    model = load(run, best=best)
    number = None if label is None else class_number(model, label)
    name = "" if image is None else image.name
    explorer = Explorer(model, image, number, title=str(run), name=name)
    if not run.is_dir():
        return explorer
    folder = RunFolder(run)
    images, part = _measured(run, folder, data)
    follow(explorer, folder, images, part)
    if image is None and images is not None:
        explorer.ask("picture", {"number": 0})
    return explorer


def _measured(run: Path, folder: RunFolder, data: str | None) -> tuple[Dataset | None, str]:
    """The images that a run was measured on; none, and a line, where they are not at hand."""
    from isoconv.cli.errors import note
    from isoconv.cli.runs import data_of_run, parts_of_run
    from isoconv.errors import IsoconvError

    description = folder.description()
    try:
        splits = parts_of_run(run, data or data_of_run(run, description), description, cache=True)
    except IsoconvError as error:
        if data is not None:
            raise
        note(f"the page has no images of the run: {error}")
        return None, ""
    if splits.test is not None:
        return splits.test, "test"
    return splits.validation, "" if splits.validation is None else "validation"

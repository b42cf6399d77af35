"""The explorer as the commands use it: a trained model, a picture, and what its run knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isoconv.data import Dataset
    from isoconv.explain.explorer import Explorer
    from isoconv.train import RunFolder


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
        image: a picture file; None for the first image of the run's test (or validation) part, or
            a picture of grey where the run's data are not at hand, which is said.
        label: the picture's class by name or number; None if it is not known.
        best: of a run folder, the best epoch.
        data: where a run's data are now; None for where they were.
    """
    from isoconv.explain.explorer import Explorer
    from isoconv.explain.given import class_number
    from isoconv.explain.history import follow
    from isoconv.explain.subject import Subject
    from isoconv.train import RunFolder, load

    model = load(run, best=best)
    number = None if label is None else class_number(model, label)
    name = "" if image is None else image.name
    if not run.is_dir():
        return Explorer(model, image, number, title=run.name, name=name)
    folder = RunFolder(run)
    title = _title(run, folder)
    left = Subject.of(run)
    start, notes = left.start()
    if left.model.digest() != model.digest():
        start = None
        notes = ["a step is known of the run's last weights and of kept epochs, not of these"]
    images, part = _images_of(run, data)
    explorer = Explorer(
        model, image, number, title=title, name=name, loss=left.loss, start=start, notes=notes
    )
    follow(explorer, folder, images, part)
    if image is None and images is not None and len(images):
        explorer.ask("picture", {"number": 0})
        if number is not None:
            explorer.ask("label", {"label": number})
    return explorer


def _title(run: Path, folder: RunFolder) -> str:
    """What the page is called: the run, and which model learned what."""
    facts = folder.description().get("facts")
    told = [facts.get(each) for each in ("model", "data")] if isinstance(facts, Mapping) else []
    known = [Path(each).name for each in told if isinstance(each, str) and each]
    return f"{run.resolve().name}: {' on '.join(known)}" if known else run.resolve().name


def _images_of(run: Path, data: str | None) -> tuple[Dataset | None, str]:
    """Images of a run that it has not learned from, and which part they are; None without any."""
    from isoconv.cli.errors import note
    from isoconv.cli.runs import measured_images
    from isoconv.errors import IsoconvError
    from isoconv.printable import printable

    try:
        return measured_images(run, data)
    except IsoconvError as error:
        if data is not None:
            raise
        note(f"the page has no images of the run: {printable(str(error))}")
        return None, ""

"""The explorer as the commands use it: a trained model, a picture, and what its run knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isoconv.explain.explorer import Explorer

__all__ = ["explorer_of"]


def explorer_of(
    run: Path, image: Path | None, label: str | None, *, best: bool = False
) -> Explorer:
    """An explorer of a run's or a saved model's network on a picture.

    Args:
        run: a run folder, a saved model or a checkpoint.
        image: a picture file; None for a picture of grey.
        label: the picture's class by name or number; None if it is not known.
        best: of a run folder, the best epoch.
    """
    from isoconv.explain.explorer import Explorer
    from isoconv.explain.numbers import class_number
    from isoconv.train import load

    model = load(run, best=best)
    number = None if label is None else class_number(model, label)
    name = "" if image is None else image.name
    return Explorer(model, image, number, title=str(run), name=name)

"""What a model may be read from besides run folders and files of isoconv's own: one table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isoconv.nn import Module
from isoconv.nn.models.published import PUBLISHED
from isoconv.onward import onward


@dataclass(frozen=True, slots=True)
class ModelKind:
    """A kind of thing that a model is made of, read by a room above.

    Attributes:
        title: what it is: "an ONNX file".
        place: file and name of the function that gives a built model of a path or a name, with
            all that belongs to it; see `isoconv.onward`.
        endings: of the files, in small letters.
        names: by which such models are known, where they are no files; a hyphen is as good as an
            underscore.
        says: whether it says how pictures are prepared for it; the function of one that does not
            takes ``normalise``, the name of a rule, or None.
    """

    title: str
    place: str
    endings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    says: bool = True

    def takes(self, source: str | Path) -> bool:
        """Whether this is one of the kind, by its name alone; what lies there goes before names."""
        path = Path(source)
        return path.suffix.lower() in self.endings or (
            str(source).replace("-", "_") in self.names and not path.exists()
        )

    def read(self, source: str | Path, normalise: str | None = None) -> Module:
        """The model, built."""
        more = {} if self.says else {"normalise": normalise}
        model: Module = onward(self.place)(source, **more)
        return model


KINDS: tuple[ModelKind, ...] = (
    ModelKind("a published model", place="exchange.published.pretrained", names=tuple(PUBLISHED)),
    ModelKind(
        "a file of PyTorch's", "exchange.published.load_weights", (".pt", ".pth"), says=False
    ),
    ModelKind("an ONNX file", "exchange.onnx.importing.load_onnx", (".onnx",), says=False),
)
"""Every kind there is."""


def kind_of(source: str | Path) -> ModelKind | None:
    """The kind of a source; None for a run folder, a saved model or a checkpoint."""
    return next((kind for kind in KINDS if kind.takes(source)), None)


def known_names() -> Iterator[str]:
    """The names by which models are known that are no files."""
    for kind in KINDS:
        yield from kind.names

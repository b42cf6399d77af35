"""All kinds of sources that are read from disk; each stands in a file of its own."""

from __future__ import annotations

# begin of names that `python -m scripts.public_names` writes
from isoconv.data.archive import NPZ
from isoconv.data.cifar import CIFAR
from isoconv.data.files import Format
from isoconv.data.idx import IDX
from isoconv.data.masks import MASK_FOLDER
from isoconv.data.packed import PACK
from isoconv.data.pictures import PICTURES

__all__ = [
    "CIFAR", "ENDINGS", "FORMATS", "IDX", "MASK_FOLDER", "NPZ", "PACK", "PICTURES", "Format",
    "stem",
]  # fmt: skip
# end of names

__public__ = {"isoconv.data.formats": ["ENDINGS", "FORMATS", "stem"]}

_ALL = [kind for name in __all__ if isinstance(kind := globals().get(name), Format)]
FORMATS: tuple[Format, ...] = tuple(sorted(_ALL, key=lambda kind: kind.general))
"""In the order in which they are asked about a path."""
ENDINGS = tuple(ending for kind in FORMATS for ending in kind.endings)
"""Of the names of all files that may be a source."""


def stem(name: str) -> str:
    """The name of a file or folder without the ending of a source.

    Example:
        >>> stem("My pets.NPZ"), stem("pets.v2")
        ('My pets', 'pets.v2')
    """
    ending = next((each for each in ENDINGS if name.lower().endswith(each)), "")
    return name[: len(name) - len(ending)]

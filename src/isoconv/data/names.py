"""The data sets that are known by name, and what their classes are called."""

from __future__ import annotations

__all__ = ["CLASS_NAMES", "SAMPLE", "class_names_of"]

SAMPLE = "fashion-sample"

_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_DIGITS = tuple("0123456789")
_CIFAR10 = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

CLASS_NAMES: dict[str, tuple[str, ...] | None] = {
    SAMPLE: _CLOTHES,
    "mnist": _DIGITS,
    "fashion-mnist": _CLOTHES,
    "cifar10": _CIFAR10,
    "cifar100": None,
}
"""None where the files themselves name the classes."""


def class_names_of(name: str) -> tuple[str, ...] | None:
    """Class names of a data set that is known by this name, or None.

    Example:
        >>> class_names_of("fashion-mnist")[9]
        'Ankle boot'
    """
    return CLASS_NAMES.get(name.lower())

"""What a model is made of, to notice whether it was changed since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from operator import contains, getitem, is_
from typing import TYPE_CHECKING, Any

from isoconv.graph.operation import Array

if TYPE_CHECKING:
    from isoconv.nn.module import Module

__all__ = ["Snapshot"]

_CLOSED = ("_parameters", "_states", "_predictors")


class Snapshot:
    """The modules of a model, their attributes, and where their weights are kept.

    Attributes are compared by identity, and so are the items of lists, tuples and dicts in them.
    Weights may be replaced; their names and places belong to the snapshot. The model itself is not
    held, so that it may keep its snapshot.

    Args:
        model: a model.
    """

    def __init__(self, model: Module) -> None:
        self._places: list[tuple[str, dict[str, Array], str]] = []
        self._dicts: list[dict[Any, Any]] = []
        self._lists: list[list[Any]] = []
        for path, module in model.named_modules():
            prefix = f"{path}." if path else ""
            for kind in ("_parameters", "_states"):
                own: dict[str, Array] = module.__dict__.setdefault(kind, {})
                self._places += [(prefix + name, own, name) for name in own]
            for holder in _holders(vars(module)):
                if holder is not vars(model):
                    (self._dicts if isinstance(holder, dict) else self._lists).append(holder)
        self._own = [own for _, own, _ in self._places]
        self._names = [name for _, _, name in self._places]
        self._content = self._found(_attributes(model))

    def fits(self, model: Module) -> bool:
        """Whether nothing but the values of weights was changed."""
        # This is asked for each prediction: everything is compared in a few long passes.
        found = self._found(_attributes(model))
        return (
            found.sizes == self._content.sizes
            and all(map(is_, found.objects, self._content.objects))
            and all(map(contains, self._own, self._names))
        )

    def _found(self, attributes: dict[str, Any]) -> _Content:
        """What the model's attributes and all that is held are made of, one behind the other."""
        dicts = [attributes, *self._dicts]
        sizes = [*map(len, dicts), *map(len, self._lists)]
        parts = (*dicts, *map(dict.values, dicts), *self._lists)
        return _Content(sizes, list(chain.from_iterable(parts)))

    def arrays(self) -> list[Array]:
        """Parameters and states, as they are now."""
        return list(map(getitem, self._own, self._names))

    def weights(self) -> dict[str, Array]:
        """Parameters and states by name, as they are now."""
        return {full: own[name] for full, own, name in self._places}


@dataclass(frozen=True, slots=True)
class _Content:
    """Sizes of dicts and lists, and the keys, values and items in them."""

    sizes: list[int]
    objects: list[Any]


def _attributes(model: Module) -> dict[str, Any]:
    """Without the predictors, which hold snapshots."""
    return {name: value for name, value in vars(model).items() if name != "_predictors"}


def _holders(value: Any, name: object = "") -> Iterator[Any]:
    """The dicts and lists in a value, those in it, and so on; modules and weights stay closed."""
    if name in _CLOSED or not isinstance(value, (dict, list, tuple)):
        return
    if not isinstance(value, tuple):
        yield value
    items = value.items() if isinstance(value, dict) else (("", item) for item in value)
    for key, item in items:
        yield from _holders(item, key)

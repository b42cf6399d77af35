"""What a model is made of, to notice whether it was changed since."""

from __future__ import annotations

from collections.abc import Iterator
from operator import contains, is_
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
        self._held: list[tuple[Any, tuple[Any, ...], tuple[Any, ...]]] = []
        for path, module in model.named_modules():
            prefix = f"{path}." if path else ""
            for kind in ("_parameters", "_states"):
                own: dict[str, Array] = module.__dict__.setdefault(kind, {})
                self._places += [(prefix + name, own, name) for name in own]
            for holder in _holders(vars(module)):
                if holder is not vars(model):
                    self._held.append((holder, *_content(holder)))
        self._model = _content(_attributes(model))
        self._own = [own for _, own, _ in self._places]
        self._names = [name for _, _, name in self._places]

    def fits(self, model: Module) -> bool:
        """Whether nothing but the values of weights was changed."""
        return (
            _is_as(_attributes(model), *self._model)
            and all(_is_as(*held) for held in self._held)
            and all(map(contains, self._own, self._names))
        )

    def weights(self) -> dict[str, Array]:
        """Parameters and states by name, as they are now."""
        return {full: own[name] for full, own, name in self._places}


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


def _content(holder: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Keys and values of a dict; nothing and the items of a list."""
    if isinstance(holder, dict):
        return tuple(holder), tuple(holder.values())
    return (), tuple(holder)


def _is_as(holder: Any, keys: tuple[Any, ...], values: tuple[Any, ...]) -> bool:
    """Whether a dict or a list holds the very same objects."""
    if len(holder) != len(values):
        return False
    if isinstance(holder, dict):
        return tuple(holder) == keys and all(map(is_, holder.values(), values))
    return all(map(is_, holder, values))

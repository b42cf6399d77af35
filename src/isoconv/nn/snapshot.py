"""What a model is made of, to notice whether it was changed since."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from operator import contains, is_
from typing import TYPE_CHECKING, Any

from isoconv.compile.native.fork import forks_wait_for
from isoconv.graph.operation import Array

if TYPE_CHECKING:
    from isoconv.nn.module import Module

_CLOSED = ("_parameters", "_states", "_predictors")

whole = threading.RLock()
"""Held while what belongs together in a model is changed, and while it is read.

That is its weights, and what it knows of its images: a prediction with some of one training and
some of another would be that of no model. Nobody holds it while predicting or compiling.
"""
forks_wait_for(whole, outer=True)

_changes = object()
_swaps = 0


@contextmanager
def changed_together() -> Iterator[None]:
    """Whoever reads a model finds all that is changed inside, or nothing of it."""
    global _swaps  # noqa: PLW0603 - what any prediction has to know of all modules
    with whole:
        try:
            yield
        finally:
            # In this order: who finds the new number finds that something was changed.
            note_change()
            _swaps += 1


def last_swap() -> int:
    """A number that stays the same until the next end of a ``changed_together``."""
    return _swaps


def note_change() -> None:
    """An attribute of some module was just set or deleted, or a weight replaced."""
    # A new object, not a number: of two threads that count at once, one may be lost.
    global _changes  # noqa: PLW0603 - what any snapshot has to know of all modules
    _changes = object()


def last_change() -> object:
    """An object that stays the same until ``note_change`` is called again."""
    return _changes


class Snapshot:
    """The modules of a model, their attributes, and where their weights are kept.

    Attributes are compared by identity, and so are the items of lists, tuples and dicts in them.
    Weights may be replaced; their names and places belong to the snapshot. The model itself is not
    held, so that it may keep its snapshot.

    As long as no attribute of any module was set and no weight replaced, which modules tell
    (`note_change`), only what changes without that is looked at: lists and dicts.

    Args:
        model: a model.
    """

    def __init__(self, model: Module) -> None:
        self._places: list[tuple[str, dict[str, Array], str]] = []
        self._modules: list[dict[Any, Any]] = []
        self._dicts: list[dict[Any, Any]] = []
        self._lists: list[list[Any]] = []
        self._noted = _changes
        self._model = weakref.ref(model)
        for path, module in model.named_modules():
            prefix = f"{path}." if path else ""
            for kind in ("_parameters", "_states"):
                own: dict[str, Array] = module.__dict__.setdefault(kind, {})
                self._places += [(prefix + name, own, name) for name in own]
            for holder in _holders(vars(module)):
                if holder is vars(module):
                    if module is not model:
                        self._modules.append(holder)
                elif isinstance(holder, dict):
                    self._dicts.append(holder)
                else:
                    self._lists.append(holder)
        self._own = [own for _, own, _ in self._places]
        self._names = [name for _, _, name in self._places]
        self._attributes = _content(self._all_attributes(model), [])
        self._held = _content(self._dicts, self._lists)

    def fits(self, model: Module) -> bool:
        """Whether nothing but the values of weights was changed."""
        # This is asked for each prediction, of hundreds of modules, when no cache holds them.
        noted = _changes
        if noted is not self._noted or model is not self._model():
            if not self._attributes.same_as(_content(self._all_attributes(model), [])):
                return False
            if not all(map(contains, self._own, self._names)):
                return False
            self._noted = noted
            self._model = weakref.ref(model)
        if not self._dicts and not self._lists:
            return True
        return self._held.same_as(_content(self._dicts, self._lists))

    def _all_attributes(self, model: Module) -> list[dict[Any, Any]]:
        """Of all modules; of the model without its predictors, which hold snapshots."""
        own = {name: value for name, value in vars(model).items() if name != "_predictors"}
        return [own, *self._modules]

    def weights(self) -> dict[str, Array]:
        """Parameters and states by name, as they are now."""
        return {full: own[name] for full, own, name in self._places}


@dataclass(frozen=True, slots=True)
class _Content:
    """Sizes of dicts and lists, and the keys, values and items in them, one behind the other."""

    sizes: list[int]
    objects: list[Any]

    def same_as(self, other: _Content) -> bool:
        """Whether they are made of the very same objects."""
        return self.sizes == other.sizes and all(map(is_, self.objects, other.objects))


def _content(dicts: list[dict[Any, Any]], lists: list[list[Any]]) -> _Content:
    # A few long passes take less time than a look at each.
    parts = (*dicts, *map(dict.values, dicts), *lists)
    return _Content([*map(len, dicts), *map(len, lists)], list(chain.from_iterable(parts)))


def _holders(value: Any, name: object = "") -> Iterator[Any]:
    """The dicts and lists in a value, those in it, and so on; modules and weights stay closed."""
    if name in _CLOSED or not isinstance(value, (dict, list, tuple)):
        return
    if not isinstance(value, tuple):
        yield value
    items = value.items() if isinstance(value, dict) else (("", item) for item in value)
    for key, item in items:
        yield from _holders(item, key)

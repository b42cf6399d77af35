"""Weights with PyTorch's names and layout: put into a model, and written out of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isoconv.checks import check_arrays, check_choice, check_kind, check_path, refusal
from isoconv.errors import ArgumentError, CheckpointError, in_file
from isoconv.exchange.torch_file import load_torch
from isoconv.exchange.torch_layout import Arranged, arranged, flattened
from isoconv.exchange.torch_names import (
    LAYOUTS,
    OWN,
    Place,
    layouts_of,
    older_spelling,
    otherwise,
    ready_names,
)
from isoconv.exchange.torch_settings import constructor, in_words, settings_of
from isoconv.graph.operation import Array
from isoconv.nn import BatchNorm, Module, Traced, models, trace_model
from isoconv.nn.images import warn_outside
from isoconv.nn.storage import listed, misfits, replace_file
from isoconv.wording import either

__public__ = {"isoconv.exchange": ["load_into", "save_torch"]}

_AROUND = ("module.", "_orig_mod.")
"""What PyTorch puts before all names of a network that is spread over machines or compiled."""
_COUNT = "num_batches_tracked"
"""How many batches a batch normalisation of PyTorch's has seen; no result asks for it."""
_KINDS = ("float32", "float64")
USUAL = (224, 224, 3)
"""Shape of the images of all published networks."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """An array of a model.

    Attributes:
        name: of the model's own.
        layer: that holds it.
        place: how it lies, here and in PyTorch.
    """

    name: str
    layer: Module
    place: Arranged


def load_into(
    model: Module,
    weights: str | Path | Mapping[str, Any],
    layout: str | None = None,
    *,
    key: str | None = None,
    input_shape: Sequence[int] | None = None,
) -> Module:
    """Put weights with PyTorch's names and layout into a model.

    A convolution's kernel is turned from ``(O, C, kernel...)`` to ``(kernel..., C, O)``, a linear
    layer's from ``(O, C)`` to ``(C, O)``; behind a feature map that was flattened its rows are put
    in the order of our elements. ``num_batches_tracked`` is left out, and so is ``module.`` before
    all names.

    PyTorch's names of a ready model are those of torchvision's or timm's model of that name; any
    other model has its own: a `Sequential` those of PyTorch's ``nn.Sequential`` of the same layers.
    Where that network computes something otherwise, a `DataWarning` says what.

    Args:
        model: any model.
        weights: a file that `load_torch` reads, or arrays by name.
        layout: whose names they are: ``"torchvision"``, ``"timm"``, ``"efficientnet_pytorch"``, or
            ``"own"`` for the model's; None for the one that fits best.
        key: where the weights stand in a file of several, as of `load_torch`.
        input_shape: of one image, for a model that was not built.

    Returns:
        The model, built.

    Raises:
        ArgumentError: a layout that the model has none of; no input shape is known; the file has
            several dictionaries of weights, or none at ``key``.
        CheckpointError: the file cannot be read; names are missing or not the model's, shapes
            differ, or numbers are not finite. The message lists them all, and the model stays as it
            was.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> weights = {"0.weight": np.ones((4, 3, 1, 1)), "0.bias": np.zeros(4)}
        >>> model = nn.Sequential(nn.Conv2d(4, 1), nn.ReLU())
        >>> load_into(model, weights, input_shape=(8, 8, 3)).weights["0.weight"].shape
        (1, 1, 3, 4)
    """
    check_kind("model", model, Module, "a Module")
    layout = None if layout is None else check_choice("layout", layout, LAYOUTS)
    shape = model.input_shape if input_shape is None else input_shape
    if shape is None:
        text = "a model that was not built needs the shape of an image: input_shape=(224, 224, 3)"
        raise ArgumentError(text, argument="input_shape")
    traced = trace_model(model, shape, training=False)
    if not isinstance(weights, Mapping):
        path = check_path("weights", weights)
        with in_file(path):
            return _put(model, traced, load_torch(path, key), layout)
    if key is not None:
        raise refusal("key", "be left out for arrays by name: it is for files", key)
    return _put(model, traced, check_arrays("weights", weights, CheckpointError), layout)


def _put(model: Module, traced: Traced, given: Mapping[str, Array], layout: str | None) -> Module:
    best, table, arrays = _matched(model, traced, _cleaned(given), layout)
    wanted = {name: entry.place.torch_shape for name, entry in table.items()}
    problems = misfits(wanted, arrays, _KINDS)
    if problems:
        whose = "its own names" if best == OWN else f"the names of {best}"
        raise CheckpointError(f"the weights do not fit the model by {whose}: {problems}")
    wild = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if wild:
        raise CheckpointError(f"weights must be finite numbers; there are others in {listed(wild)}")
    # Each is let go as it is turned, so that a large file is not there three times.
    del given
    _warn_otherwise(model, best)
    values = {entry.name: entry.place.to_ours(arrays.pop(name)) for name, entry in table.items()}
    return model.place(traced.input_shape, values)


def _warn_otherwise(model: Module, layout: str) -> None:
    difference = otherwise(model, layout)
    if difference:
        warn_outside(
            f"the network whose names these are ({layout}'s) {difference}; with these weights the "
            "results of both differ"
        )


def _matched(
    model: Module, traced: Traced, given: Mapping[str, Array], layout: str | None
) -> tuple[str, dict[str, _Entry], dict[str, Array]]:
    """The layout that fits best, its table, and the arrays by its spelling of their names."""
    tables = _tables(model, traced, layout)
    spelled = {name: _spelled(given, table) for name, table in tables.items()}
    best = max(tables, key=lambda name: len(tables[name].keys() & spelled[name].keys()))
    return best, tables[best], spelled[best]


def save_torch(model: Module, path: str | Path, layout: str | None = None) -> None:
    """Write a model's weights with PyTorch's names and layout, as safetensors; atomic.

    ``safetensors.torch.load_file`` of PyTorch's world reads it, and what that gives,
    ``load_state_dict`` of the same network takes; `load_into` reads it back. How images are read
    and normalised is not in it: ``model.save`` keeps that.

    Args:
        model: a built model.
        path: of the file; its name ends in ``.safetensors``.
        layout: whose names are taken, as in `load_into`; None for torchvision's where the model is
            a ready one that is published there, otherwise the model's own.

    Raises:
        ArgumentError: the model was not built; another ending; a layout that the model has none of.
        OSError: the file cannot be written; an earlier file of that name stays whole.

    Example:
        >>> import tempfile
        >>> from isoconv import nn
        >>> from isoconv.exchange import load_torch
        >>> file = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> save_torch(nn.Sequential(nn.Flatten(), nn.Linear(2)).build((4, 4, 3)), file)
        >>> load_torch(file)["1.weight"].shape
        (2, 48)
    """
    from safetensors.numpy import save

    check_kind("model", model, Module, "a Module")
    layout = None if layout is None else check_choice("layout", layout, LAYOUTS)
    file = check_path("path", path)
    if file.suffix != ".safetensors":
        raise refusal("path", "end in .safetensors, the one kind that is written", path)
    if model.input_shape is None:
        text = "only a built model can be saved: call model.build(input_shape)"
        raise ArgumentError(text, argument="model", value=model)
    weights = model.weights
    traced = trace_model(model, model.input_shape, training=False)
    found, table = next(iter(_tables(model, traced, layout).items()))
    _warn_otherwise(model, found)
    arrays: dict[str, Array] = {}
    for name, entry in table.items():
        arrays[name] = entry.place.to_torch(weights[entry.name])
        if isinstance(entry.layer, BatchNorm) and name.endswith(".running_var"):
            arrays[name.removesuffix("running_var") + _COUNT] = np.zeros((), np.int64)
    replace_file(file, save(arrays, {"format": "pt"}))


def ready_model(weights: Mapping[str, Array]) -> Module:
    """The ready model that has PyTorch's names and shapes, with the weights.

    Where several networks have them, it is that of the usual one, which a `DataWarning` tells.

    Args:
        weights: arrays by name.

    Raises:
        CheckpointError: they are those of no ready model.
    """
    weights = _cleaned(weights)
    failure: CheckpointError | None = None
    for name, layout, head in ready_names(weights):
        classes = weights[head].shape[0] if weights[head].ndim else 0
        if classes:
            try:
                usual, *others = settings_of(name, layout)
                model = models.ALL_MODELS[name](classes, USUAL, **usual)
                load_into(model, weights, layout, input_shape=USUAL)
            except CheckpointError as error:
                failure = failure or error
                continue
            for other in others:
                warn_outside(
                    f"the names do not tell which of {layout}'s networks it is: it is taken for "
                    f"the one that {in_words(usual)}; another one {in_words(other)}: "
                    f"{constructor(name, other)} takes the weights of that one"
                )
            return model
    if failure is not None:
        raise failure
    raise CheckpointError(
        "the weights are those of no ready model (isoconv models): names are "
        f"{listed(list(weights))}"
        + either("; make", "; a program can make")
        + " the model and put them in with isoconv.exchange.load_into"
    )


# Names and layouts


def shapes_of(model: Module, input_shape: Sequence[int], layout: str) -> dict[str, tuple[int, ...]]:
    """What PyTorch's network of a layout has: shapes by name.

    Args:
        model: any model.
        input_shape: of one image.
        layout: as in `load_into`.

    Example:
        >>> from isoconv import nn
        >>> shapes_of(nn.Sequential(nn.Conv2d(4, 3)), (8, 8, 1), "own")
        {'0.weight': (4, 1, 3, 3), '0.bias': (4,)}
    """
    table = _tables(model, trace_model(model, input_shape, training=False), layout)[layout]
    return {name: entry.place.torch_shape for name, entry in table.items()}


def _tables(model: Module, traced: Traced, layout: str | None) -> dict[str, dict[str, _Entry]]:
    """The model's arrays by PyTorch's names, by each layout that it has, the first one first."""
    known = layouts_of(model)
    if layout is not None and layout not in known:
        raise refusal("layout", f"be one that the model has: {', '.join(known)}", layout)
    before = flattened(traced)
    layers = list(_layers(model, traced))
    return {
        name: _table(traced, layers, places, before)
        for name, places in known.items()
        if layout in (None, name)
    }


def _layers(model: Module, traced: Traced) -> Iterator[tuple[str, Module, list[str]]]:
    """The layers that hold arrays, in the order in which they stand in the model."""
    owned: dict[int, list[str]] = {}
    for name in traced.trace.shapes:
        owned.setdefault(id(traced.trace.owners[name]), []).append(name)
    for path, module in model.named_modules():
        if id(module) in owned:
            yield path, module, owned[id(module)]


def _table(
    traced: Traced,
    layers: list[tuple[str, Module, list[str]]],
    places: Sequence[Place] | None,
    before: Mapping[str, tuple[int, ...]],
) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    own = [Place(path) for path, _, _ in layers]
    for (path, layer, names), place in zip(layers, places or own, strict=True):
        for name in names:
            leaf = name.rpartition(".")[2]
            shape = traced.trace.shapes[name]
            lies = arranged(layer, leaf, shape, before.get(path), place.shaped(leaf))
            found[place.named(leaf)] = _Entry(name, layer, lies)
    return found


def _cleaned(given: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays without what stands before all of their names, and without counts of batches."""
    for prefix in _AROUND:
        if given and all(name.startswith(prefix) for name in given):
            given = {name.removeprefix(prefix): array for name, array in given.items()}
    return {name: array for name, array in given.items() if name.rpartition(".")[2] != _COUNT}


def _spelled(given: Mapping[str, Array], table: Mapping[str, _Entry]) -> dict[str, Array]:
    """Arrays by the names of a table, where an older file spells them in another way."""
    found: dict[str, Array] = {}
    for name, array in given.items():
        newer = name if name in table else older_spelling(name)
        found[newer if newer in table and newer not in given else name] = array
    return found

"""What an inspection is: layers by name, each with its arrays and statistics."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from isoconv.arithmetic.sums import tree_sum
from isoconv.cards import Card, Carded, Table, sides
from isoconv.checks import check_count, check_path, refusal, shown, whole
from isoconv.errors import ArgumentError
from isoconv.explain.network import Layer
from isoconv.explain.place import layer_named
from isoconv.explain.shards import ImageShards, ShardTree
from isoconv.explain.statistics import (
    FEW,
    LayerStatistics,
    ParameterNorms,
    Tally,
    flags_of,
    norm_of,
    plain_number,
)
from isoconv.explain.tiles import MOST, Tiles, tiles_of_kernels, tiles_of_maps
from isoconv.graph.operation import Array
from isoconv.train.files import write_bytes

_ENDS = {"Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0)}
"""Between what the values of an activation lie."""
_SHOWN = 60
"""Layers in a table at most, at a prompt or in a notebook; ``to_csv`` has them all."""


class _Learned(dict[str, Array]):
    """Arrays of a layer by their own names."""

    def __init__(self, layer: str, arrays: Mapping[str, Array]) -> None:
        super().__init__(arrays)
        self._layer = layer

    def __missing__(self, name: object) -> Array:
        """What is said in place of a `KeyError`.

        Raises:
            ArgumentError: always; names those that there are, near ones first.
        """
        near = difflib.get_close_matches(str(name)[:100], self, n=3)
        has = ", ".join([*near, *(each for each in self if each not in near)]) or "none"
        text = f"{self._layer!r} has no parameter {shown(name)}; it has {has}"
        raise ArgumentError(text, argument="name", value=name, layer=self._layer)


class LayerView:
    """One layer of an inspection. Arrays are computed when they are first asked for, then kept.

    Attributes:
        name: of the layer in the model.
        kind: its class.
        settings: its module in a line.
        shape: of its result for one image.
    """

    def __init__(self, inspection: Inspection, layer: Layer) -> None:
        self._inspection = inspection
        self._shards = inspection._shards
        self._layer = layer
        self.name = layer.name
        self.kind = layer.kind
        self.settings = layer.module.line()
        self.shape: tuple[int, ...] = self._shards.whole.node(layer.result).spec.shape

    @cached_property
    def value(self) -> Array:
        """The layer's result, float32 ``(N, ...)``."""
        return self._shards.joined(self._layer.result, "value")

    @cached_property
    def gradient(self) -> Array:
        """The gradient of the loss, the mean over all images, by the layer's result: ``(N, ...)``.

        Raises:
            ArgumentError: the inspection has no labels.
        """
        self._inspection._check_loss()
        return self._shards.joined(self._layer.result, "gradient")

    @cached_property
    def inputs(self) -> tuple[Array, ...]:
        """Everything that the layer takes, each ``(N, ...)``."""
        return tuple(self._shards.joined(index, "value") for index in self._layer.sources)

    @property
    def input(self) -> Array:
        """What the layer takes, ``(N, ...)``; of several the first."""
        return self.inputs[0]

    @property
    def weights(self) -> dict[str, Array]:
        """The layer's learned arrays by their own names: ``"weight"``, ``"bias"``.

        Another name raises an `ArgumentError`, which tells those that there are.
        """
        whole = self._shards.whole
        own = self._layer.parameters
        return _Learned(self.name, {name: whole.value(index) for name, index in own.items()})

    @property
    def weight_gradients(self) -> dict[str, Array]:
        """The gradient of the loss by each of them, added over the shards by the tree.

        Raises:
            ArgumentError: the inspection has no labels.
        """
        self._inspection._check_loss()
        found = self._inspection._pass[1]
        own = self._layer.parameters
        return _Learned(self.name, {name: found[index] for name, index in own.items()})

    def maps(self, image: int = 0, most: int = MOST) -> Tiles:
        """The channels of one image's result side by side, as a picture.

        Args:
            image: number of the image.
            most: so many channels at most.

        Raises:
            ArgumentError: no such image.
            ShapeError: a result of more than two axes and channels.
        """
        number = whole(image)
        if number is None or not 0 <= number < len(self.value):
            raise refusal("image", f"lie in 0 … {len(self.value) - 1}", image)
        what = f"{self.name}, {self.kind}, {sides(self.shape)}"
        return tiles_of_maps(self.value[number], what, check_count("most", most))

    def filters(self, channel: int | None = None) -> Tiles:
        """The kernels of a convolution side by side, as a picture.

        Args:
            channel: the input channel that is shown; None for the first, and for colours where
                there are three.

        Raises:
            ArgumentError: a layer without a kernel, or no such channel.
        """
        weight = self.weights.get("weight")
        if weight is None or weight.ndim not in (3, 4):
            text = f"{self.name!r} ({self.kind}) has no kernels to show"
            raise ArgumentError(text, layer=self.name)
        return tiles_of_kernels(weight, f"of {self.name}", channel)

    @property
    def statistics(self) -> LayerStatistics:
        """Numbers that say how values and gradients lie, and what may be wrong."""
        return self._inspection.statistics[self.name]

    def __repr__(self) -> str:
        return f"<{self.name!r}: {self.settings}, {sides(self.shape)}>"


def _card(inspection: Inspection) -> Card:
    titles, rows = inspection.table()
    count = len(inspection._shards.images)
    facts = [
        ("images", f"{count:,}, {'as in training' if inspection.training else 'as predicted'}"),
        *(("loss", f"{loss:.6g}") for loss in [inspection.loss] if loss is not None),
        *(("note", line) for line in inspection.notes),
        *(("look at", line) for line in inspection.flags[:_SHOWN] or ["nothing stands out"]),
    ]
    left = len(rows) - _SHOWN
    more = f"and {left} more layers; to_csv has them all" if left > 0 else ""
    lines = [*_aligned(titles, rows[:_SHOWN]), *([more] if more else [])]
    table = Table(titles, tuple(rows[:_SHOWN]), 3, more)
    title = f"Inspection of {type(inspection.model).__name__}"
    return Card(title, tuple(facts), tuple(lines), table)


class Inspection(Mapping[str, LayerView], Carded, card=_card):
    """A network on some images: its layers by name, in the order in which they are computed.

    The end of a layer's name is enough where no other layer has it; a layer that is used more than
    once has ``"name@2"``. Made by `isoconv.inspect`.

    Attributes:
        model: as given.
        training: as given.
        notes: what was chosen or guessed, a line each.
    """

    def __init__(self, shards: ImageShards, notes: Sequence[str]) -> None:
        self._shards = shards
        self.model = shards.model
        self.training = shards.training
        self.notes = list(notes)
        count = len(shards.images)
        if count < FEW:
            self.notes.append(f"fewer than {FEW} images: units that are zero are counted, no more")
        if shards.labels is None:
            self.notes.append("no labels: there are no gradients")
        if shards.whole.judged_note:
            self.notes.append(shards.whole.judged_note)
        if shards.several:
            self.notes.append(
                f"taken in shards of {shards.size} images, as few as in training or as memory asks"
            )
        self._views = {layer.name: LayerView(self, layer) for layer in shards.whole.layers}

    def __getitem__(self, name: str) -> LayerView:
        """The layer of this name.

        Raises:
            ArgumentError: there is none; near names are told.
        """
        return self._views[layer_named(self._shards.whole, name).name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __contains__(self, name: object) -> bool:
        return name in self._views

    def get(self, name: str, default: Any = None) -> Any:
        """The layer of this whole name, or the default."""
        return self._views.get(name, default)

    @cached_property
    def results(self) -> Array:
        """The model's results as ``model.predict`` gives them, ``(N, ...)``."""
        return self._shards.joined(self._shards.whole.finished, "value")

    @cached_property
    def losses(self) -> Array | None:
        """The loss of each image, ``(N,)``; None without labels."""
        index = self._shards.whole.loss
        return None if index is None else self._shards.joined(index, "value")

    @property
    def loss(self) -> float | None:
        """The mean of the losses, in float64; None without labels."""
        if self.losses is None:
            return None
        return float(tree_sum(list(self.losses.astype(np.float64)))) / len(self.losses)

    @property
    def statistics(self) -> Mapping[str, LayerStatistics]:
        """The statistics of every layer by its name; one pass over all images."""
        return self._pass[0]

    @property
    def flags(self) -> list[str]:
        """What may be wrong, a line each, by the limits of `isoconv.explain.statistics`.

        Numbers that are not finite, and where first; dead units; saturated activations; gradients
        that vanish or explode.
        """
        return [f"{name}: {line}" for name, each in self.statistics.items() for line in each.flags]

    @property
    def first_nonfinite(self) -> str | None:
        """The first layer with a result that is NaN or infinite; None where all are finite."""
        wrong = (name for name, each in self.statistics.items() if each.value.nonfinite)
        return next(wrong, None)

    def _check_loss(self) -> None:
        if self._shards.labels is None:
            raise ArgumentError("a gradient of the loss needs labels; isoconv.inspect got none")

    @cached_property
    def _pass(self) -> tuple[dict[str, LayerStatistics], dict[int, Array]]:
        """Statistics of all layers, and gradients by all parameters."""
        whole = self._shards.whole
        asked = self._shards.labels is not None
        values = {layer.name: Tally(*_ENDS.get(layer.kind, ())) for layer in whole.layers}
        gradients = {layer.name: Tally() for layer in whole.layers}
        tree = ShardTree()
        for network in self._shards.networks():
            for layer in network.layers:
                values[layer.name].add(network.value(layer.result))
                if asked:
                    gradients[layer.name].add(network.gradient(layer.result))
            if asked:
                own = {index: network.gradient(index) for index in network.parameters.values()}
                tree.add(own)
        by_weight = tree.sums()
        found = {}
        for layer in whole.layers:
            norms = {
                name: ParameterNorms(
                    norm_of(whole.value(index)), norm_of(by_weight[index]) if asked else None
                )
                for name, index in layer.parameters.items()
            }
            value, gradient = values[layer.name], gradients[layer.name] if asked else None
            alive = np.ones(0, bool) if value.alive is None else value.alive
            found[layer.name] = LayerStatistics(
                layer.name, layer.kind, whole.node(layer.result).spec.shape, value.spread(),
                len(alive), tuple(np.flatnonzero(~alive).tolist()), value.saturated,
                None if gradient is None else gradient.spread(), norms,
                flags_of(len(self._shards.images), value, gradient, norms),
            )  # fmt: skip
        return found, by_weight

    # Tables

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Titles and rows of the table that people read."""
        titles = ["layer", "kind", "shape", "zeros", "dead", "mean", "deviation", "least",
                  "greatest"]  # fmt: skip
        if self._shards.labels is not None:
            titles += ["gradient", "grad/weight"]
        rows = []
        for name, each in self.statistics.items():
            value = each.value
            numbers = value.mean, value.deviation, value.least, value.greatest
            row = [name, each.kind, sides(each.shape), f"{value.zeros:.0%}", str(len(each.dead))]
            row += map(_short, numbers)
            if each.gradient is not None:
                ratios = [norms.ratio for norms in each.parameters.values()]
                known = next((ratio for ratio in ratios if ratio is not None), None)
                row += [_short(each.gradient.norm), _short(known) if ratios else ""]
            rows.append(tuple(row))
        return tuple(titles), rows

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, as plain data for JSON; None for what is not finite."""
        return {
            "model": type(self.model).__name__,
            "digest": self.model.digest(),
            "images": len(self._shards.images),
            "training": self.training,
            "loss": plain_number(self.loss),
            "first_nonfinite": self.first_nonfinite,
            "notes": list(self.notes),
            "flags": self.flags,
            "layers": [each.to_dict() for each in self.statistics.values()],
        }

    def csv_rows(self) -> list[list[str]]:
        """The statistics of all layers, a row each below the titles."""
        titles = ["layer", "kind", "shape", "units", "dead", "zeros", "saturated", "mean",
                  "deviation", "least", "greatest", "norm", "nonfinite", "gradient_norm",
                  "weight_norm", "weight_gradient_norm", "flags"]  # fmt: skip
        rows = [titles]
        for each in self.statistics.values():
            value, weight = each.value, each.parameters.get("weight", ParameterNorms(float("nan")))
            gradient = None if each.gradient is None else each.gradient.norm
            numbers: list[Any] = [
                value.zeros, each.saturated, value.mean, value.deviation, value.least,
                value.greatest, value.norm, value.nonfinite, gradient,
                plain_number(weight.weight), plain_number(weight.gradient),
            ]  # fmt: skip
            told = ["" if number is None else repr(number) for number in numbers]
            counts = [str(each.units), str(len(each.dead))]
            flags = "; ".join(each.flags)
            rows.append([each.layer, each.kind, sides(each.shape), *counts, *told, flags])
        return rows

    def to_csv(self, path: str | Path) -> None:
        """Write the statistics of all layers into a file, whole or not at all.

        Raises:
            CheckpointError: it cannot be written.
        """
        import csv
        import io

        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(self.csv_rows())
        write_bytes(check_path("path", path).resolve(), text.getvalue().encode())


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _aligned(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns two spaces apart, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < 3 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (titles, *rows)
    ]

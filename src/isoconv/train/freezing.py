"""Which layers of a model are frozen: they compute as in inference, and nothing of them changes."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.checks import refusal
from isoconv.nn import Module, Trace
from isoconv.printable import listed

Freeze = str | int | tuple[str, ...] | None
"""``"all"`` layers but the head, ``"none"``, the first so many, or those of some names."""


def weighted_layers(trace: Trace) -> list[str]:
    """The paths of the layers that have weights, in the order of their first use.

    Example:
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2))
        >>> weighted_layers(nn.trace_model(model, (4, 4, 1), training=True).trace)
        ['0', '3']
    """
    return list(dict.fromkeys(map(_layer, trace.owners)))


def head_of(trace: Trace) -> list[str]:
    """The head: the last layer whose setting says how many results it gives, and those behind it.

    Where there is none, the last layer with weights.

    Example:
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4), nn.Linear(2), nn.LayerNorm())
        >>> head_of(nn.trace_model(model, (4, 4, 1), training=True).trace)
        ['2', '3']
    """
    layers = weighted_layers(trace)
    widths = {_layer(name) for name, owner in trace.owners.items() if owner.width}
    last = max((place for place, path in enumerate(layers) if path in widths), default=-1)
    return layers[last:]


def frozen_layers(model: Module, trace: Trace, freeze: Freeze) -> frozenset[str]:
    """The paths of all modules that are frozen.

    A name stands for a layer and all layers inside it. What has no weights goes with the layer with
    weights that comes after it, so that dropout before a layer that learns goes on dropping.

    Args:
        model: the model.
        trace: in which it was run.
        freeze: as of the trainer.

    Raises:
        ArgumentError: names of no layers with weights, or nothing is left that learns.

    Example:
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2))
        >>> trace = nn.trace_model(model, (4, 4, 1), training=True).trace
        >>> sorted(frozen_layers(model, trace, 1)), sorted(frozen_layers(model, trace, "none"))
        (['0'], [])
    """
    layers = weighted_layers(trace)
    chosen = _chosen(layers, head_of(trace), freeze)
    if chosen and len(chosen) == len(layers):
        rule = f"leave a layer that learns, of the {len(layers)} with weights"
        raise refusal("freeze", rule, freeze)
    inside = {
        path: {layer for layer in layers if _within(layer, path)}
        for path, _ in model.named_modules()
    }
    frozen = {path for path, own in inside.items() if own and own <= chosen}
    follows: dict[str, bool] = {}
    ahead = False
    for call in reversed(trace.calls):
        if call.path in layers:
            ahead = call.path in chosen
        elif not inside[call.path]:
            follows[call.path] = ahead and follows.get(call.path, True)
    return frozenset(frozen | {path for path, frozen_too in follows.items() if frozen_too})


@dataclass(frozen=True, slots=True)
class Learning:
    """What of a model learns, and what stays as it is.

    Attributes:
        frozen: paths of the modules that compute as in inference.
        groups: the parameters that learn, those of one rate together; where what is before the head
            has a rate of its own, that comes first.
    """

    frozen: frozenset[str]
    groups: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, model: Module, trace: Trace, freeze: Freeze, backbone_lr: float | None) -> Learning:
        """What learns by the settings of a training.

        Args:
            model: the model.
            trace: in which it was run.
            freeze: as of the trainer.
            backbone_lr: likewise.

        Raises:
            ArgumentError: as `frozen_layers`; or a rate that is for nothing, or for all.
        """
        frozen = frozen_layers(model, trace, freeze)
        learned = [name for name in trace.parameters if _layer(name) not in frozen]
        if backbone_lr is None:
            return cls(frozen, (tuple(learned),))
        head = set(head_of(trace))
        groups = tuple(
            tuple(name for name in learned if (_layer(name) in head) is late)
            for late in (False, True)
        )
        if not all(groups):
            rule = "be for layers that learn before a head that learns too"
            raise refusal("backbone_lr", rule, backbone_lr)
        return cls(frozen, groups)

    def words(self, trace: Trace) -> str:
        """What is frozen, in a line; "" for nothing."""
        layers = weighted_layers(trace)
        frozen = [layer for layer in layers if layer in self.frozen]
        if not frozen:
            return ""
        names = listed([*map(repr, frozen)], 6)
        return f"frozen with their statistics: {len(frozen)} of {len(layers)} layers: {names}"

    def fixed(self, trace: Trace) -> frozenset[str]:
        """Names of the parameters and states that no step changes."""
        return frozenset(name for name in trace.owners if _layer(name) in self.frozen)


def _chosen(layers: list[str], head: list[str], freeze: Freeze) -> set[str]:
    if freeze in (None, "none"):
        return set()
    if freeze == "all":
        return set(layers) - set(head)
    if isinstance(freeze, int):
        return set(layers[:freeze])
    names = (freeze,) if isinstance(freeze, str) else freeze or ()
    unknown = [name for name in names if not any(_within(layer, name) for layer in layers)]
    if unknown:
        rule = f"name layers with weights, of {listed([*map(repr, layers)])}"
        raise refusal("freeze", rule, freeze, got=listed([*map(repr, unknown)]))
    return {layer for layer in layers if any(_within(layer, name) for name in names)}


def _layer(name: str) -> str:
    """The path of the layer that a parameter or a state belongs to."""
    return name.rpartition(".")[0]


def _within(layer: str, path: str) -> bool:
    """Whether a layer is the one at a path, or inside it."""
    return not path or layer == path or layer.startswith(f"{path}.")

"""``isoconv.explain``: which number is meant, and its explanation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isoconv.checks import (
    LARGEST_SINGLE,
    check_choice,
    check_flag,
    check_kind,
    check_number,
    check_text,
    refusal,
)
from isoconv.errors import ArgumentError, as_given
from isoconv.explain.explanation import Explanation, Part
from isoconv.explain.field import field_of
from isoconv.explain.given import class_number, key_of, labels_of, pictures, samples_of
from isoconv.explain.network import Network
from isoconv.explain.parts import backward_parts, following_parts, forward_parts
from isoconv.explain.place import At, Meant, element_in, image_in, meant, parsed, told
from isoconv.explain.subject import Subject
from isoconv.explain.update import Shards, Start, clip_part, update_part
from isoconv.graph.operation import Array
from isoconv.graph.terms import Index
from isoconv.nn import FractionalMaxPool2d, FractionalMaxPool3d, Module
from isoconv.train.losses import LOSSES, LossName
from isoconv.train.optim import Optimizer
from isoconv.train.run import Run
from isoconv.wording import setting

__public__ = {"isoconv": ["explain"]}


def explain(
    model: Module | Run | str | Path,
    image: Any,
    at: At = None,
    *,
    gradient: str | None = None,
    label: Any = None,
    of: str | int = "loss",
    training: bool = False,
    loss: LossName | None = None,
    label_smoothing: float | None = None,
    optimizer: Optimizer | None = None,
    clip_norm: float | None = None,
    shard_size: int | None = None,
    samples: Sequence[int] | Array | None = None,
    key: tuple[int, int] | None = None,
    scale: float | None = None,
) -> Explanation:
    """One number of a network, forward or backward, taken apart into its terms.

    Every number in it is the engine's own: the terms, worked off in the order in which they are
    told, give the bits that a prediction or a step of training gives.

    Args:
        model: a built or trained model, a run, or the path of a run folder or of a saved model. A
            run also tells its loss, shards, clipping and optimizer, with the optimizer's vectors
            where a checkpoint holds them.
        image: ``(H, W, C)`` or ``(N, H, W, C)``, as for ``model.predict``, or a picture file, or a
            list of some.
        at: which number: the name of a layer, then the place in its result, ``("conv1", row,
            column, channel)``, of several images with the image first. The end of a name is enough
            where no other layer has it; a layer that is used more than once has ``"name@2"``. The
            name alone stands for the largest element, and None for the result of the predicted
            class. ``"picture"`` is the picture as the first layer takes it, ``"probabilities"``
            what softmax makes of the result, ``"loss"`` each image's loss. For the gradient by a
            weight the place in the weight, ``("conv1", kernel row, kernel column, channel,
            filter)``.
        gradient: None for the value; ``"value"`` for the gradient by it: what flows back into it
            from whatever reads it; ``"input"`` for that by the layer's input (``at`` is a place in
            the input); ``"weight"``, ``"bias"`` or another parameter's name for that by it.
        label: class of each image, by name or number, for the gradient of the loss.
        of: what is differentiated: ``"loss"``, the mean over the images, or a class by name or
            number: its result before softmax, added over the images.
        training: batch normalisation uses the images' own statistics, dropout drops and
            fractional pooling draws its windows, as in training; otherwise all is as in a
            prediction.
        loss: its name, as a `Loss` of `isoconv.train` has it, of the model's result;
            None for the run's, or bce after a sigmoid and cross-entropy otherwise. Cross-entropy of
            a softmax at the model's end and bce of a sigmoid are of the value before; a note says
            so.
        label_smoothing: of the cross-entropy; None for the run's, or 0.
        optimizer: for the gradient by a weight: shows the first step of this optimizer; None for
            the next step of the run, if there is one.
        clip_norm: of that step: the greatest global norm of the gradient; None for the run's.
            Where no step is shown, a line says that it and ``optimizer`` are left out.
        shard_size: images that are taken at a time, as in training; None for the run's, or all.
        samples: numbers of the images in their data set, for what is drawn (dropout, windows of
            fractional pooling); None for 0, 1, ….
        key: seed and epoch, likewise; None for the run's, or zeros.
        scale: as for ``model.predict``.

    Raises:
        ArgumentError: no such layer (near names are told), a place outside of the map, a gradient
            without a label, a parameter that the layer does not have, a model that was not built.
        CheckpointError: a path where there is no run and no model, or a run without weights.
        ShapeError, DTypeError, DataError: an image that the model does not take.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(1, 2, bias=False)).build((3, 3, 1))
        >>> model.load_weights({"0.weight": np.ones((2, 2, 1, 1), np.float32)})
        >>> x = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
        >>> float(ic.explain(model, x, at=("0", 0, 1, 0)).value)
        12.0
    """
    subject = Subject.of(model)
    model = subject.model
    if gradient is not None:
        gradient = check_text("gradient", gradient)
    training = check_flag("training", training)
    if optimizer is not None:
        check_kind("optimizer", optimizer, Optimizer, "an optimizer such as ic.optim.Adam(0.002)")  # type: ignore[type-abstract]
    if clip_norm is not None:
        clip_norm = check_number("clip_norm", clip_norm, above=0, most=LARGEST_SINGLE)
    images, notes = pictures(model, image)
    settings = subject.loss
    kind = None if settings is None else settings.name
    if loss is not None:
        kind = check_choice("loss", loss, [*LOSSES])  # type: ignore[assignment]
    if label_smoothing is None:
        label_smoothing = settings.label_smoothing if settings and kind == settings.name else 0.0
    label_smoothing = check_number("label_smoothing", label_smoothing, least=0, below=1)
    labels = None if label is None else labels_of(model, label, len(images), kind)
    size = subject.shard_of(len(images), shard_size, training=training)
    size = min(size or len(images), len(images))
    by_weight = gradient not in (None, "value", "input")
    if not by_weight and not training:
        # What is computed of one image alone depends on no other.
        size = len(images)
    stepped = by_weight and isinstance(of, str) and of == "loss"
    start, said = _start(subject, optimizer, clip_norm, stepped=stepped)
    numbers = samples_of(samples, len(images))
    pair = subject.key if key is None else key_of(key)
    calls = {"images": "image", "labels": "label", "targets": "label", "layer": "at"}
    with as_given(calls, image=image, label=label, at=at):
        networks = [
            Network(
                model, images[first : first + size],
                None if labels is None else labels[first : first + size],
                loss=kind, label_smoothing=label_smoothing, batch=len(images), first=first,
                class_weights=settings.class_weights if settings and kind == settings.name else (),
                training=training, frozen=subject.frozen if training else (),
                samples=numbers[first : first + size], key=pair, scale=scale,
            )
            for first in range(0, len(images), size)
        ]  # fmt: skip
        shards = Shards(networks, size)
        if not by_weight:
            network, more = _of_shard(shards, at)
            return explain_in(network, at, gradient=gradient, of=of, notes=[*notes, *said, *more])
        return _by_parameter(shards, at, str(gradient), of, start, [*notes, *said])


def _start(
    subject: Subject, optimizer: Optimizer | None, clip_norm: float | None, *, stepped: bool
) -> tuple[Start | None, list[str]]:
    """What the step that is shown starts from, if one is, and what is to be said of it.

    What is given beside a run stands in place of the run's own.
    """
    if not stepped:
        given = {"optimizer": optimizer, "clip_norm": clip_norm}
        names = " and ".join(name for name, each in given.items() if each is not None)
        line = f"no step is shown, {names} aside: it follows the gradient of the loss by a weight"
        return None, [line] if names else []
    if optimizer is not None:
        own = None if subject.settings is None else subject.settings["clip_norm"]
        limit = own if clip_norm is None else clip_norm
        return Start(optimizer, 0, float(optimizer.learning_rate), {}, limit), []
    start, said = subject.start()
    if clip_norm is not None and start is not None:
        start = replace(start, clip_norm=clip_norm)
    elif clip_norm is not None:
        said = [*said, "no step is shown, clip_norm aside: it needs optimizer"]
    return start, said


def explain_in(
    network: Network,
    at: At = None,
    *,
    gradient: str | None = None,
    of: str | int = "loss",
    start: Start | None = None,
    notes: Sequence[str] = (),
) -> Explanation:
    """An explanation within a network that is computed already; see `explain`.

    Args:
        network: the network.
        at: as for `explain`.
        gradient: as for `explain`.
        of: as for `explain`.
        start: for the gradient by a weight: what a step of the optimizer starts from.
        notes: what is to be said beside it.
    """
    if gradient not in (None, "value", "input"):
        return _by_parameter(Shards([network], network.count), at, gradient, of, start, notes)
    name, place = parsed(at)
    layer = meant(network, name)
    notes = [*notes, *_how(network)]
    if gradient is None:
        return _value(network, layer, place, notes)
    of, goal = _goal(network, of)
    index = layer.result if gradient == "value" else layer.source
    if index == network.finished != network.output:
        raise ArgumentError(
            f"{goal} is made of what comes before {network.node(index).op}: ask for the gradient "
            "by the value of the last layer",
            argument="gradient",
            value=gradient,
        )
    words = f"the {'result' if gradient == 'value' else 'input'} of {layer.name!r}"
    element, more = element_in(
        network.node(index).spec, network, place, words,
        lambda: np.abs(network.gradient(index, of)), "the gradient of the greatest size",
    )  # fmt: skip
    title = _at(f"the gradient of {goal} by {words}", network, element)
    field = field_of(network, index, element[1:])
    found = network.flow(of).nodes.get(index)
    parts = [] if found is None else backward_parts(network, found, element)
    if found is None:
        more = [*more, f"nothing of it reaches {goal}: the gradient is 0"]
    value = network.gradient(index, of)[element]
    return Explanation(
        title, layer.name, layer.kind, f"gradient by {gradient}", element[1:], value,
        field, tuple(parts), (), (*notes, *more),
    )  # fmt: skip


def _value(
    network: Network, layer: Meant, place: tuple[Any, ...], notes: Sequence[str]
) -> Explanation:
    index = layer.result
    element, more = element_in(
        network.node(index).spec, network, place, f"the result of {layer.name!r}",
        lambda: network.value(index), "the greatest value",
    )  # fmt: skip
    parts = forward_parts(network, layer.own, index, element)
    follows, readers = following_parts(network, index, element)
    return Explanation(
        _at(repr(layer.name), network, element), layer.name, layer.kind, "value", element[1:],
        network.value(index)[element], field_of(network, index, element[1:]), tuple(parts),
        tuple(follows), (*notes, *more, *_further(network, index, parts, readers)),
    )  # fmt: skip


def _at(what: str, network: Network, element: Index) -> str:
    where = told((element[0] + network.first, *element[1:]), network.batch)
    return f"{what} at {where}" if where else what


def _further(
    network: Network, index: int, parts: Sequence[Part], readers: Sequence[str]
) -> list[str]:
    """What becomes of a value, in lines."""
    lines = [f"read by {', '.join(map(repr, readers))}"] if readers else []
    if index == network.logits != network.finished:
        finish = network.node(network.finished).op
        way = setting("at", "'probabilities'", "probabilities")
        lines.append(f"{finish} makes a probability of it: {way}")
    op = network.node(index).op
    if op in ("max_pool", "fractional_max_pool"):
        won = [row.names[0] for block in parts[-1].blocks for row in block.rows if row.mark]
        lines.append(f"all of its gradient goes to the winner, {won[0]}")
    if op == "avg_pool":
        lines.append(
            "its gradient is divided by the same count and goes to each place in equal parts"
        )
    return lines


def _by_parameter(
    shards: Shards, at: At, parameter: str, of: str | int, start: Start | None,
    notes: Sequence[str],
) -> Explanation:  # fmt: skip
    """The gradient by an element of a parameter, and a step of the optimizer."""
    network = shards.networks[0]
    name, place = parsed(at)
    layer = meant(network, name)
    kind = layer.kind
    of, goal = _goal(network, of)
    if parameter not in layer.parameters:
        has = ", ".join(layer.parameters) or "none"
        raise refusal(
            "gradient",
            f"be 'value', 'input' or a parameter of the layer; {layer.name!r} ({kind}) has {has}",
            parameter,
        )
    index = layer.parameters[parameter]
    full = network.node(index).attrs.name
    gradient = shards.gradient(index, of)
    element, more = element_in(
        network.node(index).spec, network, place, f"{parameter} of {layer.name!r}",
        lambda: np.abs(gradient), "the gradient of the greatest size",
    )  # fmt: skip
    where = ", ".join(map(str, element))
    value = gradient[element]
    follows: list[Part] = []
    if start is not None and of == "loss" and not start.learns(full):
        more = [*more, f"{layer.name!r} was frozen: the run leaves {parameter} as it is"]
    elif start is not None and of == "loss":
        clip = None
        if start.clip_norm is not None:
            follows.append(clip_part(shards, of, start))
            clip = follows[-1].value
        weight = network.value(index)[element]
        follows.append(update_part(start, full, element, weight, value, clip))
    return Explanation(
        f"the gradient of {goal} by {parameter}[{where}] of {layer.name!r}", layer.name, kind,
        f"gradient by {parameter}", element, value, None,
        tuple(shards.parts(index, of, element)), tuple(follows),
        (*notes, *_how(network), *more),
    )  # fmt: skip


def _how(network: Network) -> list[str]:
    """What the loss is of, and whether this is a training, where either makes a difference."""
    kinds = {layer.kind for layer in network.layers}
    lines = [line for line in [network.judged_note] if line]
    fractional = (FractionalMaxPool2d, FractionalMaxPool3d)
    pools = [layer.module for layer in network.layers if isinstance(layer.module, fractional)]
    if any(pool.offset == "random" for pool in pools):
        way = "training: they are drawn" if network.training else "a prediction: the offset is 0.5"
        lines.append(f"the windows of fractional pooling lie as in {way}")
    if not kinds & {"BatchNorm", "Dropout"}:
        return lines
    if network.training:
        way = "as in training: batch normalisation by the images' own statistics, dropout drops"
        return [*lines, way]
    way = "as in a prediction: batch normalisation by its running statistics, no dropout"
    return [*lines, way]


def _goal(network: Network, of: str | int) -> tuple[str | int, str]:
    """What is differentiated, and that in words.

    Raises:
        ArgumentError: the loss, without labels; a class that there is none of.
    """
    if isinstance(of, str) and of == "loss":
        if network.loss is None:
            raise ArgumentError(
                "a gradient of the loss needs to know what is right: give "
                f"{setting('label', 'its class', 'NAME')}, or {setting('of', 'a class', 'NAME')}",
                argument="label",
            )
        return of, "the loss"
    number = class_number(network.model, of, "of")
    names = network.model.class_names
    called = repr(names[number]) if 0 <= number < len(names) else str(number)
    return number, f"the result of class {called} before softmax"


def _of_shard(shards: Shards, at: At) -> tuple[Network, list[str]]:
    """The shard of the image that is meant, and that in words where there are several."""
    if len(shards.networks) == 1:
        return shards.networks[0], []
    place = parsed(at)[1]
    image = image_in(shards.networks[0], place)
    network = shards.networks[image // shards.size]
    last = network.first + network.count - 1
    return network, [f"image {image}, of the shard of images {network.first} … {last}"]

"""Which part of a picture speaks for a class: Grad-CAM, gradients by the input, occlusion.

Like all numbers of an explanation these maps are the same bits on every machine: values and
gradients are the engine's, and what is done with them is written down with each function.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isoconv.arithmetic.fma import fma
from isoconv.arithmetic.sums import partial_sum
from isoconv.cards import sides
from isoconv.checks import LARGEST, check_array, check_count, check_flag, refusal
from isoconv.errors import ArgumentError, as_given
from isoconv.explain.given import class_number, pictures
from isoconv.explain.heat import SaliencyMap, enlarged
from isoconv.explain.network import Layer, Network
from isoconv.explain.place import layer_named
from isoconv.explain.subject import Subject
from isoconv.explain.windows import pooling_of
from isoconv.graph.operation import Array
from isoconv.nn import Module
from isoconv.train.run import Run

__public__ = {"isoconv": ["grad_cam", "input_gradient", "occlusion"]}

PATCHES = 8
"""A patch's side is this part of the picture's, unless another one is asked for."""
BATCH = 64
"""Pictures with a covered patch that are predicted at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """A model on one picture, and the class that is asked about.

    Attributes:
        network: of the one picture.
        target: number of the class.
        notes: what was chosen or guessed.
        name: of the class; "" where the model names none.
    """

    network: Network
    target: int
    notes: tuple[str, ...]
    name: str

    @classmethod
    def of(cls, given: Any, image: Any, target: Any, scale: float | None) -> _Case:
        model = Subject.of(given).model
        images, notes = pictures(model, image)
        with as_given({"images": "image"}, image=image):
            network = Network(model, images, scale=scale)
        if network.count != 1:
            raise refusal("image", "be one picture, (H, W, C)", image, got=f"{network.count}")
        return cls.within(network, target, notes)

    @classmethod
    def within(cls, network: Network, target: Any, notes: Sequence[str] = ()) -> _Case:
        network.compute([network.finished])
        probabilities = network.value(network.finished)[0].reshape(-1)
        if target is None:
            number = int(np.argmax(probabilities))
        else:
            number = class_number(network.model, target, "target")
        if not 0 <= number < len(probabilities):
            raise refusal("target", f"be a class, 0 … {len(probabilities) - 1}", target)
        names = network.model.class_names
        called = names[number] if len(names) == len(probabilities) else ""
        return cls(network, number, tuple(notes), called)

    def made(
        self, kind: str, values: Array, settings: dict[str, str], notes: Sequence[str] = ()
    ) -> SaliencyMap:
        """The record of a map of this picture."""
        network = self.network
        more = []
        if not np.isfinite(values).all():
            more.append("the map holds numbers that are not finite, which the picture leaves out")
        elif not values.any():
            more.append("the map is 0 everywhere: nothing in it speaks for the class")
        return SaliencyMap(
            kind=kind, map=values, target=self.target, target_name=self.name,
            probabilities=network.value(network.finished)[0], settings=settings,
            notes=(*self.notes, *notes, *more), image=network.images[0],
        )  # fmt: skip


# Grad-CAM


def grad_cam(
    model: Module | Run | str | Path,
    image: Any,
    target: str | int | None = None,
    layer: str | None = None,
    *,
    scale: float | None = None,
) -> SaliencyMap:
    """Where a class is seen, by a layer's feature maps and their gradients (Grad-CAM).

    With the feature map A of the layer, ``(h, w, C)``, and the target's result y before softmax::

        a[c] = sum over positions of dy/dA[i, j, c], divided by h·w
        map[i, j] = max(0, a[0]·A[i, j, 0] + a[1]·A[i, j, 1] + …)

    The sum over positions is a reduction's (eight partial sums), that over channels a chain of
    fused multiply-adds from +0.0; then the map is brought to the picture's size bilinearly, the
    middle of a cell on the middle of a pixel, first along rows, then along columns:
    ``fma(share, next - this, this)``. Source: R. R. Selvaraju et al., "Grad-CAM: Visual
    Explanations from Deep Networks via Gradient-based Localization", ICCV 2017.

    Args:
        model: a built or trained model, a run, or the path of a run folder or of a saved model.
        image: ``(H, W, C)``, as for ``model.predict``, or a picture file.
        target: a class by name or number; None for the predicted one.
        layer: the name of a layer with a map of more than one position; None for the last one
            that is not a pooling.
        scale: as for ``model.predict``.

    Returns:
        A `SaliencyMap`, whose ``map`` is float32 ``(H, W)``.

    Raises:
        ArgumentError: no such class or layer; a layer, or a network, without such a map.
        CheckpointError: a path where there is no run and no model.
        ShapeError, DTypeError, DataError: an image that the model does not take.

    Example:
        >>> import isoconv as ic
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3))
        >>> found = ic.grad_cam(model.build((5, 5, 1)), np.ones((5, 5, 1), np.float32), target=2)
        >>> found.map.shape, found.settings["layer"]
        ((5, 5), '1')
    """
    case = _Case.of(model, image, target, scale)
    network = case.network
    if layer is None:
        chosen = usual_layer(network)
        note = [
            f"no layer was given: {chosen.name!r} has the last map before pooling or flattening"
        ]
    else:
        chosen, note = _map_layer(network, layer), []
    own = network.node(chosen.result).spec.shape[:-1]
    (values,) = cams(network, chosen, [case.target])
    settings = {"layer": chosen.name, "kind": chosen.kind, "size": sides(own)}
    return case.made("Grad-CAM", values, settings, note)


def cams(network: Network, layer: Layer, classes: Sequence[int]) -> list[Array]:
    """Grad-CAM of every picture of a network for a class each; see `grad_cam`.

    Args:
        network: in inference mode.
        layer: one of `map_layers`.
        classes: a number for each picture.
    """
    network.compute([layer.result, network.finished])
    gradients = network.gradient_by(layer.result, classes)
    maps = network.value(layer.result)
    axes = tuple(range(1, maps.ndim - 1))
    positions = 1
    for axis in axes:
        positions *= maps.shape[axis]
    with np.errstate(all="ignore"):
        weights = partial_sum(gradients, axis=axes) / np.float32(positions)
        total = np.zeros(maps.shape[:-1], np.float32)
        for channel in range(maps.shape[-1]):
            weight = weights[:, channel].reshape(-1, *(1,) * len(axes))
            total = fma(weight, maps[..., channel], total)
        # What is no number stays none.
        total = np.where(total <= 0, np.float32(0), total)
    return [enlarged(each, network.images.shape[1:-1]) for each in total]


def map_layers(network: Network) -> list[Layer]:
    """The layers whose result is a map over the picture with more than one position."""
    rank = network.images.ndim - 1
    found = []
    for layer in network.layers:
        shape = network.node(layer.result).spec.shape
        if len(shape) == rank and any(side > 1 for side in shape[:-1]):
            found.append(layer)
    return found


def usual_layer(network: Network) -> Layer:
    """The layer with the last map before what pools it or makes a row of it.

    Raises:
        ArgumentError: the network has no such layer.
    """
    layers = map_layers(network)
    if not layers:
        raise ArgumentError(
            "Grad-CAM needs a layer whose result is a map with more than one position; this "
            "network has none",
            argument="model",
            value=network.model,
        )
    plain = [layer for layer in layers if pooling_of(network, layer) is None]
    return max(plain or layers, key=lambda layer: layer.result)


def _map_layer(network: Network, name: str) -> Layer:
    layer = layer_named(network, name)
    found = map_layers(network)
    if layer not in found:
        shape = network.node(layer.result).spec.shape
        near = ", ".join(repr(each.name) for each in found[-4:]) or "no layer"
        raise ArgumentError(
            f"layer must be one whose result is a map with more than one position; that of "
            f"{layer.name!r} has the shape {shape}; such maps have, among others, {near}",
            argument="layer",
            value=name,
        )
    return layer


# Gradients by the input


def input_gradient(
    model: Module | Run | str | Path,
    image: Any,
    target: str | int | None = None,
    *,
    times_input: bool = False,
    scale: float | None = None,
) -> SaliencyMap:
    """How strongly each pixel moves the result of a class (Simonyan et al., 2014).

    With the target's result y before softmax and the picture x as the first layer takes it,
    normalised::

        map[i, j] = max over channels of |dy/dx[i, j, c]|
        map[i, j] = x[i, j, 0]·dy/dx[i, j, 0] + x[i, j, 1]·dy/dx[i, j, 1] + …     (times_input)

    The sum is a chain of fused multiply-adds from +0.0; it is positive where a pixel speaks for the
    class and negative where it speaks against it. Source: K. Simonyan, A. Vedaldi and A. Zisserman,
    "Deep Inside Convolutional Networks", ICLR 2014 workshop.

    Args:
        model: as for `grad_cam`.
        image: as for `grad_cam`.
        target: as for `grad_cam`.
        times_input: gradient times input instead of the gradient's size.
        scale: as for ``model.predict``.

    Returns:
        A `SaliencyMap`, whose ``map`` is float32 ``(H, W)``.

    Raises:
        ArgumentError: no such class.
        CheckpointError: a path where there is no run and no model.
        ShapeError, DTypeError, DataError: an image that the model does not take.

    Example:
        >>> import isoconv as ic
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(1, bias=False)).build((1, 2, 1))
        >>> model.load_weights({"1.weight": np.float32([[3], [-4]])})
        >>> ic.input_gradient(model, np.ones((1, 2, 1), np.float32), target=0).map
        array([[3., 4.]], dtype=float32)
    """
    times_input = check_flag("times_input", times_input)
    case = _Case.of(model, image, target, scale)
    network = case.network
    network.compute([network.source])
    gradient = network.gradient_by(network.source, [case.target])[0]
    if not times_input:
        values: Array = np.abs(gradient).max(axis=-1)
        return case.made(
            "gradient by the input", values, {"of each pixel": "the largest |gradient|"}
        )
    pixels = network.value(network.source)[0]
    values = np.zeros(pixels.shape[:-1], np.float32)
    with np.errstate(all="ignore"):
        for channel in range(pixels.shape[-1]):
            values = fma(pixels[..., channel], gradient[..., channel], values)
    told = {"of each pixel": "the sum of gradient · input"}
    return case.made("gradient times input", values, told)


# Occlusion


def occlusion(
    model: Module | Run | str | Path,
    image: Any,
    target: str | int | None = None,
    *,
    patch: int | None = None,
    stride: int | None = None,
    fill: float | Sequence[float] | None = None,
    scale: float | None = None,
) -> SaliencyMap:
    """How far a class falls where a patch of the picture is covered (Zeiler & Fergus, 2014).

    For every patch the picture is predicted with the patch covered. A pixel of the map is the mean,
    over the patches that cover it, of the probability without a patch minus that with it, added one
    by one from +0.0 in the order of the patches, row by row. Source: M. D. Zeiler and R. Fergus,
    "Visualizing and Understanding Convolutional Networks", ECCV 2014.

    Args:
        model: as for `grad_cam`.
        image: as for `grad_cam`.
        target: as for `grad_cam`.
        patch: side of the square patch in pixels; None for an eighth of the picture's longer side,
            and 2 at least.
        stride: pixels from one patch to the next; None for half a patch. The last patch of a row or
            column ends with the picture.
        fill: what a covered pixel becomes, a number or one for each channel, as in the image; None
            for the mean colour of the training images where the model knows it, otherwise for the
            middle of their range.
        scale: as for ``model.predict``.

    Returns:
        A `SaliencyMap`, whose ``map`` is float32 ``(H, W)``: positive where the picture speaks for
        the class.

    Raises:
        ArgumentError: no such class, a patch that is larger than the picture, a fill that does not
            fit.
        CheckpointError: a path where there is no run and no model.
        ShapeError, DTypeError, DataError: an image that the model does not take.

    Example:
        >>> import isoconv as ic
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((4, 4, 1))
        >>> found = ic.occlusion(model, np.ones((4, 4, 1), np.float32), patch=2, stride=2)
        >>> found.map.shape, found.settings["patches"]
        ((4, 4), '4')
    """
    case = _Case.of(model, image, target, scale)
    return occluded(case.network, case.target, patch, stride, fill, scale, case.notes)


def occluded(
    network: Network, target: Any = None, patch: int | None = None, stride: int | None = None,
    fill: Any = None, scale: float | None = None, notes: Sequence[str] = (),
) -> SaliencyMap:  # fmt: skip
    """An occlusion map of the one picture of a network; see `occlusion`."""
    case = _Case.within(network, target, notes)
    picture = network.images[0]
    lengths = picture.shape[:-1]
    longest = max(lengths)
    size = (
        max(2, -(-longest // PATCHES))
        if patch is None
        else check_count("patch", patch, most=LARGEST)
    )
    size = min(size, longest) if patch is None else size
    if size > longest:
        raise refusal("patch", f"be no larger than the picture, {longest}", size)
    step = max(1, size // 2) if stride is None else check_count("stride", stride, most=LARGEST)
    if step > size:
        raise refusal(
            "stride",
            f"be no larger than the patch, {size}, or pixels between are never covered",
            step,
        )
    colour, told = _fill(network, fill)
    patches = list(_patches(lengths, size, step))
    model, given = network.model, None if scale is None else 1.0
    whole = np.asarray(network.value(network.finished)[0]).reshape(-1)[case.target]
    total, covers = np.zeros(lengths, np.float32), np.zeros(lengths, np.float32)
    for first in range(0, len(patches), BATCH):
        some = patches[first : first + BATCH]
        covered = np.repeat(picture[np.newaxis], len(some), axis=0)
        for image, place in zip(covered, some, strict=True):
            image[place] = colour
        results = model.predict(covered, scale=given).reshape(len(some), -1)[:, case.target]
        for place, result in zip(some, results, strict=True):
            total[place] += whole - result
            covers[place] += 1
    settings = {
        "patch": sides([min(size, side) for side in lengths]),
        "stride": str(step),
        "patches": str(len(patches)),
        "fill": told,
    }
    return case.made("occlusion", total / covers, settings)


def _patches(lengths: Sequence[int], size: int, step: int) -> Iterator[tuple[slice, ...]]:
    """Where the patches lie, row by row."""
    from itertools import product

    starts = []
    for side in lengths:
        last = max(0, side - size)
        starts.append([*range(0, last, step), last])
    for corner in product(*starts):
        yield tuple(slice(at, at + size) for at in corner)


def _fill(network: Network, fill: Any) -> tuple[Array, str]:
    """What covers a pixel, and that in words."""
    images, model = network.images, network.model
    channels = images.shape[-1]
    if fill is not None:
        error = ArgumentError
        colour = check_array("fill", fill, kind_error=error, shape_error=error).astype(np.float64)
        if colour.shape not in ((), (1,), (channels,)) or not np.isfinite(colour).all():
            raise refusal(
                "fill", f"be a finite number, or one for each of {channels} channels", fill
            )
        told = "as given"
    elif model.normalisation is not None and np.any(model.normalisation[1]):
        factor, offset = (np.asarray(each, np.float64) for each in model.normalisation)
        with np.errstate(all="ignore"):
            colour = -offset / factor
        told = "the mean colour of the training images"
    else:
        trained = model.trained_on
        known = trained is not None and trained.dtype == images.dtype.name
        low, high = (trained.low, trained.high) if known and trained is not None else (
            float(images.min()), float(images.max()))  # fmt: skip
        colour = np.asarray((low + high) / 2)
        told = "the middle of the training images' range" if known else "the middle of its range"
    if not np.isfinite(colour).all():
        text = "the mean colour of the training images is not known: give fill="
        raise ArgumentError(text, argument="fill")
    if images.dtype == np.uint8:
        colour = np.clip(np.rint(colour), 0, 255)
    colour = np.broadcast_to(colour.astype(images.dtype), (channels,))
    return colour, f"{told}: {', '.join(f'{float(each):.4g}' for each in colour)}"

"""Predictions with a built model: from images as they are to probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isoconv.errors import ArgumentError, DataError, DTypeError, ShapeError
from isoconv.graph.ir import DType, Graph
from isoconv.graph.operation import Array
from isoconv.nn.snapshot import Snapshot, last_change
from isoconv.nn.trace import Trace
from isoconv.run.fixed import is_fixed
from isoconv.run.inference import Predictor

if TYPE_CHECKING:
    from isoconv.nn.module import Module

__all__ = ["Finish", "checked_images", "inference_graph", "predict", "weights_for"]

Finish = str
FINISHES = ("softmax", "sigmoid", "none")

_PREDICTORS = "_predictors"


def inference_graph(
    model: Module, input_shape: tuple[int, ...], dtype: DType, finish: Finish
) -> Graph:
    """The forward graph from data-set rows to results, in inference mode.

    Args:
        model: a built model.
        input_shape: shape of one image.
        dtype: of the images, uint8 or float32.
        finish: what follows the model's result: ``"softmax"``, ``"sigmoid"`` or ``"none"``.

    Returns:
        A graph with the inputs ``images``, ``normalise:scale`` and ``normalise:offset`` (if the
        model normalises), the model's weights, and the output ``result``.
    """
    if finish not in FINISHES:
        raise ArgumentError(f"finish must be one of {', '.join(FINISHES)}; got {finish!r}")
    trace = Trace(model, training=False)
    x = trace.convert(trace.input("dataset", "images", input_shape, dtype), "float32")
    if model.normalisation is not None:
        channels = (input_shape[-1],)
        scale = trace.input("scalar", "normalise:scale", channels)
        offset = trace.input("scalar", "normalise:offset", channels)
        x = trace.add("add", trace.add("mul", x, scale), offset)
    result = model(x)
    already = trace.builder[result.index].op in ("softmax", "sigmoid")
    if finish != "none" and not already:
        result = trace.add(finish, result)
    return trace.builder.graph([("result", result.index)])


def weights_for(model: Module) -> dict[str, Array]:
    """The unbatched inputs of ``inference_graph``."""
    arrays = {name: np.asarray(a, np.float32) for name, a in model.weights.items()}
    return {**arrays, **_constants(model)}


def _constants(model: Module) -> dict[str, Array]:
    """The constants with which images are normalised."""
    if model.normalisation is None:
        return {}
    scale, offset = model.normalisation
    return {"normalise:scale": scale, "normalise:offset": offset}


def checked_images(model: Module, images: Array) -> Array:
    """Images as the model takes them; a missing channel axis is added.

    Raises:
        ArgumentError: the model was not built.
        ShapeError: another shape than the model was built for.
        DTypeError: neither uint8 nor floating point.
        DataError: a value is not finite; the first such image is named.
    """
    shape = model.input_shape
    if shape is None:
        raise ArgumentError("only a built or trained model predicts: call model.build(input_shape)")
    images = np.asarray(images)
    if images.shape[1:] == shape[:-1] and shape[-1] == 1:
        images = images[..., None]
    if images.shape[1:] != shape:
        raise ShapeError(
            f"images must have shape (N, {', '.join(map(str, shape))}), as the model was built; "
            f"got {images.shape}"
        )
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype.kind != "f":
        raise DTypeError(f"images must be uint8 or floating point; got {images.dtype}")
    finite = np.isfinite(images)
    # Quicker than `all`, which NumPy writes in Python: the time of a prediction shows it.
    if np.count_nonzero(finite) < finite.size:
        first = int(np.argmin(finite.reshape(len(images), -1).all(axis=1)))
        raise DataError(f"images must be finite; image {first} holds NaN or infinity")
    return np.ascontiguousarray(images, np.float32)


def predict(
    model: Module,
    images: Array,
    *,
    finish: Finish | None = None,
    threads: int | None = None,
    target: str | None = None,
    shard_size: int | None = None,
) -> Array:
    """The model's results for images; see ``Module.predict``."""
    images = checked_images(model, images)
    finish = model.finish if finish is None else finish
    dtype: DType = "uint8" if images.dtype == np.uint8 else "float32"
    key = (dtype, finish, threads, target, shard_size, images.shape[1:])
    kept: _Kept = model.__dict__.setdefault(_PREDICTORS, _Kept())
    ready = kept.get(key)
    if ready is None or not ready.snapshot.fits(model):
        graph = inference_graph(model, images.shape[1:], dtype, finish)
        predictor = (
            Predictor(graph, shard_size=shard_size, threads=threads, target=target)
            if ready is None or ready.predictor.graph != graph
            else ready.predictor
        )
        # Taken after the tracing, in which a module may note things in its attributes.
        ready = kept[key] = _Ready(predictor, Snapshot(model))
    weights = ready.weights(model)
    found = ready.predictor.run(weights.arrays, {"images": images}, version=weights.version)
    return found["result"]


@dataclass(frozen=True, slots=True)
class _Weights:
    """The weights of a prediction, and an object that stands for them if they cannot change."""

    arrays: dict[str, Array]
    version: object | None


class _Ready:
    """A predictor for a model as it was."""

    def __init__(self, predictor: Predictor, snapshot: Snapshot) -> None:
        self.predictor = predictor
        self.snapshot = snapshot
        self._last: tuple[object, _Weights] | None = None

    def weights(self, model: Module) -> _Weights:
        """The model's weights now; the same object as long as no module says otherwise."""
        # Asked for before the weights are: who replaces some meanwhile is noticed the next time.
        noted = last_change()
        last = self._last
        if last is not None and last[0] is noted:
            return last[1]
        arrays = {**self.snapshot.weights(), **_constants(model)}
        version = object() if all(map(is_fixed, arrays.values())) else None
        weights = _Weights(arrays, version)
        # What can change is looked at each time.
        self._last = (noted, weights) if version is not None else None
        return weights


class _Kept(dict[tuple[Any, ...], _Ready]):
    """Predictors by what they were made for. They belong to one model: a copy has none."""

    def __deepcopy__(self, memo: object) -> _Kept:
        return _Kept()

    def __reduce__(self) -> tuple[type[_Kept], tuple[()]]:
        return _Kept, ()

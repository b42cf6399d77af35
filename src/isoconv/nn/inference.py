"""Predictions with a built model: from images as they are to probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isoconv.checks import (
    LARGEST,
    check_choice,
    check_count,
    check_number,
    check_paths,
    check_text,
    refusal,
)
from isoconv.data.pictures import PictureFiles
from isoconv.data.reading import Reading
from isoconv.errors import ArgumentError, ShapeError
from isoconv.graph.ir import DType, Graph
from isoconv.graph.operation import Array
from isoconv.nn.images import check_greatest, checked_images, not_built, warn_outside
from isoconv.nn.ready import (
    KeptPredictors,
    Key,
    ReadyPredictor,
    WholeWeights,
    constants_of,
    normalised,
)
from isoconv.nn.record import FINISHES
from isoconv.nn.snapshot import Snapshot, last_swap, whole
from isoconv.nn.trace import Trace
from isoconv.run.inference import Predictor
from isoconv.wording import either, setting

if TYPE_CHECKING:
    from isoconv.nn.module import Module

Finish = str
_PREDICTORS = "_predictors"


def inference_graph(
    model: Module,
    input_shape: tuple[int, ...],
    dtype: DType,
    finish: Finish,
    *,
    asked: bool = False,
) -> Graph:
    """The forward graph from data-set rows to results, in inference mode.

    Args:
        model: a built model.
        input_shape: shape of one image.
        dtype: of the images, uint8 or float32.
        finish: what follows the model's result: ``"softmax"``, ``"sigmoid"`` or ``"none"``. A model
            that ends in softmax or sigmoid itself is followed by nothing.
        asked: somebody asked for just this finish, and must not get another.

    Returns:
        A graph with the inputs ``images``, ``normalise:scale`` and ``normalise:offset`` (if the
        model normalises), the model's weights, and the output ``result``.

    Raises:
        ArgumentError: an unknown finish, or one that was asked for and that the model's own last
            activation does not allow.
    """
    if finish not in FINISHES:
        raise refusal("finish", f"be one of {', '.join(FINISHES)}", finish)
    trace = Trace(model, training=False)
    images = trace.input("dataset", "images", input_shape, dtype)
    result = model(normalised(images, model.normalisation is not None))
    own = trace.builder[result.index].op
    if own in ("softmax", "sigmoid"):
        if asked and finish not in (own, "none"):
            raise ArgumentError(
                f"the model ends in {own} itself, which {finish} cannot follow: take "
                f"finish={own!r} or finish='none'",
                argument="finish",
                value=finish,
            )
    elif finish != "none":
        result = trace.add(finish, result)
    return trace.builder.graph([("result", result.index)])


def weights_for(model: Module) -> dict[str, Array]:
    """The unbatched inputs of ``inference_graph``."""
    with whole:
        arrays = {name: np.asarray(a, np.float32) for name, a in model.weights.items()}
        return {**arrays, **constants_of(model.normalisation)}


def predict(
    model: Module,
    images: Array,
    *,
    finish: Finish | None = None,
    scale: float | None = None,
    threads: int | None = None,
    target: str | None = None,
    shard_size: int | None = None,
) -> Array:
    """The model's results for images; see ``Module.predict``."""
    if finish is not None:
        finish = check_choice("finish", finish, FINISHES)
    if threads is not None:
        threads = check_count("threads", threads)
    if target is not None:
        target = check_text("target", target)
    if shard_size is not None:
        shard_size = check_count("shard_size", shard_size, most=LARGEST)
    kept: KeptPredictors | None = model.__dict__.get(_PREDICTORS)
    if kept is None:
        kept = model.__dict__.setdefault(_PREDICTORS, KeptPredictors())
    settings = (threads, target, shard_size)
    # What another thread may change meanwhile has to be of one and the same model.
    swap = last_swap()
    checked = checked_images(model, images, scale)
    ready = kept.get(_key(model, checked, finish, settings))
    weights = None
    if ready is not None and ready.snapshot.fits(model):
        weights = ready.weights(model)
    if ready is None or weights is None or last_swap() != swap:
        ready, weights, checked = _looked_up(
            model, kept, images, scale, finish, settings, (swap, checked)
        )
    kept.note(ready)
    found = ready.predictor.run(weights.arrays, {"images": checked}, version=weights.version)
    return found["result"]


_Settings = tuple[int | None, str | None, int | None]


def _key(model: Module, images: Array, finish: Finish | None, settings: _Settings) -> Key:
    """What a predictor is made for: dtype, finish, whether that was asked for, settings, shape."""
    dtype: DType = "uint8" if images.dtype == np.uint8 else "float32"
    last = model.finish if finish is None else finish
    return dtype, last, finish is not None, settings, images.shape[1:]


def _looked_up(
    model: Module,
    kept: KeptPredictors,
    images: Array,
    scale: float | None,
    finish: Finish | None,
    settings: _Settings,
    seen: tuple[int, Array],
) -> tuple[ReadyPredictor, WholeWeights, Array]:
    """A predictor, weights and checked images that belong together, while nobody loads any.

    Args:
        model: a built model.
        kept: its predictors.
        images: as a person gave them.
        scale: what they are to be multiplied with.
        finish: what was asked for.
        settings: threads, target and shard size.
        seen: the images as they were checked when so much had been loaded.
    """
    swap, checked = seen
    predictor: Predictor | None = None
    while True:
        with whole:
            if last_swap() != swap:
                swap, checked = last_swap(), checked_images(model, images, scale)
            key = _key(model, checked, finish, settings)
            ready = kept.get(key)
            if ready is None or not ready.snapshot.fits(model):
                dtype, last, asked, _, shape = key
                graph = inference_graph(model, shape, dtype, last, asked=asked)
                if ready is not None and ready.predictor.graph == graph:
                    predictor = ready.predictor
                ready = None
                if predictor is not None and predictor.graph == graph:
                    # After the tracing, in which a module may note things in its attributes.
                    ready = ReadyPredictor(predictor, Snapshot(model))
                    kept.keep(key, ready)
            weights = None if ready is None else ready.weights(model)
        if ready is None:
            # It may take seconds, in which others may load.
            threads, target, shard_size = settings
            predictor = Predictor(graph, shard_size=shard_size, threads=threads, target=target)
        elif weights is not None:
            return ready, weights, checked


def predict_files(
    model: Module,
    paths: Sequence[str | Path],
    *,
    scale: float | None = None,
    skip_bad: bool = False,
    threads: int | None = None,
    target: str | None = None,
) -> Array:
    """The model's results for picture files; see ``Module.predict_files``."""
    files = files_as_trained(model, paths, scale, skip_bad=skip_bad)
    found, images = files.read(files.files)
    files.raise_any()
    for line in files.notes():
        warn_outside(line)
    results = predict_read(model, images, scale, threads=threads, target=target)
    if len(found) == len(files.files):
        return results
    for each in files.skipped():
        warn_outside(f"{each} (its results are NaN)")
    read = set(found)
    every = np.full((len(files.files), *results.shape[1:]), np.nan, results.dtype)
    every[[path in read for path in files.files]] = results
    return every


def predict_read(
    model: Module,
    images: Array,
    scale: float | None,
    *,
    threads: int | None,
    target: str | None,
    finish: Finish | None = None,
) -> Array:
    """The model's results for images that `files_as_trained` read."""
    scale = scale_of_read(model, images, scale)
    return predict(model, images, finish=finish, scale=scale, threads=threads, target=target)


def scale_of_read(model: Module, images: Array, scale: float | None) -> float | None:
    """What images that `files_as_trained` read are yet to be multiplied with; warns of some."""
    trained = model.trained_on
    if trained is not None and scale not in (None, 1) and images.dtype == np.float32:
        check_greatest(images, trained)
    # They are what the model takes, or were made so; a dark picture is a picture.
    ready = scale is not None or images.dtype == np.uint8
    return 1 if ready else None


def reading_of(model: Module) -> Reading:
    """How picture files become images of a model: as in training, of the size of its input.

    Raises:
        ArgumentError: the model was not built.
    """
    shape, trained = model.input_shape, model.trained_on
    if shape is None:
        raise not_built(model)
    # No picture file was reduced, or shown on white, for a model that was not trained on any.
    known = Reading(reduced=False, opacity="dropped")
    if trained is not None and trained.reading is not None:
        known = trained.reading
    if len(shape) != 3:
        return known
    channels = shape[2] if shape[2] in (1, 3) else None
    return replace(known, size=(shape[0], shape[1]), channels=channels)


def files_as_trained(
    model: Module,
    paths: Sequence[str | Path],
    scale: float | None = None,
    *,
    skip_bad: bool = False,
) -> PictureFiles:
    """Picture files that are read as the model takes them, ``(N, H, W, C)``.

    Raises:
        ArgumentError: the model was not built, no file is given, the scale is no finite number
            above 0, or the model was trained on floats that came from no picture and no scale says
            how brightness becomes such a float.
        ShapeError: the model takes images of other than 1 or 3 channels.
        DataFileError: files that cannot be read, as far as they are read already.
    """
    reading, shape, trained = reading_of(model), model.input_shape, model.trained_on
    files = check_paths("paths", paths)
    if reading.channels is None or reading.size is None:
        raise ShapeError(
            f"picture files have shape (H, W, 1) or (H, W, 3); the model takes {shape}"
            + either(" (use model.predict)", ""),
            argument="paths",
            value=paths,
        )
    if scale is not None:
        scale = check_number("scale", scale, above=0)
    of_arrays = trained is not None and trained.dtype != "uint8" and trained.reading is None
    if trained is not None and of_arrays and scale is None:
        raise ArgumentError(
            "the model was trained on floats from "
            f"{trained.low:g} to {trained.high:g} that came from no picture file: say what "
            f"brightness, 0 to 255, is to be multiplied with, such as {setting('scale', '1/255')}",
            argument="scale",
            value=scale,
        )
    return PictureFiles(files, reading, scale=scale, skip_bad=skip_bad)

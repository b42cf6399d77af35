"""What a training engine refuses, by name, before native code sees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from tests.run.steps import SAMPLES, SHAPE, engine_for, everything, make_data, make_step, rates

from isoconv.errors import ArgumentError, DTypeError, ShapeError
from isoconv.nn import Sequential
from isoconv.run.step import StepGraph
from isoconv.run.training import TrainingEngine


@pytest.fixture(scope="module")
def made() -> tuple[StepGraph, Sequential]:
    """A step and its model."""
    return make_step()


@pytest.fixture(scope="module")
def engine(made: tuple[StepGraph, Sequential]) -> Iterator[TrainingEngine]:
    """An engine to ask wrong things of."""
    step, model = made
    with engine_for(step, model) as one:
        one.begin_epoch(0, np.arange(SAMPLES))
        yield one


@pytest.mark.parametrize(("first", "count"), [(0, 4), (3, 1), (-1, 1), (0, 0)])
def test_steps_beyond_the_epoch(engine: TrainingEngine, first: int, count: int) -> None:
    """Steps that an epoch does not have are refused before anything runs."""
    before = everything(engine)
    with pytest.raises(ArgumentError, match=f"epoch of {SAMPLES} samples"):
        engine.steps(first, rates(count) if count else np.zeros((0, 1), np.float32))
    assert everything(engine) == before


def test_columns_of_scalars(engine: TrainingEngine) -> None:
    """Each step needs every scalar of the update, and no more."""
    for shape in ((2, 2), (2,)):
        with pytest.raises(ShapeError, match=r"'learning_rate'"):
            engine.steps(0, np.zeros(shape, np.float32))


def test_orders(engine: TrainingEngine) -> None:
    """An order names rows of the data set, one for each sample."""
    for order in (np.arange(SAMPLES - 1), np.arange(SAMPLES, dtype=np.int32)):
        with pytest.raises(ShapeError, match="order must be int64"):
            engine.begin_epoch(0, order)
    for row in (-1, SAMPLES):
        order = np.arange(SAMPLES)
        order[4] = row
        with pytest.raises(ArgumentError, match=f"rows from 0 to {SAMPLES - 1}"):
            engine.begin_epoch(0, order)


def test_tables(engine: TrainingEngine) -> None:
    """A table that changes from epoch to epoch keeps its shape and dtype, and must be known."""
    images = np.zeros((SAMPLES, *SHAPE), np.float32)
    with pytest.raises(ShapeError, match="'images' must stay uint8"):
        engine.begin_epoch(0, np.arange(SAMPLES), {"images": images})
    with pytest.raises(ArgumentError, match="'unknown'"):
        engine.begin_epoch(0, np.arange(SAMPLES), {"unknown": images})


def test_weights(engine: TrainingEngine, made: tuple[StepGraph, Sequential]) -> None:
    """Weights of another shape are named, missing ones too."""
    _, model = made
    wrong = {**model.parameters(), "0.weight": np.zeros((3, 3, 2, 6), np.float32)}
    with pytest.raises(ShapeError, match=r"'0\.weight' must have shape \(3, 3, 2, 5\)"):
        engine.load(wrong, model.states())
    missing = {name: a for name, a in model.parameters().items() if name != "6.bias"}
    with pytest.raises(ArgumentError, match=r"'6\.bias'"):
        engine.load(missing, model.states())


@pytest.mark.parametrize("setting", ["batch_size", "shard_size"])
def test_sizes(made: tuple[StepGraph, Sequential], setting: str) -> None:
    """Batches and shards hold at least one image."""
    step, model = made
    with pytest.raises(ArgumentError, match=f"{setting}=0"):
        engine_for(step, model, None, **{setting: 0})


def test_data(made: tuple[StepGraph, Sequential]) -> None:
    """Arrays that do not fit the graph or one another are refused before native code sees them."""
    step, model = made
    data = make_data()
    with pytest.raises(ShapeError, match="one row for each sample"):
        engine_for(step, model, {**data, "labels": data["labels"][1:]})
    with pytest.raises(DTypeError, match="'images' must be uint8; got float32"):
        engine_for(step, model, {**data, "images": data["images"].astype(np.float32)})
    with pytest.raises(ShapeError, match=r"'images' must have shape \(N, 6, 5, 2\)"):
        engine_for(step, model, {**data, "images": data["images"][:, :, :4]})
    with pytest.raises(ArgumentError, match="'labels'"):
        engine_for(step, model, {"images": data["images"]})


def test_update_of_another_size(made: tuple[StepGraph, Sequential]) -> None:
    """The update must be for vectors of the parameters' length."""
    step, model = made
    with pytest.raises(ShapeError, match=f"{step.size} elements; got 16"):
        engine_for(dataclasses.replace(step, size=16), model)


def test_an_unknown_target(made: tuple[StepGraph, Sequential]) -> None:
    """A target that does not exist, or not here, is named."""
    step, model = made
    with pytest.raises(ArgumentError, match="'avx1024'"):
        engine_for(step, model, target="avx1024")
    with pytest.raises(ArgumentError, match="threads must be a whole number of at least 1"):
        engine_for(step, model, threads=-2)

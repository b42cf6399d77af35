"""A small network's training steps, for tests: their data, their engine and what comes of them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from isoconv import nn
from isoconv.graph.operation import Array
from isoconv.run.step import StepGraph
from isoconv.run.training import TrainingEngine
from isoconv.train.graphs import Normalisation, Preparation, measure, step_of
from isoconv.train.losses import Loss
from isoconv.train.optim import SGD, AdamW

SHAPE, SAMPLES, BATCH, SHARD, SEED = (6, 5, 2), 23, 9, 2, 2**63 + 5
S = nn.Sequential


def network() -> nn.Sequential:
    """A network with all that a step can hold: statistics, dropout, a choice."""
    return S(
        nn.Conv2d(5, 3, padding=1, bias=False), nn.BatchNorm2d(momentum=0.3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3), nn.Linear(4),
    )  # fmt: skip


def make_step(
    optimizer: SGD | AdamW | None = None,
    clip_norm: float | None = 1.5,
    preparation: Preparation | None = None,
    model: nn.Sequential | None = None,
    frozen: tuple[str, ...] = (),
    groups: tuple[tuple[str, ...], ...] | None = None,
) -> tuple[StepGraph, nn.Sequential]:
    """The step of that network, and the model with its first weights."""
    model = (model or network()).build(SHAPE, seed=3)
    constants = Normalisation(
        np.array([0.02, 0.01], np.float32), np.array([-1.0, -0.5], np.float32)
    )
    preparation = preparation or Preparation(SHAPE, "uint8", constants)
    optimizer = optimizer or SGD(0.1, momentum=0.9, weight_decay=0.01)
    loss = Loss("cross_entropy", 0.1)
    measured = measure(model, preparation, loss, training=True, frozen=frozen)
    return step_of(measured, optimizer, clip_norm, groups), model


def make_data(samples: int = SAMPLES, seed: int = 0) -> dict[str, Array]:
    """Images and labels."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (samples, *SHAPE)).astype(np.uint8)
    return {"images": images, "labels": draw.integers(0, 4, samples).astype(np.int32)}


def engine_for(
    step: StepGraph, model: nn.Sequential, data: dict[str, Array] | None = None, **settings: Any
) -> TrainingEngine:
    """An engine with the model's weights."""
    settings = {"batch_size": BATCH, "shard_size": SHARD, "seed": SEED, "threads": 2} | settings
    engine = TrainingEngine(step, data or make_data(), **settings)
    engine.load(model.weights, model.weights)
    return engine


def rates(count: int, first: float | np.float32 = 0.1) -> Array:
    """Learning rates of some steps."""
    return (first / np.arange(1, count + 1, dtype=np.float32))[:, None]


def everything(engine: TrainingEngine) -> list[tuple[str, bytes]]:
    """All that a step changes, in bytes."""
    parts = [engine.parameters(), engine.states(), *engine.slots().values()]
    return [(name, array.tobytes()) for part in parts for name, array in part.items()]


def digest(engine: TrainingEngine, rows: Array) -> str:
    """SHA-256 of all that a step changes, and of the metrics."""
    text = repr(everything(engine)) + rows.tobytes().hex()
    return hashlib.sha256(text.encode()).hexdigest()


def train(
    step: StepGraph, model: nn.Sequential, epochs: int = 2, per_call: int = 3, **settings: Any
) -> str:
    """Digest of a short training."""
    with engine_for(step, model, **settings) as engine:
        rows = []
        for epoch in range(epochs):
            engine.begin_epoch(epoch, np.random.default_rng(epoch).permutation(SAMPLES))
            firsts = range(0, 3, per_call)
            rows += [engine.steps(first, rates(3)[first : first + per_call]) for first in firsts]
        return digest(engine, np.concatenate(rows))

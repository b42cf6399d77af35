"""Epochs of a packed data set, whose file the system holds, beside the same data in memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.crew import Crew
from bench.networks import build
from bench.timing import Timing
from isoconv.data import Dataset, load, pack
from isoconv.run.training import TrainingEngine
from isoconv.train.graphs import Preparation, build_step
from isoconv.train.losses import Loss
from isoconv.train.optim import SGD

__all__ = ["measure"]

WORKS = (("tiny", (28, 28, 1), 60_000), ("resnet20", (32, 32, 3), 4_000),
         ("tiny", (224, 224, 3), 3_000))  # fmt: skip
"""Networks, shapes of images and how many: small ones many times a second, and large ones."""
BATCH = 64
SEED = 0
MEMORY = "in memory"


def measure(crew: Crew) -> Iterator[dict[str, Any]]:
    """An epoch in random order, of both in turn; both end with the same losses."""
    quick = crew.setting.quick
    for name, shape, count in WORKS:
        images = count // 20 if quick else count
        with tempfile.TemporaryDirectory(prefix="isoconv-bench-") as folder:
            timings, rows = _both(Path(folder), name, shape, images, crew.setting.threads,
                                  2 if quick else 9)  # fmt: skip
        if not np.array_equal(*rows):
            raise ValueError(f"{name}: losses of a packed data set must be those of memory")
        values = {side: round(timing.median * 1e3, 3) for side, timing in timings.items()}
        sides = "×".join(map(str, shape))  # noqa: RUF001  # a size
        yield {
            "work": f"epoch of {images:,} packed images {sides}, {name} [{BATCH}]", "unit": "ms",
            "values": values,
            "spread": {side: round(timing.spread, 3) for side, timing in timings.items()},
            "best_other": MEMORY, "ratio": round(values[MEMORY] / values["isoconv"], 3),
            "goal": 0.9,
        }  # fmt: skip


def _both(
    folder: Path, name: str, shape: tuple[int, int, int], count: int, threads: int, turns: int
) -> tuple[dict[str, Timing], list[Any]]:
    """Times of epochs of each, and the losses of the last one."""
    draw = np.random.default_rng(SEED)
    images = draw.integers(0, 256, (count, *shape), np.uint8)
    labels = np.arange(count, dtype=np.int32) % 10
    pack(Dataset.from_arrays(images, labels), folder / "data.pack", progress=False)
    packed = load(folder / "data.pack")
    # Read once, as before every training: from here on the system holds the file.
    packed.digest()
    model = build(name, 10, shape).build(shape)
    optimizer = SGD(0.001)
    step = build_step(model, Preparation(shape, "uint8"), Loss(), optimizer)
    hyper = np.array([optimizer.hyper_row(1, 0.001)] * -(-count // BATCH), np.float32)
    found: dict[str, Timing] = {"isoconv": Timing(), MEMORY: Timing()}
    losses: list[Any] = []
    engines = {
        side: TrainingEngine(
            step,
            {"images": data, "labels": labels},
            batch_size=BATCH,
            shard_size=32,
            threads=threads,
        )
        for side, data in (("isoconv", packed.images), (MEMORY, images))
    }
    for engine in engines.values():
        engine.load(model.parameters(), model.states())
    for turn in range(turns + 1):
        order = np.random.default_rng(turn).permutation(count)
        losses = []
        for side, engine in engines.items():
            engine.begin_epoch(turn, order)
            begin = time.perf_counter()
            losses.append(engine.steps(0, hyper))
            seconds = time.perf_counter() - begin
            if turn:
                found[side].seconds.append(seconds)
    for engine in engines.values():
        engine.close()
    return found, losses

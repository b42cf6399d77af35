"""One process from its start to the end of its first training step; prints JSON."""

from __future__ import annotations

import json
import sys
import time


def main(threads: str) -> None:
    """Time the import, then everything from the model to the first step's result."""
    start = time.perf_counter()
    import isoconv as ic

    imported = time.perf_counter()
    # The package brings its parts when they are first asked for.
    _ = ic.Trainer, ic.nn, ic.optim
    complete = time.perf_counter()
    import numpy as np

    from isoconv.nn import models
    from isoconv.run.training import TrainingEngine
    from isoconv.train.graphs import Preparation, build_step
    from isoconv.train.losses import Loss

    random = np.random.RandomState(0)
    images = random.randn(128, 32, 32, 3).astype(np.float32)
    labels = random.randint(0, 10, 128).astype(np.int32)
    begin = time.perf_counter()
    model = models.create("resnet20", 10, (32, 32, 3)).build((32, 32, 3))
    optimizer = ic.optim.SGD(0.01, momentum=0.9)
    step = build_step(model, Preparation((32, 32, 3), "float32"), Loss(), optimizer)
    engine = TrainingEngine(
        step, {"images": images, "labels": labels}, batch_size=128, shard_size=32,
        threads=int(threads),
    )  # fmt: skip
    engine.load(model.parameters(), model.states())
    engine.steps(0, np.array([optimizer.hyper_row(1, 0.01)], np.float32))
    end = time.perf_counter()
    result = {
        "import": imported - start, "import all": complete - start, "first step": end - begin
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])

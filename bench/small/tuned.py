"""Few pictures of Fashion-MNIST: from a published model, beside training from scratch.

::

    python -m bench.small.tuned [--each 20] [--seed 0] [--size 96] [--test 10000]

So many pictures of each class are drawn from the training part by the seed, and all of the test
part is measured. Everything else is what the library takes by itself. Seconds are those of the
processor, on all threads together: of training and measuring, and of compiling what no cache holds.
"""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path
from typing import Any

import numpy as np

import isoconv as ic
from bench.small.packages import Package, members
from bench.small.sets import FOLDER
from isoconv.data.refit import as_read
from isoconv.train.start import Start

FASHION = Package("dataset-fashion-mnist", "debian", "dataset-fashion-mnist_*.deb")
MODEL = "efficientnet_lite0"
"""The published model, and the same network from scratch."""


def drawn(each: int, seed: int, test: int, folder: Path) -> ic.data.Splits:
    """So many pictures of each class to learn from, and the test part."""
    files = members(FASHION.fetch(folder), "*/fashion-mnist/*.gz")

    def numbers(name: str, start: int) -> Any:
        (content,) = (value for key, value in files.items() if name in key)
        return np.frombuffer(gzip.decompress(content), np.uint8, offset=start)

    parts = {}
    for part, name in (("train", "train"), ("test", "t10k")):
        images = numbers(f"{name}-images", 16).reshape(-1, 28, 28)
        parts[part] = ic.data.Dataset.from_arrays(images, numbers(f"{name}-labels", 8), name=part)
    draw, labels = np.random.default_rng(seed), parts["train"].labels
    chosen = [draw.permutation(np.flatnonzero(labels == k))[:each] for k in range(10)]
    train = parts["train"].subset(np.sort(np.concatenate(chosen)))
    return ic.data.Splits(train, None, parts["test"].subset(range(test)))


def main() -> None:
    """Train in each way, and print what it reached."""
    options = argparse.ArgumentParser(description="Few pictures of Fashion-MNIST.")
    for name, usual in (("each", 20), ("seed", 0), ("size", 96), ("test", 10_000)):
        options.add_argument(f"--{name}", type=int, default=usual)
    given = options.parse_args()
    small = drawn(given.each, given.seed, given.test, FOLDER / "packages")
    reading = Start.of(MODEL).reading((given.size, given.size))
    read = {part: as_read(data, reading) for part, data in small.parts.items()}
    large = ic.data.Splits(read["train"], None, read["test"])
    ways: dict[str, tuple[ic.data.Splits, dict[str, Any]]] = {
        f"{MODEL}, a new head": (large, {"start": MODEL}),
        f"{MODEL}, 59 of 99 layers too": (large, {"start": MODEL, "freeze": 40}),
        f"{MODEL} from scratch": (large, {"model": MODEL}),
        "small_resnet from scratch, 28 by 28": (small, {"model": "small_resnet"}),
    }
    for title, (splits, settings) in ways.items():
        began = time.process_time()
        run = ic.Trainer(seed=given.seed, progress=False, **settings).fit(splits)
        seconds = time.process_time() - began
        told = f"{run.test.top1:.2%} after {len(run.history)} epochs, {seconds:.0f} s"
        print(f"{title}: {told}", flush=True)


if __name__ == "__main__":
    main()

"""isoconv's training for ``bench.small``: a request as JSON in, what it reached as JSON out.

Nothing is chosen: model, batch, epochs, learning rate, augmentation and the size of the pictures
are what the library takes by itself. Of the training part it holds out a tenth to validate with;
the paths of the rest go into the file ``listing``, so that others learn from the same pictures.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import isoconv as ic
from bench.small.clock import elapsed


def train(request: dict[str, Any]) -> dict[str, Any]:
    """Train with the library's defaults, and measure the test part at the end, as `fit` does."""
    splits = ic.data.load_splits(request["folder"])
    Path(request["listing"]).write_text(json.dumps(splits.train.paths))
    trainer = ic.Trainer(seed=request["seed"], threads=request["threads"], progress=False)
    run = trainer.fit(splits)
    seconds = elapsed(request)
    if run.test is None:
        raise ValueError(f"{request['folder']} has no test part")
    settings = run.description["settings"]
    return {
        "accuracy": run.test.metrics["top1"],
        "seconds": seconds,
        "epochs": len(run.history),
        "batch": settings["batch_size"],
        "image_shape": list(splits.train.image_shape),
        "notes": run.notes,
        "versions": {"isoconv": version("isoconv")},
    }


if __name__ == "__main__":
    print(json.dumps(train(json.loads(sys.argv[1]))))

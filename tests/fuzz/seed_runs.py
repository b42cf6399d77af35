"""A run folder and a saved model to make mutants of, freed of clock and machine."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.fuzz.seeds import Seed

from isoconv import nn
from isoconv.data import Dataset, Skipped, Splits
from isoconv.graph.operation import Array
from isoconv.run.training import TrainingEngine
from isoconv.train import (
    EarlyStopping,
    Interrupted,
    Trainer,
    cross_validate,
    grid_search,
    session,
)
from isoconv.train.files import canonical_json
from isoconv.train.optim import SGD
from isoconv.train.receipt import receipt_digest

__all__ = ["RUNS", "SEVERAL", "make_runs", "matched", "model", "read_runs", "splits"]

RUNS = ("run", "interrupted")
"""Names of the runs: one that came to its end, and one that stands within its second epoch."""
SEVERAL = {"crossed": "cross-validation.json", "grid": "grid.json"}
"""What was made of several runs → its record."""
_STEPS = 5
"""Steps until the second one is interrupted; an epoch has four."""
_CLOCK = ("seconds", "images_per_second")
_CHECKPOINTS = "checkpoints/"


def splits() -> Splits:
    """The data of the run: small random images of two classes."""

    def part(count: int, seed: int) -> Dataset:
        pixels = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 1)).astype(np.uint8)
        return Dataset.from_arrays(pixels, np.arange(count) % 2, ["cat", "dog"], name="noise")

    left_out = (Skipped("cat/none.png", "empty"), Skipped("dog/a, b.jpg", "truncated"))
    train = replace(part(8, 0), skipped=left_out)
    return Splits(train, part(4, 1), part(4, 2), {"split_seed": 3, "size": None})


def model() -> nn.Module:
    """The network of the run, not built."""
    return nn.Sequential(
        nn.Conv2d(2, 3), nn.BatchNorm2d(), nn.functional.relu, nn.Flatten(), nn.Linear(2)
    )


def make_runs(folder: Path) -> None:
    """Train a run to its end and one that is interrupted, and save a model.

    They are ``folder/run``, ``folder/interrupted`` and ``folder/model.safetensors``; a
    cross-validation and a search through a grid are in ``folder/several``. The process is to end
    afterwards, for the second run is interrupted from within the engine.
    """
    _several(folder / "several")
    _fit(folder / "run")
    real, steps = TrainingEngine.steps, itertools.count()

    def interrupted(self: TrainingEngine, first: int, hyper: Array) -> Array:
        if next(steps) == _STEPS:
            signal.raise_signal(signal.SIGINT)
        return real(self, first, hyper)

    # Each step is a call of its own, and one of the second epoch is interrupted.
    session.CALL_SECONDS = 0.0
    TrainingEngine.steps = interrupted  # type: ignore[method-assign]
    with contextlib.suppress(Interrupted):
        _fit(folder / "interrupted")
    for name in RUNS:
        _free_of_machine(folder / name)
    saved = nn.Sequential(nn.Flatten(), nn.Linear(3), nn.functional.relu, nn.Linear(2))
    saved.build((3, 4, 1)).save(folder / "model.safetensors")


def _fit(out: Path) -> None:
    trainer = Trainer(
        model(), optimizer=SGD(0.05, 0.9), batch_size=2, progress=False, keep_checkpoints=True
    )
    trainer.fit(
        splits(),
        epochs=2,
        out=out,
        early_stopping=EarlyStopping(patience=2, metric="val_top1"),
        facts={"model": "tiny", "data": "noise", "numbers": [1, 2.5, None]},
    )


def _several(out: Path) -> None:
    """A cross-validation and a search through a grid, each with the plan that it is held to."""
    trainer = Trainer(model(), optimizer=SGD(0.05, 0.9), batch_size=2, progress=False)
    facts = {"model": "tiny", "numbers": [1, 2.5, None]}
    cross_validate(trainer, splits(), 2, epochs=1, out=out / "crossed", facts=facts)
    over: dict[str, list[Any]] = {"batch_size": [2], "optimizer": [SGD(0.05, 0.9)]}
    grid_search(trainer, splits(), over, folds=2, epochs=1, out=out / "grid", facts=facts)
    for name, record in SEVERAL.items():
        path = out / name / record
        content = json.loads(path.read_text())
        content["versions"] = dict.fromkeys(content["versions"], "1.0")
        path.write_bytes(canonical_json(content))
        besides = ("versions", "facts", "results", "mean", "deviation", "combinations", "best")
        plan = {each: value for each, value in content.items() if each not in besides}
        (out / name / "plan.json").write_bytes(canonical_json(plan))


def _free_of_machine(out: Path) -> None:
    """Put constants where a run tells of the clock and the machine."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    lines = [json.dumps({**row, **_clock(row)}, sort_keys=True) + "\n" for row in rows]
    (out / "metrics.jsonl").write_text("".join(lines))
    last = json.loads((out / "checkpoints/last.json").read_text())
    last["history"] = [{**row, **_clock(row)} for row in last["history"]]
    if last["step"]:
        last["seconds"] = 0.5
    (out / "checkpoints/last.json").write_bytes(canonical_json(last))
    run = json.loads((out / "run.json").read_text())
    run["versions"] = dict.fromkeys(run["versions"], "1.0")
    (out / "run.json").write_bytes(canonical_json(run))
    receipt = json.loads((out / "receipt.json").read_text())
    receipt["machine"] = {"threads": 2, "system": "Linux"}
    receipt["digest"] = receipt_digest(receipt)
    (out / "receipt.json").write_bytes(canonical_json(receipt))


def _clock(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: 0.5 for name in _CLOCK if name in row}


def read_runs(folder: Path) -> list[Seed]:
    """The seeds of what `make_runs` left."""
    saved = (folder / "model.safetensors").read_bytes()
    seeds = [Seed("model", "saved", {"model.safetensors": saved}, target="model.safetensors")]
    for name in RUNS:
        out = folder / name
        files = {
            path.relative_to(out).as_posix(): path.read_bytes()
            for path in sorted(out.rglob("*"))
            if path.is_file()
        }
        arrays = tuple(file for file in files if file.endswith(".safetensors"))
        text = tuple(file for file in files if file not in (*arrays, "receipt.json"))
        seeds += [
            Seed("run", name, files, spoiled=text),
            Seed("receipt", name, files, spoiled=("receipt.json",)),
            Seed("checkpoint", name, files, spoiled=arrays),
        ]
    for name, record in SEVERAL.items():
        out = folder / "several" / name
        both = {file: (out / file).read_bytes() for file in (record, "plan.json")}
        seeds.append(Seed("several", name, both, spoiled=(record,)))
    # What a start leaves that was killed before there was a run.
    begun = {file: content for file, content in files.items() if file != "run.json"}
    return [
        *seeds,
        Seed("receipt", "begun", begun, spoiled=("receipt.json", "samples.csv", "skipped.csv")),
    ]


def matched(files: dict[str, bytes], changed: str) -> dict[str, bytes]:
    """A run folder's files, with digests of one that was changed put right in the others.

    So that what a reader finds is the change itself, not the digest.
    """
    files = dict(files)
    digest = hashlib.sha256(files[changed]).hexdigest()
    try:
        if changed.startswith(f"{_CHECKPOINTS}last-"):
            last = json.loads(files["checkpoints/last.json"])
            files["checkpoints/last.json"] = canonical_json({**last, "sha256": digest})
        if changed == "samples.csv":
            run = json.loads(files["run.json"])
            files["run.json"] = canonical_json({**run, "samples_sha256": digest})
            _sign(files, {"samples_sha256": digest})
        if changed == "steps.jsonl":
            receipt = json.loads(files["receipt.json"])
            lines = files[changed].split(b"\n")
            for line, entry in zip(lines, receipt["epochs"], strict=False):
                entry["details_sha256"] = hashlib.sha256(line).hexdigest()
            _sign(files, receipt)
    except (ValueError, KeyError, TypeError, RecursionError):
        return files
    return files


def _sign(files: dict[str, bytes], changes: dict[str, Any]) -> None:
    receipt = {**json.loads(files["receipt.json"]), **changes}
    receipt["digest"] = receipt_digest(receipt)
    files["receipt.json"] = canonical_json(receipt)

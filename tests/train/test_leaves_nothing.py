"""A training that is refused leaves the working folder as it was, whatever was wrong."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.command import call

from isoconv import Trainer, memory, nn
from isoconv.data import Dataset, Splits
from isoconv.errors import IsoconvError
from isoconv.optim import SGD
from isoconv.train import Callback, EarlyStopping, Interrupted

IMAGES = np.arange(24 * 16, dtype=np.uint32).astype(np.uint8).reshape(24, 4, 4, 1)
LABELS = np.arange(24) % 2
DATA = Dataset.from_arrays(IMAGES, LABELS)
OTHER = Dataset.from_arrays(IMAGES[:, :3], LABELS)


class Fails(Callback):
    """Fails before the first step."""

    def on_train_begin(self, run: Any) -> None:
        """Raise."""
        raise RuntimeError(f"no {run}")


class Interrupts(Callback):
    """Somebody presses Ctrl-C before the first step."""

    def on_train_begin(self, run: Any) -> None:  # noqa: ARG002
        """Press it."""
        signal.raise_signal(signal.SIGINT)


def fit(*data: Any, layers: Any = None, **settings: Any) -> Callable[[], Any]:
    """A training into a folder below one that is not there."""
    of_fit = {
        name: settings.pop(name)
        for name in ("early_stopping", "facts", "epochs", "out")
        if name in settings
    }
    model = nn.Sequential(*(layers or [nn.Flatten(), nn.Linear(2)]))
    trainer = Trainer(model, **{"progress": False, "batch_size": 8, **settings})
    return lambda: trainer.fit(*data, **{"out": "runs/run", "epochs": 1, **of_fit})


REFUSED: dict[str, Callable[[], Any]] = {
    "no data": fit(None),
    "a path for data": fit("images"),
    "images without labels": fit((IMAGES,)),
    "too few labels": fit((IMAGES, LABELS[:5])),
    "labels with a gap": fit((IMAGES, LABELS * 2)),
    "NaN": fit((np.full((24, 4, 4, 1), np.nan, np.float32), LABELS)),
    "float targets for classes": fit((IMAGES, LABELS / 2)),
    "classes for targets": fit(DATA, loss="mse"),
    "more classes than outputs": fit(
        Dataset.from_arrays(IMAGES, np.arange(24) % 3, ["a", "b", "c"])
    ),
    "one class": fit((IMAGES, LABELS * 0)),
    "validation of another shape": fit(DATA, OTHER),
    "validation with unknown classes": fit(
        Dataset.from_arrays(IMAGES, LABELS, ["a", "b"]),
        Dataset.from_arrays(IMAGES, LABELS, ["a", "c"]),
    ),
    "splits and a part": fit(Splits(DATA), DATA),
    "no epochs": fit(DATA, epochs=0),
    "stopping by what is not measured": fit(DATA, early_stopping=EarlyStopping(1, "val_loss")),
    "stopping that is none": fit(DATA, early_stopping=3),
    "facts that are none": fit(DATA, facts=[1]),
    "facts that cannot be kept": fit(DATA, facts={"now": object()}),
    "a kernel larger than the image": fit(DATA, layers=[nn.Conv2d(2, 7), nn.Linear(2)]),
    "a layer that wants flat inputs": fit(DATA, layers=[nn.Linear(2)]),
    "a constant beyond float32": fit(
        DATA, layers=[nn.BatchNorm2d(eps=1e300), nn.Flatten(), nn.Linear(2)]
    ),
    "too large a model": fit(DATA, layers=[nn.Flatten(), nn.Linear(2**30), nn.Linear(2**30)]),
    "an unknown target": fit(DATA, target="z80"),
    "keeping what is not there": fit(DATA, normalise="keep"),
    "a loss that is not finite": fit(
        DATA, layers=[nn.Flatten(), nn.Linear(4), nn.Linear(2)], optimizer=SGD(1e30)
    ),
    "a callback that fails": fit(DATA, callbacks=[Fails()]),
    "Ctrl-C before the first step": fit(DATA, callbacks=[Interrupts()]),
    "a folder that lies in a file": fit(DATA, out="file/run"),
    "a folder with others' files": fit(DATA, out="folder"),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a file, and a folder that looks like half a run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "weights.safetensors").write_text("mine")
    return tmp_path


def content(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("what", REFUSED)
def test_refused_in_the_library(place: Path, what: str) -> None:
    """Neither the run's folder nor the one above it is there afterwards."""
    before = content(place)
    with pytest.raises((IsoconvError, RuntimeError, Interrupted)):
        REFUSED[what]()
    assert content(place) == before


def test_too_little_memory_in_the_library(place: Path) -> None:
    """Nor where memory is short."""
    before = content(place)
    limit = memory.set_limit(2**20)
    try:
        with pytest.raises(IsoconvError, match="memory"):
            fit(DATA, layers=[nn.Flatten(), nn.Linear(2**20), nn.Linear(2)])()
    finally:
        memory.set_limit(limit)
    assert content(place) == before


COMMANDS: dict[str, tuple[str, ...]] = {
    "no such data": ("nothing",),
    "an empty folder": ("empty",),
    "no archive": ("broken.npz",),
    "labels with a gap": ("gap.npz",),
    "float labels": ("floats.npz",),
    "one class": ("one.npz",),
    "too small images": ("good.npz", "--model", "resnet20", "--size", "4"),
    "an unknown model": ("good.npz", "--model", "alexnet"),
    "a rate that is none": ("good.npz", "--lr", "nan"),
    "a loss that is not finite": ("good.npz", "--optimizer", "sgd", "--lr", "1e30"),
    "an unknown target": ("good.npz", "--target", "z80"),
    "nothing to learn from": ("good.npz", "--validation", "0.6", "--test", "0.5"),
    "little memory": ("good.npz", "--max-memory", "1MiB"),
    "an unknown option": ("good.npz", "--learningrate", "1"),
    "no epochs": ("good.npz", "--epochs", "0"),
    "a folder with others' files": ("good.npz", "--out", "folder"),
    "a folder in a file": ("good.npz", "--out", "file/run"),
    "a folder in the data": ("pictures", "--out", "pictures/run"),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_refused_on_the_command_line(place: Path, what: str) -> None:
    """Neither runs/ nor the run's folder is there afterwards."""
    images = np.repeat(np.repeat(IMAGES, 3, axis=1), 3, axis=2)
    for name, labels in (("good", LABELS), ("gap", LABELS * 3), ("one", LABELS * 0),
                         ("floats", LABELS / 3)):  # fmt: skip
        np.savez(place / f"{name}.npz", images=images, labels=labels)
    (place / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    (place / "empty").mkdir()
    (place / "pictures" / "cat").mkdir(parents=True)
    before = content(place)
    result = call("train", *COMMANDS[what], "--no-report")
    assert result.exit_code == 2, result.output
    assert content(place) == before
    limit = memory.set_limit(None)
    assert limit is None or "--max-memory" in COMMANDS[what]

"""Training on a packed data set: the bits of its source, and memory that does not grow with it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isoconv import memory, nn
from isoconv.compile.native.lost_pages import HAS_SIGNALS
from isoconv.data import Augmentation, Dataset, load_splits, pack
from isoconv.data.pack_file import PackedRows
from isoconv.data.pack_layout import PAGE
from isoconv.errors import DataFileError
from isoconv.rows import rows_behind
from isoconv.train import Callback, Run, Trainer, evaluate
from isoconv.train.reads import bytes_read

SHAPE = (12, 11, 3)


def network() -> nn.Sequential:
    """A small one with statistics and dropout."""
    return nn.Sequential(
        nn.Conv2d(6, 3, padding=1), nn.BatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.2), nn.Linear(3),
    )  # fmt: skip


def source(dtype: str = "uint8", count: int = 90) -> tuple[Any, list[str]]:
    """Images of three classes, some of them copies of others."""
    draw = np.random.default_rng(0)
    images = (draw.random((count, *SHAPE)) * 255).astype(dtype)
    images[72:81] = images[:9]
    return images, [*"abc"] * (count // 3)


def trained(data: Any, out: Path | None = None, **settings: Any) -> Run:
    """A run of two epochs."""
    usual: dict[str, Any] = {"augmentation": Augmentation(shift=1, flip=True), "progress": False}
    return Trainer(network(), batch_size=16, **{**usual, **settings}).fit(data, epochs=2, out=out)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_pack_trains_to_the_bits_of_its_source(
    tmp_path: Path, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights, receipts and measurements, with any threads; what is read is told and kept."""
    pack(source(dtype), tmp_path / "data.pack", progress=False)
    plain = load_splits(source(dtype), validation=0.2, test=0.2)
    file = load_splits(tmp_path / "data.pack", validation=0.2, test=0.2)
    one = trained(plain, tmp_path / "one")
    for threads in (1, 3):
        other = trained(file, tmp_path / f"other {threads}", threads=threads)
        assert other.digest == one.digest
        assert (other.test and other.test.metrics) == (one.test and one.test.metrics)
    ours, theirs = (
        json.loads((tmp_path / run / "receipt.json").read_bytes()) for run in ("one", "other 1")
    )
    for name in ("data", "record", "samples_sha256", "settings", "split"):
        assert ours[name] == theirs[name], name
    reads = {part: file.parts[part].images.nbytes for part in ("train", "validation")}
    assert json.loads((tmp_path / "other 1" / "run.json").read_bytes())["reads"] == reads
    assert "reads" not in json.loads((tmp_path / "one" / "run.json").read_bytes())
    assert evaluate(one.model, file.train).metrics == evaluate(one.model, plain.train).metrics
    test, same_test = (each.parts["test"].images for each in (file, plain))
    assert np.array_equal(one.model.predict(test), one.model.predict(same_test))
    capsys.readouterr()
    trained(file, progress=True)
    told = capsys.readouterr().out
    total = memory.readable(reads["train"] + reads["validation"])
    assert f"data.pack is read where it lies: {total} in each epoch" in told
    disk = "" if bytes_read() is None else ", 0 bytes from the disk"
    assert told.count(f"{total} read{disk}\n") == 2


def test_a_file_that_changes_ends_the_training(tmp_path: Path) -> None:
    """At the next epoch."""
    path = tmp_path / "data.pack"
    pack(source(), path, progress=False)

    class Writer(Callback):
        def on_epoch_end(self, run: Run, row: Any) -> None:  # noqa: ARG002
            """More stands in the file."""
            with path.open("ab") as file:
                file.write(b"more")

    with pytest.raises(DataFileError, match="as when it was opened"):
        trained(load_splits(path), callbacks=[Writer()])


@pytest.mark.skipif(not HAS_SIGNALS, reason="only there it is known how a lost page is told")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_file_that_is_cut_or_written_to_under_native_code_is_an_error(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last look at it and its end: the process lives, and no result is given back."""
    path, kept = tmp_path / "data.pack", tmp_path / "kept.pack"
    pack(source(count=900), kept, progress=False)
    shutil.copy(kept, path)
    model = trained(load_splits(path), threads=threads).model
    usual = PackedRows.expect
    spoil: list[Callable[[], object]] = []

    def expect(self: PackedRows, numbers: Any) -> None:
        """What comes in between."""
        usual(self, numbers)
        for each in spoil:
            each()
        spoil.clear()

    def cut_for_a_while() -> None:
        """As long as it is not looked at."""
        state = path.stat()
        os.truncate(path, PAGE)
        os.truncate(path, state.st_size)
        with path.open("r+b") as file:
            file.write(kept.read_bytes())
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))

    monkeypatch.setattr(PackedRows, "expect", expect)
    for spoiling, told in (
        (lambda: os.truncate(path, PAGE), "as when it was opened; found 4096"),
        (lambda: shutil.copy(kept, path), "was written to while it is read"),
        (lambda: path.write_bytes(bytes(path.stat().st_size)), "was written to while it is read"),
    ):
        for use in (lambda data: trained(data, threads=threads),
                    lambda data: model.predict(data.train.images),
                    lambda data: evaluate(model, data.train)):  # fmt: skip
            shutil.copy(kept, path)
            data = load_splits(path)
            data.train.digest()
            spoil.append(spoiling)
            with pytest.raises(DataFileError, match=f"data.pack: .*{told}"):
                use(data)
            assert not spoil
    shutil.copy(kept, path)
    data = load_splits(path)
    wanted = model.predict(data.train.images)
    # The same bytes, as of the same time: the digests are made anew, and nothing is lost.
    spoil.append(cut_for_a_while)
    assert np.array_equal(model.predict(data.train.images), wanted)


def test_a_pack_that_another_one_replaces_is_read_to_the_end(tmp_path: Path) -> None:
    """A training holds the file that it was begun with; the next one has the new one."""
    path, other = tmp_path / "data.pack", tmp_path / "other.pack"
    pack(source(), path, progress=False)
    images, labels = source()
    pack((255 - images, labels), other, progress=False)
    wanted = trained(load_splits(path))

    class Mover(Callback):
        def on_epoch_end(self, run: Run, row: Any) -> None:  # noqa: ARG002
            """The other one gets its name."""
            if other.exists():
                other.replace(path)

    found = trained(load_splits(path), callbacks=[Mover()])
    assert found.digest == wanted.digest
    assert trained(load_splits(path)).digest != wanted.digest


def test_frozen_layers_go_over_a_pack_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What they give is kept, to the same bits; no epoch reads images, and none is said to."""
    path = tmp_path / "data.pack"
    pack(source(), path, progress=False)
    runs = [trained(load_splits(source())) for _ in range(2)]
    first, digests = runs[0].digest, []
    given: list[Any] = [source(), path]
    for run, data in zip(runs, given, strict=True):
        trainer = Trainer(run.model, freeze="all", augmentation=None, progress=False)
        digests.append(trainer.fit(load_splits(data), epochs=2).digest)
    assert digests[0] == digests[1] != first
    capsys.readouterr()
    trainer = Trainer(runs[1].model, freeze="all", augmentation=None, progress=True)
    trainer.fit(load_splits(path), epochs=2)
    told = capsys.readouterr()
    assert "read where it lies" not in told.out + told.err
    assert " read" not in told.out


@pytest.mark.slow
def test_masks_of_a_pack_are_read_where_they_lie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the bits of those in memory: training, measurements, what is read, other processes."""
    draw = np.random.default_rng(1)
    images, masks = (
        draw.integers(0, 256, (40, 16, 16, 3), np.uint8),
        draw.integers(-1, 3, (40, 16, 16)),
    )
    path = tmp_path / "data.pack"
    pack((images, masks), path, progress=False)
    plain, file = load_splits((images, masks)), load_splits(path)
    assert rows_behind(file.train.labels) is not None
    assert file.train.class_counts().tolist() == plain.train.class_counts().tolist()
    runs = [
        Trainer("small_unet", batch_size=8, progress=progress).fit(data, epochs=1)
        for data, progress in ((plain, False), (file, True))
    ]
    assert runs[0].digest == runs[1].digest
    reads = [
        part.images.nbytes + part.labels.nbytes
        for part in map(file.parts.get, ("train", "validation"))
        if part
    ]
    assert (
        f"read where it lies: {memory.readable(sum(reads))} in each epoch"
        in capsys.readouterr().out
    )
    one, other = (evaluate(runs[0].model, each.parts["test"]) for each in (plain, file))
    assert one.metrics == other.metrics
    assert np.array_equal(one.confusion, other.confusion)
    sent = pickle.dumps(file.parts["test"])
    assert np.array_equal(pickle.loads(sent).labels, plain.parts["test"].labels)  # noqa: S301


LIMITED = """
import resource, sys
import numpy as np
from isoconv import nn
from isoconv.data import load_splits, pack_file
from isoconv.errors import NotEnoughMemoryError
from isoconv.train import Trainer

def held(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(name))

(path,) = sys.argv[1:]
model = nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), nn.Linear(2))
small = np.zeros((8, 256, 256, 3), np.uint8), [0, 1] * 4
train = Trainer(model, batch_size=4, threads=2, augmentation=None, progress=False).fit
# All that training takes whatever the data are.
train(load_splits(small), epochs=1)
before = held("RssAnon"), held("VmRSS")
room = held("VmData") + (100 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (room, room))
pack_file.HELD = 32 << 20
splits = load_splits(path)
model = nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), nn.Linear(2))
train = Trainer(model, batch_size=4, threads=2, augmentation=None, progress=False).fit
run = train(splits, epochs=2)
print(run.digest, held("RssAnon") - before[0], held("VmHWM") - before[1])
try:
    np.asarray(splits.train.images)
    print("loaded")
except (MemoryError, NotEnoughMemoryError):
    print("too large")
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them")
def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """300 MB are trained on where 100 MiB are allowed, and few of them are held at a time."""
    count = 1530
    images = np.random.default_rng(0).integers(0, 256, (count, 256, 256, 3), np.uint8)
    assert images.nbytes > 280 << 20
    path = tmp_path / "large.pack"
    pack(Dataset.from_arrays(images, np.arange(count) % 2), path, progress=False)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures, load = done.stdout.splitlines()
    digest, anonymous, highest = figures.split()
    assert len(digest) == 64
    assert int(anonymous) < 60 << 20
    # 32 MiB of the file are held, and some while its digests are made.
    assert int(highest) < 120 << 20
    assert load == "too large"


HELD = """
import sys
import numpy as np
from isoconv.data import Folds, check, load, load_splits

def held():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))

(path,) = sys.argv[1:]
before, kept = held(), []
for use in (check, lambda path: load(path).class_counts(), lambda path: load(path, "all").digest(),
            lambda path: [part.digest() for part in load_splits(path).parts.values()],
            lambda path: Folds(load(path), 2)[0].train.digest(),
            lambda path: load(path).subset(np.arange(9, 2000, 3)).statistics()):
    found = use(path)
    kept.append(held() - before)
print(max(kept))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory as Linux tells it")
def test_masks_of_a_pack_are_never_held(tmp_path: Path) -> None:
    """Of 150 MB of masks and images no more than some at a time, whatever is asked of them."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (2000, 128, 128), np.uint8)
    path = tmp_path / "masks.pack"
    pack((images, (images % 5).astype(np.int32)), path, progress=False)
    assert path.stat().st_size > 150 << 20
    done = subprocess.run(
        [sys.executable, "-c", HELD, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 70 << 20

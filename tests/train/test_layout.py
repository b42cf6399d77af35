"""What the files of a run folder must look like: nothing of a stranger's goes by without a look."""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.train.fields import at, places
from tests.train.small import make, noise

import isoconv as ic
from isoconv.errors import CheckpointError, NotEnoughMemoryError
from isoconv.nn import storage
from isoconv.train import Receipt, RunFolder, Trainer
from isoconv.train.receipt import receipt_digest
from isoconv.train.stand import Stand
from isoconv.train.stored import check_files


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("layout") / "run"
    make(keep_checkpoints=True).fit(noise(), noise(10, 1), epochs=2, out=out)
    return out


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return shutil.copytree(original, tmp_path / "run")


def signed(receipt: dict[str, Any]) -> None:
    """A receipt with a digest that fits."""
    receipt["digest"] = receipt_digest(receipt)


def no_change(content: dict[str, Any]) -> None:
    """A file without a digest."""


READERS = {
    "receipt.json": (Receipt.read, signed),
    "run.json": (lambda run: RunFolder(run).description(), no_change),
    "checkpoints/last.json": (lambda run: Stand.read(RunFolder(run).checkpoint_file), no_change),
}


def test_all_faults_of_a_file_are_told_at_once(run: Path) -> None:
    """File, place, rule and value of each."""
    path = run / "receipt.json"
    content = json.loads(path.read_text())
    content["settings"].update(batch_size=10**12, epochs=10**15, seed=-1)
    content["epochs"][1]["metrics"]["loss"] = "0.5"
    content["record"]["input_shape"][0] = 10**12
    content["record"]["architecture"]["steps"][0]["filters"] = "many"
    del content["final"]["test"]
    signed(content)
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError) as caught:
        Receipt.read(run)
    said = str(caught.value)
    assert said.startswith(f"receipt {path} cannot be read: ")
    faults = said.partition("cannot be read: ")[2].split(" | ")
    assert [fault.partition(" must ")[0] for fault in faults] == [
        "record.input_shape[0]",
        "settings.batch_size",
        "settings.epochs",
        "settings.seed",
        "epochs[1].metrics.loss",
        "final.test",
    ]
    assert faults[1].endswith("a whole number from 1 to 2147483647; got 1000000000000")
    assert faults[4].endswith("must be a finite number in hexadecimal, as float.hex writes it; "
                              "got '0.5'")  # fmt: skip


HOSTILE: tuple[Any, ...] = (
    10**15, -(10**15), 10**19, 1e308, -0.5, True, None, "", "x" * 70_000, "\x1b[2J\u202e", "\udcff",
    [], {}, [[[[]]]], {"type": "SGD"}, {"same": 0}, [10**12] * 4,
)  # fmt: skip


@pytest.mark.parametrize("each", [5, pytest.param(1, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("file", READERS)
def test_whatever_stands_in_a_file_it_is_read_or_refused(run: Path, file: str, each: int) -> None:
    """Every value of every file in turn by what JSON can hold: an error that names the file.

    The values that may stand there take turns from place to place, or each of them stands in each.
    """
    path = run / file
    before = path.read_text()
    reader, prepare = READERS[file]
    begin, refused = time.process_time(), 0
    for number, place in enumerate(places(json.loads(before))):
        for value in HOSTILE[number % each :: each] if place else ():
            spoiled = json.loads(before)
            at(spoiled, place[:-1])[place[-1]] = value
            try:
                prepare(spoiled)
            except (TypeError, AttributeError, ValueError):
                # Nobody can make a digest of this.
                continue
            path.write_text(json.dumps(spoiled))
            try:
                reader(run)
            except CheckpointError as error:
                refused += 1
                said = str(error)
                assert path.name in said, place
                assert len(said) < 10_000
                assert all(line.isprintable() for line in said.splitlines())
    assert refused > 200 // each
    assert time.process_time() - begin < 120


@pytest.mark.parametrize("file", [*READERS, "metrics.jsonl", "steps.jsonl", "samples.csv"])
def test_what_is_no_file_is_not_waited_for(run: Path, file: str) -> None:
    """A pipe, a folder and a device in place of each text."""
    path = run / file
    for make_it in (os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")):
        path.unlink() if path.exists() and not path.is_dir() else path.rmdir()
        make_it(path)
        begin = time.perf_counter()
        with pytest.raises(CheckpointError, match="cannot be read"):
            check_files(Receipt.read(run))
        assert time.perf_counter() - begin < 60


@pytest.mark.slow
@pytest.mark.parametrize("file", [*READERS, "metrics.jsonl", "steps.jsonl"])
def test_no_more_memory_is_taken_than_there_is(
    run: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a file may become is asked for before it is read."""
    monkeypatch.setattr("isoconv.memory.available_memory", lambda: 2**25)
    path = run / file
    with path.open("r+b") as opened:
        opened.truncate(2**24)
    with pytest.raises(NotEnoughMemoryError, match=f"{path.name} needs at least 6"):
        check_files(Receipt.read(run))


def test_a_text_that_is_too_long_is_refused(run: Path) -> None:
    """More than a gigabyte is no receipt, and nothing of it is read."""
    path = run / "receipt.json"
    with path.open("r+b") as opened:
        opened.truncate(2**40)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=r"it is longer than 1,073,741,824 bytes"):
        Receipt.read(run)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


# Headers of arrays


def with_header(path: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    """Write a file of arrays whose header was altered."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    alter(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"shape": [2**62, 2]}, r"0\.bias\.data_offsets must be \[0, 36893488147419103232\]"),
        ({"shape": [0, 2**62, 2**62]}, r"0\.bias\.shape must be one that fits into memory"),
        ({"shape": [1] * 33}, r"0\.bias\.shape must have 0 to 32 entries"),
        ({"shape": [-4]}, r"0\.bias\.shape\[0\] must be a whole number"),
        ({"shape": [True, 4]}, r"0\.bias\.shape\[0\] must be a whole number"),
        ({"shape": [4.0]}, r"0\.bias\.shape\[0\] must be a whole number"),
        ({"dtype": "F8"}, r"0\.bias\.dtype must be one of 'F64', 'F32'"),
        ({"dtype": "F64"}, r"0\.bias\.data_offsets must be \[0, 32\]"),
        ({"data_offsets": [0, 2**63]}, r"0\.bias\.data_offsets\[1\] must be a whole number"),
        ({"data_offsets": [16, 0]}, r"0\.bias\.data_offsets must be"),
        ({"data_offsets": [0]}, r"0\.bias\.data_offsets must have 2 entries"),
        ({"data_offsets": [8, 24]}, r"0\.bias\.data_offsets must be \[0, 16\]"),
        ({"added": 1}, r"0\.bias\.added must not be there"),
    ],
)
def test_a_header_is_held_to_its_schema(run: Path, entry: dict[str, Any], message: str) -> None:
    """Sizes are computed before memory is taken, and every byte is an array's."""
    path = run / "weights.safetensors"
    with_header(path, lambda header: header["0.bias"].update(entry))
    with pytest.raises(CheckpointError, match=rf"weights\.safetensors cannot be read: .*{message}"):
        storage.read(path)
    with pytest.raises(CheckpointError):
        check_files(Receipt.read(run))
    with pytest.raises(CheckpointError):
        ic.load(path)


def test_a_header_names_texts_alone(run: Path) -> None:
    """Notes that are no texts, and names that no UTF-8 has."""
    path = run / "weights.safetensors"
    before = path.read_bytes()
    for alter, message in (
        (lambda header: header.update(__metadata__={"a": 1}), "__metadata__.a must be a text"),
        (lambda header: header.update(__metadata__=[]), "__metadata__ must be an object"),
        (lambda header: header.update({"\udcff": header.pop("0.bias")}), "a text in UTF-8"),
        (lambda header: header.update({"0.bias": 5}), "0.bias must be an object"),
    ):
        with_header(path, alter)
        with pytest.raises(CheckpointError, match=message):
            storage.read(path)
        path.write_bytes(before)


@pytest.mark.parametrize("size", [0, 7, 8, 100])
def test_a_file_that_ends_within_its_header_is_refused(run: Path, size: int) -> None:
    """Also the empty one."""
    path = run / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="cannot be read as saved weights: it"):
        storage.read(path)


def test_what_others_wrote_is_read(tmp_path: Path) -> None:
    """Every dtype that NumPy has, in files with notes of their own."""
    import numpy as np
    from safetensors.numpy import save

    arrays = {
        kind: np.arange(6).reshape(2, 3).astype(kind)
        for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
    }
    arrays |= {"empty": np.zeros((0, 3), np.float32), "one": np.array(7, np.float32)}
    path = tmp_path / "mere.safetensors"
    path.write_bytes(save(arrays, {"format": "np"}))
    found, record = storage.read(path)
    assert record == {}
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.writeable


def test_settings_of_a_run_are_bounded(run: Path) -> None:
    """A trainer is made of no numbers that no arithmetic takes."""
    path = run / "run.json"
    before = path.read_text()
    for name, value in (
        ("learning_rate", 1e300), ("weight_decay", 1e300), ("beta1", 2), ("eps", 1e39),
    ):  # fmt: skip
        content = json.loads(before)
        content["settings"]["optimizer"][name] = value
        path.write_text(json.dumps(content))
        with pytest.raises(CheckpointError, match=f"settings.optimizer must be .*{name}") as caught:
            Trainer.from_run(ic.load(run / "weights.safetensors"), run)
        assert "run.json cannot be read" in str(caught.value)

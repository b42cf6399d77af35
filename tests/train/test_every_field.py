"""Every field of every file of a run: changed, removed or added, it is found or named.

Whatever is changed in a run folder, `verify` calls the run different, refuses to say anything, or
names the very place among what it does not cover.
"""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import json
import re
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.train.fields import Path_, at, places

from isoconv import nn
from isoconv.data import Dataset, Skipped, Splits
from isoconv.errors import CheckpointError
from isoconv.graph.operation import Array
from isoconv.nn.record import with_weights
from isoconv.run.training import TrainingEngine
from isoconv.train import EarlyStopping, Interrupted, Receipt, Trainer, session, verify
from isoconv.train.learning_rate import Constant
from isoconv.train.optim import SGD
from isoconv.train.receipt import receipt_digest
from isoconv.train.stored import check_files


def images(count: int, seed: int) -> Dataset:
    """Small random images of two classes."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 4, 4, 1)).astype(np.uint8)
    return Dataset.from_arrays(pixels, np.arange(count) % 2, ["cat", "dog"], name=f"noise {seed}")


LEFT_OUT = (Skipped("cat/none.png", "empty"), Skipped("dog/cut.jpg", "truncated, or so"))
DATA = Splits(
    replace(images(8, 0), skipped=LEFT_OUT), images(4, 1), images(4, 2),
    {"split_seed": 3, "size": None},
)  # fmt: skip


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that early stopping ended, with everything that a run can leave."""
    out = tmp_path_factory.mktemp("fields") / "run"
    model = nn.Sequential(
        nn.Conv2d(2, 3), nn.BatchNorm2d(), nn.functional.relu, nn.Flatten(), nn.Linear(2)
    )
    trainer = Trainer(
        model, optimizer=SGD(0.05, 0.9), batch_size=4, progress=False, keep_checkpoints=True
    )
    run = trainer.fit(
        DATA,
        epochs=6,
        out=out,
        early_stopping=EarlyStopping(patience=2, metric="val_top1"),
        facts={"model": "tiny", "numbers": [1, 2.5, None]},
    )
    assert len(run.history) < 6
    assert run.kept_epoch < len(run.history)
    (out / "report").mkdir()
    (out / "report" / "index.html").write_text("<p>report</p>")
    return out


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return shutil.copytree(original, tmp_path / "run")


# Changes of JSON

MOST = [2, pytest.param(7, marks=pytest.mark.exhaustive)]
"""Other values for each leaf: one of its kind and one that is nearly of it, or all."""
each_leaf = pytest.mark.parametrize("most", MOST)


def others(value: Any) -> Iterator[Any]:
    """Values that may stand in the place of a leaf: of its kind, and of another kind."""
    if isinstance(value, bool):
        yield from (not value, int(value))
    elif isinstance(value, int):
        yield from (value + 1, float(value), str(value), -1 - value, 2**31 - 1, 10**15, [value])
    elif isinstance(value, float):
        yield from (value + 0.125, str(value), None, 1e300)
        yield int(value) if value == int(value) else -value
    elif value is None:
        yield from (0, "", False, {})
    elif re.fullmatch(r"[0-9a-f]{64}", value):
        yield from (value[:-1] + ("0" if value[-1] != "0" else "1"), value.upper(), None)
    else:
        yield from (f"{value}x", 5, value[:-1], {"type": value})


def changed(text: str | bytes, most: int) -> Iterator[tuple[Path_, Any]]:
    """A JSON value with one change, and where it is: leaves, entries more, entries less."""
    content = json.loads(text)
    for path in places(content):
        value = at(content, path)
        if isinstance(value, dict):
            for added in (None, 1):
                spoiled = json.loads(text)
                at(spoiled, path)["added"] = added
                yield (*path, "added"), spoiled
        elif isinstance(value, list):
            spoiled = json.loads(text)
            at(spoiled, path).append(value[-1] if value else 0)
            yield (*path, len(value)), spoiled
        elif path:
            for other in islice(others(value), most):
                spoiled = json.loads(text)
                at(spoiled, path[:-1])[path[-1]] = other
                yield path, spoiled
        if path:
            spoiled = json.loads(text)
            del at(spoiled, path[:-1])[path[-1]]
            yield path, spoiled


# What verify says


def not_covered(line: str) -> dict[str, list[str]]:
    """The places that are named as not covered, by file; none stands for all of it."""
    found = re.findall(r"([^,(]+?)(?: \(([^)]*)\))?(?:, |$)", line.removeprefix("not covered: "))
    return {file: inner.split(", ") if inner else [] for file, inner in found}


def is_named(line: str, file: str, path: Path_) -> bool:
    """Whether a place is among those that are not covered."""
    free = not_covered(line)
    if file not in free or not free[file]:
        return file in free
    keys = [str(key) for key in path if not isinstance(key, int)]
    ways = [".".join(keys[:count]) for count in range(1, len(keys) + 1)]
    # A column of the history is called by its name alone.
    return any(way in free[file] for way in (*ways, *keys[-1:]))


def escapes(folder: Path, file: str, path: Path_ = (), data: Splits = DATA) -> bool:
    """Whether a change goes by without a word."""
    try:
        files = check_files(Receipt.read(folder))
        if files.difference is not None or is_named(str(files.free), file, path):
            return False
        found = verify(folder, None, data, threads=1)
    except CheckpointError:
        return False
    if found.different:
        return False
    *_, free = (note for note in found.notes if note.startswith("not covered: "))
    told = [note for note in found.notes if file in note and note != free]
    assert not (told and found.identical)
    return not told and not is_named(free, file, path)


def unseen(
    folder: Path, file: str, most: int, forge: Callable[[Any], None] | None = None
) -> list[tuple[Path_, Any, Any]]:
    """The changes of a JSON file that go by without a word: place, value before and after."""
    path = folder / file
    before = path.read_text()
    same = json.dumps(json.loads(before), sort_keys=True)
    found, tried = [], 0
    for place, spoiled in changed(before, most):
        if forge is not None:
            try:
                forge(spoiled)
            except (TypeError, AttributeError, KeyError):
                # Nobody can make a digest of this.
                continue
        text = json.dumps(spoiled, sort_keys=True)
        if text == same:
            continue
        path.write_text(text)
        tried += 1
        if escapes(folder, file, place):
            found.append((place, found_at(json.loads(before), place), found_at(spoiled, place)))
    path.write_text(before)
    assert tried > 40
    return found


def found_at(content: Any, path: Path_) -> Any:
    """The value that a path leads to, if it leads anywhere."""
    try:
        return at(content, path)
    except (KeyError, IndexError, TypeError):
        return "nothing"


# Text


def test_the_run_as_it_is_is_identical(run: Path) -> None:
    """Nothing was spoiled: what is named as not covered is no more than it must be."""
    found = verify(run, None, DATA)
    assert found.identical
    assert not_covered(found.notes[0]) == {
        "receipt.json": ["isoconv", "machine", "model.name", "settings.early_stopping",
                         "settings.epochs"],
        "run.json": ["facts", "keep_checkpoints", "versions"],
        "skipped.csv": ["reason"],
        "metrics.jsonl": ["seconds", "images_per_second"],
        "checkpoints/last.json": ["seconds", "images_per_second"],
        "report/index.html": [],
    }  # fmt: skip


@pytest.mark.slow
@each_leaf
@pytest.mark.parametrize("file", ["run.json", "checkpoints/last.json"])
def test_every_field_of_json_is_seen(run: Path, file: str, most: int) -> None:
    """Each leaf changed, each entry removed, and one added on each level."""
    assert unseen(run, file, most) == []


@each_leaf
def test_every_field_of_an_edited_receipt_is_seen(run: Path, most: int) -> None:
    """A receipt whose digest was left as it was."""
    assert unseen(run, "receipt.json", most) == []


def forge(receipt: dict[str, Any]) -> None:
    """Make the digest of a receipt anew."""
    receipt["digest"] = receipt_digest(receipt)


@pytest.mark.slow
@each_leaf
def test_every_field_of_a_forged_receipt_is_seen(run: Path, most: int) -> None:
    """A receipt whose digest was made anew, with all files beside it."""
    assert unseen(run, "receipt.json", most, forge) == []


@pytest.mark.slow
@each_leaf
def test_every_field_of_a_forged_receipt_alone_is_seen(tmp_path: Path, most: int) -> None:
    """A receipt whose digest was made anew, and nothing beside it: by running it again."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2))
    # In so few steps not every setting of a schedule shows.
    trainer = Trainer(
        model, optimizer=SGD(0.05, 0.9), schedule=Constant(), batch_size=4, progress=False
    )
    trainer.fit(DATA, epochs=2, out=tmp_path, early_stopping=EarlyStopping(patience=5))
    for path in [*tmp_path.iterdir()]:
        if path.name != "receipt.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = unseen(tmp_path, "receipt.json", most, forge)
    # Settings that say 0 for 0.0 are true: they train to the same bits.
    assert [one for one in found if one[0][0] != "settings" or one[1] != one[2]] == []


@pytest.mark.slow
@each_leaf
@pytest.mark.parametrize("file", ["metrics.jsonl", "steps.jsonl"])
def test_every_field_of_every_line_is_seen(run: Path, file: str, most: int) -> None:
    """Each line: its leaves, its entries; and lines removed, repeated and swapped."""
    path = run / file
    before = path.read_bytes()
    lines = before.splitlines()
    spoiled = [(), (*lines, lines[-1]), lines[::-1], (*lines, b""), (*lines, b"{")]
    spoiled += [(*lines[:place], *lines[place + 1 :]) for place in range(len(lines))]
    for content in [b"".join(line + b"\n" for line in each) for each in spoiled] + [before[:-1]]:
        path.write_bytes(content)
        assert escapes(run, file) is False, content
    for number, line in enumerate(lines):
        for place, other in changed(line, most):
            text = json.dumps(other, sort_keys=True, separators=(",", ":")).encode()
            if json.loads(text) != json.loads(line) or text == line:
                path.write_bytes(b"\n".join([*lines[:number], text, *lines[number + 1 :], b""]))
                assert not escapes(run, file, (number, *place)), (number, place)


def test_every_cell_of_the_samples_is_seen(run: Path) -> None:
    """Each cell of each line of samples.csv, and each line."""
    path = run / "samples.csv"
    rows = list(csv.reader(io.StringIO(path.read_text())))
    spoiled = [rows[:place] + rows[place + 1 :] for place in range(len(rows))]
    spoiled += [[*rows, rows[-1]], rows[:1] + rows[:0:-1]]
    for place, row in enumerate(rows):
        for column in range(len(row)):
            cells = [*row[:column], f"{row[column]}x", *row[column + 1 :]]
            spoiled.append([*rows[:place], cells, *rows[place + 1 :]])
    for content in spoiled:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(content)
        path.write_text(text.getvalue())
        assert not escapes(run, "samples.csv")
    assert len(spoiled) > 17 * 5


def test_every_path_that_was_left_out_is_seen(run: Path) -> None:
    """Each line of skipped.csv, and each path; reasons are named as not covered."""
    path = run / "skipped.csv"
    before = path.read_text()
    assert before == 'path,reason\ncat/none.png,empty\ndog/cut.jpg,"truncated, or so"\n'
    lines = before.splitlines(keepends=True)
    spoiled = [lines[:place] + lines[place + 1 :] for place in range(len(lines))]
    spoiled += [[*lines, lines[-1]], lines[:1] + lines[:0:-1]]
    spoiled += [[line.replace("cat/", "cow/") for line in lines], ["path\n"], ["\xff"], []]
    for content in spoiled:
        path.write_text("".join(content))
        assert not escapes(run, "skipped.csv"), content
    path.write_text(before.replace("empty", "other words"))
    assert verify(run, None, DATA).identical
    path.unlink()
    found = verify(run, None, DATA)
    assert "skipped.csv is not there" in found.notes
    assert not found.identical


@pytest.mark.parametrize("now", [(), LEFT_OUT[:1], (*LEFT_OUT, Skipped("dog/new.png"))])
def test_other_files_that_are_left_out_are_told(run: Path, now: tuple[Skipped, ...]) -> None:
    """What the data leave out today need not be what they left out then: the run is the same."""
    other = replace(DATA, train=replace(DATA.train, skipped=now))
    found = verify(run, None, other)
    assert not found.different
    assert not found.identical
    (free,) = (note for note in found.notes if note.startswith("not covered: "))
    assert "skipped" in not_covered(free)["receipt.json"]


def test_a_list_that_is_added_to_a_run_is_seen(tmp_path: Path) -> None:
    """A run that left nothing out, whose receipt says that it did."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2))
    data = replace(DATA, train=images(8, 0))
    Trainer(model, batch_size=4, progress=False).fit(data, epochs=1, out=tmp_path)
    assert "skipped" not in Receipt.read(tmp_path).content
    assert not (tmp_path / "skipped.csv").exists()
    receipt = json.loads((tmp_path / "receipt.json").read_text())
    receipt["skipped"] = ["cat/none.png"]
    forge(receipt)
    (tmp_path / "receipt.json").write_text(json.dumps(receipt))
    assert not escapes(tmp_path, "receipt.json", ("skipped", 0), data)
    (tmp_path / "run.json").unlink()
    assert not escapes(tmp_path, "receipt.json", ("skipped", 0), data)


# Arrays


def split_file(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and arrays of a safetensors file."""
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def join_file(header: dict[str, Any], arrays: bytes) -> bytes:
    """A safetensors file of both."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + arrays


def spoiled_arrays(content: bytes, most: int) -> Iterator[tuple[str, bytes]]:
    """A safetensors file with one change: an element, an entry of the header, the record."""
    header, arrays = split_file(content)
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            for place in (first, last - 1):
                flipped = bytes([arrays[place] ^ 1])
                yield (
                    f"{name} [{place}]",
                    join_file(header, arrays[:place] + flipped + arrays[place + 1 :]),
                )
            for other in (f"{name}x", f"x:{name}", f"state:{name.partition(':')[2]}",
                          f"parameter:{name.partition(':')[2]}"):  # fmt: skip
                if other not in header:
                    yield (
                        f"{name} is {other}",
                        join_file(
                            {other if key == name else key: value for key, value in header.items()},
                            arrays,
                        ),
                    )
            again = {"dtype": "F32", "shape": entry["shape"],
                     "data_offsets": [len(arrays), len(arrays) + last - first]}  # fmt: skip
            for other in (f"x:{name.partition(':')[2]}", "added", "added:0.weight"):
                yield (
                    f"{name} again as {other}",
                    join_file({**header, other: again}, arrays + arrays[first:last]),
                )
    for kind in ("I32", "U32", "BF16", "F16", "F64", "I8", "BOOL", "F8_E4M3", "C64"):
        for name in header:
            if name != "__metadata__":
                retyped = copy.deepcopy(header)
                retyped[name]["dtype"] = kind
                if kind in ("BF16", "F16"):
                    retyped[name]["shape"] = [
                        2 * side for side in retyped[name]["shape"][:1]
                    ] + retyped[name]["shape"][1:]
                yield f"{name} is {kind}", join_file(retyped, arrays)
    for place, other in changed(json.dumps(header), most):
        yield f"header {place}", join_file(other, arrays)
    for notes in ({"format": "pt"}, {"isoconv": header["__metadata__"]["isoconv"], "": ""}):
        yield "metadata", join_file({**header, "__metadata__": notes}, arrays)
    yield "bytes behind", join_file(header, arrays + b"\0" * 8)
    yield "bytes between", join_file(header, b"\0" * 8 + arrays)
    record = json.loads(header["__metadata__"]["isoconv"])
    for place, other in changed(header["__metadata__"]["isoconv"], most):
        forged = {key: value for key, value in other.items() if key != "digest"}
        digests = [other]
        if place[0] not in ("digest", "weights_sha256"):
            forged.pop("weights_sha256", None)
            digests.append(with_weights(forged, record["weights_sha256"]))
        for made in digests:
            if made != record or place[0] == "added":
                meta = {"__metadata__": {"isoconv": json.dumps(made)}}
                yield f"record {place}", join_file({**header, **meta}, arrays)


@pytest.mark.slow
@each_leaf
@pytest.mark.parametrize(
    "file",
    [
        "weights.safetensors",
        # The same kind of file as the one before.
        pytest.param("best.safetensors", marks=pytest.mark.exhaustive),
        "checkpoints/epoch-00002.safetensors",
        "checkpoints/last-*.safetensors",
    ],
)
def test_every_header_and_every_tensor_is_seen(run: Path, file: str, most: int) -> None:
    """Elements, names, dtypes, shapes, and every field of the record, also with a new digest."""
    (path,) = run.glob(file)
    stand = run / "checkpoints" / "last.json"
    kept = {path, run / "receipt.json", *([stand] if path.name.startswith("last-") else [])}
    for other in [other for other in run.rglob("*") if other.is_file()]:
        # They are not spoiled, and reading them takes time.
        if other not in kept:
            other.unlink()
    described = json.loads(stand.read_text()) if stand in kept else {}
    before, tried = path.read_bytes(), 0
    for what, content in spoiled_arrays(before, most):
        path.write_bytes(content)
        if path.name.startswith("last-"):
            # Its own digest stands in last.json, where it can be forged.
            sha256 = hashlib.sha256(content).hexdigest()
            stand.write_text(json.dumps({**described, "sha256": sha256}))
        assert not escapes(run, file), what
        tried += 1
    assert tried > 300


def moved_arrays(header: dict[str, Any], arrays: bytes) -> bytes:
    """A file with the same arrays, the last one of which stands first."""
    *names, last = sorted(
        (name for name in header if name != "__metadata__"),
        key=lambda name: header[name]["data_offsets"],
    )
    made, content = {"__metadata__": header["__metadata__"]}, b""
    for name in (last, *names):
        first, end = header[name]["data_offsets"]
        offsets = [len(content), len(content) + end - first]
        made[name] = {**header[name], "data_offsets": offsets}
        content += arrays[first:end]
    return join_file(made, content)


@pytest.mark.parametrize("file", ["weights.safetensors", "checkpoints/epoch-00001.safetensors"])
def test_the_form_of_a_header_is_named(run: Path, file: str) -> None:
    """The same entries in another order, with other spaces, or arrays in another order."""
    path = run / file
    before = path.read_bytes()
    header, arrays = split_file(before)
    text = json.dumps(header, separators=(",", ":"))
    backwards = json.dumps(dict(reversed(header.items())), separators=(",", ":"))
    record = json.loads(header["__metadata__"]["isoconv"])
    notes = {"__metadata__": {"isoconv": json.dumps(record, indent=1)}}
    forms = [f"{text}{' ' * 64}", f" {text}", json.dumps(header), backwards,
             json.dumps({**header, **notes}, separators=(",", ":"))]  # fmt: skip
    contents = [struct.pack("<Q", len(form)) + form.encode() + arrays for form in forms]
    for content in (*contents, moved_arrays(header, arrays)):
        assert content != before
        path.write_bytes(content)
        line = str(check_files(Receipt.read(run)).free)
        assert not_covered(line)[file] == ["order and spaces of the header"]
    path.write_bytes(before)
    assert file not in str(check_files(Receipt.read(run)).free)


# Runs that go on


@pytest.fixture(scope="module")
def longer(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that early stopping ended, gone on with for two epochs more."""
    out = shutil.copytree(original, tmp_path_factory.mktemp("longer") / "run")
    epochs = Receipt.read(out).epochs + 2
    model = nn.Sequential(
        nn.Conv2d(2, 3), nn.BatchNorm2d(), nn.functional.relu, nn.Flatten(), nn.Linear(2)
    )
    trainer = Trainer(model, optimizer=SGD(0.05, 0.9), batch_size=4, progress=False)
    assert len(trainer.resume(out, DATA, epochs=epochs).history) == epochs
    found = verify(out, None, DATA)
    assert found.identical
    assert "settings.stretches" in not_covered(found.notes[0])["receipt.json"]
    return out


@pytest.mark.slow
@each_leaf
@pytest.mark.parametrize("way", ["run.json", "forged receipt.json"])
def test_every_field_of_a_run_that_was_gone_on_with_is_seen(
    longer: Path, tmp_path: Path, way: str, most: int
) -> None:
    """Where its stretches begin and end, and all else; a receipt with its digest made anew, too."""
    run = shutil.copytree(longer, tmp_path / "run")
    *forged, file = way.split()
    assert unseen(run, file, most, forge if forged else None) == []


@pytest.fixture
def unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was interrupted within its second epoch."""
    out = tmp_path / "unfinished"
    real, done = TrainingEngine.steps, []

    def steps(self: TrainingEngine, first: int, hyper: Array) -> Array:
        done.append(first)
        if len(done) == 4:
            signal.raise_signal(signal.SIGINT)
        return real(self, first, hyper)

    model = nn.Sequential(nn.Conv2d(2, 3), nn.BatchNorm2d(), nn.Flatten(), nn.Linear(2))
    trainer = Trainer(model, optimizer=SGD(0.05, 0.9), batch_size=2, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(session, "CALL_SECONDS", 0.0)
        patch.setattr(TrainingEngine, "steps", steps)
        with pytest.raises(Interrupted):
            trainer.fit(DATA, epochs=3, out=out)
    assert "within" in Receipt.read(out).content
    return out


@each_leaf
@pytest.mark.parametrize("file", ["run.json", "checkpoints/last.json"])
def test_every_field_of_a_run_that_goes_on_is_seen(unfinished: Path, file: str, most: int) -> None:
    """Also of a checkpoint within an epoch."""
    assert unseen(unfinished, file, most) == []


@pytest.mark.slow
@each_leaf
def test_every_field_of_a_forged_receipt_of_a_run_that_goes_on_is_seen(
    unfinished: Path, most: int
) -> None:
    """What stands of a place within an epoch too."""
    assert unseen(unfinished, "receipt.json", most, forge) == []


@pytest.mark.exhaustive
def test_every_array_of_a_run_that_goes_on_is_seen(unfinished: Path) -> None:
    """Elements, names, dtypes, shapes and the record of the last checkpoint."""
    (path,) = (unfinished / "checkpoints").glob("last-*.safetensors")
    stand = unfinished / "checkpoints" / "last.json"
    described, tried = json.loads(stand.read_text()), 0
    for what, content in spoiled_arrays(path.read_bytes(), 7):
        path.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        stand.write_text(json.dumps({**described, "sha256": sha256}))
        assert not escapes(unfinished, path.relative_to(unfinished).as_posix()), what
        tried += 1
    assert tried > 300


# Whole files


@pytest.mark.slow
def test_every_file_that_is_missing_is_told(run: Path) -> None:
    """Each file removed in turn."""
    for path in [path for path in run.rglob("*") if path.is_file()]:
        name = path.relative_to(run).as_posix()
        content = path.read_bytes()
        path.unlink()
        if name == "report/index.html":
            assert verify(run, None, DATA).identical
        else:
            assert not escapes(run, name), name
        path.write_bytes(content)


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "deep/er/notes.txt",
        ".hidden",
        "checkpoints/last-00009-0000000.safetensors",
        "checkpoints/epoch-00009.safetensors",
        "checkpoints/epoch-9.safetensors",
        "checkpoints/mine.safetensors",
        "weights.safetensors.bak",
    ],
)
def test_every_file_that_is_added_is_named(run: Path, name: str) -> None:
    """Whatever it is called, also as one of the run's own."""
    path = run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(run / "weights.safetensors", path)
    assert not escapes(run, name)
    path.unlink()
    path.symlink_to("nowhere")
    assert not escapes(run, name)


def test_a_file_that_is_a_folder_is_refused(run: Path) -> None:
    """Where a file is to be there stands a folder."""
    for name in ("samples.csv", "metrics.jsonl", "weights.safetensors", "run.json",
                 "receipt.json", "checkpoints/last.json"):  # fmt: skip
        path = run / name
        content = path.read_bytes()
        path.unlink()
        path.mkdir()
        with pytest.raises(CheckpointError):
            verify(run, None, DATA)
        path.rmdir()
        path.write_bytes(content)

"""What ``isoconv evaluate`` shows of scores: table, intervals, baseline, mistakes, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from tests.cli.command import call, fail, succeed

import isoconv as ic
from isoconv.cli.table import table_lines
from isoconv.data import Dataset
from isoconv.train import Evaluation, answers, score

CLASSES = ("golden retriever of the finest kind", '=cat, or "tom"', "Ærø\nhorse")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learned a little of three classes, one of them far more frequent; its data."""
    place = tmp_path_factory.mktemp("scored")
    rng = np.random.default_rng(3)
    counts = {"train": (60, 20, 10), "val": (4, 4, 4), "test": (18, 9, 6)}
    arrays: dict[str, Any] = {"class_names": np.array(CLASSES)}
    for part, numbers in counts.items():
        labels = np.repeat(np.arange(3), numbers)
        levels = np.array([60, 120, 180])[labels][:, None, None]
        pixels = np.clip(levels + rng.normal(0, 40, (len(labels), 16, 16)), 0, 255)
        arrays[f"x_{part}"], arrays[f"y_{part}"] = pixels.astype(np.uint8), labels
    np.savez(place / "data.npz", **arrays)
    succeed(
        "train", place / "data.npz", "--model", "lenet5", "--epochs", 2, "--batch-size", 16,
        "--out", place / "run", "--no-report",
    )  # fmt: skip
    return place


def measured(place: Path) -> tuple[Dataset, Evaluation]:
    """What Python gives for the test part."""
    data = ic.data.load(place / "data.npz", "test")
    return data, ic.evaluate(ic.load(place / "run"), data)


def test_what_is_printed(place: Path) -> None:
    """A line for each class, means, interval, baseline by the training part, mistakes."""
    data, found = measured(place)
    scores = score(found.confusion, 0)
    text = succeed("evaluate", place / "run", place / "data.npz", "--mistakes", 3)
    lines = text.splitlines()
    assert lines[0].startswith("measured: the test part, 33 of 135 images")
    assert lines[1].split() == ["class", "images", "precision", "recall", "F1"]
    for line, name, each in zip(lines[2:5], CLASSES, scores.classes, strict=True):
        shares = [each.precision, each.recall, each.f1]
        cells = [str(each.images), *("-" if s is None else f"{s:.1%}" for s in shares)]
        assert line.startswith(name.replace("\n", r"\n"))
        assert line.split()[-4:] == cells
    assert lines[5] == (
        f"macro averages: precision {scores.precision:.1%}, recall {scores.recall:.1%}, "
        f"F1 {scores.f1:.1%}"
    )
    low, high = scores.accuracy_interval
    assert f"\n95% interval of the accuracy: {low:.2%} to {high:.2%}\n" in text
    assert (
        f"\nalways saying '{CLASSES[0]}', the most frequent class in training, would give 54.55%\n"
    ) in text
    worst = answers(data, found, mistakes=True)
    assert len(worst) > 3
    assert f"mistakes, the most certain first, 3 of {len(worst)} (all: --mistakes" in text
    rows = lines[-3:]
    for line, answer in zip(rows, worst, strict=False):
        assert line.startswith(f"{answer.path} ")
        assert line.endswith(f"{answer.probability:.1%}")
    assert "mistakes" not in succeed("evaluate", place / "run", place / "data.npz", "--mistakes", 0)


@pytest.mark.parametrize("counts", [(9, 0, 0), (0, 0, 12), (30, 5, 5)])
def test_beside_the_baseline(place: Path, tmp_path: Path, counts: tuple[int, ...]) -> None:
    """Where the interval does not lie above the baseline, a sentence says so; of few images too."""
    data = ic.data.load(place / "data.npz", "all")
    chosen = np.concatenate(
        [np.flatnonzero(data.labels == k)[:count] for k, count in enumerate(counts)]
    )
    part = data.subset(chosen)
    np.savez(
        tmp_path / "x.npz", images=part.images, labels=part.labels, class_names=np.array(CLASSES)
    )
    values = json.loads(succeed("evaluate", place / "run", tmp_path / "x.npz", "--json"))
    assert values["baseline"]["accuracy"] == counts[0] / sum(counts)
    low, high = values["accuracy_interval_95"]
    assert values["better_than_baseline"] == (low > values["baseline"]["accuracy"])
    text = succeed("evaluate", place / "run", tmp_path / "x.npz")
    base, images = values["baseline"]["accuracy"], sum(counts)
    wanted = "no better than" if high >= base else "worse than"
    wanted = "not shown to be better than" if values["accuracy"] > base else wanted
    sentence = f"the model is {wanted} always saying '{CLASSES[0]}', on these {images} images\n"
    assert (sentence in text) == (not values["better_than_baseline"])
    assert (f"\n{images} images are few to measure with" in text) == (images < 30)


def test_the_end_of_a_training(place: Path) -> None:
    """The same lines as `evaluate` has stand at the end of a training, and the same figures."""
    lines = succeed("resume", place / "run", "--no-report").splitlines()
    measured = succeed("evaluate", place / "run", place / "data.npz").splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("95% interval"))
    last = next(k for k, line in enumerate(measured) if line.startswith("95% interval"))
    assert lines[first : first + 2] == measured[last : last + 2]
    assert (lines[first + 2] == measured[last + 2]) == lines[first + 2].startswith("the model is")
    told = json.loads(call("resume", place / "run", "--no-report", "--json").stdout)["measured"]
    values = json.loads(succeed("evaluate", place / "run", place / "data.npz", "--json"))
    assert told.pop("part") == "test"
    assert told == {name: values[name] for name in told}
    assert {"accuracy_interval_95", "baseline", "better_than_baseline", "macro"} <= {*told}


def test_json_has_all_of_it(place: Path) -> None:
    """Scores, each class, mistakes and every image with path, class, prediction, probability."""
    data, found = measured(place)
    scores = score(found.confusion, 0)
    values = json.loads(succeed("evaluate", place / "run", place / "data.npz", "--json"))
    assert values["accuracy_interval_95"] == list(scores.accuracy_interval)
    assert values["macro"] == {
        "precision": scores.precision, "recall": scores.recall, "f1": scores.f1,
    }  # fmt: skip
    assert values["baseline"] == {
        "class": CLASSES[0], "accuracy": 18 / 33, "most_frequent_in": "training",
    }  # fmt: skip
    for name, each in zip(CLASSES, scores.classes, strict=True):
        said = values["classes"][name]
        assert (said["images"], said["recall"], said["f1"]) == (each.images, each.recall, each.f1)
        assert said["precision"] == each.precision
        assert each.recall_interval is not None
        assert said["recall_interval_95"] == list(each.recall_interval)
    rows = [
        (row["path"], row["true"], row["predicted"], row["probability"])
        for row in values["samples"]
    ]
    assert rows == [
        (each.path, CLASSES[each.true], CLASSES[each.predicted], each.probability)
        for each in answers(data, found)
    ]
    assert [row["path"] for row in values["mistakes"]] == [
        each.path for each in answers(data, found, mistakes=True)
    ]


def test_csv(place: Path, tmp_path: Path) -> None:
    """The same as CSV, which gives back every name, in a file or alone on standard output."""
    words = ("evaluate", place / "run", place / "data.npz")
    text = succeed(*words, "--csv", tmp_path / "answers.csv")
    assert text.splitlines()[-1] == f"each image's answer {tmp_path / 'answers.csv'}"
    content = (tmp_path / "answers.csv").read_text("utf-8")
    with (tmp_path / "answers.csv").open(encoding="utf-8", newline="") as file:
        first, *rows = csv.reader(file)
    assert first == ["path", "true", "predicted", "probability", "part"]
    wanted = json.loads(succeed(*words, "--json"))["samples"]
    assert [(*row[:3], float(row[3]), row[4]) for row in rows] == [
        tuple(row.values()) for row in wanted
    ]
    assert call(*words, "--csv", "-").stdout == content
    assert "take one of them" in fail(*words, "--csv", "-", "--json")
    # What is no regular file is written into, and a link leads to its file.
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit((tmp_path / "pipe").read_text, "utf-8")
        succeed(*words, "--csv", tmp_path / "pipe")
        assert read.result(timeout=60) == content
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link.csv").symlink_to(tmp_path / "linked.csv")
    succeed(*words, "--csv", tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "linked.csv").read_text("utf-8") == content
    assert "cannot be written" in fail(*words, "--csv", tmp_path / "nowhere" / "answers.csv")


def test_which_part_held_an_image(place: Path, tmp_path: Path) -> None:
    """JSON and CSV say of each image which part of the run held it, if any, if that is known."""
    words = ("evaluate", place / "run", place / "data.npz", "--json")
    parts = [row["part"] for row in json.loads(succeed(*words, "--split", "all"))["samples"]]
    assert parts == ["train"] * 90 + ["validation"] * 12 + ["test"] * 33
    assert {row["part"] for row in json.loads(succeed(*words))["samples"]} == {"test"}

    test = ic.data.load(place / "data.npz", "test").subset([0, 20, 30])
    images = np.concatenate([test.images, 255 - test.images])
    labels = np.concatenate([test.labels, test.labels])
    np.savez(tmp_path / "x.npz", images=images, labels=labels, class_names=np.array(CLASSES))
    text = succeed("evaluate", place / "run", tmp_path / "x.npz", "--csv", "-")
    assert [row["part"] for row in csv.DictReader(io.StringIO(text, newline=""))] == [
        "test"
    ] * 3 + [""] * 3

    model = next((place / "run").rglob("*.safetensors"))
    (tmp_path / "alone.safetensors").write_bytes(model.read_bytes())
    text = succeed("evaluate", tmp_path / "alone.safetensors", tmp_path / "x.npz", "--csv", "-")
    assert [row["part"] for row in csv.DictReader(io.StringIO(text, newline=""))] == ["unknown"] * 6


def test_the_same_images_at_other_places(place: Path, tmp_path: Path) -> None:
    """The test part is found by its images and measured as ever; without some of them, all are."""
    words = ("evaluate", place / "run")
    wanted = json.loads(succeed(*words, place / "data.npz", "--json"))
    whole = ic.data.load(place / "data.npz", "all")

    def written(count: int) -> Path:
        names = np.array(CLASSES)
        images, labels = whole.images[::-1][:count], whole.labels[::-1][:count]
        np.savez(tmp_path / f"{count}.npz", images=images, labels=labels, class_names=names)
        return tmp_path / f"{count}.npz"

    moved = written(len(whole))
    for options in ((), ("--split", "test")):
        result = call(*words, moved, "--json", *options)
        found = json.loads(result.stdout)
        assert {row["part"] for row in found["samples"]} == {"test"}
        for name in ("split", "images", "images_in_all", "accuracy", "classes", "trained_on"):
            assert found[name] == wanted[name], name
        assert "has the test part under other paths or classes than" in result.stderr
    fewer = written(20)
    assert json.loads(succeed(*words, fewer, "--json"))["split"] == "all"
    said = " ".join(fail(*words, fewer, "--split", "test").split())
    assert "lacks some (--split all measures what there is)" in said


@pytest.mark.parametrize("width", [40, 80])
def test_tables_on_a_terminal(place: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """On a narrow terminal no row of a table is wider; names lose their middle, not their ends."""
    monkeypatch.setattr("isoconv.cli.table.terminal_width", lambda: width)
    text = succeed("evaluate", place / "run", place / "data.npz")
    lines = text.splitlines()
    tables = [*lines[1:5], *lines[lines.index(next(x for x in lines if "mistakes," in x)) + 1 :]]
    assert all(cell_len(line) <= width for line in tables)
    assert lines[2].startswith("golden" if width == 80 else "gold")
    assert ("…" in lines[2]) == (width == 40)
    assert re.search(r"kind +18 |nd +18 ", lines[2])


def test_shortening() -> None:
    """The widest cells lose their middle first, and no cell vanishes."""
    rows = [("a" * 50, "b" * 30, "12")]
    assert table_lines(("x", "y", "z"), rows, shorten=(0, 1))[1].split()[0] == "a" * 50
    (first, second) = table_lines(("x", "y", "z"), rows, shorten=(0, 1), width=30)
    assert len(second) == 30
    assert second.split() == ["aaaaaa…aaaaa", "bbbbbb…bbbbb", "12"]
    assert len(first) <= 30
    # Where even that is too wide the table is no narrower than its cells can be told apart.
    assert table_lines(("x", "y", "z"), rows, shorten=(0, 1), width=3)[1] == "aaa…aa bbb…bb 12"

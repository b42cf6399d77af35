"""Masks on the command line, from the folder to the picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.command import digest_of, fail, succeed
from tests.cli.drawn import draw_shapes

import isoconv as ic
from isoconv.train import RunFolder, score


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with data and a run of them."""
    folder = tmp_path_factory.mktemp("masks")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        draw_shapes(folder / "shapes")
        said = succeed(
            "train", "shapes", "--epochs", 25, "--lr", "0.02", "--early-stopping", 20,
            "--test", "0.2", "--out", "run",
        )  # fmt: skip
        (folder / "said").write_text(said)
        yield folder


def of(place: Path, *words: object) -> Any:
    """What a command prints as JSON."""
    text = succeed(words[0], place / "run", *words[1:], "--json")
    return json.loads(text[text.index("{") :])


def test_a_small_unet_learns_the_shapes(place: Path) -> None:
    """The model, the loss and the scores are said; the shapes are found."""
    said = (place / "said").read_text()
    assert "21 images of 24x32x3 with masks of 3 classes, 3 to choose by, 6 to test with" in said
    assert "the cross-entropy of an image's pixels is made small" in said
    assert "early stopping by the highest validation mean IoU" in said
    assert "small_unet" in said
    assert "note: pixels of 255 have no label" in said
    run = RunFolder(place / "run").description()
    assert run["record"]["class_names"] == ["ground", "disc", "square"]
    assert run["facts"]["model"] == "small_unet"
    assert run["settings"]["early_stopping"]["metric"] == "val_iou"
    assert run["settings"]["augmentation"]["flip"]
    test = float.fromhex(run["result"]["test"]["iou"])
    assert test > 0.75
    assert f"test mean IoU {test:.2%}, pixel accuracy" in said


def test_scores_are_those_of_the_pixels(place: Path) -> None:
    """Counted exactly, by class names, unlabelled pixels left out; images by their own."""
    found = of(place, "evaluate", place / "shapes")
    splits = ic.data.load_splits(place / "shapes", test=0.2)
    assert found["split"] == "test"
    test = splits.test
    model = ic.load(place / "run")
    said = model.predict(test.images).argmax(axis=-1)
    known = test.labels >= 0
    confusion = np.zeros((3, 3), np.int64)
    np.add.at(confusion, (test.labels[known], said[known]), 1)
    classes = found["classes"]
    for number, name in enumerate(("ground", "disc", "square")):
        row, column, both = (
            confusion[number].sum(),
            confusion[:, number].sum(),
            confusion[number, number],
        )
        assert classes[name]["pixels"] == row
        assert classes[name]["hits"] == both
        assert classes[name]["iou"] == both / (row + column - both)
    assert found["mean_iou"] == score(confusion).iou
    assert found["accuracy"] == confusion.trace() / confusion.sum()
    assert found["images"] == len(test) == 6
    for each, labels, taken in zip(found["samples"], test.labels, said, strict=True):
        assert each["hits"] == (labels == taken).sum()
        assert each["pixels"] == (labels >= 0).sum()
        assert sum(each["predicted"].values()) == each["pixels"]
    assert "IoU" in succeed("evaluate", place / "run", place / "shapes", "--csv", place / "a.csv")
    assert (place / "a.csv").read_text().startswith("path,mean_iou,pixels,hits,part\n")


def test_the_run_is_verified_and_gone_on_with(place: Path) -> None:
    """Training again gives the same bits; a mask that was changed is other data."""
    short = ("train", place / "shapes", "--loss", "dice", "--no-report", "--out")
    whole = digest_of(succeed(*short, place / "four", "--epochs", 2, "--threads", 1))
    assert whole == digest_of(succeed(*short, place / "again", "--epochs", 2, "--threads", 2))
    assert "identical" in succeed("verify", place / "four")
    succeed("resume", place / "four", "--epochs", 3, "--no-report")
    assert "no difference found" in succeed("verify", place / "four", "--epochs", "3")
    mask = place / "shapes" / "masks" / "000.png"
    before = mask.read_bytes()
    mask.write_bytes((place / "shapes" / "masks" / "001.png").read_bytes())
    try:
        assert "as it began only" in fail("resume", place / "four", "--epochs", 4)
    finally:
        mask.write_bytes(before)


def test_refused(place: Path) -> None:
    """Models and changes that do not go with masks, or with pictures that have none."""
    shapes = place / "shapes"
    said = fail("train", shapes, "--model", "lenet5")
    assert "'lenet5' gives one class for each image" in said
    assert "take small_unet or unet" in said
    assert "turn no images" in fail("train", shapes, "--augment", "rotate=10")
    said = fail("train", "fashion-sample", "--model", "small_unet")
    assert "one label for each image" in said

"""``isoconv explain RUN``: a number of a trained network, term by term, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.cli.command import fail, succeed
from tests.data.spoiled import fill

import isoconv as ic
from isoconv.nn.inference import files_as_trained


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on gray pictures of two kinds, its pictures beside it."""
    place = tmp_path_factory.mktemp("run")
    fill(place / "pets", "png", 12)
    words = ("--model", "lenet5", "--epochs", 1, "--size", 24, "--no-report")
    succeed("train", place / "pets", *words, "--out", place / "run")
    return place


@pytest.fixture(scope="module")
def file(place: Path) -> Path:
    """One of the pictures."""
    return sorted((place / "pets").rglob("*.png"))[0]


@pytest.mark.slow
def test_it_is_the_number_of_the_prediction(place: Path, file: Path) -> None:
    """Without a place the result of the predicted class; by name any other, exactly in JSON."""
    model = ic.load(place / "run")
    files = files_as_trained(model, [file], None)
    shares = model.predict(files.read(files.files)[1])[0]
    text = succeed("explain", place / "run", "--image", file)
    assert "no place was given: this is the greatest value" in text
    assert "--at probabilities" in text
    name = f"probabilities,{int(np.argmin(shares))}"
    words = ("explain", "number", place / "run", "--image", file, "--at", name)
    found = json.loads(succeed(*words, "--json"))
    assert float.fromhex(found["value"]["hex"]) == float(shares.min())
    assert json.loads(succeed(*words, "--format", "json")) == found
    assert succeed(*words, "--format", "latex").startswith("% 'probabilities'")
    assert succeed(*words, "--format", "markdown").startswith("### 'probabilities'")


@pytest.mark.slow
def test_a_weight_goes_on_to_its_next_value(place: Path, file: Path) -> None:
    """Several pictures, labels by name, all terms where they are wanted."""
    model = ic.load(place / "run")
    name = next(name for name in model.weights if name.endswith(".weight"))
    layer = name.removesuffix(".weight")
    at = ",".join([layer, *["0"] * model.weights[name].ndim])
    label = model.class_names[1]
    words = ("explain", place / "run", "--image", file, "--image", file, "--at", at)
    gradient = ("--gradient", "weight", "--label", label)
    text = succeed(*words, *gradient)
    assert "new weight: " in text
    assert "more terms" in text
    whole = succeed(*words, *gradient, "--all")
    assert "more terms" not in whole
    assert len(whole) > len(text)
    assert all(len(line) <= 100 for line in text.splitlines())
    said = fail(*words, *gradient, "--label", label, "--label", label)
    assert "--label is given once, or once for each of the 2 pictures; got 3" in said


def test_without_a_picture_the_runs_own_first_image_is_shown(place: Path) -> None:
    """Said with its class, which is the label; data that are gone are named."""
    data = ic.data.load_splits(place / "pets").test
    assert data is not None
    said = succeed("explain", place / "run", "--at", "loss")
    assert "no --image: shows the first image of the run's test part, " in said
    model = ic.load(place / "run")
    wanted = ic.explain(place / "run", data.images[:1], "loss", label=int(data.labels[0]))
    assert f"= {wanted.to_dict()['value']['text']}" in said.splitlines()[1]
    model.save(place / "model.safetensors")
    said = fail("explain", place / "model.safetensors")
    assert "a saved model knows no images: name one with --image FILE" in said


def test_a_word_that_is_no_run_is_told_the_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is said of a missing picture or of the options of another command."""
    monkeypatch.chdir(tmp_path)
    assert "no run 'avg'; did you mean average?" in fail("explain", "avg")
    assert "no run 'avg'; did you mean average?" in fail("explain", "avg", "--kernel", 2)
    said = fail("explain", "shapes")
    assert "no run 'shapes'; without a run isoconv explain takes one of conv, " in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--at", "conv1,0,0,0"), "no layer is called 'conv1'; there are"),
        (("--at", "0,99,0,0"), "a place must lie inside the result of '0', whose shape is"),
        (("--at", "0,0"), "a place in the result of '0' has 3 numbers"),
        (("--at", "0,0,0,0", "--gradient", "value"), "give --label NAME, or --of NAME"),
        (("--at", "0,0,0,0", "--gradient", "gamma", "--label", "0"), "has weight, bias; got"),
        (("--gradient", "value", "--label", "zebra"), "no class is called 'zebra'; there are 2"),
        (("--at", "loss"), "the loss needs to know what is right: give --label NAME"),
    ],
)
def test_what_is_wrong_is_one_line(
    place: Path, file: Path, words: tuple[str, ...], message: str
) -> None:
    """In the words of the command line."""
    said = fail("explain", place / "run", "--image", file, *words).strip()
    assert message in said
    assert len(said.splitlines()) == 1


def test_runs_and_pictures_that_are_not_there(place: Path, file: Path, tmp_path: Path) -> None:
    """The file is named, and nothing else is said."""
    assert "there is no run and no saved model" in fail("explain", tmp_path / "x", "--image", file)
    said = fail("explain", place / "run", "--image", tmp_path / "none.png")
    assert "none.png: there is no such file" in said
    (tmp_path / "no.png").write_bytes(b"no picture")
    assert "no.png" in fail("explain", place / "run", "--image", tmp_path / "no.png")


def test_sizes_are_written_in_ascii_digits(tmp_path: Path) -> None:
    """Digits of other alphabets are no sizes, though Python reads them as numbers."""
    for words in (
        ("--input", "٣x3"),
        ("--padding", "٣"),
        ("--at", "٣,1", "--animate", tmp_path / "a.gif"),
    ):
        said = fail("explain", "conv", *words)
        assert "٣" in said
        assert "such as" in said

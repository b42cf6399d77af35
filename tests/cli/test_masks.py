"""Masks on the command line, from the folder to the picture."""

from __future__ import annotations

import base64
import csv
import http.client
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image
from tests.cli.command import call, digest_of, fail, succeed
from tests.cli.drawn import draw_shapes
from tests.serve.served import form, start

import isoconv as ic
from isoconv.data.mask_pictures import overlaid
from isoconv.data.nearest import put_back
from isoconv.nn import models
from isoconv.nn.inference import reading_of
from isoconv.train import RunFolder, Trainer, score


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
    result = call(words[0], place / "run", *words[1:], "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


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


@pytest.mark.slow
def test_an_accuracy_of_pixels_is_called_so(place: Path, tmp_path: Path) -> None:
    """In lines of epochs, summaries, reports, tables of folds, and what is shown at a prompt."""
    data, run = place / "shapes", place / "run"
    folds = ("train", data, "--loss", "dice", "--epochs", 1, "--folds", 2, "--no-report")
    evaluation = ic.evaluate(ic.load(run), ic.data.load(data))
    model = models.create("small_unet", 3, (24, 32, 3))
    trained = Trainer(model, progress=False).fit(ic.data.load(data), epochs=1)
    told = {
        "training": (place / "said").read_text(),
        "report": re.sub("<[^>]*>", " ", (run / "report" / "index.html").read_text("utf-8")),
        "measurement": succeed("evaluate", run, data),
        "folds": succeed(*folds, "--out", tmp_path / "folds"),
        "differences": succeed("diff", run, run),
        "an evaluation": repr(evaluation),
        # Nothing was measured but what it was trained on, and no mean IoU.
        "a run": repr(trained),
    }
    for name, text in told.items():
        assert re.search("pixel accuracy", text, re.IGNORECASE), name
        plain = re.search(r".{0,60}(?<!pixel )\baccuracy\b.{0,60}", text, re.IGNORECASE)
        assert plain is None, f"{name}: {plain}"


def test_scores_are_those_of_the_pixels(place: Path) -> None:
    """Counted exactly, by class names, unlabelled pixels left out; images by their own."""
    found = of(place, "evaluate", place / "shapes")
    test = ic.data.load_splits(place / "shapes", test=0.2).test
    assert found["split"] == "test"
    assert test is not None
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_masks_are_written_in_the_picture_s_own_size(place: Path) -> None:
    """A palette of the usual colours, the nearest pixel's class, no class beside what is seen."""
    photo = place / "photo.png"
    wide = np.random.default_rng(1).integers(0, 255, (60, 100, 3)).astype(np.uint8)
    Image.fromarray(wide).save(photo)
    (place / "other").mkdir()
    shutil.copy(photo, place / "other" / "photo.png")
    found = of(place, "predict", photo, place / "other", photo, "--out", place / "out")
    assert found.pop() == found[0]
    model = ic.load(place / "run")
    said = model.predict(ic.data.read_pictures([photo], reading_of(model)).images)[0]
    expected = put_back(said.argmax(axis=-1).astype(np.uint8), (60, 100), 255)
    assert (expected == 255).sum() == 60 * 20
    for each, name in zip(found, ("photo", "other/photo"), strict=True):
        assert each["mask"] == str(place / "out" / "masks" / f"{name}.png")
        with Image.open(each["mask"]) as mask:
            assert mask.mode == "P"
            assert (mask.getpalette() or [])[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
            np.testing.assert_array_equal(np.asarray(mask), expected)
        assert each["outside"] == pytest.approx(0.2)
        shares = [(expected == k).sum() / 4800 for k in range(3)]
        assert list(each["shares"].values()) == pytest.approx(shares)
    painted = np.asarray(Image.open(place / "out" / "overlays" / "photo.png")).astype(int)
    assert (painted == overlaid(wide, expected, 255)).all()
    assert "there already" in fail("predict", place / "run", photo, "--out", place / "out")
    shown = call("predict", place / "run", photo, place / "shapes/images/000.png")
    first, second, *rest = shown.stdout.splitlines()
    assert first.split() == [*["image", "class", "of", "the", "pixels", "seen", "outside"]]
    assert second.split()[1:] == ["ground", f"{shares[0]:.2%}", "20.00%"]
    assert rest[2].endswith(" 0.00%")
    assert f"note: 20% of {photo} was not looked at." in shown.stderr
    rows = [*csv.reader(succeed("predict", place / "run", photo, "--csv").splitlines())]
    assert rows[0] == ["image", "mask", "outside", "ground", "disc", "square"]
    assert [float(cell) for cell in rows[1][2:]] == [0.2, *shares]
    for more in ([], ["--json"], ["--csv"], ["--out", place / "top"]):
        assert "--top bounds the classes" in fail(
            "predict", place / "run", photo, "--top", 1, *more
        )
    # What was written is data to learn from.
    again = place / "marked"
    (again / "images").mkdir(parents=True)
    photo.rename(again / "images" / "photo.png")
    (place / "out" / "masks").rename(again / "masks")
    shutil.rmtree(again / "masks" / "other")
    assert ic.data.load(again).labels.shape == (1, 60, 100)


def test_the_report_shows_masks(place: Path) -> None:
    """Figures, pictures beside masks beside predictions, and a table of classes."""
    page = (place / "run" / "report" / "index.html").read_text()
    assert "finds the classes of pixels with a mean IoU of" in page
    assert page.count("the mask of images/") == 6
    assert page.count("what the network says of images/") == 6
    for text in ("Mean IoU by epoch", "validation mean IoU", "Classes of pixels", "square"):
        assert text in page
    assert succeed("report", place / "run")
    assert (place / "run" / "report" / "index.html").read_text() == page


@pytest.mark.slow
def test_the_server_answers_with_masks(place: Path) -> None:
    """Shares and a mask as `predict` gives them, as its description says; or the mask alone."""
    photo = place / "tall.png"
    pixels = np.random.default_rng(2).integers(0, 255, (50, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(photo)
    (known,) = of(place, "predict", photo, "--out", place / "served")
    server = start(place / "run")
    try:
        status, _, answer = server.ask("/predict", photo.read_bytes(), "image/png")
        assert status == 200
        described = server.ask("/openapi.json")[2]
        wanted = {**described, "$ref": "#/components/schemas/Predictions"}
        jsonschema.Draft202012Validator(wanted).validate(answer)
        (told,) = answer["predictions"]
        assert {each["name"]: each["share"] for each in told["classes"]} == known["shares"]
        assert told["outside"] == known["outside"] > 0
        assert base64.b64decode(told["mask"]) == Path(known["mask"]).read_bytes()
        body, kind = form(a=photo.read_bytes(), b=b"no picture")
        status, _, answer = server.ask("/predict?top=1", body, kind)
        assert status == 422
        assert len(answer["predictions"][0]["classes"]) == 1
        assert "error" in answer["predictions"][1]
        pixels = np.zeros((1, 24, 32, 3), np.uint8)
        question = json.dumps({"images": pixels.tolist()}).encode()
        told = server.ask("/predict", question, "application/json")[2]["predictions"][0]
        with Image.open(io.BytesIO(base64.b64decode(told["mask"]))) as mask:
            assert mask.size == (32, 24)
        line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        kinds = {"content-type": "image/png", "accept": "image/png"}
        line.request("POST", "/predict", photo.read_bytes(), kinds)
        alone = line.getresponse()
        assert alone.headers["content-type"] == "image/png"
        assert alone.read() == Path(known["mask"]).read_bytes()
        line.close()
    finally:
        said = server.end()
    assert "Traceback" not in said


@pytest.mark.slow
def test_the_explorer_knows_places(place: Path, new_page: Callable[..., Any]) -> None:
    """The shares of the classes, and one place's softmax; no label for all of the picture."""
    file = place / "page.html"
    succeed("view", place / "run", "--save", file)
    page = new_page()
    page.goto(file.as_uri())
    page.get_by_text("of the places; 3 of 3 classes").wait_for()
    shares = page.locator(".guesses tr").all_inner_texts()
    test = ic.data.load_splits(place / "shapes", test=0.2).test
    assert test is not None
    said = ic.load(place / "run").predict(test.images[:1]).argmax(axis=-1)
    counts = np.bincount(said.reshape(-1), minlength=3)
    for number, name in enumerate(("ground", "disc", "square")):
        share = f"{100 * counts[number] / said.size:.2f}"
        assert [name, share, "%"] in [row.split() for row in shares]
    page.get_by_text("Softmax, loss").click()
    page.locator(".ending tbody tr").first.wait_for()
    assert page.locator(".ending tbody tr").count() == 3
    assert "at row" in page.locator(".ending tbody tr").first.inner_text()
    page.locator(".ending button").last.click()
    page.wait_for_function("document.querySelector('.ending tr.pointed:last-child') !== null")
    assert page.locator(".ending tbody tr").count() == 3
    said_so = succeed("explain", place / "run", "--at", "13,5,6,1")
    assert "at row 5, column 6, channel 1" in said_so
    lines = succeed("diff", place / "run", place / "run").splitlines()
    told = [line.split("  ")[0] for line in lines]
    assert told[:7] == [
        "", "test mean IoU", "test pixel accuracy", "test loss", "validation mean IoU",
        "validation pixel accuracy", "validation loss",
    ]  # fmt: skip
    assert told[7] == "training pixel accuracy"


def test_onnx_comes_back(place: Path) -> None:
    """What is exported has the names of the classes, and is measured and predicts as the run."""
    file, shapes = place / "shapes.onnx", place / "shapes"
    succeed("export", place / "run", file)
    words = ("evaluate", file, shapes, "--json")
    found, known = json.loads(call(*words).stdout), of(place, "evaluate", shapes, "--split", "all")
    assert found["classes"].keys() == {"ground", "disc", "square"}
    assert found["mean_iou"] == pytest.approx(known["mean_iou"], abs=1e-3)
    photo = shapes / "images" / "000.png"
    succeed("predict", file, photo, "--out", place / "by-onnx")
    succeed("predict", place / "run", photo, "--out", place / "by-run")
    masks = [Image.open(place / folder / "masks" / "000.png") for folder in ("by-onnx", "by-run")]
    assert (np.asarray(masks[0]) == np.asarray(masks[1])).mean() > 0.99


def test_the_data_are_shown(place: Path) -> None:
    """Classes with their shares of the pixels, and the pixels of each."""
    shown = json.loads(call("data", "show", place / "shapes", "--json").stdout)
    labels = ic.data.load(place / "shapes").labels
    counts = [int((labels == number).sum()) for number in range(3)]
    assert shown["parts"]["train"]["pixels_by_class"] == counts
    assert shown["parts"]["train"]["images_by_class"] is None
    assert "3, of places: ground" in succeed("data", "show", place / "shapes")


def test_refused(place: Path) -> None:
    """Models and changes that do not go with masks, or with pictures that have none."""
    shapes = place / "shapes"
    said = fail("train", shapes, "--model", "lenet5")
    assert "'lenet5' gives one class for each image" in said
    assert "take small_unet or unet" in said
    assert "turn no images" in fail("train", shapes, "--augment", "rotate=10")
    shutil.copytree(shapes / "images", place / "alone" / "images")
    assert "expected the masks of images in a folder" in fail("train", place / "alone")
    said = fail("train", "fashion-sample", "--model", "small_unet")
    assert "one label for each image" in said

"""What pages are made of: markup, short names, axes, words, pictures."""

from __future__ import annotations

import base64
import re
import time
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tests.report.made import RANDOM, Page

from isoconv.optim import SGD, AdamW
from isoconv.report.album import displayed, tiles
from isoconv.report.album import picture as embedded
from isoconv.report.chart import Curve, chart, epoch_ticks, value_ticks
from isoconv.report.labels import labels, shown
from isoconv.report.markup import Html, element, name, table, text
from isoconv.report.matrix import confusions, confusions_listed, matrix
from isoconv.report.words import date_of, duration, settings_in_words
from isoconv.schedule import Constant, Cosine, OneCycle, Step, WarmUp
from isoconv.train.plain_settings import to_plain


def test_text_is_never_markup() -> None:
    """Whatever is no markup already is escaped, in elements, attributes, names and tables."""
    bad = '<script>alert("x")</script>\'&'
    for made in (
        text(bad), element("p", bad, title=bad), name(bad), name(bad, 9), table((bad,), [(bad,)]),
    ):  # fmt: skip
        page = Page(made)
        assert "script" not in page.tags
        assert not page.open
    assert text(Html("<b>")) == "<b>"
    assert element("img", src="a") == '<img src="a"/>'


def test_letters_that_join_stay() -> None:
    """Joiners, which emoji and Hindi need, stay; what turns the direction is escaped."""
    assert shown("क्\u200cष 🐈\u200d⬛") == "क्\u200cष 🐈\u200d⬛"
    assert shown("a\u202eb\u200d\x1b") == "a\\u202eb\u200d\\x1b"


@pytest.mark.parametrize(
    ("names", "columns", "wanted"),
    [
        (("cat", "dog"), 12, ["cat", "dog"]),
        (("a" * 40, "犬", "été"), 11, ["aaaaa…aaaaa", "犬", "été"]),
        (
            ("a house with 11 rooms in it", "a house with 12 rooms in it"), 16,
            ["a h…11 rooms in…", "a h…12 rooms in…"],
        ),
        (("x" * 30 + "1" + "x" * 30, "x" * 30 + "2" + "x" * 30), 9, ["x…xx1xxx…", "x…xx2xxx…"]),
        (
            ("日本の犬の種類その一と猫", "日本の犬の種類その二と猫"), 12,
            ["日…類その一…", "日…類その二…"],
        ),
    ],
)  # fmt: skip
def test_labels(names: tuple[str, ...], columns: int, wanted: list[str]) -> None:
    """Long names lose their middle, or else what they share; none is wider than asked."""
    assert labels(names, columns) == wanted


@pytest.mark.parametrize(
    ("largest", "wanted"),
    [
        (0.0, [0, 1]),
        (2.303, [0, 0.5, 1, 1.5, 2, 2.5]),
        (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.0123, [0, 0.005, 0.01, 0.015]),
        (731.0, [0, 200, 400, 600, 800]),
        (float("inf"), [0, 1]),
    ],
)
def test_value_ticks(largest: float, wanted: list[float]) -> None:
    """An axis has a few round numbers from 0 on, the last no less than the largest value."""
    assert value_ticks(largest) == wanted


def test_ticks_of_all_sizes() -> None:
    """Whatever is measured, however long it went on: 2 to 6 values, 1 to 8 whole epochs."""
    for largest in 10.0 ** RANDOM.uniform(-8, 8, 300):
        found = value_ticks(largest)
        assert 2 <= len(found) <= 6
        assert found[-1] >= largest * (1 - 1e-9)
        assert found[-2] < largest
    for last in range(1, 3000):
        ticks = epoch_ticks(1, last)
        assert 1 <= len(ticks) <= 8, last
        assert all(1 <= tick <= last for tick in ticks)


def test_gaps_in_a_curve() -> None:
    """What was not measured is a gap, and a point between two gaps is still drawn."""
    curve = Curve("training", [1.0, None, 0.5, None, float("nan"), 0.25, 0.2], "training")
    page = Page(chart(range(1, 8), [curve], label="Loss"))
    (path,) = page.of("curve")
    assert re.sub(r"[\d. ]", "", path["d"] or "") == "MMML"
    assert len(page.of("dot")) == 4
    assert not page.open


def test_chart_stays_in_its_frame() -> None:
    """Values up to the largest, and the line to compare with, lie within the drawing."""
    curve = Curve("validation", [3.7, 0.0, 1.2], "validation")
    page = Page(
        chart(
            [1, 2, 3], [curve], label="Loss", reference=6.2, marked=1, ring="validation", starts=[2]
        )
    )
    first, second, third = (float(found["cx"] or -1) for found in page.of("dot"))
    (start,) = page.of("start")
    assert second < float(start["x1"] or -1) < third
    assert first < second
    heights = [float(found["cy"] or -1) for found in page.of("dot")]
    heights += [float(found["y1"] or -1) for found in page.of("reference")]
    assert all(10 < height < 200 for height in heights)
    assert len(page.of("ring")) == 1


def test_confusions() -> None:
    """The most frequent come first; among equals those that make up more of their class."""
    counts = np.array([[8, 2, 0], [2, 1, 0], [0, 3, 0]])
    found = [(each.true, each.predicted, each.taken, each.images) for each in confusions(counts)]
    assert found == [(2, 1, 3, 3), (1, 0, 2, 3), (0, 1, 2, 10)]
    said = Page(confusions_listed(counts, ("cat", "dog", "owl"))).text
    assert said.startswith("All confusions: owl taken for dog: 3 of 3 dog taken for cat: 2 of 3")
    none = Page(confusions_listed(np.diag([3, 4]), ("cat", "dog"))).text
    assert none == "No image was taken for one of another class."


def test_very_many_classes() -> None:
    """Names of thousands of classes are told apart at once, and no matrix is drawn."""
    names = [f"the species with the number {number} of all of them" for number in range(5000)]
    begin = time.process_time()
    assert len(set(labels(names, 24))) == 5000
    assert time.process_time() - begin < 10
    counts = np.zeros((1001, 1001), np.int64)
    assert Page(matrix(counts, names[:1001])).text == "Of 1,001 classes there is no matrix."


def test_matrix_tint() -> None:
    """A cell's tint is its share of the row: a class of two images is as strong as one of 2000."""
    page = Page(matrix(np.array([[2, 0], [20, 1980]]), ("few", "many")))
    cells = page.of("right")
    assert [cell["style"] for cell in cells] == ["--tint:1.00", "--tint:0.99"]
    (wrong,) = page.of("wrong")
    assert wrong["style"] == "--tint:0.21"
    assert wrong["title"] == "many taken for few: 20 of 2,000"
    assert "20 1,980" in page.text


def pixels_of(image: Html) -> tuple[str, np.ndarray]:
    """Format and pixels of a picture within a page."""
    ((_, found),) = Page(image).attributes
    form, content = re.match(r"data:image/(\w+);base64,(.*)", found["src"] or "").groups()  # type: ignore[union-attr]
    with Image.open(BytesIO(base64.b64decode(content))) as opened:
        return form, np.asarray(opened)


@pytest.mark.parametrize("channels", [1, 3])
def test_small_pictures_keep_their_pixels(channels: int) -> None:
    """A small picture stands in the page pixel by pixel, and is shown so."""
    image = RANDOM.integers(0, 256, (9, 5, channels), np.uint8)
    form, pixels = pixels_of(embedded(image, "noise"))
    assert form == "png"
    assert (pixels.reshape(9, 5, channels) == image).all()
    assert "pixels" in embedded(image, "noise")


def test_large_pictures_are_reduced() -> None:
    """A large picture takes little room, whatever its sides are."""
    form, pixels = pixels_of(embedded(RANDOM.integers(0, 256, (700, 350, 3), np.uint8), "noise"))
    assert (form, pixels.shape) == ("jpeg", (256, 128, 3))


@pytest.mark.parametrize("kind", ["bytes", "unit", "negative", "constant", "four channels"])
def test_images_of_every_kind(kind: str) -> None:
    """Floats within and beyond 0 to 1 fill the range of bytes; of odd channels one is shown."""
    image = RANDOM.random((6, 4, 3)).astype(np.float32)
    if kind == "bytes":
        image = (image * 255).astype(np.uint8)
    if kind == "negative":
        image = image * 6 - 3
    if kind == "constant":
        image[:] = 7
    if kind == "four channels":
        image = RANDOM.random((6, 4, 4)).astype(np.float32)
    found = displayed(image)
    assert found.dtype == np.uint8
    assert found.shape == (6, 4, 1 if kind == "four channels" else 3)
    if kind == "negative":
        assert (found.min(), found.max()) == (0, 255)
    if kind == "unit":
        assert np.abs(found / 255 - image).max() < 0.5 / 255 + 1e-6


@pytest.mark.parametrize(("channels", "filters"), [(1, 1), (2, 13), (3, 100), (3, 16)])
def test_tiles(channels: int, filters: int) -> None:
    """Any number of channels and of filters has a sheet of tiles, zeros too."""
    weight = RANDOM.normal(size=(5, 3, channels, filters)).astype(np.float32)
    for array in (weight, np.zeros_like(weight)):
        sheet = tiles(array)
        assert sheet.shape[-1] == 4
        assert max(sheet.shape) < 700
        assert (sheet[..., 3] == 255).sum() == min(filters, 64) * (9 * 5) * (9 * 3)
    if channels == 1:
        blue, red = tiles(np.array([[[[1.0, -1.0]]]], np.float32))[0][[0, -1], :3]
        assert blue[2] > blue[0]
        assert red[0] > red[2]


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("optimizer", SGD(0.1, momentum=0.9, nesterov=True),
         "SGD, learning rate 0.1 (momentum 0.9, weight decay 0, Nesterov's)"),
        ("optimizer", AdamW(0.002),
         "AdamW, learning rate 0.002 (beta1 0.9, beta2 0.999, eps 1e-08, weight decay 0.01)"),
        ("schedule", Constant(), "the learning rate stays"),
        ("schedule", Cosine(), "the learning rate falls along a cosine to 0 times its value"),
        ("schedule", Step(2, 0.5), "times 0.5 after each 2 epochs"),
        ("schedule", OneCycle(),
         "one cycle: the learning rate rises from 0.04 times its value over the first 30% of the "
         "steps, then falls to 0.0001 times"),
        ("schedule", WarmUp(2.0, Constant()), "grows over 2 epochs, then the learning rate stays"),
        ("schedule", WarmUp(then=Constant(), steps=7), "grows over 7 steps, then the learning rate "
         "stays"),
        ("normalise", True, "each channel to mean 0 and deviation 1 over the training images"),
        ("normalise", "keep", "as in an earlier training of the model"),
        ("freeze", "all", "all but the head"),
        ("freeze", 1, "the first 1 layer with weights"),
        ("freeze", ("stem", "body.0"), "stem, body.0"),
        ("backbone_lr", 2e-4, "0.0002"),
        ("clip_norm", None, "none"),
        ("early_stopping", {"type": "EarlyStopping", "patience": 3, "metric": "val_loss",
                            "min_delta": 0.5, "restore_best": True},
         "after 3 epochs without a better val_loss (by more than 0.5); the best weights are kept"),
        ("augmentation", {"type": "Augmentation", "flip": True, "crop_padding": 4, "rotation": 10.0,
                          "shift": 0, "cutout": 0, "fill": 0.0},
         "moved by up to 4 pixels (cut out of a border); mirrored left to right every second time; "
         "turned by up to 10 degrees"),
        ("stretches", [{"after": 0, "until": 9}, {"after": 5, "until": 20}],
         "epochs 1 to 5, then 6 to 20, each with a schedule of its own"),
        ("something_new", {"type": "Thing", "a": 1, "b": None}, "Thing: a 1"),
    ],
)  # fmt: skip
def test_settings_in_words(key: str, value: object, wanted: str) -> None:
    """Each kind of setting is told in words, unknown ones too."""
    ((_, said),) = settings_in_words({key: to_plain(value)})
    assert said == wanted


def test_dates_and_durations() -> None:
    """Dates are told in English and UTC whatever the machine speaks; what is none is left out."""
    assert date_of("2026-11-28T16:27:53+01:00") == "28 November 2026, 15:27 UTC"
    assert [date_of(value) for value in (None, "yesterday", 3)] == ["", "", ""]
    assert [duration(each) for each in (0.034, 59.0, 60.0, 3599.6, 90061.0)] == [
        "0.034 s", "59.0 s", "1 min 0 s", "1 h 0 min", "25 h 1 min",
    ]  # fmt: skip

"""The report of a run: pictures that show something, and a page that stands alone."""

from __future__ import annotations

import builtins
import functools
import json
import re
import tempfile
import time
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from isoconv import nn
from isoconv.data import Dataset, load
from isoconv.errors import CheckpointError, MissingExtraError
from isoconv.report import write_report
from isoconv.report.confusion import draw_confusion
from isoconv.report.curves import History, draw_curves
from isoconv.report.filters import draw_filters, first_filters
from isoconv.report.gallery import draw_mistakes, draw_predictions, typical, worst
from isoconv.report.style import drawable, save, shortened, write_whole
from isoconv.report.write import history_of
from isoconv.train import Evaluation, Trainer

RANDOM = np.random.default_rng(0)
NAMES = ("alpha", "<b>beta</b>", "$x^2$ & gamma")


def evaluation_of(labels: np.ndarray, classes: int, wrong: bool = True) -> Evaluation:
    """A made-up measurement in which every fourth image is mistaken for the next class."""
    predictions = labels.astype(np.int64)
    if wrong:
        predictions[::4] = (predictions[::4] + 1) % classes
    probabilities = RANDOM.random((len(labels), classes)).astype(np.float32) * np.float32(0.2)
    probabilities[np.arange(len(labels)), predictions] = RANDOM.uniform(0.5, 1, len(labels))
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predictions), 1)
    accuracy = np.diagonal(confusion) / np.maximum(confusion.sum(axis=1), 1)
    top1 = float((labels == predictions).mean())
    return Evaluation(0.5, top1, None, confusion, accuracy, predictions, probabilities)


@functools.cache
def description_of_a_run() -> str:
    """The run.json of a small training."""
    images = RANDOM.integers(0, 256, (12, 12, 10, 3), np.uint8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(model, batch_size=4, progress=False)
        run = trainer.fit((images, np.arange(12) % 3), epochs=1, out=Path(folder) / "run")
        assert run.folder is not None
        return (run.folder / "run.json").read_text()


def write_run(folder: Path, epochs: int = 3, loss: str = "cross_entropy") -> Path:
    """A run folder as the report reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    description = json.loads(description_of_a_run())
    description["settings"]["loss"]["name"] = loss
    description["facts"] = {"model": "<tiny>"}
    description["data"]["train"]["samples"] = 120
    description["versions"]["isoconv"] = "0.1.0"
    (folder / "run.json").write_text(json.dumps(description))
    rows = [
        {"epoch": e, "loss": 1 / e, "top1": 1 - 0.4 / e, "val_loss": 1.1 / e,
         "val_top1": 1 - 0.5 / e, "learning_rate": 0.1, "seconds": 1.5, "images_per_second": 80.0}
        for e in range(1, epochs + 1)
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def data() -> Dataset:
    """Sixty coloured images in three classes with difficult names."""
    images = RANDOM.integers(0, 256, (60, 12, 10, 3), np.uint8)
    return Dataset.from_arrays(images, np.arange(60) % 3, NAMES, "made up")


@pytest.fixture
def model() -> nn.Module:
    """A small model for these images."""
    return nn.Sequential(nn.Conv2d(8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3)).build((12, 10, 3))


class Page(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.texts.append(data)


def picture(content: bytes) -> np.ndarray:
    """A PNG's pixels."""
    with Image.open(BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def test_report_files(tmp_path: Path, data: Dataset, model: nn.Module) -> None:
    """All pictures are there, with content, and the page is written last."""
    run = write_run(tmp_path / "run")
    page = write_report(run, model, data, evaluation_of(data.labels, 3))
    assert page == run / "report" / "index.html"
    names = {"curves.png", "confusion.png", "mistakes.png", "predictions.png", "filters.png"}
    assert {path.name for path in page.parent.iterdir()} == names | {"index.html"}
    for name in names:
        pixels = picture((page.parent / name).read_bytes())
        assert min(pixels.shape[:2]) > 100, name
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20, name


def test_page_stands_alone(tmp_path: Path, data: Dataset, model: nn.Module) -> None:
    """The page holds its pictures, refers to nothing else, and runs no script."""
    page = write_report(write_run(tmp_path), model, data, evaluation_of(data.labels, 3))
    found = Page(page.read_text("utf-8"))
    assert len(found.addresses) == 5
    assert all(address.startswith("data:image/png;base64,") for address in found.addresses)
    assert "script" not in found.tags
    assert "link" not in found.tags


def test_page_says_what_was_measured(tmp_path: Path, data: Dataset, model: nn.Module) -> None:
    """Accuracy, digest, epochs and classes stand in the page as text."""
    page = write_report(write_run(tmp_path), model, data, evaluation_of(data.labels, 3))
    text = " ".join(Page(page.read_text("utf-8")).texts)
    assert "75.00%" in text
    assert f"sha256:{model.digest()}" in text
    assert "4.5 s" in text
    assert "multiply-adds" in text


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ("test", "Measured on the test part: 60 images held out of training."),
        ("validation", "Measured on the validation part: 60 images held out of training, by which "
         "the best epoch is chosen"),
    ],
)  # fmt: skip
def test_page_begins_with_what_to_know(
    tmp_path: Path, data: Dataset, model: nn.Module, part: str, wanted: str
) -> None:
    """The part that was measured and all warnings stand before the first figure, as text."""
    notes = ["1 class with fewer than 2 samples in the test part: <cat> (1)", "skipped: 1 hidden"]
    run = write_run(tmp_path)
    measured = evaluation_of(data.labels, 3)
    page = write_report(run, model, data, measured, part=part, notes=notes)
    content = page.read_text("utf-8")
    found = Page(content)
    text = " ".join(found.texts)
    places = [text.index(wanted), *(text.index(note) for note in notes), text.index("75.00%")]
    assert places == sorted(places)
    assert content.index('<ul class="warning">') < content.index("<dl>")
    assert "cat" not in found.tags
    assert f"{part} accuracy" in text
    assert f"{part} loss" in text
    plain = write_report(run, model, data, measured, part=part).read_text("utf-8")
    assert '<ul class="warning">' not in plain


def test_page_escapes_names(tmp_path: Path, data: Dataset, model: nn.Module) -> None:
    """Names of classes, data and models are text, never markup."""
    page = write_report(write_run(tmp_path), model, data, evaluation_of(data.labels, 3))
    content = page.read_text("utf-8")
    found = Page(content)
    assert "b" not in found.tags
    assert "tiny" not in found.tags
    assert "<b>beta</b>" in found.texts
    assert re.search(r"\$x\^2\$ &amp; gamma", content)


def test_page_shows_what_is_no_text(tmp_path: Path, model: nn.Module) -> None:
    """Names of files that are no text, and what would command a terminal, are escaped."""
    images = RANDOM.integers(0, 256, (60, 12, 10, 3), np.uint8)
    names = ("a\udcff", "b\x1b[0m", "c\n")
    data = Dataset.from_arrays(images, np.arange(60) % 3, names, "d\udc80")
    notes = ["e\udcff is left out"]
    page = write_report(write_run(tmp_path), model, data, evaluation_of(data.labels, 3),
                        notes=notes)  # fmt: skip
    texts = Page(page.read_text("utf-8")).texts
    for shown in (r"a\udcff", r"b\x1b[0m", r"c\n", r"e\udcff is left out", r"<tiny> on d\udc80"):
        assert shown in texts


def test_report_again_replaces_it(tmp_path: Path, data: Dataset, model: nn.Module) -> None:
    """A second report takes the place of the first and leaves no temporary files."""
    run = write_run(tmp_path)
    first = write_report(run, model, data, evaluation_of(data.labels, 3)).read_text()
    second = write_report(run, model, data, evaluation_of(data.labels, 3, False)).read_text()
    assert first != second
    assert not [path for path in (run / "report").iterdir() if path.name.startswith(".")]


def test_no_mistakes(tmp_path: Path, data: Dataset, model: nn.Module) -> None:
    """A model that makes no mistakes has a report too."""
    page = write_report(write_run(tmp_path), model, data, evaluation_of(data.labels, 3, False))
    assert (page.parent / "mistakes.png").stat().st_size > 1000


def test_regression(tmp_path: Path) -> None:
    """Without classes and convolutions the curves remain."""
    images = RANDOM.random((6, 4, 4, 1), np.float32)
    data = Dataset.from_arrays(images, images[:, 0, 0, 0].copy(), name="targets")
    model = nn.Sequential(nn.Flatten(), nn.Linear(1)).build((4, 4, 1))
    nothing = np.zeros((0, 0), np.int64)
    measured = Evaluation(0.5, None, None, nothing, np.zeros(0), np.zeros((6, 1)), None)
    page = write_report(write_run(tmp_path, loss="mse"), model, data, measured)
    assert [path.name for path in page.parent.glob("*.png")] == ["curves.png"]


def test_report_is_quick(tmp_path: Path) -> None:
    """The report of the embedded photographs takes seconds, not minutes."""
    data = load("fashion-sample", "test")
    model = nn.models.create("lenet5").build((28, 28, 1))
    begin = time.perf_counter()
    write_report(write_run(tmp_path), model, data, evaluation_of(data.labels, 10))
    # About 1.5 s on an idle machine; the bound leaves room for a busy one.
    assert time.perf_counter() - begin < 15


def test_missing_run(tmp_path: Path, data: Dataset, model: nn.Module) -> None:
    """A folder without a run is named."""
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path / "none"))):
        write_report(tmp_path / "none", model, data, evaluation_of(data.labels, 3))


def test_corrupt_metrics(tmp_path: Path) -> None:
    """Metrics that are no JSON are named."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n{"epo')
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl cannot be read"):
        history_of(path)


def test_missing_matplotlib(
    tmp_path: Path, data: Dataset, model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without matplotlib the error says what to install, and nothing is written."""
    real: Callable[..., Any] = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    run = write_run(tmp_path)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'isoconv[report]'")):
        write_report(run, model, data, evaluation_of(data.labels, 3))
    assert not (run / "report").exists()


def test_no_global_state(tmp_path: Path) -> None:
    """Pictures are drawn without pyplot, whose state belongs to the person's own program."""
    import subprocess
    import sys

    program = (
        "import sys; from pathlib import Path; from isoconv.report.style import *\n"
        "save(make_figure(1, 1), Path(sys.argv[1]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.png")], check=True)


@pytest.mark.parametrize("classes", [1, 10, 21, 60])
def test_confusion_of_many_classes(tmp_path: Path, classes: int) -> None:
    """Few classes show counts, many only colours; each has a picture of bounded size."""
    confusion = RANDOM.integers(0, 40, (classes, classes))
    confusion[0] = 0
    figure = draw_confusion(confusion, [f"class number {i}" for i in range(classes)])
    pixels = picture(save(figure, tmp_path / "c.png"))
    assert 200 < max(pixels.shape[:2]) < 2000


def test_confusion_diagonal_is_dark(tmp_path: Path) -> None:
    """Rows are coloured by their own share: a class of two images is as dark as one of 2000."""
    figure = draw_confusion(np.diag([2, 2000]), ("few", "many"))
    pixels = picture(save(figure, tmp_path / "c.png"))
    dark = (pixels.max(axis=-1) < 100).mean(axis=1)
    rows = np.flatnonzero(dark > 0.1)
    assert np.ptp(rows) > 100


@pytest.mark.parametrize(("channels", "filters"), [(1, 1), (2, 13), (3, 100), (3, 16)])
def test_filters(tmp_path: Path, channels: int, filters: int) -> None:
    """Any number of channels and of filters has a picture, zeros too."""
    weight = RANDOM.normal(size=(5, 3, channels, filters)).astype(np.float32)
    for array in (weight, np.zeros_like(weight)):
        pixels = picture(save(draw_filters("0.weight", array), tmp_path / "f.png"))
        assert max(pixels.shape[:2]) < 2000


def test_first_filters() -> None:
    """Linear layers, biases and kernels of one position are passed over."""
    weights = {
        "0.weight": np.zeros((5, 2)),
        "1.weight": np.zeros((1, 1, 3, 4)),
        "2.weight": np.zeros((3, 3, 4, 8)),
    }
    found = first_filters(weights)
    assert found is not None
    assert found[0] == "2.weight"
    assert first_filters({"0.weight": np.zeros((5, 2))}) is None


@pytest.mark.parametrize("epochs", [1, 2, 40])
def test_curves(tmp_path: Path, epochs: int) -> None:
    """One epoch and many, with and without validation."""
    values = [1 / (i + 1) for i in range(epochs)]
    nothing = [None] * epochs
    for train, validation in ((values, values), (values, nothing), (nothing, nothing)):
        history = History(range(1, epochs + 1), train, train, validation, validation)
        pixels = picture(save(draw_curves(history), tmp_path / "c.png"))
        assert pixels.std() > 5


def test_worst_and_typical() -> None:
    """The most certain mistakes first; correct ones class by class."""
    labels = np.array([0, 0, 1, 1, 1])
    predictions = np.array([0, 1, 1, 0, 0])
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.6, 0.4], [0.95, 0.05]])
    assert [entry.sample for entry in worst(labels, predictions, probabilities)] == [4, 1, 3]
    assert [entry.sample for entry in typical(labels, predictions, probabilities)] == [0, 2]
    assert len(worst(labels, predictions, probabilities, 1)) == 1


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((5, 9, 1), "uint8"),
        ((9, 5, 3), "float32"),
        ((8, 8, 4), "negative"),
        ((1, 1, 1), "constant"),
    ],
)
def test_images_of_every_kind(tmp_path: Path, shape: tuple[int, ...], kind: str) -> None:
    """Gray, coloured and other images, bytes and floats within and beyond 0 to 1."""
    images = RANDOM.integers(0, 256, (2, *shape), np.uint8)
    if kind != "uint8":
        images = images.astype(np.float32) / np.float32(255)
    if kind == "negative":
        images = images * 6 - 3
    if kind == "constant":
        images[:] = 7
    labels, predictions = np.array([0, 1]), np.array([1, 1])
    probabilities = np.array([[0.2, 0.8], [0.3, 0.7]])
    wrong = worst(labels, predictions, probabilities)
    right = typical(labels, predictions, probabilities)
    save(draw_mistakes(images, ("a", "b"), wrong), tmp_path / "m.png")
    save(draw_predictions(images, ("a", "b"), right), tmp_path / "p.png")


def test_labels() -> None:
    """Long names are cut; names that the font cannot draw become numbers."""
    assert shortened("abcdef", 6) == "abcdef"
    assert drawable(["a" * 40, "犬", "été"], 10) == ["aaaaaaaaa…", "class 1", "été"]


def test_write_whole(tmp_path: Path) -> None:
    """A file that cannot be written leaves the earlier one and nothing else."""
    path = tmp_path / "page.html"
    write_whole(path, b"first")
    with pytest.raises(TypeError):
        write_whole(path, None)  # type: ignore[arg-type]
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]

"""The report's files: PNG pictures that show something, and a page written whole."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.report.made import RANDOM, dataset_of, evaluation_of, model_of, picture, write_run

from isoconv import nn
from isoconv.data import Dataset, load
from isoconv.errors import CheckpointError, MissingExtraError
from isoconv.report import write_report
from isoconv.report.confusion import draw_confusion
from isoconv.report.curves import draw_curves
from isoconv.report.filters import draw_filters, first_filters
from isoconv.report.gallery import draw_mistakes, draw_predictions
from isoconv.report.style import drawable, make_figure, save, write_whole
from isoconv.report.subject import Subject
from isoconv.report.write import PICTURES, history_of
from isoconv.train import Evaluation, RunFolder


def subject_of(folder: Path, every: int = 4, **run: object) -> Subject:
    """What a report of a made-up run is about."""
    data = dataset_of()
    run_folder = RunFolder(write_run(folder, **run))  # type: ignore[arg-type]
    history = history_of(run_folder.metrics_file)
    measured = evaluation_of(data.labels, 3, every)
    return Subject.of(run_folder, history, model_of(), data, measured, "test", ())


@pytest.mark.slow
def test_report_files(tmp_path: Path) -> None:
    """All pictures are there, with content, beside the page."""
    data = dataset_of()
    run = write_run(tmp_path / "run")
    page = write_report(run, model_of(), data, evaluation_of(data.labels, 3))
    assert page == run / "report" / "index.html"
    names = {f"{name}.png" for name in PICTURES}
    assert {path.name for path in page.parent.iterdir()} == names | {"index.html"}
    for name in names:
        pixels = picture((page.parent / name).read_bytes())
        assert min(pixels.shape[:2]) > 100, name
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20, name
    assert "beside this page as PNG files" in page.read_text("utf-8")


@pytest.mark.slow
def test_report_again_replaces_it(tmp_path: Path) -> None:
    """A second report takes the place of the first, and what it lacks goes."""
    data, run = dataset_of(), write_run(tmp_path)
    first = write_report(run, model_of(), data, evaluation_of(data.labels, 3)).read_text()
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((12, 10, 3))
    second = write_report(run, flat, data, evaluation_of(data.labels, 3, 0)).read_text()
    assert first != second
    names = {path.name for path in (run / "report").iterdir()}
    assert names == {"index.html", *(f"{name}.png" for name in PICTURES if name != "filters")}


@pytest.mark.slow
def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib the page is whole, says what is missing, and earlier files go."""
    data, run = dataset_of(), write_run(tmp_path)
    write_report(run, model_of(), data, evaluation_of(data.labels, 3))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    page = write_report(run, model_of(), data, evaluation_of(data.labels, 3))
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]
    text = page.read_text("utf-8")
    assert "pip install &#x27;isoconv[report]&#x27;" in text
    assert text.count("<svg") == 3
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'isoconv[report]'")):
        make_figure(1, 1)


def test_regression(tmp_path: Path) -> None:
    """Without classes and convolutions the curve of the loss remains."""
    images = RANDOM.random((6, 4, 4, 1), np.float32)
    data = Dataset.from_arrays(images, images[:, 0, 0, 0].copy(), name="targets")
    model = nn.Sequential(nn.Flatten(), nn.Linear(1)).build((4, 4, 1))
    nothing = np.zeros((0, 0), np.int64)
    measured = Evaluation(0.5, None, None, nothing, np.zeros(0), np.zeros((6, 1)), None)
    page = write_report(write_run(tmp_path, loss="mse"), model, data, measured)
    assert [path.name for path in page.parent.glob("*.png")] == ["curves.png"]


@pytest.mark.slow
def test_report_is_quick(tmp_path: Path) -> None:
    """The report of the embedded photographs takes seconds, not minutes."""
    data = load("fashion-sample", "test")
    model = nn.models.create("lenet5").build((28, 28, 1))
    begin = time.process_time()
    write_report(write_run(tmp_path), model, data, evaluation_of(data.labels, 10))
    # About 1.5 s of the processor.
    assert time.process_time() - begin < 15


def test_missing_run(tmp_path: Path) -> None:
    """A folder without a run is named."""
    data = dataset_of()
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path / "none"))):
        write_report(tmp_path / "none", model_of(), data, evaluation_of(data.labels, 3))


def test_corrupt_metrics(tmp_path: Path) -> None:
    """Metrics that are no JSON are named."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n{"epo')
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl cannot be read"):
        history_of(path)


@pytest.mark.slow
def test_no_global_state(tmp_path: Path) -> None:
    """Pictures are drawn without pyplot, whose state belongs to the person's own program."""
    program = (
        "import sys; from pathlib import Path; from isoconv.report.style import *\n"
        "save(make_figure(1, 1), Path(sys.argv[1]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.png")], check=True)


@pytest.mark.parametrize("classes", [1, 10, 21, 60, 130])
def test_confusion_of_many_classes(tmp_path: Path, classes: int) -> None:
    """Few classes show counts, many only colours; each has a picture of bounded size."""
    confusion = RANDOM.integers(0, 40, (classes, classes))
    confusion[0] = 0
    figure = draw_confusion(confusion, [f"class number {i}" for i in range(classes)])
    pixels = picture(save(figure, tmp_path / "c.png"))
    assert 200 < max(pixels.shape[:2]) < 2000
    axes = figure.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    if classes == 60:
        assert rows[59] == "class number 59  60"
        assert columns[59] == "60"
    if classes == 10:
        assert rows == columns


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


@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_curves(tmp_path: Path, epochs: int) -> None:
    """Both axes begin at 0, accuracy ends at 100%, and epochs are whole numbers."""
    figure = draw_curves(subject_of(tmp_path, epochs=epochs, accuracy=0.4))
    assert picture(save(figure, tmp_path / "c.png")).std() > 5
    loss, accuracy = figure.axes
    assert loss.get_ylim()[0] == accuracy.get_ylim()[0] == 0
    assert accuracy.get_ylim()[1] >= 100
    assert all(tick == int(tick) for tick in loss.get_xticks())
    said = [text.get_text().split("\n")[0] for text in accuracy.texts]
    assert sorted(said) == ["baseline", "training", "validation"]
    places = [text.get_position()[1] for text in accuracy.texts]
    assert all(0 <= place <= 1 for place in places)


def test_gallery(tmp_path: Path) -> None:
    """Names of files stand below the images, also where there are none to show."""
    subject = subject_of(tmp_path)
    images, names = subject.dataset.images, subject.names
    figure = draw_mistakes(images, names, subject.mistakes())
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sum(text.endswith(".jpg") for text in said) == 15
    assert subject.mistakes()[0].probability >= subject.mistakes()[-1].probability
    in_turn = [each.true for each in subject.recognised(6)]
    assert in_turn == [0, 1, 2, 0, 1, 2]
    for drawn in (draw_mistakes(images, names, []), draw_predictions(images, names, [])):
        pixels = picture(save(drawn, tmp_path / "g.png"))
        assert len(np.unique(pixels)) > 20


def test_names_in_pictures() -> None:
    """Long names lose their middle; names that the font cannot draw become numbers."""
    names = ["a" * 40, "犬", "été"]
    assert drawable(names, 10) == ["aaaaa…aaaa", "class 1", "été"]


def test_write_whole(tmp_path: Path) -> None:
    """A file that cannot be written leaves the earlier one and nothing else."""
    path = tmp_path / "page.html"
    write_whole(path, b"first")
    with pytest.raises(TypeError):
        write_whole(path, None)  # type: ignore[arg-type]
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]

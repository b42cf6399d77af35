"""The page of a report: what it says first, what it shows, and that it stands alone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.report.made import (
    NAMES,
    RANDOM,
    Page,
    dataset_of,
    evaluation_of,
    model_of,
    write_run,
)

import isoconv as ic
from isoconv import nn
from isoconv.data import Dataset
from isoconv.data.skipped import Skipped
from isoconv.report import write_report
from isoconv.train import Evaluation


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page alone: what matplotlib draws beside it takes long."""
    monkeypatch.setattr("isoconv.report.write.has_matplotlib", lambda: False)


def page_of(
    folder: Path,
    names: tuple[str, ...] = NAMES,
    count: int = 60,
    every: int = 4,
    notes: tuple[str, ...] = (),
    part: str = "test",
    **run: object,
) -> Page:
    """The page of a made-up run."""
    data, model = dataset_of(names, count), model_of(len(names))
    measured = evaluation_of(data.labels, len(names), every)
    run.setdefault("weights", model.digest())
    run_folder = write_run(folder, **run)  # type: ignore[arg-type]
    path = write_report(run_folder, model, data, measured, part=part, notes=notes)
    return Page(path.read_text("utf-8"))


def test_page_stands_alone(tmp_path: Path) -> None:
    """The page holds its pictures, refers to nothing but its own parts, and runs no script."""
    page = page_of(tmp_path)
    assert not page.open
    anchors = {found.get("id") for _, found in page.attributes}
    for address in page.addresses:
        inside = address.startswith("#") and address[1:] in anchors
        assert inside or re.match(r"data:image/(png|jpeg);base64,[\w+/=]+$", address)
    assert len([address for address in page.addresses if address.startswith("data:")]) > 15
    assert not {"script", "link", "iframe", "object"} & {*page.tags}
    assert "url(" not in (tmp_path / "report" / "index.html").read_text("utf-8")


def test_summary(tmp_path: Path) -> None:
    """One sentence says what was trained, on what, how well, and beside which baseline."""
    page = page_of(tmp_path, train=dataset_of(NAMES, 7))
    assert (
        "After 3 epochs on 120 images of made up, the network “<tiny>” recognises 75.0% of 60 "
        "other images that it had not learned from (95% interval: 62.8% to 84.2%); always saying "
        "“alpha” would be right for 33.3%." in page.text
    )


def test_figures_name_their_part(tmp_path: Path) -> None:
    """Accuracy and loss are those of the part that was measured; the weights have a digest."""
    page = page_of(tmp_path, part="validation")
    for said in ("validation accuracy 75.0%", "45 of 60 images", "validation loss 0.5000"):
        assert said in page.text
    assert f"sha256:{model_of().digest()}" in page.text
    assert "4.5 s" in page.text
    assert "multiply-adds" in page.text


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        ("test", "Measured on the test part: 60 images held out of training."),
        ("validation", "Measured on the validation part: 60 images held out of training, by which "
         "the best epoch is chosen"),
    ],
)  # fmt: skip
def test_page_begins_with_what_to_know(tmp_path: Path, part: str, wanted: str) -> None:
    """The part that was measured and all warnings stand before the first figure, as text."""
    notes = ("1 class with fewer than 2 samples in the test part: <cat> (1)", "skipped: 1 hidden")
    page = page_of(tmp_path, part=part, notes=notes)
    places = [page.text.index(wanted), *(page.text.index(note) for note in notes)]
    places.append(page.text.index(f"{part} accuracy"))
    assert places == sorted(places)
    assert "cat" not in page.tags
    assert len(page.of("warning")) == 1
    assert not page_of(tmp_path, part=part).of("warning")


def test_notes_on_reading_are_no_warnings(tmp_path: Path) -> None:
    """What was guessed or scaled while data were read stands apart from warnings."""
    data, model = dataset_of(), model_of()
    data = Dataset(data.images, data.labels, data.class_names, "made up", data.paths,
                   notes=("pictures of 14 sizes: scaled",))  # fmt: skip
    notes = [*data.notes, "3 of 63 files were skipped"]
    run = write_run(tmp_path, weights=model.digest())
    path = write_report(run, model, data, evaluation_of(data.labels, 3), notes=notes)
    page = Page(path.read_text("utf-8"))
    assert "Warnings 3 of 63 files were skipped" in page.text
    assert "Notes on the data pictures of 14 sizes: scaled" in page.text


@pytest.mark.parametrize(("every", "stands"), [(1, "worse than"), (2, "no better than"), (4, "")])
def test_a_run_at_chance_is_called_so(tmp_path: Path, every: int, stands: str) -> None:
    """Where the interval reaches down to the baseline, a warning says how far."""
    page = page_of(tmp_path, every=every, names=("a", "b"), accuracy=0.5)
    said = f"The model is {stands} always saying “a”, on these 60 images."
    assert (said in page.text) == bool(stands)
    assert ("always saying “a”, on these" in page.text) == bool(stands)
    assert bool(page.of("warning")) == bool(stands)


def test_the_result_comes_first(tmp_path: Path) -> None:
    """The bar of the accuracy stands before the warnings; shapes of layers are folded up."""
    write_run(tmp_path)
    data = dataset_of()
    path = write_report(
        tmp_path, model_of(), data, evaluation_of(data.labels, 3), notes=["a warning"]
    )
    text = path.read_text("utf-8")
    assert text.index('class="gauge"') < text.index("a warning")
    assert "<details><summary>shapes and parameters of all layers" in text


def test_learned_by_heart(tmp_path: Path) -> None:
    """Where training accuracy lies far above that of other images, a warning has both."""
    page = page_of(tmp_path, every=1, names=("a", "b"), accuracy=0.9)
    said = "Learned by heart: training accuracy 86.7%, test 0.0%; more pictures would help."
    assert said in page.text
    page = page_of(tmp_path, names=("a", "b"), accuracy=0.9)
    assert "by heart" not in page.text


def test_few_images(tmp_path: Path) -> None:
    """Of few images the page says that they tell little."""
    data = dataset_of(count=15)
    path = write_report(write_run(tmp_path), model_of(), data, evaluation_of(data.labels, 3))
    text = Page(path.read_text("utf-8")).text
    assert "15 images are few to measure with: they tell little of other images" in text


def test_no_path_of_the_machine(tmp_path: Path) -> None:
    """What lies above the data is told nowhere, neither as place nor in command or notes."""
    place = "/srv/somebody/my photos"
    facts = {"data": place, "command": f"isoconv train '{place}' --out 'runs/a'"}
    data = dataset_of()
    path = write_report(
        write_run(tmp_path, facts=facts), model_of(), data, evaluation_of(data.labels, 3),
        notes=[f"{place}: 3 files are no pictures"],
    )  # fmt: skip
    page = Page(path.read_text("utf-8"))
    assert "somebody" not in path.read_text("utf-8")
    assert "isoconv train '…/my photos' --out 'runs/a'" in page.text
    assert "…/my photos: 3 files are no pictures" in page.text
    assert "place my photos" in page.text


def test_command_and_choices_of_the_first_stretch(tmp_path: Path) -> None:
    """Of a run that was gone on with, command and choices are told to be of the first epochs."""
    facts = {"command": "isoconv train pets", "chosen": {"settings": [], "why": "3 epochs"}}
    folder = write_run(tmp_path, epochs=5, facts=facts)
    described = json.loads((folder / "run.json").read_text())
    described["settings"]["stretches"] = [{"after": 0, "until": 3}, {"after": 3, "until": 5}]
    wish = {"command": "isoconv resume runs/pets --epochs 5"}
    described["further"] = [{"epochs": 5, "facts": wish}]
    (folder / "run.json").write_text(json.dumps(described))
    data = dataset_of()
    path = write_report(folder, model_of(), data, evaluation_of(data.labels, 3))
    text = Page(path.read_text("utf-8")).text
    assert "The command of the first stretch (epochs 1 to 3)" in text
    assert "not given (epochs 1 to 3) 3 epochs" in text
    wished = "Later, 5 epochs in all were asked for: isoconv resume runs/pets --epochs 5"
    assert wished in " ".join(text.split())


def test_axes_begin_at_nothing(tmp_path: Path) -> None:
    """Accuracy is drawn from 0% to 100% and loss from 0, with lines for what chance gives."""
    page = page_of(tmp_path)
    assert "100% 75% 50% 25% 0%" in " ".join(reversed(re.findall(r"\d+%(?= )", page.text)))
    assert len(page.of("reference")) == 3
    assert "all classes equally likely: 1.1" in page.text
    assert "always the most frequent class: 33.3%" in page.text


def test_class_counts_of_all_parts(tmp_path: Path) -> None:
    """Each class has its images in every part, by the run's list of samples, and its scores."""
    learned = dataset_of(NAMES, 7)
    page = page_of(tmp_path, train=learned)
    assert "class recall 95% interval F1 precision training" in page.text
    assert "alpha 75.0% 53% to 89% 75.0% 75.0% 3" in page.text
    assert "<b>beta</b> 75.0%" in page.text
    assert "all 75.0% 75.0% 75.0% 7" in page.text


def test_where_the_run_came_from(tmp_path: Path) -> None:
    """Date, data, digest, command, settings in words and versions are there."""
    home = Path.home() / "my photos"
    facts = {"model": "tiny", "data": str(home), "command": "isoconv train 'my photos' --epochs 3",
             "started": "2026-03-01T09:05:00+00:00"}  # fmt: skip
    page = page_of(tmp_path, facts=facts)
    for said in (
        "Trained on 1 March 2026, 09:05 UTC with isoconv 0.1.0",
        "place my photos",
        "isoconv train 'my photos' --epochs 3",
        "training 120 images, SHA-256",
        "batch 4 images a step, in shards of 4",
        "lowest training loss epoch 3 of 3",
        "kept weights those of epoch 3",
        "isoconv 0.1.0, ",
        "numpy ",
    ):
        assert said in page.text, said


def test_page_escapes_names(tmp_path: Path) -> None:
    """Names of classes, data, files and models are text, never markup."""
    page = page_of(tmp_path)
    assert not {"b", "tiny"} & {*page.tags}
    assert "<b>beta</b>" in page.text
    assert "$x^2$ & gamma" in page.text
    assert re.search(r"is <b>beta</b> <b>beta</b>/\d+\.jpg", page.text)


def test_page_shows_what_is_no_text(tmp_path: Path) -> None:
    """Names of files that are no text, and what would command a terminal, are escaped."""
    names = ("a\udcff", "b\x1b[0m", "c\n")
    page = page_of(tmp_path, names=names, notes=("e\udcff is left out",))
    for shown in (r"a\udcff", r"b\x1b[0m", r"c\n", r"e\udcff is left out"):
        assert shown in page.text


def test_mistakes_name_their_files(tmp_path: Path) -> None:
    """Below each mistake stand what it was taken for, what it is, and its file."""
    page = page_of(tmp_path, names=("cat", "dog", "owl"))
    assert "All 15 mistakes among 60 images" in page.text
    assert re.search(r"taken for dog \d\d\.\d% is cat cat/\d+\.jpg", page.text)
    alts = [found["alt"] for tag, found in page.attributes if tag == "img"]
    assert len([alt for alt in alts if alt and re.match(r"cat/\d+.jpg: cat, taken", alt)]) == 5


@pytest.mark.parametrize(
    ("count", "every", "wanted", "pictures"),
    [
        (60, 0, "There are none: all 60 images were recognised.", 12),
        (3, 3, "The one mistake among 3 images.", 3),
        (4, 2, "Both mistakes among 4 images", 4),
        (90, 2, "The 12 of 45 mistakes among 90 images of which the network was most certain.", 57),
        (60, 1, "No image was recognised.", 48),
    ],
)
def test_few_mistakes_and_many(
    tmp_path: Path, count: int, every: int, wanted: str, pictures: int
) -> None:
    """All of a few are shown; of many the most certain, and others folded up; none is said."""
    page = page_of(tmp_path, count=count, every=every)
    assert wanted in page.text
    # One more: the filters.
    assert page.tags.count("img") == pictures + 1


@pytest.mark.parametrize(("classes", "told"), [(10, False), (11, True)])
def test_top_five_only_of_many_classes(tmp_path: Path, classes: int, told: bool) -> None:
    """Among the first five of ten says little and is left out."""
    page = page_of(tmp_path, names=tuple(f"class {i}" for i in range(classes)), count=110)
    assert ("top-5 accuracy 97.5%" in page.text) == told


def test_sixty_classes(tmp_path: Path) -> None:
    """Each row has a number and a name, each column a number; the largest confusions are text."""
    names = tuple(f"the species of number {i} in the wood and on the meadow" for i in range(60))
    page = page_of(tmp_path, names=names, count=600, every=7)
    assert page.tags.count("td") > 3600
    assert "10 the…9 in the wood…" in page.text
    short = r"the spec…\d+ in the wood and on the m\w*…?"
    assert re.search(
        rf"The most frequent confusions: {short} taken for {short}: 2 of 10", page.text
    )
    assert (tmp_path / "report" / "index.html").stat().st_size < 1_000_000


def test_a_class_of_300_letters(tmp_path: Path) -> None:
    """A long name is short where there is little room, with the whole of it at hand."""
    name = "n" * 150 + "m" * 150
    page = page_of(tmp_path, names=(name, "b", "c"))
    titles = [found.get("title") for tag, found in page.attributes if tag == "bdi"]
    assert titles.count(name) > 3
    assert page.text.count(name) == 1
    assert "nnnnnnnnnn…mmmmmmmmm" in page.text


def test_more_classes_than_cells(tmp_path: Path) -> None:
    """Of very many classes the matrix is one picture, and the page stays small."""
    names = tuple(f"c{i}" for i in range(130))
    page = page_of(tmp_path, names=names, count=260)
    assert len(page.of("whole")) == 1
    assert page.of("whole")[0]["width"] == "130"
    assert "A pixel for each pair of 130 classes." in page.text


@pytest.mark.parametrize("epochs", [0, 1, 40])
def test_few_epochs_and_many(tmp_path: Path, epochs: int) -> None:
    """One epoch is a point at a whole number, many are folded up, none leaves the part out."""
    page = page_of(tmp_path, epochs=epochs)
    learning = [found for _, found in page.attributes if found.get("id") == "learning"]
    assert len(learning) == (epochs > 0)
    assert len(page.of("dot")) == {0: 0, 1: 4, 40: 160}[epochs]
    assert ("40 epochs epoch loss" in page.text) == (epochs == 40)


def test_regression(tmp_path: Path) -> None:
    """Without classes there are loss, data and settings, and nothing of classes."""
    targets = np.array([1.0, 3.0, 1.0, 3.0, 1.0, 3.0], np.float32)
    given = np.array([1.0, 3.0, 1.5, 3.0, 1.0, 0.0])
    page = regression_page(tmp_path, targets, given[:, np.newaxis], 0.5)
    assert "has a mean squared error of 0.5000 on 6 other images" in page.text
    assert "always giving the mean target would have 1.0000" in page.text
    assert "R² 0.500" in page.text
    anchors = {found["id"] for _, found in page.attributes if "id" in found}
    wanted = {"learning", "predictions", "errors", "data", "settings", "epochs", "layers"}
    assert anchors == wanted
    assert len(page.of("faint")) == 6
    assert "gave 0 is 3 image 5 gave 1.5 is 1 image 2" in page.text
    assert not page.of("warning")


def test_regression_at_chance(tmp_path: Path) -> None:
    """Where always giving the mean would be as good, a warning says so; equal targets too."""
    targets = np.array([1.0, 3.0, 1.0, 3.0], np.float32)
    page = regression_page(tmp_path, targets, np.full((4, 1), 7.0), 25.0)
    assert "no better than always giving the mean of the targets" in page.text
    page = regression_page(tmp_path, np.ones(4, np.float32), np.ones((4, 1)), 0.0)
    assert "R²" not in page.text
    assert "nan" not in page.text


def test_regression_of_many_numbers(tmp_path: Path) -> None:
    """Of a network that gives several numbers there is no point for each image."""
    targets = RANDOM.random((6, 5)).astype(np.float32)
    page = regression_page(tmp_path, targets, targets + 0.1, 0.01)
    anchors = {found["id"] for _, found in page.attributes if "id" in found}
    assert anchors == {"learning", "data", "settings", "epochs", "layers"}


def regression_page(folder: Path, targets: np.ndarray, given: np.ndarray, loss: float) -> Page:
    """The page of a made-up run without classes."""
    images = RANDOM.random((len(targets), 4, 4, 1), np.float32)
    data = Dataset.from_arrays(images, targets, name="targets")
    model = nn.Sequential(nn.Flatten(), nn.Linear(given.shape[1])).build((4, 4, 1))
    nothing = np.zeros((0, 0), np.int64)
    measured = Evaluation(loss, None, None, nothing, np.zeros(0), given, None)
    run = write_run(folder, loss="mse", weights=model.digest())
    path = write_report(run, model, data, measured)
    return Page(path.read_text("utf-8"))


def test_outputs_without_names(tmp_path: Path) -> None:
    """A model with more outputs than the data have classes is shown with all of them."""
    data = dataset_of()
    measured = evaluation_of(data.labels, 5)
    path = write_report(write_run(tmp_path), model_of(5), data, measured)
    text = Page(path.read_text("utf-8")).text
    assert "class 3 - - " in text


def test_settings_that_nobody_gave(tmp_path: Path) -> None:
    """What was chosen for the images is said, with the reason."""
    facts = {"chosen": {"settings": ["batch_size"], "why": "batch 32, for 120 images"}}
    page = page_of(tmp_path, facts=facts)
    assert "not given batch 32, for 120 images" in page.text
    assert "A network on made up" in page.text


@pytest.mark.parametrize(("count", "folded"), [(1, 0), (3, 0), (4, 1)])
def test_files_that_were_left_out(tmp_path: Path, count: int, folded: int) -> None:
    """Each file that cannot be read is named at the top with its reason; of many, folded up."""
    data = dataset_of()
    bad = tuple(Skipped(f"cat/<b>{number}.jpg", "truncated") for number in range(count))
    data = replace(data, skipped=bad)
    path = write_report(write_run(tmp_path), model_of(), data, evaluation_of(data.labels, 3))
    page = Page(path.read_text("utf-8"))
    assert "file reason cat/<b>0.jpg truncated" in page.text
    assert page.text.count("truncated") == count
    assert page.tags.count("details") == folded + 1  # that of the layers
    assert page.text.index("truncated") < page.text.index("test accuracy")


def test_other_weights_than_those_that_were_left(tmp_path: Path) -> None:
    """Where other weights were measured than the run left, that is said at the top."""
    page = page_of(tmp_path, weights="0" * 64)
    said = (
        "Measured with the weights of another moment, not with those that the run left, of epoch 3."
    )
    assert said in page.text
    assert "weights of epoch 3, that of the lowest training loss" not in page.text
    page = page_of(tmp_path)
    assert "weights of epoch 3, that of the lowest training loss" in page.text


def test_measured_on_what_was_learned(tmp_path: Path) -> None:
    """Figures of the training part itself are called so."""
    page = page_of(tmp_path, part="training")
    assert "of 60 images that it has learned from" in page.text
    assert "Measured on the training part: 60 images that were learned from." in page.text
    assert len(page.of("warning")) == 1


def test_classes_in_another_order(tmp_path: Path) -> None:
    """Classes are matched by name with the model's, so that mistakes are those that were made."""
    images = RANDOM.integers(0, 256, (40, 8, 8, 1), np.uint8)
    labels = (images.reshape(40, -1).mean(axis=1) > 127).astype(int)
    train = Dataset.from_arrays(images, labels, ("dark", "light"), "shades")
    other = Dataset.from_arrays(images, 1 - labels, ("light", "dark"), "shades")
    model = nn.Sequential(nn.Flatten(), nn.Linear(2))
    run = ic.Trainer(model, progress=False, batch_size=8).fit(train, epochs=2, out=tmp_path / "run")
    pages = []
    for data in (train, other):
        measured = ic.evaluate(run.model, data)
        path = write_report(tmp_path / "run", run.model, data, measured, part="train")
        pages.append(path.read_text("utf-8"))
    assert pages[0] == pages[1]

"""From picture files to figures: what is trained on, held out, measured and said, file by file."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import call, fail, succeed

import isoconv as ic
from isoconv.data.files import Split
from isoconv.train.progress import Reporter

CLASSES = {"bag": 8, "boot": 9, "sandal": 5}
"""Names of class folders and the numbers of the same classes in the sample."""
EACH = 100
EPOCHS = 3
QUICK = ("--model", "lenet5", "--batch-size", 32, "--no-report", "--epochs", EPOCHS)


def cut(
    folder: Path, part: Split, first: int, last: int, classes: dict[str, int] = CLASSES
) -> list[Path]:
    """Write pictures of the sample as files, PNG and JPEG in turn; returns their paths."""
    data = ic.data.load("fashion-sample", part)
    written = []
    for name, number in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for place in np.flatnonzero(data.labels == number)[first:last].tolist():
            path = folder / name / f"{part} {place:05}.{'png' if place % 2 else 'jpg'}"
            Image.fromarray(data.images[place, :, :, 0]).save(path, quality=90)
            written.append(path)
    return written


def samples(run: Path) -> dict[str, str]:
    """The run's list: part of each path."""
    with (run / "samples.csv").open(newline="") as file:
        return {row["path"]: row["part"] for row in csv.DictReader(file)}


def figures(run: Path, paths: list[Path]) -> tuple[int, int, np.float64]:
    """Hits, images and mean loss of files, from the probabilities that Python gives."""
    model = ic.load(run)
    probabilities = model.predict_files(paths).astype(np.float64)
    labels = np.array([model.class_names.index(path.parent.name) for path in paths])
    hits = int((probabilities.argmax(axis=1) == labels).sum())
    loss = -np.log(probabilities[np.arange(len(paths)), labels]).mean()
    return hits, len(paths), loss


def check(said: str, title: str, run: Path, paths: list[Path]) -> None:
    """See that an accuracy and a loss that were printed are those of these files."""
    hits, images, loss = figures(run, paths)
    accuracy = f"{title} accuracy {hits / images:.2%} ({hits} of {images} images)"
    assert accuracy in said.splitlines()
    found = re.search(rf"^{title} loss (\S+)$", said, re.MULTILINE)
    assert found is not None
    assert float(found[1]) == pytest.approx(loss, abs=6e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A folder of pictures whose name needs quoting, and a run on it."""
    place = tmp_path_factory.mktemp("place")
    folder = place / "Ann's new photographs"
    cut(folder, "train", 0, EACH)
    said = succeed("train", folder, *QUICK, "--out", place / "run 1", "--threads", 1)
    return folder, place / "run 1", said


@pytest.fixture
def folder(trained: tuple[Path, Path, str], tmp_path: Path) -> Path:
    """A copy of the pictures elsewhere, to change."""
    return shutil.copytree(trained[0], tmp_path / "moved")


def test_training_says_what_it_does(trained: tuple[Path, Path, str]) -> None:
    """How many pictures are learned from, chosen by and tested with; so much of each class."""
    folder, run, said = trained
    assert "240 images of 28x28x1 in 3 classes, 30 to choose by, 30 to test with" in said
    assert "warning" not in said
    parts = samples(run)
    assert set(parts) == {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    for name in CLASSES:
        own = [part for path, part in parts.items() if path.startswith(f"{name}/")]
        counts = [own.count(part) for part in ("train", "validation", "test")]
        assert counts == [80, 10, 10]


@pytest.mark.parametrize("where", ["there", "moved"])
def test_the_held_out_files_are_measured(
    trained: tuple[Path, Path, str], folder: Path, where: str
) -> None:
    """On its own folder, wherever it is now, a run is measured with the files that it held out."""
    own, run, trained_said = trained
    data = own if where == "there" else folder
    said = succeed("evaluate", run, data)
    assert said.splitlines()[0] == (
        "measured: the test part, 30 of 300 images; 0 of 30 were trained on"
    )
    held = [own / path for path, part in samples(run).items() if part == "test"]
    check(said, "test", run, held)
    line = re.search(r"^test accuracy .*$", said, re.MULTILINE)
    assert line is not None
    assert line[0] in trained_said.splitlines()


@pytest.mark.parametrize(("part", "count"), [("train", 240), ("validation", 30), ("test", 30)])
def test_every_part_can_be_measured(trained: tuple[Path, Path, str], part: str, count: int) -> None:
    """Each part by its name, with how many of it were trained on."""
    folder, run, _ = trained
    said = succeed("evaluate", run, folder, "--split", part)
    learned = count if part == "train" else 0
    first = (
        f"measured: the {part} part, {count} of 300 images; {learned} of {count} were trained on"
    )
    steered = ", 30 steered the training" if part == "validation" else ""
    assert said.splitlines()[0] == first + steered
    check(said, part, run, [folder / path for path, own in samples(run).items() if own == part])


def test_all_gives_both_figures(trained: tuple[Path, Path, str]) -> None:
    """Of the whole folder: how many were trained on, and the figure of those that were not."""
    folder, run, _ = trained
    said = succeed("evaluate", run, folder, "--split", "all")
    assert said.splitlines()[0] == (
        "measured: all 300 images; 240 of 300 were trained on, 30 steered the training"
    )
    parts = samples(run)
    check(said, "all", run, [folder / path for path in parts])
    rest = [folder / path for path, part in parts.items() if part != "train"]
    check(said, "not trained on:", run, rest)


@pytest.mark.slow
def test_files_added(trained: tuple[Path, Path, str], folder: Path) -> None:
    """With new files all are measured, and the held-out ones can still be asked for."""
    own, run, _ = trained
    new = cut(folder, "test", 0, 20)
    said = succeed("evaluate", run, folder)
    assert said.splitlines()[0] == (
        "measured: all 360 images; 240 of 360 were trained on, 30 steered the training"
    )
    parts = samples(run)
    check(said, "all", run, [folder / path for path in parts] + new)
    rest = [folder / path for path, part in parts.items() if part != "train"]
    check(said, "not trained on:", run, rest + new)
    assert "the run's own test part alone: --split test" in said.splitlines()
    alone = succeed("evaluate", run, folder, "--split", "test").splitlines()
    assert alone[0] == "measured: the test part, 30 of 360 images; 0 of 30 were trained on"
    assert alone[1:] == succeed("evaluate", run, own).splitlines()[1:]


def test_a_mixture(trained: tuple[Path, Path, str], tmp_path: Path) -> None:
    """Some files that were trained on among new ones, by their content, whatever their names."""
    folder, run, _ = trained
    *new, dropped = cut(tmp_path / "mixed", "test", 20, 40, {"boot": 9, "sandal": 5})
    dropped.unlink()
    learned = [folder / path for path, part in samples(run).items() if part == "train"]
    old = [path for path in learned if path.parent.name == "sandal"][:21]
    for number, path in enumerate(old):
        shutil.copy(path, tmp_path / "mixed" / "sandal" / f"again {number}{path.suffix}")
    said = succeed("evaluate", run, tmp_path / "mixed")
    assert said.splitlines()[0] == "measured: all 60 images; 21 of 60 were trained on"
    check(said, "all", run, new + old)
    check(said, "not trained on:", run, new)
    found = json.loads(succeed("evaluate", run, tmp_path / "mixed", "--json"))
    assert (found["images"], found["trained_on"], found["steered_by"]) == (60, 21, 0)
    hits, images, _ = figures(run, new)
    assert found["not_trained_on"]["images"] == images == 39
    assert found["not_trained_on"]["accuracy"] == hits / images


def test_a_class_that_was_not_learned(trained: tuple[Path, Path, str], folder: Path) -> None:
    """A renamed class folder is refused, with the unknown class and those that are known."""
    (folder / "bag").rename(folder / "handbag")
    said = fail("evaluate", trained[1], folder)
    assert "unknown: 'handbag'; the run knows: 'bag', 'boot', 'sandal'" in said
    assert "folders with pictures" not in said
    # Where the folder of a class was meant, the one above it is named.
    shutil.copytree(folder / "boot", folder.parent / "photos" / "boot" / "2019 Sommer")
    shutil.copytree(folder / "boot", folder.parent / "photos" / "sandal")
    said = fail("evaluate", trained[1], folder.parent / "photos" / "boot")
    assert "unknown: '2019 Sommer'; the run knows: 'bag', 'boot', 'sandal'; each folder in" in said
    assert f"the folder above, {folder.parent}/photos, has 2 folders with pictures" in said


def test_fewer_classes(trained: tuple[Path, Path, str], tmp_path: Path) -> None:
    """Folders of some of the classes count from 0 by themselves, and meet the run's by name."""
    _, run, _ = trained
    new = cut(tmp_path / "two", "test", 0, 30, {"boot": 9, "sandal": 5})
    assert ic.data.load(tmp_path / "two").class_names == ("boot", "sandal")
    said = succeed("evaluate", run, tmp_path / "two")
    assert said.splitlines()[0] == "measured: all 60 images; 0 of 60 were trained on"
    check(said, "all", run, new)
    assert re.search(r"^bag +0 +\S+ +- +\S+$", said, re.MULTILINE)
    for name in ("boot", "sandal"):
        hits, images, _ = figures(run, [path for path in new if path.parent.name == name])
        assert re.search(rf"^{name} +{images} +\S+ +{hits / images:.1%} ", said, re.MULTILINE)


@pytest.mark.slow
def test_classes_in_another_order(trained: tuple[Path, Path, str], tmp_path: Path) -> None:
    """A file that numbers the classes in another order gives the same figures."""
    _, run, _ = trained
    order = ("sandal", "bag", "boot")
    new = cut(tmp_path / "new", "test", 0, 30)
    images = np.stack([ic.data.read_image(path, channels=1) for path in new])
    labels = [order.index(path.parent.name) for path in new]
    np.savez(tmp_path / "new.npz", images=images, labels=labels, class_names=np.array(order))
    of_file = succeed("evaluate", run, tmp_path / "new.npz")
    # The names of the files stand under the mistakes alone.
    figures = of_file.partition("\nfile ")[0]
    assert figures == succeed("evaluate", run, tmp_path / "new").partition("\nfile ")[0]
    check(of_file, "all", run, new)
    labels = [ic.load(run).class_names.index(path.parent.name) for path in new]
    np.savez(tmp_path / "numbers.npz", images=images, labels=labels)
    first, *rest = succeed("evaluate", run, tmp_path / "numbers.npz").splitlines()
    assert rest == of_file.splitlines()
    assert first == (
        f"note: the classes of {tmp_path / 'numbers.npz'} have no names: they are taken for those "
        "of the run by number"
    )


@pytest.mark.slow
def test_resume_and_verify_after_files_were_added(
    trained: tuple[Path, Path, str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run goes on with its own files and to its own bits, and is verified with them."""
    _, run, said = trained
    end_epoch = Reporter.end_epoch

    def interrupted(self: Reporter, row: dict[str, float], epochs: int, *more: Any) -> None:
        end_epoch(self, row, epochs, *more)
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Reporter, "end_epoch", interrupted)
    result = call("train", folder, *QUICK, "--out", tmp_path / "run 2")
    assert result.exit_code == 130
    assert f"go on with: isoconv resume '{tmp_path / 'run 2'}'" in result.stderr
    monkeypatch.undo()
    cut(folder, "test", 0, 20)
    left = f"60 samples of {folder} are none of the run's and are left alone"
    resumed = succeed("resume", tmp_path / "run 2", "--no-report", "--threads", 2)
    assert left in resumed
    assert "epoch 1/" not in resumed
    assert resumed.splitlines()[-1] == said.splitlines()[-1]
    verified = succeed("verify", run, "--data", folder, "--threads", 2)
    assert left in verified
    assert f"identical: {run}, epochs 1 to 3 of 3" in verified


@pytest.mark.slow
def test_pictures_that_were_moved(
    trained: tuple[Path, Path, str], folder: Path, tmp_path: Path
) -> None:
    """Where a run's pictures were and are no longer is said, with the option that helps."""
    run = tmp_path / "run"
    succeed("train", folder, *QUICK, "--epochs", 1, "--out", run)
    folder.rename(tmp_path / "elsewhere")
    for command in ("resume", "verify"):
        said = fail(command, run)
        assert f"the data of {run} are no longer at {folder}; say with --data where" in said
        succeed(command, run, "--data", tmp_path / "elsewhere")


def test_a_lost_or_changed_file_is_named(trained: tuple[Path, Path, str], folder: Path) -> None:
    """Without all of its files a run is not gone on with, and the files are named."""
    _, run, _ = trained
    learned = [path for path, part in samples(run).items() if part == "train"]
    (folder / learned[0]).unlink()
    shutil.copy(folder / learned[2], folder / learned[1])
    said = fail("resume", run, "--data", folder)
    assert learned[0] in said
    assert learned[1] in said


@pytest.mark.slow
def test_folders_of_parts(tmp_path: Path) -> None:
    """train, val and test folders are all used as they are, whatever the fractions."""
    for part, first, last in (("train", 0, 40), ("val", 40, 50), ("test", 50, 65)):
        cut(tmp_path / "parts" / part, "train", first, last)
    said = succeed("train", tmp_path / "parts", *QUICK, "--out", tmp_path / "run", "--test", 0.4)
    assert "120 images of 28x28x1 in 3 classes, 30 to choose by, 45 to test with" in said
    of_folder = {"train": "train", "val": "validation", "test": "test"}
    parts = samples(tmp_path / "run")
    assert len(parts) == 195
    assert all(part == of_folder[path.split("/")[0]] for path, part in parts.items())
    said = succeed("evaluate", tmp_path / "run", tmp_path / "parts")
    held = [tmp_path / "parts" / path for path, part in parts.items() if part == "test"]
    assert "measured: the test part, 45 of 195 images; 0 of 45 were trained on" in said
    check(said, "test", tmp_path / "run", held)


def test_seeds_and_threads(trained: tuple[Path, Path, str], tmp_path: Path) -> None:
    """The split follows its own seed alone; threads change no bit, a seed does."""
    folder, run, said = trained
    digests = {said.splitlines()[-1]}
    options = {"threads": ("--threads", 2), "seed": ("--seed", 1), "split": ("--split-seed", 1)}
    for name, words in options.items():
        printed = succeed("train", folder, *QUICK, "--out", tmp_path / name, *words)
        digests.add(printed.splitlines()[-1])
        assert (samples(tmp_path / name) == samples(run)) == (name != "split")
        assert (printed.splitlines()[-1] == said.splitlines()[-1]) == (name == "threads")
    assert len(digests) == 3


def test_copies_stay_in_one_part(folder: Path, tmp_path: Path) -> None:
    """Where the parts are made here, no copy of what was trained on is tested."""
    for path in sorted((folder / "bag").iterdir()):
        shutil.copy(path, path.with_name(f"again {path.name}"))
    run = tmp_path / "run"
    assert "also in the training part" not in succeed("train", folder, *QUICK, "--out", run)
    first = succeed("evaluate", run, folder).splitlines()[0]
    assert first.endswith("test part, 40 of 400 images; 0 of 40 were trained on")


def test_the_same_picture_in_two_parts(folder: Path, tmp_path: Path) -> None:
    """Pictures of the test part that are in the training part, too: said, and both figures."""
    data = tmp_path / "parts"
    shutil.copytree(folder, data / "train")
    for place in sorted((data / "train").iterdir()):
        (data / "test" / place.name).mkdir(parents=True)
        for number, path in enumerate(sorted(place.iterdir())[:12]):
            shutil.copy(path, data / "test" / place.name)
            if number % 2:
                path.unlink()
    run = tmp_path / "run"
    trained = succeed("train", data, *QUICK, "--out", run)
    held = [data / path for path, part in samples(run).items() if part == "test"]
    learned = {(data / path).read_bytes() for path, part in samples(run).items() if part == "train"}
    new = [path for path in held if path.read_bytes() not in learned]
    again = len(held) - len(new)
    assert 0 < again < len(held) == 36
    assert (
        f"warning: {again} of the 36 samples of the test part are also in the training part: "
        "figures on them are too good"
    ) in trained.splitlines()
    said = succeed("evaluate", run, data)
    assert (
        f"test part, 36 of {len(samples(run))} images; {again} of 36 were" in said.splitlines()[0]
    )
    check(said, "test", run, held)
    check(said, "not trained on:", run, new)


@pytest.mark.slow
def test_names_that_are_no_text(folder: Path, tmp_path: Path) -> None:
    """Folders and files whose names no terminal shows are trained on, measured and reported."""
    name = os.fsdecode(b"b\xff\x1b[2J\n")
    (folder / "bag").rename(folder / name)
    words = [word for word in QUICK if word != "--no-report"]
    said = succeed("train", folder, *words, "--out", tmp_path / "run")
    page = (tmp_path / "run" / "report" / "index.html").read_text("utf-8")
    said += succeed("evaluate", tmp_path / "run", folder)
    said += succeed("summary", "--model", tmp_path / "run")
    picture = next((folder / name).iterdir())
    said += succeed("predict", tmp_path / "run", picture)
    assert "\x1b" not in said + page
    assert said.count(r"b\udcff\x1b[2J\n") == 4
    assert r"b\udcff\x1b[2J\n" in page
    found = json.loads(succeed("predict", tmp_path / "run", picture, "--json"))
    assert found[0]["image"] == str(picture)
    assert name in [entry["name"] for entry in found[0]["classes"]]
    assert "identical" in succeed("verify", tmp_path / "run")


def test_a_class_of_few_pictures(folder: Path, tmp_path: Path) -> None:
    """Before the first epoch a warning names classes of which a part has fewer than two."""
    for path in sorted((folder / "bag").iterdir())[3:]:
        path.unlink()
    lines = succeed("train", folder, *QUICK, "--out", tmp_path / "run").splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("epoch 1/"))
    for part in ("train", "validation", "test"):
        wanted = f"warning: 1 class with fewer than 2 samples in the {part} part: bag (1)"
        assert any(line.startswith(wanted) for line in lines[:first])


def test_one_class_alone(folder: Path, tmp_path: Path) -> None:
    """There is nothing to tell apart: refused, and nothing is left behind."""
    for name in ("bag", "boot"):
        shutil.rmtree(folder / name)
    said = fail("train", folder, *QUICK, "--out", tmp_path / "run")
    assert "there must be two classes or more to tell apart; got one, 'sandal'" in said
    assert not (tmp_path / "run").exists()
    # Where the folder of a class was meant, the one above it is named.
    photos = tmp_path / "photos"
    for name in ("birds", "cats", "dogs"):
        shutil.copytree(folder / "sandal", photos / name / "2019 Sommer")
    said = fail("train", photos / "birds", *QUICK, "--out", tmp_path / "run")
    assert said.startswith(f"{photos}/birds has one class: there must be two")
    assert "got one, '2019 Sommer', and each folder in it is a class (the folder above, " in said
    assert f"{photos}, has 3 folders with pictures)" in said

"""``isoconv inspect``, and the inside of a network in the report's page."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import call, fail, succeed

import isoconv as ic


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright and dark images, and a run on them."""
    place = tmp_path_factory.mktemp("inspect")
    labels = np.arange(80) % 2
    noise = np.random.default_rng(0).integers(0, 100, (80, 16, 16))
    images = (labels[:, None, None] * 60 + noise).astype(np.uint8)
    np.savez(place / "data.npz", images=images, labels=labels, class_names=["dark", "bright"])
    Image.fromarray(images[0]).save(place / "a.png")
    succeed("train", place / "data.npz", "--model", "lenet5", "--epochs", 1, "--test", 0.25,
            "--batch-size", 16, "--out", place / "run")  # fmt: skip
    return place


@pytest.mark.slow
def test_layers_of_a_run_on_its_own_images(place: Path) -> None:
    """Without a word more: the images that the run was measured on, with gradients."""
    said = succeed("inspect", place / "run")
    assert "images of the run's test part" in said
    lines = [line for line in said.splitlines() if re.match(r"\S+ +Conv2d ", line)]
    assert len(lines) == 2
    assert "grad/weight" in said


def test_csv_and_json_hold_what_python_says(place: Path) -> None:
    """The same numbers as `isoconv.inspect`, to the last digit, of images taken evenly."""
    data = ic.data.load(str(place / "data.npz"), "all")
    some = data.subset(np.arange(20) * 80 // 20)
    inspection = ic.inspect(place / "run", some)
    words = "inspect", place / "run", "--data", place / "data.npz", "--most", 20
    printed = call(*words, "--csv")
    assert printed.exit_code == 0, printed.output
    rows = list(csv.DictReader(io.StringIO(printed.stdout)))
    for row, each in zip(rows, inspection.statistics.values(), strict=True):
        assert row["layer"] == each.layer
        assert float(row["mean"]) == each.value.mean
        assert each.gradient is not None
        assert float(row["gradient_norm"]) == each.gradient.norm
    found = json.loads(call(*words, "--json").stdout)
    assert found == json.loads(json.dumps(inspection.to_dict()))


def test_files_and_their_class(place: Path) -> None:
    """A picture file without its class has no gradients, and that is said; with it, it has."""
    said = succeed("inspect", place / "run", place / "a.png")
    assert succeed("inspect", place / "run", "--image", place / "a.png") == said
    assert "no labels: there are no gradients" in said
    assert "grad/weight" not in said
    assert "grad/weight" in succeed("inspect", place / "run", place / "a.png", "--label", "dark")


def test_what_does_not_fit_together_is_told(place: Path) -> None:
    """Files and data, a class for data, a class that is none, two forms at once."""
    run, image = place / "run", place / "a.png"
    data = "--data", place / "data.npz"
    assert "take one of them" in fail("inspect", run, image, *data)
    assert "data bring their own labels" in fail("inspect", run, *data, "--label", "dark")
    assert "no class is called 'drak'" in fail("inspect", run, image, "--label", "drak")
    assert "take one of them" in fail("inspect", run, "--csv", "--json")
    succeed("evaluate", run, place / "data.npz")


@pytest.mark.slow
def test_the_report_of_a_training_shows_the_inside(place: Path) -> None:
    """Where it looked, maps and receptive fields; --layers shows others, and names near ones."""
    page = (place / "run" / "report" / "index.html").read_text("utf-8")
    assert 'id="looked"' in page
    assert 'id="maps"' in page
    assert "sees rows" in page
    assert len(page) < 2 * 2**20
    names = list(ic.inspect(place / "run", place / "a.png"))
    succeed("report", place / "run", "--layers", names[1])
    page = (place / "run" / "report" / "index.html").read_text("utf-8")
    assert re.findall(r"<h3>(\S+) \(", page.partition('id="maps"')[2])[:1] == [names[1]]
    assert len(re.findall(r"<h3>", page.partition('id="maps"')[2].partition("</section>")[0])) == 1
    assert "no layer is called 'conv9'" in fail("report", place / "run", "--layers", "conv9")

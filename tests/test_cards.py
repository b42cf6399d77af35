"""What a prompt and a notebook show: a few lines, and HTML in which nothing is left unescaped."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isoconv as ic
from isoconv import nn
from isoconv.cards import Card, Curve, Table, sides
from isoconv.checks import shown
from isoconv.data import Dataset, Splits
from isoconv.data.skipped import Skipped
from isoconv.train import Run

EVIL = "<script>alert('1')</script>&\x1b[2J\n"
"""A name that would do much if it stood as it is."""


def data(names: list[str] | None = None, count: int = 24) -> Dataset:
    """Small images of two classes."""
    pixels = np.arange(count * 16, dtype=np.uint32).astype(np.uint8).reshape(count, 4, 4, 1)
    return Dataset.from_arrays(pixels, np.arange(count) % 2, names or ["cat", "dog"], name="pets")


def small() -> nn.Sequential:
    """A model with one inside another."""
    inner = nn.Sequential(nn.Conv2d(1, 3, padding=1), nn.ReLU())
    return nn.Sequential(nn.Residual(inner), nn.Flatten(), nn.Linear(2))


@pytest.fixture(scope="module")
def run() -> Run:
    """A training of three epochs with all parts."""
    trainer = ic.Trainer(small(), optimizer=ic.optim.SGD(0.01), batch_size=8, progress=False)
    return trainer.fit(data(), data(), data(), epochs=3)


def test_a_data_set() -> None:
    """Name, images, and how many of each class."""
    assert repr(data(count=23)).splitlines() == [
        "Dataset 'pets'",
        f"  images   23 of {sides((4, 4, 1))}, uint8",
        "  classes  2: cat 12, dog 11",
    ]
    assert "2 of 12 each: cat, dog" in repr(data())
    targets = Dataset.from_arrays(np.zeros((2, 3, 4), np.float32), np.zeros((2, 5), np.float32))
    assert repr(targets).splitlines()[1:] == [
        f"  images   2 of {sides((3, 4, 1))}, float32",
        "  targets  float32 of shape (2, 5)",
    ]


def test_many_classes_and_notes_are_shortened() -> None:
    """The first and the last are named, and how many are left out is said."""
    names = [f"class {number}" for number in range(200)]
    pixels = np.zeros((200, 2, 2), np.uint8)
    many = ic.data.Dataset.from_arrays(pixels, np.arange(200), names)
    text = repr(many)
    assert "200 of 1 each: class 0, class 1, " in text
    assert text.endswith(", …, class 198, class 199")
    assert len(text) < 400
    assert "176 more classes" in many._repr_html_()


def test_files_that_were_left_out_are_counted() -> None:
    """Of a data set and of all parts together."""
    some = replace(data(), skipped=(Skipped("cat/1.png", "it is empty"),))
    assert repr(some).splitlines()[-1] == "  skipped  1 file, named in .skipped"
    other = replace(data(), skipped=(Skipped("dog/1.png", "it is empty"),))
    assert repr(Splits(some, None, other)).splitlines()[-1] == (
        "  skipped  2 files, named in .skipped"
    )


def test_splits() -> None:
    """Each part with its size; classes by part in a table."""
    parts = Splits(data(), None, data(count=4))
    assert repr(parts).splitlines() == [
        "Splits of 'pets'",
        f"  train    24 images of {sides((4, 4, 1))}, uint8",
        "  test     4 images",
        "  classes  2 of 12 each: cat, dog",
    ]
    assert cells(parts._repr_html_())[-3:] == ["dog", "12", "2"]


def test_models() -> None:
    """A layer by the settings that are not usual, a model by its layers, nested by their paths."""
    assert repr(nn.Conv2d(8, 3, padding="same")) == (
        "Conv2d(filters=8, kernel_size=3, padding='same')"
    )
    assert repr(nn.Conv2d(8, 3, algorithm="winograd")).endswith("algorithm='winograd')")
    assert repr(nn.ReLU()) == "ReLU()"
    model = small()
    assert repr(model).splitlines() == [
        "Sequential of 4 layers, not built",
        "  0         Residual()",
        "  0.body    Sequential()",
        "  0.body.0  Conv2d(filters=1, kernel_size=3, padding=1)",
        "  0.body.1  ReLU()",
        "  1         Flatten()",
        "  2         Linear(features=2)",
    ]
    model.build((4, 4, 1))
    assert repr(model).startswith(
        f"Sequential of 4 layers, 44 parameters, for inputs of {sides((4, 4, 1))}\n"
    )
    assert cells(model._repr_html_())[-5:] == ["total", "", "", "44", "176"]


def test_long_models_are_shortened() -> None:
    """Their first and last layers are shown, at the prompt and in a notebook."""
    model = nn.Sequential(*[nn.ReLU() for _ in range(500)])
    lines = repr(model).splitlines()
    assert len(lines) == 26
    assert lines[19] == "  … 476 more layers …"
    assert len(cells(model._repr_html_())) < 150
    summary = model.summary((2, 2, 1))
    assert len(repr(summary).splitlines()) < 30
    assert len(str(summary).splitlines()) == 502


def test_a_model_that_changed_is_shown() -> None:
    """Where its layers no longer fit together they are listed all the same."""
    model = small().build((4, 4, 1))
    model[0].body[0].padding = 0  # type: ignore[attr-defined]
    assert "Conv2d(filters=1, kernel_size=3)" in cells(model._repr_html_())


def test_arrays_are_never_written_out() -> None:
    """A setting that is an array is told by its kind."""

    class Odd(nn.Module):
        def __init__(self) -> None:
            self.table = np.zeros((100, 100))

    assert repr(Odd()) == "Odd(table=float64 array of shape (100, 100))"


def test_a_trainer() -> None:
    """What decides most, and whatever is not the usual setting."""
    trainer = ic.Trainer(small(), optimizer=ic.optim.SGD(0.5), batch_size=8, seed=3)
    text = repr(trainer)
    assert text.startswith("Trainer\n  model ")
    assert "Sequential of 4 layers, not built\n" in text
    assert re.search(r"optimizer +SGD\(learning_rate=0\.5\)", text)
    assert re.search(r"batch_size +8\n", text)
    assert re.search(r"seed +3", text)
    assert "threads" not in text
    assert "callbacks" not in text


def test_a_run(run: Run) -> None:
    """Progress, the best epoch, figures of the test part, and a curve."""
    lines = repr(run).splitlines()
    assert lines[0] == "Run of 3 of 3 epochs"
    assert re.match(
        r"  best  epoch \d, lowest validation loss: loss \d\.\d{4}, accuracy ", lines[1]
    )
    assert any(line.startswith("  test  loss ") for line in lines)
    page = run._repr_html_()
    assert page.count("<polyline") == 2
    first = cells(page).index("epoch")
    assert cells(page)[first + 1 : first + 5] == [
        "loss", "accuracy", "validation loss", "validation accuracy"
    ]  # fmt: skip
    assert repr(Run(small(), {})) == "Run of 0 epochs"
    kept = Run(small(), {"settings": {"epochs": 4}}, ic.train.RunFolder(Path("runs") / "a"))
    assert repr(kept) == "Run of 0 of 4 epochs in runs/a"


def test_an_evaluation(run: Run) -> None:
    """Its figures, what they are worth, and the classes at both ends by name; no arrays."""
    assert run.test is not None
    scores = run.test.scores
    assert scores is not None
    low, high = scores.accuracy_interval
    text = repr(run.test)
    wanted = f"({scores.hits} of 24; 95% interval {100 * low:.2f}% to {100 * high:.2f}%)"
    assert wanted in text
    assert f"baseline  50.00%, always {run.test.class_names[0]!r}" in text
    assert "24 images are few to measure with" in text
    assert "class 0" not in text
    nameless = replace(run.test, class_names=())
    assert "always class 0" in repr(nameless)
    lines = repr(run.test).splitlines()
    assert lines[0] == "Evaluation of 24 images"
    assert [line.split()[0] for line in lines[1:]] == [
        "loss", "accuracy", "baseline", *["note"] * (2 - scores.better_than_baseline), "by"
    ]  # fmt: skip


def test_what_a_repr_names_is_there(run: Run) -> None:
    """Whatever a repr says to be in an attribute is in an attribute of that name."""
    notes = tuple(f"note {number}" for number in range(9))
    full = replace(data(), notes=notes, skipped=(Skipped("cat/1.png", "it is empty"),))
    run = Run(small(), run.description)
    run.notes = [*notes]
    for shown_one in (full, Splits(full, data()), run):
        named = re.findall(r" in \.(\w+)", repr(shown_one))
        assert "notes" in named
        for name in named:
            assert len(getattr(shown_one, name)) == (1 if name == "skipped" else 9)


def test_in_messages_the_first_line_stands() -> None:
    """An error that shows what it got stays on one line."""
    assert shown(data()) == "Dataset 'pets'"
    assert "\n" not in shown([small(), data()])


class Reader(HTMLParser):
    """Takes HTML apart: tags that were opened and closed, and the texts of cells."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002
        """Note a tag."""
        self.open.append(tag)
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        """See that tags are closed in order."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect the text of a cell."""
        if "td" in self.open or "th" in self.open:
            self.cells[-1] += data


def cells(page: str) -> list[str]:
    """Texts of a page's cells."""
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader.cells


KNOWN = {"div", "table", "thead", "tbody", "tr", "td", "th", "svg", "polyline", "title"}


def test_nothing_is_left_unescaped(tmp_path: Path) -> None:
    """Names and notes of strangers are text in HTML, and move no cursor at a prompt."""
    evil = data([EVIL, EVIL + "2"])
    evil = Dataset(
        evil.images, evil.labels, evil.class_names, EVIL, notes=(EVIL, *map(str, range(5)))
    )
    model = small().build((4, 4, 1))
    model.class_names = [EVIL]
    odd = nn.Sequential(nn.LeakyReLU())
    odd.steps[0].slope = EVIL  # type: ignore[attr-defined]
    kept = Run(small(), {"settings": {"epochs": EVIL}}, ic.train.RunFolder(tmp_path / EVIL[:5]))
    kept.stopped, kept.notes = EVIL, [EVIL]
    card = Card(EVIL, ((EVIL, EVIL),), (EVIL,), Table((EVIL,), ((EVIL,),), more=EVIL),
                Curve(((EVIL, (1.0, 2.0)),), EVIL))  # fmt: skip
    for thing in (evil, Splits(evil, evil), model, odd, kept):
        check_safe(repr(thing), thing._repr_html_())
    check_safe(card.text(), card.html())
    assert "3 more in .notes" in repr(evil)


def check_safe(text: str, page: str) -> None:
    """See that a text moves no cursor and a page has the tags of a card alone."""
    assert all(line.isprintable() for line in text.splitlines())
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert reader.tags <= KNOWN
    assert "<script" not in page
    assert "\x1b" not in page


def test_curves() -> None:
    """Where there is nothing to join, or nothing finite, there is no picture."""
    assert Curve((("loss", (1.0,)),), "epoch").html() == ""
    assert Curve((("loss", (np.nan, np.nan)),), "epoch").html() == ""
    assert Curve((), "epoch").html() == ""
    flat = Curve((("loss", (1.0, np.nan, 1.0)),), "epoch").html()
    assert 'points="6.0,6.0 234.0,6.0"' in flat
    assert "loss (line) from 1 to 1 over 3 epochs" in flat

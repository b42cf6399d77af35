"""CIFAR in binary: what is written comes back, what is damaged is named."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from tests.data.classics import cifar_files, cifar_records

from isoconv.data import load, load_splits
from isoconv.data.cifar import PIXELS
from isoconv.errors import DataFileError


def write_tar(path: Path, files: dict[str, bytes], prefix: str = "cifar/") -> Path:
    """A tar.gz file with these members."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("classes", [10, 100])
def test_cifar_round_trip(tmp_path: Path, classes: int, packed: bool) -> None:
    """The binary version comes back from a folder and from its tar.gz."""
    files = cifar_files(classes)
    source = tmp_path / "cifar.tar.gz"
    if packed:
        write_tar(source, files)
    else:
        source = tmp_path / "cifar-10-batches-bin"
        for name, content in files.items():
            source.mkdir(exist_ok=True)
            (source / name).write_bytes(content)
    place = tmp_path if classes == 10 and not packed else source
    train, _, test = load_splits(place, validation=0)
    assert test is not None
    if classes == 10:
        parts = [cifar_records(3, 1, 10, k) for k in range(1, 6)]
        expected = np.concatenate([part[1] for part in parts])
        labels = np.concatenate([part[2] for part in parts])
    else:
        _, expected, labels = cifar_records(5, 2, 100, 1)
    assert (train.images == expected).all()
    assert (train.labels == labels).all()
    assert train.class_names[3] == ("c3" if classes == 10 else "f3")
    assert (len(train), len(test)) == ((15, 4) if classes == 10 else (5, 2))


def test_cifar_without_names_file(tmp_path: Path) -> None:
    """CIFAR-10's class names are known, CIFAR-100's are numbers then."""
    for folder, name, lead, classes in (("a", "test_batch.bin", 1, 10), ("b", "test.bin", 2, 100)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(cifar_records(2, lead, classes, 0)[0])
    assert load(tmp_path / "a", "test").class_names[0] == "airplane"
    assert not load(tmp_path / "a", "test").numbered
    numbers = load(tmp_path / "b", "test")
    assert numbers.class_names[99] == "99"
    assert numbers.numbered


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_2.bin", cifar_records(2, 1, 10, 0)[0][:-1], "records of 3073 bytes.*6145"),
        ("data_batch_2.bin", b"", "data_batch_2.bin: expected a whole number of records"),
        ("data_batch_2.bin", bytes([10]) + bytes(PIXELS), "label 10 in record 0"),
        ("data_batch_2.bin", None, "expected a file data_batch_2.bin; found none"),
        ("batches.meta.txt", b"cat dog", "batches.meta.txt: expected 10 class names; found 2"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_cifar_is_named(
    tmp_path: Path, name: str, content: bytes | None, message: str, packed: bool
) -> None:
    """Truncated, missing and foreign files are named, in folders and in archives."""
    files = cifar_files(10)
    files.pop(name)
    if content is not None:
        files[name] = content
    source = tmp_path / "x.tar.gz" if packed else tmp_path
    if packed:
        write_tar(source, files)
    else:
        for file, data in files.items():
            (tmp_path / file).write_bytes(data)
    with pytest.raises(DataFileError, match=message):
        load(source)


def test_damaged_tar_is_named(tmp_path: Path) -> None:
    """A truncated archive and a file that is none are named."""
    path = write_tar(tmp_path / "cifar.tar.gz", cifar_files(10))
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"no archive"):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match=r"cifar\.tar\.gz: truncated or corrupt"):
            load(path)


def test_tar_members_stay_inside(tmp_path: Path) -> None:
    """Members with paths that lead outside, and links, write nothing and are not followed."""
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("../../escaped/train.bin", "/escaped/test.bin"):
            content = cifar_records(1, 2, 100, 0)[0]
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("fine_label_names.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "../secret.txt"
        archive.addfile(link)
    assert load(path, "test").class_names[0] == "0"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["evil.tar.gz"]


def test_tar_bombs_are_refused(tmp_path: Path) -> None:
    """A member that declares too many bytes, and too many members, stop the reading."""
    path = tmp_path / "bomb.tar.gz"
    info = tarfile.TarInfo("cifar/train.bin")
    info.size = 1 << 40
    path.write_bytes(gzip.compress(info.tobuf() + bytes(10_240)))
    with pytest.raises(DataFileError, match="entries of at most 536870912 bytes"):
        load(path)
    headers = b"".join(tarfile.TarInfo(f"{k}").tobuf() for k in range(1001))
    path.write_bytes(gzip.compress(headers + bytes(10_240)))
    with pytest.raises(DataFileError, match="at most 1000 entries"):
        load(path)

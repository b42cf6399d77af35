"""NumPy archives: what is written comes back, what is damaged is named."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from isoconv.data import load, load_splits
from isoconv.errors import DataError, DataFileError

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (12, 6, 5)).astype(np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 4


def test_npz_round_trip(tmp_path: Path) -> None:
    """Both spellings of the keys come back, with class names."""
    names = np.array(["a", "b", "c", "d"])
    np.savez(tmp_path / "one.npz", images=IMAGES, labels=LABELS, class_names=names)
    np.savez_compressed(
        tmp_path / "two.npz",
        x_train=IMAGES,
        y_train=LABELS[:, None],
        x_test=IMAGES[:3] / 255,
        y_test=LABELS[:3],
    )
    one = load(tmp_path / "one.npz")
    assert (one.images[..., 0] == IMAGES).all()
    assert one.class_names == ("a", "b", "c", "d")
    assert (load(tmp_path / "two.npz").labels == LABELS).all()
    assert load(tmp_path / "two.npz", "test").images.dtype == np.float32
    with pytest.raises(DataError, match=r"all uint8 or all floats.*uint8 in .* and float32"):
        load_splits(tmp_path / "two.npz")


def test_npz_with_other_keys_lists_them(tmp_path: Path) -> None:
    """Missing arrays list the wanted and the present names."""
    np.savez(tmp_path / "x.npz", pictures=IMAGES)
    with pytest.raises(DataFileError, match=r"named x_train and y_train or .*found pictures"):
        load(tmp_path / "x.npz")


def test_npz_never_unpickles(tmp_path: Path) -> None:
    """An array of Python objects is refused before anything is unpickled."""
    objects = np.array([print, None], dtype=object)
    np.savez(tmp_path / "x.npz", images=objects, labels=LABELS)
    with pytest.raises(DataFileError, match=r"x\.npz, array 'images': expected numbers.*object"):
        load(tmp_path / "x.npz")


def test_damaged_npz_is_named(tmp_path: Path) -> None:
    """A truncated, altered or foreign file is named."""
    path = tmp_path / "x.npz"
    np.savez(path, images=IMAGES, labels=LABELS)
    whole = path.read_bytes()
    altered = bytearray(whole)
    altered[300] ^= 0xFF
    for content in (whole[:-30], bytes(altered), b"no zip file", b""):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match=r"x\.npz.*corrupt"):
            load(path)


def test_npz_that_lies_about_its_size_takes_no_memory(tmp_path: Path) -> None:
    """A header that declares more than the file holds is refused before memory is taken."""
    path = tmp_path / "x.npz"
    header = io.BytesIO()
    declared = {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 28, 28)}
    np.lib.format.write_array_header_1_0(header, declared)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(100))
        archive.writestr("labels.npy", b"")
    with pytest.raises(DataFileError, match=r"array 'images': expected \d+ bytes for the declared"):
        load(path)


def test_npz_errors_in_the_data_name_the_file(tmp_path: Path) -> None:
    """NaN and wrong lengths inside a file are reported with its path."""
    path = tmp_path / "x.npz"
    images = np.zeros((3, 2, 2), np.float32)
    images[1] = np.nan
    np.savez(path, images=images, labels=[0, 1, 0])
    with pytest.raises(DataFileError, match=r"x\.npz: images must be finite.*sample 1 holds nan"):
        load(path)

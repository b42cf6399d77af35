"""Packed data sets: the same data as their source's, from a file that is mapped and checked."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.data.photographs import write_photographs

from isoconv.data import Dataset, Reading, check, load, load_splits, pack, pack_file
from isoconv.data.pack_file import PackedRows, PackFile, open_pack
from isoconv.data.pack_layout import BLOCK, PAGE
from isoconv.data.samples import Samples
from isoconv.errors import ArgumentError, DataFileError
from isoconv.rows import rows_behind

Array = NDArray[Any]


def noise(count: int, *shape: int, dtype: str = "uint8") -> Array:
    """Images of noise."""
    draw = np.random.default_rng([count, *shape])
    return (draw.random((count, *shape)) * 255).astype(dtype)


def write_npz(path: Path) -> Path:
    """Three parts, of which the others lack a class."""
    parts = {"train": 12, "val": 5, "test": 4}
    arrays: dict[str, Any] = {}
    for number, (part, count) in enumerate(parts.items()):
        arrays[f"x_{part}"] = noise(count + number, 6, 5, 3)[:count]
        arrays[f"y_{part}"] = np.array(["cat", "dog", "cow"])[np.arange(count) % (3 - bool(number))]
    np.savez(path, **arrays)
    return path


def sources(folder: Path) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Sources of every kind of images and labels, with what is asked of them."""
    write_photographs(folder / "photos", 9, (90, 120))
    write_photographs(folder / "parts" / "train", 6, (40, 30))
    write_photographs(folder / "parts" / "test", 4, (40, 30))
    maps = np.arange(7 * 4 * 4).reshape(7, 4, 4) % 3 - 1
    return {
        "photos": (folder / "photos", {"size": 24}),
        "parts": (folder / "parts", {}),
        "npz": (write_npz(folder / "named.npz"), {}),
        "numbers": ((noise(9, 3, 4, 1), [0, 1, 2] * 3), {}),
        "floats": ((noise(6, 4, 4, dtype="float32"), ["a", "b"] * 3), {}),
        "targets": ((noise(6, 4, 4), np.linspace(0, 1, 12).reshape(6, 2)), {}),
        "maps": ((noise(7, 4, 4), maps), {}),
    }


def same(one: Dataset, other: Dataset) -> bool:
    """Whether two data sets are the same but for their names and where their images lie."""
    facts = ("paths", "class_names", "numbered", "reading", "skipped", "notes")
    return (
        all(getattr(one, name) == getattr(other, name) for name in facts)
        and one.digest() == other.digest()
        and np.array_equal(one.images, other.images)
        and np.array_equal(one.labels, other.labels)
        and one.labels.dtype == other.labels.dtype
    )


def test_what_is_packed_is_the_same_data(tmp_path: Path) -> None:
    """Parts, held-out samples and lists of them, of every kind of source; no image is copied."""
    for name, (source, settings) in sources(tmp_path).items():
        out = tmp_path / f"{name}.pack"
        found = pack(source, out, progress=False, **settings)
        assert (found.size, found.kept) == (out.stat().st_size, 0)
        assert sorted(path.name for path in tmp_path.glob("*.part*")) == []
        plain = load_splits(source, validation=0.3, test=0.3, progress=False, **settings)
        packed = load_splits(out, validation=0.3, test=0.3)
        assert plain.parts.keys() == packed.parts.keys()
        for part, data in packed.parts.items():
            rows = rows_behind(data.images)
            assert isinstance(rows, PackedRows)
            assert rows.base is open_pack(out).images
            # Classes of places are as large as the images.
            assert isinstance(rows_behind(data.labels), PackedRows) == (name == "maps")
            assert same(data, plain.parts[part]), (name, part)
        assert Samples.of(packed.parts).content() == Samples.of(plain.parts).content()
        whole = load(out, "all")
        assert rows_behind(whole.images) is not None
        assert (rows_behind(whole.labels) is not None) == (name == "maps")
        if name != "npz":
            assert same(whole, load(source, "all", progress=False, **settings)), name
        assert check(out) == []
        again = tmp_path / f"{name} again.pack"
        assert pack(out, again, progress=False).samples == found.samples
        assert all(same(a, b) for a, b in zip(load_splits(again), load_splits(out), strict=True)
                   if a is not None)  # fmt: skip


def two_blocks(folder: Path) -> Path:
    """A pack of five images, of which the third lies in both of its blocks."""
    out = folder / "two.pack"
    pack((noise(5, 600, 700, 1), list("abaab")), out, progress=False)
    return out


def test_labels_beside_floats_are_no_floats(tmp_path: Path) -> None:
    """Masks fill blocks of their own and half ones; -1 in them is no NaN of the images."""
    for side in (5, 257, 300):
        images, masks = noise(9, side, side, dtype="float32"), np.full((9, side, side), -1)
        masks[:, 0] = 1
        out = tmp_path / f"{side}.pack"
        pack((images, masks), out, progress=False)
        data = load(out)
        assert np.array_equal(data.images[..., 0], images)
        assert np.array_equal(data.labels, masks)
        assert check(out) == []


def test_a_damaged_block_is_told_when_it_is_used(tmp_path: Path) -> None:
    """With its images; the others are read, and a check names all that is wrong."""
    out = two_blocks(tmp_path)
    content = bytearray(out.read_bytes())
    assert open_pack(out).blocks == 3
    content[PAGE + BLOCK + 5] ^= 1
    out.write_bytes(content)
    data = load(out)
    assert data.images[0].shape == (600, 700, 1)
    with pytest.raises(DataFileError, match=r"block 1 \(bytes 1052672 to 2101247, of images 2 to"):
        data.images[3]
    with pytest.raises(DataFileError, match="block 1"):
        data.digest()
    rows = rows_behind(data.subset([0, 2]).images)
    assert rows is not None
    with pytest.raises(DataFileError, match="block 1"):
        rows.ready()
    (fault,) = check(out)
    assert "block 1" in fault
    content[PAGE + BLOCK + 5] ^= 1
    content[PAGE + 9] ^= 1
    content[PAGE + 5 * 600 * 700 + 4096] ^= 1
    out.write_bytes(content)
    assert [fault[:7] for fault in check(out)] == ["block 0", "block 2"]
    with pytest.raises(DataFileError, match="block 2"):
        load(out)


def test_a_file_must_stay_as_it_was_opened(tmp_path: Path) -> None:
    """Cut, longer or written to: it is not read any more, and a new load says what is wrong."""
    out = two_blocks(tmp_path)
    shutil.copy(out, tmp_path / "kept")
    spoils: list[tuple[Callable[[], object], str]] = [
        (lambda: os.truncate(out, PAGE + 100), r"expected \d+ bytes, as when it was opened"),
        (lambda: os.truncate(out, 10**7), r"expected \d+ bytes, as when it was opened"),
        (lambda: os.utime(out, ns=(1, 1)), "was written to while it is read"),
    ]
    for spoil, told in spoils:
        shutil.copy(tmp_path / "kept", out)
        data = load(out)
        rows = rows_behind(data.images)
        assert rows is not None
        rows.ready()
        held = data.images[1:3]
        kept = held.copy()
        spoil()
        uses: tuple[Callable[[], object], ...] = (
            rows.ready, rows.used, data.digest, lambda: data.images[0], lambda: data.images[[4, 1]],  # noqa: B023
            lambda: np.asarray(data.images), lambda: data.images == 1,  # noqa: B023
        )  # fmt: skip
        for use in uses:
            with pytest.raises(DataFileError, match=f"two.pack: {told}"):
                use()
        # What somebody holds is not the file's.
        assert np.array_equal(held, kept)
    for size in (0, 100, PAGE, PAGE + 5000):
        shutil.copy(tmp_path / "kept", out)
        os.truncate(out, size)
        with pytest.raises(DataFileError, match=r"first page"):
            load(out)


def test_a_file_that_was_only_touched_is_checked_anew(tmp_path: Path) -> None:
    """Of another name it is the same; written to, with its time set back, it is not."""
    out = two_blocks(tmp_path)
    data = load(out)
    wanted = data.images[:].copy()
    out.rename(tmp_path / "other.pack")
    assert np.array_equal(data.images, wanted)
    rows = rows_behind(data.images)
    assert rows is not None
    rows.used()
    state = (tmp_path / "other.pack").stat()
    with (tmp_path / "other.pack").open("r+b") as file:
        file.seek(PAGE + BLOCK + 5)
        byte = file.read(1)
        file.seek(PAGE + BLOCK + 5)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(tmp_path / "other.pack", ns=(state.st_atime_ns, state.st_mtime_ns))
    uses: tuple[Callable[[], object], ...] = (
        rows.used, rows.ready, lambda: data.images[3], lambda: np.asarray(data.images)
    )  # fmt: skip
    for use in uses:
        with pytest.raises(DataFileError, match=r"two.pack: block 1 .* is damaged"):
            use()
    assert np.array_equal(data.images[0], wanted[0])


def test_images_go_to_other_processes_by_their_place(tmp_path: Path) -> None:
    """Neither is the file copied, nor is another one taken for it."""
    out = two_blocks(tmp_path)
    part = load(out).subset([3, 1])
    sent = pickle.dumps(part)
    assert len(sent) < 2000
    found = pickle.loads(sent)  # noqa: S301  # made above
    assert same(found, part)
    out.unlink()
    pack((noise(5, 600, 701, 1), list("abaab")), out, progress=False)
    with pytest.raises(DataFileError, match="expected the packed data set of SHA-256"):
        pickle.loads(sent)  # noqa: S301


def test_another_reading_is_told(tmp_path: Path) -> None:
    """Packed pictures are not read anew: what a person asks for is refused, a model's is noted."""
    write_photographs(tmp_path / "photos", 4, (60, 50))
    out = tmp_path / "photos.pack"
    pack(tmp_path / "photos", out, size=20, progress=False)
    assert load(out, size=20).image_shape == load(out).image_shape
    for settings, told in (({"size": 24}, "must be"), ({"depth": 12}, "packed with a depth of 8")):
        with pytest.raises(ArgumentError, match=told):
            load(out, **settings)  # type: ignore[arg-type]
    other = Reading((20, 20), 3, 12, "uint8", reduced=False)
    (note,) = load(out, reading=other).notes
    assert note.endswith("photos.pack were packed with depth 8 in place of 12, "
                         "reduced True in place of False")  # fmt: skip


def test_a_file_larger_than_memory_is_asked_for_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Image by image, neighbours together; smaller files are left to the system."""
    asked: list[tuple[str, int, int]] = []
    monkeypatch.setattr(PackFile, "_advise", lambda _, *advice: asked.append(advice))
    out = tmp_path / "ten.pack"
    pack((noise(10, 64, 64, 2), [0, 1] * 5), out, progress=False)
    plain = load(out)
    digest = plain.digest()
    rows = rows_behind(plain.images)
    assert isinstance(rows, PackedRows)
    rows.expect(np.array([3, 4, 9]))
    assert not asked
    del plain, rows
    gc.collect()
    monkeypatch.setattr(pack_file, "_LARGE", 2**62)
    large = load(out)
    rows = rows_behind(large.images)
    assert isinstance(rows, PackedRows)
    assert ("MADV_RANDOM", 0, out.stat().st_size) in asked
    asked.clear()
    rows.expect(np.array([3, 4, 9]))
    each = 64 * 64 * 2
    assert asked == [
        ("MADV_WILLNEED", PAGE + number * each, count * each) for number, count in ((3, 2), (9, 1))
    ]
    assert large.digest() == digest
    assert asked[-1] == ("MADV_WILLNEED", PAGE, 10 * each)

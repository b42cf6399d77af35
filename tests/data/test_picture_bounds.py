"""Pictures that were made to take much: in little memory they are read in pieces, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.limits import read_within
from tests.data.made import write

from isoconv.data import Reading, decode, deep, load, pictures, read_image, read_pictures, reader
from isoconv.errors import DataFileError, NotEnoughMemoryError

TEXT = b"P2 3 2 4095\n1 # \xff# 77 of a line\r\n20#\n#5\r300\t4000 5 #6"


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 8, 13, 1000])
@pytest.mark.parametrize("end", [b"", b" ", b"\n4095 7", b" 4#x", b"123 4"])
def test_numbers_in_digits_come_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, end: bytes
) -> None:
    """Wherever a piece ends, in a number or in a comment, the numbers are the same."""
    monkeypatch.setattr(deep, "PIECE", piece)
    file = write(tmp_path / "x.pgm", TEXT + b"\n0012" + end)
    if end[:1] == b"1":
        with pytest.raises(DataFileError, match="found 12123"):
            read_image(file, depth=12)
        return
    found = read_image(file, depth=12)[..., 0]
    wanted = np.array([[1, 20, 300], [4000, 5, 12]])
    assert (found == (wanted * 510 + 4095) // (2 * 4095)).all()


@pytest.mark.slow
def test_endless_digits_take_little(tmp_path: Path) -> None:
    """A number, a space or a comment of many megabytes is not kept whole."""
    for filling in (b" ", b"#"):
        file = write(tmp_path / "a/x.pgm", b"P2 1 1 4095\n" + filling * (1 << 26) + b"\n7")
        assert read_within(tmp_path, memory=1 << 25) == "read: (1, 1, 1, 1)"
    file.write_bytes(b"P2 1 1 4095\n" + b"1" * (1 << 26))
    assert "a number of more than 18 digits" in read_within(tmp_path, memory=1 << 25)


SIDE = 3500
"""Of a picture whose pixels need twice the memory that there is."""
SETTINGS: dict[str, dict[str, Any]] = {
    "tiff": {"compression": "tiff_deflate"},
    "webp": {"method": 0},
    "lossless.webp": {"method": 0, "lossless": True},
    "moving.webp": {
        "method": 0, "save_all": True, "append_images": [Image.new("RGB", (SIDE, SIDE))],
    },
}  # fmt: skip


@pytest.mark.parametrize("ending", ["webp", "lossless.webp", "moving.webp", "png", "tiff", "pgm"])
def test_pictures_are_held_to_the_memory(tmp_path: Path, ending: str) -> None:
    """A picture that shrank to little is refused where there is no memory for its pixels."""
    if ending == "pgm":
        # It lies there as long as it is, and is read in pieces.
        write(tmp_path / f"a/x.{ending}", b"P5 6000 6000 4095\n" + bytes(6000 * 6000 * 2))
        said = read_within(tmp_path, memory=60 << 20)
    else:
        image = Image.new("RGB", (SIDE, SIDE), (1, 2, 3))
        write(tmp_path / f"a/x.{ending}", image, **SETTINGS.get(ending, {}))
        said = read_within(tmp_path, memory=20 << 20)
    assert said.startswith("NotEnoughMemoryError: ")
    assert "needs at least" in said


def test_what_nobody_foresaw_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python runs out of memory on the way, the picture or the data are named."""
    file = write(tmp_path / "a/x.png", np.zeros((2, 2), np.uint8))

    def exhausted(*_: object) -> None:
        raise MemoryError

    for owners, name in (((pictures, reader), "as_pixels"), ((decode,), "_bytes")):
        with monkeypatch.context() as patch:
            for owner in owners:
                patch.setattr(owner, name, exhausted)
            for call, what in (
                (lambda: read_image(file), file),
                (lambda: read_pictures([file], Reading((2, 2), 1, 8)), file),
                (lambda: load(tmp_path), tmp_path),
            ):
                with pytest.raises(
                    NotEnoughMemoryError, match=f"ing {what}.* needs more memory than there is"
                ) as caught:
                    call()
                assert isinstance(caught.value, MemoryError)

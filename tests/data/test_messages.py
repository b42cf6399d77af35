"""What decoders say comes with the file's name or not at all, from whatever thread."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.made import tiff, write

from isoconv.data import Reading, load, read_image, read_pictures
from isoconv.data.messages import caught
from isoconv.errors import DataFileError

GRAY = np.arange(16, dtype=np.uint8).reshape(4, 4)


def warn_as(module: str, text: str) -> None:
    """A warning as if this module had raised it."""
    warnings.warn_explicit(text, UserWarning, f"{module}.py", 1, module=module)


def at_once(*tasks: Callable[[], None]) -> None:
    """Run tasks in threads of their own, and raise what one of them raised."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        for running in [pool.submit(task) for task in tasks]:
            running.result()


def test_each_thread_has_its_own() -> None:
    """Blocks that overlap in time, and end in another order, catch what is said in them alone."""
    count, meet = 6, threading.Barrier(6)
    found: dict[int, list[str]] = {}

    def one(number: int) -> None:
        for turn in range(20):
            meet.wait()
            with caught() as said:
                warn_as("PIL.Image", f"{number}")
                if number % 2:
                    meet_half.wait()
                warn_as("PIL.TiffImagePlugin", f"{number} again")
                warn_as("PIL.TiffImagePlugin", f"{number} again")
            assert said == [f"{number}", f"{number} again"], turn
            found[number] = said

    meet_half = threading.Barrier(count // 2)
    before = (warnings.showwarning, list(warnings.filters))
    at_once(*[partial(one, number) for number in range(count)])
    assert len(found) == count
    assert (warnings.showwarning, list(warnings.filters)) == before


def test_other_threads_keep_their_warnings() -> None:
    """A thread without a block is heard as ever, while others read pictures."""
    inside, done = threading.Event(), threading.Event()

    def reads() -> None:
        with caught() as said:
            inside.set()
            done.wait(10)
        assert said == []

    def warns() -> None:
        inside.wait(10)
        warnings.warn("of somebody else", UserWarning, stacklevel=1)
        done.set()

    with pytest.warns(UserWarning, match="of somebody else"):
        at_once(reads, warns)


def test_blocks_within_blocks() -> None:
    """The innermost block catches; afterwards all is as it was."""
    before = warnings.showwarning
    with caught() as outer:
        with caught() as inner:
            warn_as("PIL.Image", "a")
        warn_as("PIL.Image", "b")
    assert (inner, outer) == (["a"], ["b"])
    assert warnings.showwarning is before


def with_broken_exif(path: Path) -> Path:
    """A JPEG file with an orientation that Pillow warns of."""
    exif = Image.Exif()
    exif[0x0112] = 1
    content = bytearray(exif.tobytes())
    content[-4:] = b"\xff\xff\xff\x7f"
    Image.fromarray(GRAY).save(path, exif=bytes(content[:-6]))
    return path


def test_warnings_name_the_file(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """In each of several threads a broken picture is told with its name, and nothing escapes."""
    warnings.simplefilter("always")
    files = [with_broken_exif(tmp_path / f"{number}.jpg") for number in range(8)]
    notes: dict[Path, tuple[str, ...]] = {}

    def reads(file: Path) -> None:
        for _ in range(5):
            notes[file] = read_pictures([file], Reading((4, 4), 1, 8)).notes

    at_once(*[partial(reads, file) for file in files])
    for file, lines in notes.items():
        assert len(lines) == 1
        assert str(file) in lines[0]
    assert not recwarn.list


def test_the_native_library_names_the_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What libtiff writes to standard error by itself stands in the error, and nowhere else."""
    whole = tiff(GRAY.astype(np.uint16), (4, 4, 1), 16, compressed=True)
    at = whole.index(b"\x78\x9c")
    file = write(tmp_path / "x.tif", whole[: at + 2] + b"\xff" * 6 + whole[at + 8 :])
    with pytest.raises(DataFileError, match=r"x\.tif: not a whole image.*(ZIP|Zip|incorrect)"):
        read_image(file)
    assert capfd.readouterr() == ("", "")


def test_a_large_picture_is_no_bomb(tmp_path: Path) -> None:
    """How large a picture may be is a rule of this library: nothing is said of one that may be."""
    image = Image.new("L", (8192, 8192))
    write(tmp_path / "a/x.png", image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(tmp_path, size=(2, 2))
    assert data.notes == ()

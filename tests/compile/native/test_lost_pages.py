"""Pages of mapped files that are no longer there: the process lives, and knows of it."""

from __future__ import annotations

import gc
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isoconv.compile.native import lost_pages
from isoconv.compile.native.lost_pages import HAS_SIGNALS, watched

Array = NDArray[Any]

pytestmark = pytest.mark.skipif(not HAS_SIGNALS, reason="only Linux tells of them as it is known")


def mapped(path: Path, size: int = 10 * mmap.PAGESIZE) -> Array:
    """A file of ones, mapped."""
    path.write_bytes(b"\1" * size)
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ), np.uint8)


def test_what_is_lost_is_read_as_zeros_and_marked(tmp_path: Path) -> None:
    """From the lost page on; other files are whole, and what is freed is forgotten."""
    one, other = mapped(tmp_path / "one"), mapped(tmp_path / "other")
    held = len(lost_pages._WATCHED)
    watches = watched(one), watched(other)
    assert watched(one) is watches[0]
    os.truncate(tmp_path / "one", 3 * mmap.PAGESIZE)
    assert not watches[0].lost
    assert int(one[:: mmap.PAGESIZE].sum()) == 3
    assert int(one[: 3 * mmap.PAGESIZE].min()) == 1
    assert (watches[0].lost, watches[1].lost) == (True, False)
    assert int(other.min()) == 1
    del one, other
    gc.collect()
    assert len(lost_pages._WATCHED) == held


def test_a_part_of_a_file_is_watched_to_the_ends_of_its_pages(tmp_path: Path) -> None:
    """Wherever it begins and ends."""
    part = mapped(tmp_path / "part")[mmap.PAGESIZE + 7 : 2 * mmap.PAGESIZE + 9]
    watch = watched(part)
    os.truncate(tmp_path / "part", 0)
    assert int(part.max()) == 0
    assert watch.lost


def test_there_is_room_for_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes later is not watched; room that gets free is used again."""
    watch = lost_pages._watch()
    assert watch is not None
    arrays = [mapped(tmp_path / f"{number}", 5) for number in range(3)]
    watched(arrays[0])
    with monkeypatch.context() as patch:
        patch.setattr(watch, "begin", lambda *_: None)
        assert watched(arrays[1]).row is None
        assert not watched(arrays[1]).lost
    free = np.count_nonzero(watch._table[:, 0] == lost_pages._FREE)
    assert watched(arrays[2]).row is not None
    del arrays[2]
    gc.collect()
    assert np.count_nonzero(watch._table[:, 0] == lost_pages._FREE) == free


OTHERS = """
import mmap, os, sys
import numpy as np
from isoconv.compile.native.lost_pages import watched
path = sys.argv[1]
def mapped():
    with open(path, "wb") as file:
        file.write(bytes(9000))
    with open(path, "rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 9000, access=mmap.ACCESS_READ), np.uint8)
mine, other = mapped(), None
watched(mine)
os.truncate(path, 0)
print(mine.max(), flush=True)
other = mapped()
os.truncate(path, 0)
print(other.max(), flush=True)
"""


@pytest.mark.parametrize("flags", [[], ["-X", "faulthandler"]])
def test_other_faults_are_told_as_ever(tmp_path: Path, flags: list[str]) -> None:
    """Memory that is not watched ends the process, and whoever was asked before is asked."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", OTHERS, str(tmp_path / "file")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (-signal.SIGBUS, "0\n")
    assert ("Fatal Python error: Bus error" in done.stderr) == bool(flags)


LATER = """
import mmap, os, signal, sys
import numpy as np
from isoconv.compile.native.lost_pages import watched
def mapped():
    with open(sys.argv[1], "wb") as file:
        file.write(bytes(9000))
    with open(sys.argv[1], "rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 9000, access=mmap.ACCESS_READ), np.uint8)
arrays = [mapped(), mapped()]
watches = [watched(array) for array in arrays]
signal.signal(signal.SIGBUS, lambda *_: None)
watched(arrays[0])
os.truncate(sys.argv[1], 0)
print(arrays[0].max(), arrays[1].max(), [watch.lost for watch in watches])
signal.raise_signal(signal.SIGBUS)
print("the other one was asked")
"""


def test_who_comes_later_is_asked_after(tmp_path: Path) -> None:
    """Ray, say, has a handler of its own; before native code reads, it is this one's turn again."""
    done = subprocess.run(
        [sys.executable, "-c", LATER, str(tmp_path / "file")],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "0 0 [True, True]\nthe other one was asked\n"

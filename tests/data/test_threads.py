"""Many files by several threads: the same as by one, in the same order, within the same memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.made import write
from tests.data.photographs import write_photographs

from isoconv.data import load, threads
from isoconv.data.threads import Take, each_in_order
from isoconv.errors import DataFileError


def all_of(count: int, root: Path, monkeypatch: pytest.MonkeyPatch, **settings: object) -> object:
    """What a folder gives with so many threads: values, notes, skipped files."""
    monkeypatch.setattr(threads, "cores", lambda: count)
    data = load(root, cache=False, **settings)  # type: ignore[arg-type]
    return data.digest(), data.notes, data.paths, data.skipped


def test_threads_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values, notes and what was skipped are those of one thread, warnings of decoders included."""
    files = write_photographs(tmp_path, 24, (90, 120))
    for number in (1, 8, 15):
        files[number].write_bytes(files[number].read_bytes()[: 300 + number])
    for number in range(8):
        see_through = Image.new("RGBA", (50 + number, 70), (number, 2, 3, 128))
        write(tmp_path / "a" / f"z{number}.png", see_through)
        palette = Image.new("P", (70, 70))
        palette.info["transparency"] = b"\0"
        palette.save(tmp_path / "b" / f"z{number}.png", transparency=b"\0")
    alone = all_of(1, tmp_path, monkeypatch, size=20, skip_bad=True)
    for count in (2, 5, 40):
        assert all_of(count, tmp_path, monkeypatch, size=20, skip_bad=True) == alone
    assert len(alone[3]) == 3  # type: ignore[index]
    texts = []
    for count in (1, 4):
        with pytest.raises(DataFileError) as caught:
            all_of(count, tmp_path, monkeypatch)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    assert texts[0].startswith(f"{tmp_path}: 3 of 40 files cannot be read:")


def test_results_come_in_order() -> None:
    """However long each takes; an error comes in its place and stops nothing."""

    def work(number: int, take: Take) -> int:
        take(1)
        time.sleep(0.002 * (number * 7 % 5))
        if number == 11:
            raise ValueError("eleven")
        return number

    found: list[object] = []
    with closing(each_in_order(work, range(40), 3)) as results:
        for number, result in results:
            try:
                found.append((number, result()))
            except ValueError as error:
                found.append((number, str(error)))
    assert found == [(n, "eleven" if n == 11 else n) for n in range(40)]


@pytest.mark.parametrize("size", [40, 70, 1000])
def test_memory_in_flight_is_bounded(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Files take half of the memory together at most; one that needs more goes alone."""
    monkeypatch.setattr(threads, "available_memory", lambda: 200)
    lock, held, most = threading.Lock(), [0], [0]

    def work(_: int, take: Take) -> None:
        take(size)
        take(0)
        with lock:
            held[0] += size
            most[0] = max(most[0], held[0])
        time.sleep(0.003)
        with lock:
            held[0] -= size

    with closing(each_in_order(work, range(12), 4)) as results:
        for _, result in results:
            result()
    assert most == [80 if size == 40 else size]


def test_nothing_goes_on_after_the_end() -> None:
    """Whoever stops early leaves no thread behind, nor one that waits for memory."""
    before = threading.active_count()
    done = []

    def work(number: int, take: Take) -> int:
        take(2**60)
        time.sleep(0.01)
        done.append(number)
        return number

    with closing(each_in_order(work, range(1000), 4)) as results:
        for number, result in results:
            assert result() == number
            if number == 3:
                break
    assert threading.active_count() == before
    # Four were taken, sixteen wait to be, and each thread may be at one more.
    assert len(done) <= 4 + 16 + 1 + 4


INTERRUPTED = """
import sys
from isoconv.data import load
print("ready", flush=True)
try:
    load(sys.argv[1], size=32, cache=False, progress=False)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.slow
def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    """It does not wait for what has not begun."""
    write_photographs(tmp_path, 2, (1200, 1600))
    for number in range(3000):
        os.link(tmp_path / "a" / "000.jpg", tmp_path / "a" / f"x{number}.jpg")
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.5)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert (said, process.returncode) == ("interrupted\n", 0)
    assert time.monotonic() - start < 25


def test_warnings_have_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a decoder warns of one file is told of that file, whatever other threads decode."""
    write_photographs(tmp_path, 30, (40, 40))
    spoiled = sorted(tmp_path.rglob("*.jpg"))[::7]
    for file in spoiled:
        content = file.read_bytes()
        # An EXIF segment that breaks off.
        start = content.index(b"Exif\0\0")
        file.write_bytes(content[: start + 6] + b"II*\0\xff\xff\xff\xff" + content[start + 14 :])
    one = all_of(1, tmp_path, monkeypatch)
    assert all_of(4, tmp_path, monkeypatch) == one
    assert np.any([f"{len(spoiled)} files" in line for line in one[1]])  # type: ignore[index]

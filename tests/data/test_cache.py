"""Decoded pictures on disk: the same values and notes, never those of other content."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.made import write
from tests.data.photographs import photograph, write_photographs

from isoconv.data import Reading, cache, load, reader, survey
from isoconv.data.cache import PictureCache
from isoconv.errors import DataFileError, DataWarning

AN_HOUR_AGO = time.time() - 3600


@pytest.fixture
def own_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test alone."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(cache, "default_folder", lambda: folder)
    return folder


def fails(*_: object) -> None:
    """What must not be called."""
    raise AssertionError


def aged(*files: Path) -> None:
    """Have a cache take files for ones that were changed long ago."""
    for file in files:
        os.utime(file, (AN_HOUR_AGO, AN_HOUR_AGO))


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file counts as changed just now; a test cannot set the time at which its node changed."""
    monkeypatch.setattr(cache, "_RACY", -(10**18))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose header or pixels were read."""
    names: list[str] = []

    def seen(usual: Any) -> Any:
        def told(path: Path, *rest: Any, **more: Any) -> Any:
            names.append(path.name)
            return usual(path, *rest, **more)

        return told

    for module, name in ((reader, "read"), (survey, "look"), (survey, "read")):
        monkeypatch.setattr(module, name, seen(getattr(module, name)))
    return names


def everything(data: Any) -> tuple[object, ...]:
    """Values, notes and names."""
    return data.digest(), data.notes, data.paths, data.reading


def mixed(root: Path) -> Path:
    """Pictures of several kinds, with something to be told of most."""
    write_photographs(root, 4, (150, 200))
    write(root / "a" / "p.png", Image.new("RGBA", (70, 60), (1, 2, 3, 9)))
    write(root / "b" / "q.jpg", Image.new("CMYK", (80, 90), (9, 8, 7, 6)))
    Image.new("L", (99, 70), 3).save(root / "b" / "r.tif", save_all=True,
                                     append_images=[Image.new("L", (4, 4))])  # fmt: skip
    deep = np.arange(70 * 80, dtype=np.uint16).reshape(70, 80)
    Image.fromarray(deep).save(root / "b" / "s.png")
    return root


@pytest.mark.usefixtures("settled")
def test_the_second_time_nothing_is_decoded(tmp_path: Path, decoded: list[str]) -> None:
    """Headers, depth and pixels come out of the cache, and so do notes; without it all is read."""
    root = mixed(tmp_path / "data")
    first = everything(load(root))
    assert len(decoded) == 8 + 8 + 1
    decoded.clear()
    assert everything(load(root)) == first
    assert not decoded
    assert everything(load(root, cache=False)) == first
    assert len(decoded) == 8 + 8 + 1
    assert len(first[1]) >= 5  # type: ignore[arg-type]


@pytest.mark.usefixtures("settled")
def test_floats_are_kept(tmp_path: Path, decoded: list[str]) -> None:
    """With their range in the notes."""
    for number in range(3):
        values = np.linspace(-number, 7.25, 90 * 80, dtype=np.float32).reshape(90, 80)
        write(tmp_path / "data" / "a" / f"{number}.tif", values)
    first = load(tmp_path / "data", size=10)
    decoded.clear()
    second = load(tmp_path / "data", size=10)
    assert second.images.tobytes() == first.images.tobytes()
    assert second.images.dtype == np.float32
    assert second.notes == first.notes != ()
    assert not decoded


@pytest.mark.usefixtures("settled")
def test_every_setting_has_pictures_of_its_own(tmp_path: Path, decoded: list[str]) -> None:
    """Size, channels, depth and reduction are part of what an entry is found by."""
    root = mixed(tmp_path / "data")
    readings = [
        Reading((40, 40), 3, 16, "uint8"),
        Reading((40, 40), 1, 16, "uint8"),
        Reading((40, 41), 3, 16, "uint8"),
        Reading((40, 40), 3, 14, "uint8"),
        Reading((8, 8), 3, 16, "uint8", reduced=True),
        Reading((8, 8), 3, 16, "uint8", reduced=False),
    ]
    kept = [everything(load(root, reading=each)) for each in readings]
    assert len({each[0] for each in kept}) == len(readings)
    assert [everything(load(root, reading=each, cache=False)) for each in readings] == kept
    decoded.clear()
    assert [everything(load(root, reading=each)) for each in readings] == kept
    assert not decoded


def test_the_decoders_are_part_of_the_key(
    tmp_path: Path, decoded: list[str], settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another version of Pillow, or of this code, everything is read anew."""
    assert settled is None
    files = write_photographs(tmp_path / "data", 3, (100, 100))
    load(tmp_path / "data")
    for module in (reader, survey):
        monkeypatch.setattr(module, "decoders", lambda: "pillow 99")
    decoded.clear()
    load(tmp_path / "data")
    assert len(decoded) == 2 * len(files)
    for module in (reader, survey):
        monkeypatch.setattr(module, "decoders", lambda: None)
    decoded.clear()
    load(tmp_path / "data")
    assert len(decoded) == 2 * len(files)


@pytest.mark.usefixtures("settled")
def test_another_content_of_the_same_size_and_time(tmp_path: Path) -> None:
    """A rewritten file is seen by its node's time of change, though its own times were set back."""
    file = tmp_path / "data" / "a" / "x.bmp"
    file.parent.mkdir(parents=True)
    photograph(1, 90, 90).save(file)
    aged(file)
    before, size = load(tmp_path / "data").digest(), file.stat().st_size
    time.sleep(0.02)
    photograph(2, 90, 90).save(file)
    aged(file)
    assert file.stat().st_size == size
    now = load(tmp_path / "data")
    assert now.digest() != before
    assert now.digest() == load(tmp_path / "data", cache=False).digest()


def test_what_was_changed_just_now_is_looked_at_again(
    tmp_path: Path, own_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within two seconds of a change nothing is remembered: another may leave no trace."""
    file = tmp_path / "data" / "a" / "x.bmp"
    file.parent.mkdir(parents=True)
    photograph(1, 90, 90).save(file)
    fixed = file.stat()
    usual = Path.stat

    def coarse(path: Path, **more: Any) -> os.stat_result:
        found = usual(path, **more)
        # A file system whose times stand still.
        return fixed if path == file else found

    monkeypatch.setattr(Path, "stat", coarse)
    before = load(tmp_path / "data").digest()
    photograph(2, 90, 90).save(file)
    now = load(tmp_path / "data").digest()
    assert now != before
    assert now == load(tmp_path / "data", cache=False).digest()
    with sqlite3.connect(own_pictures / "pictures-1.db") as database:
        assert database.execute("SELECT COUNT(*) FROM files").fetchone() == (0,)
        assert database.execute("SELECT COUNT(*) FROM pictures").fetchone() == (2,)


@pytest.mark.usefixtures("settled")
def test_the_same_content_elsewhere(tmp_path: Path, decoded: list[str]) -> None:
    """A copy under another name is found by its content, and told by its own name."""
    root = mixed(tmp_path / "data")
    load(root, size=20)
    moved = root.rename(tmp_path / "moved")
    (moved / "a" / "p.png").rename(moved / "a" / "other.png")
    decoded.clear()
    data = load(moved, size=20)
    # Headers and depth belong to a file, pixels to a content.
    assert len(decoded) == 8 + 1
    assert any("a/other.png" in line for line in data.notes)
    assert everything(data) == everything(load(moved, size=20, cache=False))


@pytest.mark.usefixtures("settled")
def test_a_copy_with_another_ending(tmp_path: Path) -> None:
    """Whether the ending is that of the format is told of each name, not of the content."""
    (right,) = write_photographs(tmp_path / "data", 1, (100, 100))
    wrong = right.with_name("copy" + (".png" if right.suffix != ".png" else ".jpg"))
    shutil.copy(right, wrong)
    for _ in range(2):
        data = load(tmp_path / "data", size=20)
        (note,) = (line for line in data.notes if "another format than the ending" in line)
        assert note.startswith(f"1 file ({wrong.relative_to(tmp_path / 'data').as_posix()}) has")
        assert everything(data) == everything(load(tmp_path / "data", size=20, cache=False))


@pytest.mark.usefixtures("settled")
def test_a_reading_that_is_known_finds_what_was_guessed(
    tmp_path: Path, own_pictures: Path, decoded: list[str]
) -> None:
    """A picture is kept once for training and for measuring; one of more bits for each."""
    write_photographs(tmp_path / "data", 6, (100, 100))
    first = load(tmp_path / "data", size=20)
    assert first.reading is not None
    decoded.clear()
    again = load(tmp_path / "data", reading=first.reading)
    assert not decoded
    assert (again.digest(), again.notes) == (first.digest(), first.notes)
    deep = np.arange(70 * 80, dtype=np.uint16).reshape(70, 80)
    write(tmp_path / "data" / "a" / "deep.png", Image.fromarray(deep))
    for _ in range(2):
        whole = load(tmp_path / "data", reading=first.reading)
        assert any(
            "as no picture had that the reading was made for" in line for line in whole.notes
        )
        assert everything(whole) == everything(
            load(tmp_path / "data", reading=first.reading, cache=False)
        )
    kept = cache.PictureCache(own_pictures)
    assert kept.size()[0] == 7
    kept.close()


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(
    "change",
    ["UPDATE pictures SET pixels = zeroblob(27648)",
     "UPDATE pictures SET pixels = zeroblob(27647)",
     "UPDATE pictures SET pixels = NULL",
     """UPDATE pictures SET told = '[[[true, "CMYK"]], null]'""",
     "UPDATE pictures SET digest = zeroblob(32)",
     "UPDATE files SET facts = replace(facts, '100', '200')",
     "UPDATE files SET facts = NULL",
     "UPDATE files SET facts = 'no JSON'"],
)  # fmt: skip
def test_a_spoiled_entry_is_none(tmp_path: Path, own_pictures: Path, change: str) -> None:
    """What does not match its digest is decoded again, and kept again."""
    write_photographs(tmp_path / "data", 3, (100, 100))
    first = everything(load(tmp_path / "data"))
    contents = []
    for _ in range(2):
        with sqlite3.connect(own_pictures / "pictures-1.db") as database:
            kept = "SELECT path, facts, digest FROM files", "SELECT * FROM pictures ORDER BY key"
            contents.append([database.execute(query).fetchall() for query in kept])
            database.execute(change)
        assert everything(load(tmp_path / "data")) == first
    assert contents[0] == contents[1]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("spoiled", ["all", "middle", "no folder", "a folder"])
def test_a_spoiled_database(tmp_path: Path, own_pictures: Path, spoiled: str) -> None:
    """Whatever lies in its place, pictures are read, and those of the files."""
    write_photographs(tmp_path / "data", 6, (100, 100))
    first = everything(load(tmp_path / "data"))
    file = own_pictures / "pictures-1.db"
    content = bytearray(file.read_bytes())
    if spoiled == "all":
        file.write_bytes(b"no database" * 1000)
    elif spoiled == "middle":
        content[5000:-5000] = bytes(len(content) - 10000)
        file.write_bytes(content)
    else:
        file.unlink()
        if spoiled == "a folder":
            file.mkdir()
        else:
            own_pictures.rmdir()
            own_pictures.write_text("in the way")
    for _ in range(3):
        assert everything(load(tmp_path / "data")) == first


@pytest.mark.usefixtures("settled")
def test_what_cannot_be_read_is_not_kept(tmp_path: Path, own_pictures: Path) -> None:
    """A broken file is an error each time, and good once it was mended."""
    files = write_photographs(tmp_path / "data", 3, (100, 100))
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[: len(whole) // 2])
    for _ in range(2):
        with pytest.raises(DataFileError, match=f"{files[1].name}: not a whole image"):
            load(tmp_path / "data")
    with PictureCache(own_pictures)._database as database:  # type: ignore[union-attr]
        assert database.execute("SELECT COUNT(*) FROM pictures").fetchone() == (2,)
    files[1].write_bytes(whole)
    assert len(load(tmp_path / "data")) == 3


def test_the_bound_is_kept(tmp_path: Path) -> None:
    """What was used least recently goes; a picture that is too large never comes."""
    keys = [bytes([number]) * 32 for number in range(6)]
    kept = PictureCache(tmp_path / "cache", bound=350)
    for key in keys[:3]:
        kept.keep(key, "[]", bytes(100))
    kept.keep(keys[5], "[]", bytes(cache.LARGEST + 1))
    kept.close()
    with sqlite3.connect(tmp_path / "cache" / "pictures-1.db") as database:
        database.execute("UPDATE uses SET used = used - 5")
    again = PictureCache(tmp_path / "cache", bound=350)
    assert again.size()[:2] == (3, 300)
    assert again.picture(keys[1]) == ("[]", bytes(100))
    again.keep(keys[3], "[]", bytes(100))
    again.keep(keys[4], "[]", bytes(100))
    again.close()
    last = PictureCache(tmp_path / "cache", bound=350)
    assert [last.picture(key) is not None for key in keys] == [
        False,
        True,
        False,
        True,
        True,
        False,
    ]
    assert last.clear() == 3
    assert last.size()[:2] == (0, 0)
    last.close()


TWO = """
import sys
from isoconv.data import cache, load
from pathlib import Path
cache.default_folder = lambda: Path(sys.argv[2])
cache._RACY = -(10**18)
for _ in range(3):
    print(load(sys.argv[1], size=24, progress=False).digest())
"""


def test_processes_share_it(tmp_path: Path, own_pictures: Path) -> None:
    """Three at once read and write one cache, and all of them get the same values."""
    write_photographs(tmp_path / "data", 150, (60, 80))
    words = [sys.executable, "-c", TWO, str(tmp_path / "data"), str(own_pictures)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=120)[0].split() for process in running]
    assert {line for lines in said for line in lines} == {
        load(tmp_path / "data", size=24, cache=False).digest()
    }
    assert [len(lines) for lines in said] == [3, 3, 3]
    kept = PictureCache(own_pictures)
    assert kept.size()[0] == 150
    kept.close()


def test_others_must_not_have_written_it(tmp_path: Path) -> None:
    """A file that others may write to, or a link, is not used, and that is said."""
    folder = tmp_path / "cache"
    PictureCache(folder).close()
    file = folder / "pictures-1.db"
    file.chmod(0o666)
    open_to_all = PictureCache(folder)
    assert open_to_all.size() == (0, 0, file.stat().st_size)
    assert "others may have written to it" in open_to_all.refused[-1]
    file.rename(tmp_path / "elsewhere.db")
    file.symlink_to(tmp_path / "elsewhere.db")
    assert "others may have written to it" in PictureCache(folder).refused[-1]


@pytest.mark.usefixtures("settled")
def test_another_process_that_writes_for_long(
    tmp_path: Path, own_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for once in a process, not with every file or call, and that is said."""
    write_photographs(tmp_path / "data", 12, (100, 100))
    first = everything(load(tmp_path / "data"))
    monkeypatch.setattr(cache, "_WAIT", 0.5)
    other = sqlite3.connect(own_pictures / "pictures-1.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    said = "is put aside, for another process has held it for 0.5 seconds"
    with pytest.warns(DataWarning, match=said) as caught:
        assert everything(load(tmp_path / "data")) == first
    assert len(caught) == 1
    assert said in cache.PictureCache(own_pictures).refused[0]
    other.execute("ROLLBACK")
    other.close()
    # Whoever waits is another process; this one goes on without.
    monkeypatch.setattr(sqlite3, "connect", fails)
    assert everything(load(tmp_path / "data")) == first


@pytest.mark.usefixtures("settled")
def test_another_process_that_begins_to_write(
    tmp_path: Path, own_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held after it was opened, it is waited for once as well."""
    write_photographs(tmp_path / "data", 12, (100, 100))
    monkeypatch.setattr(cache, "_WAIT", 0.5)
    first = everything(load(tmp_path / "data"))
    other = sqlite3.connect(own_pictures / "pictures-1.db", isolation_level=None)
    opened = cache.PictureCache._opened

    def then_held(self: cache.PictureCache) -> object:
        database = opened(self)
        if not other.in_transaction:
            other.execute("BEGIN EXCLUSIVE")
        return database

    monkeypatch.setattr(cache.PictureCache, "_opened", then_held)
    with pytest.warns(DataWarning, match="is put aside") as caught:
        assert everything(load(tmp_path / "data")) == first
    assert len(caught) == 1
    assert everything(load(tmp_path / "data")) == first
    other.close()


@pytest.mark.parametrize("size", ["x", None, np.inf])
def test_sizes_that_somebody_spoiled(tmp_path: Path, size: object) -> None:
    """They count as nothing, and no command dies of them."""
    kept = PictureCache(tmp_path / "cache")
    kept.keep(b"key", "[]", b"pixels")
    kept.close()
    with sqlite3.connect(tmp_path / "cache" / "pictures-1.db") as database:
        database.execute("UPDATE uses SET size = ?", (size,))
    database.close()
    again = PictureCache(tmp_path / "cache")
    assert isinstance(again.size()[1], int)
    again.keep(b"other", "[]", b"pixels")
    again.close()

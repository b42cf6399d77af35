"""The cache of kernels on disk: private, bounded, checked, and safe for many processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isoconv.compile.native.cache import KernelCache, default_folder

KEY, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def cache(tmp_path: Path) -> KernelCache:
    """An empty cache."""
    return KernelCache(tmp_path / "kernels")


def permissions(path: Path) -> int:
    """The permission bits of a file or folder."""
    return path.stat().st_mode & 0o777


def entry(cache: KernelCache, key: str = KEY) -> Path:
    """The one file of a key."""
    (path,) = [path for path, _, _ in cache.entries() if key in path.name]
    return path


def used_at(cache: KernelCache, key: str, seconds: int) -> None:
    """Say when an entry was last used."""
    os.utime(entry(cache, key), (seconds, seconds))


def test_what_is_put_is_got(cache: KernelCache) -> None:
    """Object code comes back as it was, empty code too."""
    assert cache.get(KEY) is None
    for code in (b"machine code", b"", bytes(range(256)) * 50):
        cache.put(KEY, code)
        assert cache.get(KEY) == code
    assert cache.get(OTHER) is None
    assert len(cache.entries()) == 1


def test_another_process_reads_it(cache: KernelCache) -> None:
    """A second cache on the same folder finds the entry."""
    cache.put(KEY, b"code")
    assert KernelCache(cache.folder).get(KEY) == b"code"


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:0],
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: content.replace(content, b"some other program's file"),
        lambda content: b"\x7fELF" + content,
    ],
    ids=["empty", "header cut", "truncated", "longer", "a bit", "format", "foreign", "bare object"],
)
def test_a_damaged_entry_is_removed(cache: KernelCache, damage: Callable[[bytes], bytes]) -> None:
    """What is not as it was written is not given out, and makes room for a new entry."""
    cache.put(KEY, b"code" * 100)
    path = entry(cache)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(KEY) is None
    assert not path.exists()
    cache.put(KEY, b"new")
    assert cache.get(KEY) == b"new"


def test_an_entry_of_another_key_is_noticed(cache: KernelCache) -> None:
    """A whole entry under a name that is not its own is as foreign as any other file."""
    cache.put(KEY, b"code of one kernel")
    cache.put(OTHER, b"code of another")
    entry(cache, OTHER).replace(entry(cache, KEY))
    assert cache.get(KEY) is None


def test_private(tmp_path: Path) -> None:
    """A new folder and its entries are for this user alone, whatever the umask."""
    before = os.umask(0)
    try:
        cache = KernelCache(tmp_path / "a" / "kernels")
        cache.put(KEY, b"code")
    finally:
        os.umask(before)
    assert permissions(cache.folder) == 0o700
    assert permissions(entry(cache)) & 0o077 == 0


def test_no_folder_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no folder can be made, kernels are compiled each time."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    cache = KernelCache(tmp_path / "file" / "kernels")
    cache.put(KEY, b"code")
    assert cache.get(KEY) is None
    assert cache.entries() == []
    cache.trim()
    assert cache.clear() == 0


def test_a_folder_that_vanishes_is_no_error(cache: KernelCache) -> None:
    """Somebody may clear all caches while a program runs."""
    cache.put(KEY, b"code")
    entry(cache).unlink()
    cache.folder.rmdir()
    assert cache.get(KEY) is None
    cache.put(KEY, b"code")
    assert cache.get(KEY) is None


@pytest.mark.parametrize("step", ["tempfile.mkstemp", "os.fdopen", "pathlib.Path.replace"])
def test_a_full_disk_is_no_error(
    cache: KernelCache, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """What cannot be written is not kept, and nothing half-written stays."""
    cache.put(OTHER, b"before")

    def full(*args: Path, **_: Any) -> None:
        if args and isinstance(args[0], int):
            os.close(args[0])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(step, full)
        cache.put(KEY, b"code")
    assert cache.get(KEY) is None
    assert cache.get(OTHER) == b"before"
    assert len(list(cache.folder.iterdir())) == 1


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    """Trimming keeps what was used last, as many as the bound allows."""
    cache = KernelCache(tmp_path / "kernels", bound=3500)
    keys = [letter * 64 for letter in "abcde"]
    for number, key in enumerate(keys):
        cache.put(key, bytes(900))
        used_at(cache, key, 1000 + number)
    assert cache.get(keys[0]) is not None
    cache.trim()
    kept = {path.name[0] for path, _, _ in cache.entries()}
    assert kept == {"a", "d", "e"}
    assert sum(size for _, size, _ in cache.entries()) <= 3500


def test_the_bound_holds_by_itself(tmp_path: Path) -> None:
    """Whoever writes on and on does not fill the disk."""
    cache = KernelCache(tmp_path / "kernels", bound=20_000)
    for number in range(200):
        cache.put(f"{number:064}", bytes(1000))
    assert sum(size for _, size, _ in cache.entries()) < 20_000 + 64 * 1100
    again = KernelCache(cache.folder, bound=20_000)
    again.put(KEY, bytes(1000))
    assert sum(size for _, size, _ in again.entries()) <= 20_000
    assert again.get(KEY) is not None


def test_clear(cache: KernelCache) -> None:
    """Clearing tells how many entries there were, and leaves other files alone."""
    for key in (KEY, OTHER):
        cache.put(key, b"code")
    (cache.folder / "notes.txt").write_text("mine")
    assert cache.clear() == 2
    assert [path.name for path in cache.folder.iterdir()] == ["notes.txt"]


def test_the_default_folder_is_the_users_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Linux's rule for cache folders is followed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = default_folder()
    assert folder is not None
    if sys.platform == "linux":
        assert folder.is_relative_to(tmp_path)
    assert "isoconv" in folder.parts


WRITER = """
import sys
from pathlib import Path
from pathlib import Path
from isoconv.compile.native.cache import KernelCache

cache = KernelCache(Path(sys.argv[1]), bound=3000)
key, code = "a" * 64, b"code" * 250
for turn in range(300):
    cache.put(key, code)
    found = cache.get(key)
    assert found in (None, code), "a torn entry"
    if turn % 50 == 7:
        cache.trim()
        cache.put(f"{turn:064}", bytes(900))
print("done")
"""


def test_processes_at_once(tmp_path: Path) -> None:
    """Processes that write, read and trim at the same time see whole entries or none."""
    folder = tmp_path / "kernels"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert output == "done\n", errors
    assert KernelCache(folder).get(KEY) in (None, b"code" * 250)
    assert all(path.suffix == ".kernel" for path in folder.iterdir())


COMPILER = """
import hashlib, sys
from pathlib import Path
from isoconv.compile.native.cache import KernelCache
from isoconv.compile.native.kernels import KernelLibrary, kernel_key
from isoconv.compile.native.runtime import HyperSpec
from isoconv.compile.target import host_target
cache = KernelCache(Path(sys.argv[1]))
specs = [HyperSpec(columns) for columns in range(1, 41)]
print(len(set(KernelLibrary(host_target(), cache).addresses(specs).values())))
for spec in specs:
    code = cache.get(kernel_key(spec, host_target()))
    print(hashlib.sha256(code).hexdigest())
"""


@pytest.mark.slow
def test_processes_that_compile_the_same_at_once(tmp_path: Path) -> None:
    """All come to the same machine code, which is what one process comes to by itself."""

    def start(folder: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", COMPILER, str(folder)], stdout=subprocess.PIPE, text=True
        )

    processes = [start(tmp_path / "shared") for _ in range(4)]
    found = [process.communicate(timeout=120)[0].split() for process in processes]
    alone = start(tmp_path / "alone").communicate(timeout=120)[0].split()
    assert len(alone) == 41
    assert alone[0] == "40"
    assert found == [alone] * 4
    assert all(path.suffix == ".kernel" for path in (tmp_path / "shared").iterdir())


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_whole_entries(tmp_path: Path) -> None:
    """Killed in the middle of compiling: whoever comes next finds nothing that is half there."""
    alone = subprocess.run(
        [sys.executable, "-c", COMPILER, str(tmp_path / "alone")],
        stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip
    folder = tmp_path / "shared"
    for turn in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", COMPILER, str(folder)], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while process.poll() is None and len(list(folder.glob("*.kernel"))) < 3 + 5 * turn:
            assert time.monotonic() < deadline
        process.kill()
        process.wait()
    again = subprocess.run(
        [sys.executable, "-c", COMPILER, str(folder)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    assert again == alone


def test_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder has no cache, and none is made in the working folder."""

    def nobody(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert default_folder() is None
    # What older versions of platformdirs give.
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: Path("~/.cache/isoconv"))
    assert default_folder() is None


HOMELESS = """
import pwd

def nobody(_):
    raise KeyError("getpwuid(): uid not found")

pwd.getpwuid = nobody

import numpy as np
import isoconv as ic
from isoconv import data
from isoconv.cli import app
from isoconv.errors import DataError

model = ic.nn.Linear(2).build((3,))
print(model.predict(np.ones((1, 3), np.float32)).shape)
for call in (
    data.default_folder,
    lambda: data.load("mnist"),
    lambda: data.fetch("mnist"),
    lambda: data.load("~/pictures"),
):
    try:
        call()
    except DataError as error:
        print(error)
app(["data", "list"], standalone_mode=False)
app(["info"])
"""


@pytest.mark.slow
def test_working_without_a_home_folder(tmp_path: Path) -> None:
    """Kernels are compiled anew each time, data folders must be named, and ``info`` says so."""
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for name in ("HOME", "XDG_CACHE_HOME"):
        place.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS],
        env=place,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "(1, 2)"
    assert all("this user has no home folder; say where they are to be" in x for x in lines[1:4])
    assert lines[4].startswith("~/pictures: there is no such home folder")
    assert any(line.split() == ["mnist", "isoconv", "data", "fetch", "mnist"] for line in lines)
    words = [" ".join(line.split()) for line in lines]
    assert "kernel cache nowhere: this user has no home folder" in words
    assert "data sets nowhere: this user has no home folder" in words
    assert not list(tmp_path.iterdir())

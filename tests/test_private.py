"""Folders for machine code: used only if nobody else can have written to them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from isoconv import private
from isoconv.compile.native.cache import KernelCache
from isoconv.private import PrivateFolder, read_own

KEY = "a" * 64
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two users")
VICTIM, STRANGER = 61001, 61002


def permissions(path: Path) -> int:
    """The permission bits of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def own_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test leaves a folder behind in the system's own folder for temporary files."""
    place = tmp_path / "tmp"
    place.mkdir()
    place.chmod(0o1777)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(place))
    return place


def test_a_new_folder_is_private(tmp_path: Path) -> None:
    """It is made with all that leads to it, for this user alone, whatever the umask."""
    before = os.umask(0)
    try:
        found = PrivateFolder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert found.path == tmp_path / "a" / "b"
    assert found.refused == []
    assert permissions(tmp_path / "a") == permissions(tmp_path / "a" / "b") == 0o700


@pytest.mark.parametrize("mode", [0o707, 0o772, 0o777, 0o1777])
def test_an_open_folder_is_left_alone(tmp_path: Path, mode: int) -> None:
    """What was open is neither used nor made private: a fresh folder beside it takes its place."""
    folder = tmp_path / "kernels"
    folder.mkdir()
    folder.chmod(mode)
    found = PrivateFolder(folder)
    assert found.path == tmp_path / "kernels-private"
    assert permissions(folder) == mode
    (reason,) = found.refused
    assert f"{folder} is not used: others may write to it" in reason
    assert f"{mode:04o}" in reason


def test_a_folder_that_was_opened_and_closed_again(tmp_path: Path) -> None:
    """What a stranger put into it meanwhile is not read: it belongs to them."""
    cache = KernelCache(tmp_path / "kernels")
    cache.put(KEY, b"code")
    (path,) = (entry for entry, _, _ in cache.entries())
    path.chmod(0o666)
    assert cache.get(KEY) is None
    assert not path.exists()


def test_an_open_parent_is_no_place(tmp_path: Path, own_temporary: Path) -> None:
    """Where others may replace the folder, one under the system's temporary folder is taken."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    found = PrivateFolder(tmp_path / "open" / "cache" / "kernels")
    assert found.path == own_temporary / f"isoconv-{os.geteuid()}" / "kernels"
    assert len(found.refused) == 2
    assert f"others may write to {tmp_path / 'open'}" in found.refused[0]


def test_a_sticky_parent_will_do(tmp_path: Path) -> None:
    """In a folder with the sticky bit nobody else can replace what is one's own."""
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    assert PrivateFolder(tmp_path / "sticky" / "kernels").refused == []


def test_a_link_counts_with_both_ends(tmp_path: Path) -> None:
    """A private folder behind a link in an open folder can be exchanged by others."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "link").symlink_to(tmp_path / "real")
    assert PrivateFolder(tmp_path / "open" / "link").path == tmp_path / "open" / "link"
    (tmp_path / "open").chmod(0o777)
    assert "others may write to" in PrivateFolder(tmp_path / "open" / "link").refused[0]


def test_no_place_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be made there is no folder, and every reason is told."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    found = PrivateFolder(tmp_path / "file" / "kernels")
    assert found.path is None
    assert len(found.refused) == 3


def test_a_folder_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is this user's own or no place."""
    (tmp_path / "kernels").mkdir(mode=0o700)
    real = private._user()
    monkeypatch.setattr(private, "_user", lambda: real + 1)
    assert f"belongs to user {real}" in PrivateFolder(tmp_path / "kernels").refused[0]


@pytest.mark.parametrize("kind", ["link", "second name", "writable", "fifo", "folder"])
def test_files_that_are_not_read(tmp_path: Path, kind: str) -> None:
    """A file counts if it is a plain one that nobody else can write or has put there."""
    path, other = tmp_path / "entry", tmp_path / "other"
    other.write_bytes(b"content")
    if kind == "link":
        path.symlink_to(other)
    elif kind == "second name":
        path.hardlink_to(other)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"content")
        path.chmod(0o622)
    try:
        assert read_own(path) is None
    except OSError:
        assert kind in ("link", "folder")
    assert read_own(other) == (None if kind == "second name" else b"content")


def test_an_entry_that_is_replaced_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read as it was, and its successor, which another process has put there, stays."""
    cache = KernelCache(tmp_path / "kernels")
    cache.put(KEY, b"code")
    opened = os.open

    def replaced(path: Path, flags: int) -> int:
        handle = opened(path, flags)
        monkeypatch.undo()
        cache.put(KEY, b"other code")
        return handle

    monkeypatch.setattr(os, "open", replaced)
    assert cache.get(KEY) == b"code"
    assert cache.get(KEY) == b"other code"


PROGRAM = """
import grp, os, pwd, sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from isoconv.compile.native.cache import KernelCache
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
tempfile.gettempdir = lambda: sys.argv[4]
cache = KernelCache(Path(sys.argv[3]))
key, action = sys.argv[5], sys.argv[6]
if action == "put":
    cache.put(key, b"planted" if len(sys.argv) > 7 else b"own")
else:
    print(cache.get(key), cache.folder)
"""


def as_user(user: int, folder: Path, temporary: Path, *action: str) -> str:
    """Use a cache as another user, in a process of its own."""
    source = str(Path(private.__file__).parents[2])
    words = [sys.executable, "-c", PROGRAM, source, str(user), str(folder), str(temporary), KEY]
    done = subprocess.run([*words, *action], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@needs_root
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_nothing_that_another_user_planted_is_loaded(mode: int) -> None:
    """Two real users: what the one put into an open folder is never the other's kernel."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # both may come here
        home, temporary = Path(place) / "home", Path(place) / "tmp"
        Path(place).chmod(0o755)
        for folder, rights in ((home, 0o755), (temporary, 0o1777)):
            folder.mkdir()
            folder.chmod(rights)
        os.chown(home, VICTIM, VICTIM)
        shared = home / "kernels"
        shared.mkdir()
        os.chown(shared, VICTIM, STRANGER)
        shared.chmod(mode)
        planted = shared / f"{KEY}.kernel"
        # With all that the format asks for, as only the owner of the folder should write it.
        KernelCache(Path(place) / "model").put(KEY, b"planted")
        planted.write_bytes((Path(place) / "model" / planted.name).read_bytes())
        os.chown(planted, STRANGER, STRANGER)
        planted.chmod(0o644)
        found = as_user(VICTIM, shared, temporary, "get")
        assert found == f"None {home / 'kernels-private'}"
        as_user(VICTIM, shared, temporary, "put")
        assert as_user(VICTIM, shared, temporary, "get").startswith("b'own'")
        # Made private afterwards, the folder is the victim's again; the planted entry is not.
        shared.chmod(0o700)
        assert as_user(VICTIM, shared, temporary, "get") == f"None {shared}"
        # A stranger has a folder of their own and never reads or writes the victim's.
        as_user(STRANGER, shared, temporary, "put", "planted")
        stranger = as_user(STRANGER, shared, temporary, "get")
        assert stranger.endswith(str(temporary / f"isoconv-{STRANGER}" / "kernels"))

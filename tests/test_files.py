"""Files from strangers are opened when they are files, and read when there is memory for them."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from isoconv import memory
from isoconv.errors import NotEnoughMemoryError
from isoconv.files import PIECE, is_regular, kind_of_file, open_file, read_file


def test_a_file_is_read(tmp_path: Path) -> None:
    """The bytes of a file and of a link to one come out as they are."""
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"a\r\nb\x1a\0")
    link.symlink_to(file)
    for path in (file, link, str(file)):
        assert read_file(path) == b"a\r\nb\x1a\0"
        assert is_regular(path)
        with open_file(path) as stream:
            assert stream.read(1) == b"a"


def test_a_folder_is_none(tmp_path: Path) -> None:
    """A folder is told as such, by Python's own error for it."""
    with pytest.raises(IsADirectoryError, match="it is a folder, not a file"):
        open_file(tmp_path)
    assert not is_regular(tmp_path)
    assert kind_of_file(tmp_path.stat().st_mode) == "a folder"


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    """Nobody waits for somebody who would write into a pipe, and no such writer sees a reader."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="it is a pipe, not a file"):
        read_file(pipe)
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)


def test_a_socket_and_a_device_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may do something when it is opened is told by its kind."""
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # Names of sockets are short.
        server.bind("socket")
        with pytest.raises(OSError, match="it is a socket, not a file"):
            open_file(tmp_path / "socket")
    with pytest.raises(OSError, match="it is a device, not a file"):
        open_file("/dev/zero")
    assert kind_of_file(stat.S_IFBLK) == "a device"


def test_a_pipe_that_takes_the_place_of_a_file_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the opening a file may become a pipe: it does not wait, and is told."""
    path = tmp_path / "file"
    os.mkfifo(path)
    before = Path(__file__).stat()
    monkeypatch.setattr(Path, "stat", lambda _: before)
    handles = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="it is a pipe, not a file"):
        open_file(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == handles


@pytest.mark.parametrize("name", ["missing", "loop", "file/below", "n" * 300])
def test_what_cannot_be_had_is_an_error_of_the_system(tmp_path: Path, name: str) -> None:
    """A missing file, a loop of links, a file taken for a folder and too long a name."""
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match=r"No such file|Too many levels|Not a directory|too long"):
        open_file(tmp_path / name)
    assert not is_regular(tmp_path / name)
    assert not is_regular("null\0character")


def test_a_file_is_read_up_to_a_length(tmp_path: Path) -> None:
    """A file of just that length is read, a longer one is not."""
    file = tmp_path / "file"
    file.write_bytes(bytes(100))
    assert read_file(file, 100) == bytes(100)
    with pytest.raises(OSError, match="it is longer than 99 bytes"):
        read_file(file, 99)


def test_a_file_that_tells_no_length_is_read() -> None:
    """Files of the system are empty by their size, and hold something all the same."""
    assert read_file("/proc/self/status").startswith(b"Name:")


def test_a_file_that_grows_is_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was added after the look is no part that goes missing in silence."""
    file = tmp_path / "file"
    file.write_bytes(bytes(PIECE + 2))
    small = os.stat_result((stat.S_IFREG, 0, 0, 1, 0, 0, 10, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda _: small)
    with pytest.raises(OSError, match="it is longer than"):
        read_file(file)


def test_a_file_is_not_read_without_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of holes may be larger than all memory."""
    file = tmp_path / "file"
    with file.open("wb") as stream:
        stream.truncate(2**40)
    monkeypatch.setattr(memory, "available_memory", lambda: 2**30)
    with pytest.raises(NotEnoughMemoryError, match=r"file needs at least 1\.0 TiB of memory"):
        read_file(file)


def test_no_more_is_asked_for_than_there_is(tmp_path: Path) -> None:
    """A length out of a file's own header takes no memory that the file does not fill."""
    file = tmp_path / "file"
    file.write_bytes(bytes(100))
    with open_file(file) as stream:
        assert stream.read(2**62) == bytes(100)
        assert stream.read(2**62) == b""
        stream.seek(40)
        assert len(stream.read(2**62)) == 60
        stream.seek(200)
        assert stream.read(2**62) == b""
        assert stream.read() == b""


def test_threads_read_at_once(tmp_path: Path) -> None:
    """Files are opened independently of each other."""
    paths = [tmp_path / str(number) for number in range(8)]
    for path in paths:
        path.write_text(path.name)
    found = {}
    threads = [
        threading.Thread(target=lambda path=path: found.update({path: read_file(path)}))
        for path in paths
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {path: path.name.encode() for path in paths}

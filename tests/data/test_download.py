"""Downloads, from a server that the tests start: checksums, mirrors and no network."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.served import Quiet, served

from isoconv.data import default_folder, fetch, load
from isoconv.data.download import REMOTE
from isoconv.data.names import RemoteFile
from isoconv.errors import ArgumentError, DownloadError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A running file server: its address and its folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    with served(folder) as address:
        yield address, folder


def unused_address() -> str:
    """An address at which nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def offer(
    monkeypatch: pytest.MonkeyPatch, folder: Path, servers: tuple[str, ...], name: str = "mnist"
) -> None:
    """Let a data set be two small idx files on these servers."""
    files = []
    for what, shape in (("images-idx3", (4, 3, 3)), ("labels-idx1", (4,))):
        header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
        content = gzip.compress(header + bytes(range(int(np.prod(shape)))), mtime=0)
        path = folder / f"train-{what}-ubyte.gz"
        path.write_bytes(content)
        files.append(RemoteFile(path.name, hashlib.sha256(content).hexdigest(), servers))
    monkeypatch.setitem(REMOTE, name, tuple(files))


def test_fetched_data_can_be_loaded(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched is found by its name; a second time nothing is asked of the network."""
    address, folder = server
    offer(monkeypatch, folder, (address,))
    target = fetch("mnist", tmp_path / "data", progress=False)
    assert target == tmp_path / "data" / "mnist"
    assert load("mnist", folder=tmp_path / "data").images.shape == (4, 3, 3, 1)
    for file in folder.iterdir():
        file.unlink()
    assert fetch("mnist", tmp_path / "data", progress=False) == target


def test_second_server_is_asked_when_the_first_fails(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not answer is passed over."""
    address, folder = server
    offer(monkeypatch, folder, (unused_address(), f"{address}/missing", address))
    fetch("mnist", tmp_path / "data", progress=False)
    assert len(list((tmp_path / "data" / "mnist").iterdir())) == 2


def test_other_content_is_refused(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with another SHA-256 is not kept, and one that lies there is replaced."""
    address, folder = server
    offer(monkeypatch, folder, (address,))
    served = folder / "train-images-idx3-ubyte.gz"
    whole = served.read_bytes()
    served.write_bytes(whole + b"x")
    with pytest.raises(DownloadError, match="the file's SHA-256 is not the pinned one"):
        fetch("mnist", tmp_path / "data", progress=False)
    kept = tmp_path / "data" / "mnist" / served.name
    assert not kept.exists()
    kept.write_bytes(b"damaged")
    served.write_bytes(whole)
    fetch("mnist", tmp_path / "data", progress=False)
    assert kept.read_bytes() == whole


def test_no_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the file, the cause, the checksum and the data that need no network."""
    offer(monkeypatch, tmp_path, (unused_address(),))
    with pytest.raises(DownloadError) as caught:
        fetch("mnist", tmp_path / "data", progress=False)
    message = str(caught.value)
    for part in (
        "train-images-idx3-ubyte.gz could not be fetched",
        "Connection refused",
        "Without a network: fetch the file elsewhere",
        REMOTE["mnist"][0].sha256,
        "'fashion-sample' needs no network",
    ):
        assert part in message


def test_answers_of_the_server_are_passed_on(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that lacks the file is quoted."""
    address, folder = server
    offer(monkeypatch, folder, (f"{address}/nowhere",))
    with pytest.raises(DownloadError, match="the server answered 404 File not found"):
        fetch("mnist", tmp_path / "data", progress=False)


def test_progress_is_shown_on_a_terminal(
    server: tuple[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a terminal the bar names the file; elsewhere nothing is written."""
    address, folder = server
    offer(monkeypatch, folder, (address,))
    fetch("mnist", tmp_path / "quiet")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    fetch("mnist", tmp_path / "shown")
    assert "train-images-idx3-ubyte.gz" in capsys.readouterr().err


def test_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    """Only pinned data sets can be fetched."""
    with pytest.raises(ArgumentError, match=r"mnist, .*, cifar100; got 'imagenet'"):
        fetch("imagenet", tmp_path)


def test_all_files_are_pinned() -> None:
    """Every file has a SHA-256 and comes over an encrypted connection."""
    for files in REMOTE.values():
        for file in files:
            assert len(bytes.fromhex(file.sha256)) == 32
            assert all(server.startswith("https://") for server in file.servers)
    assert default_folder().name == "data"


class Slow(Quiet):
    """A file server that takes its time, so that downloads overlap."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file piece by piece."""
        while piece := source.read(40):
            outputfile.write(piece)
            outputfile.flush()
            time.sleep(0.005)


PROGRAM = """
import sys
from pathlib import Path
from isoconv.data import fetch, load
from isoconv.data.download import REMOTE
from isoconv.data.names import RemoteFile
place, address, *files = sys.argv[1:]
REMOTE["mnist"] = tuple(RemoteFile(*each.split("=", 1), (address,)) for each in files)
print("ready", flush=True)
sys.stdin.readline()
fetch("mnist", Path(place), progress=False)
print(load("mnist", folder=place).digest())
"""


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [False, True])
def test_processes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool) -> None:
    """Whoever fetches beside others has whole files, also where damaged ones are replaced."""
    folder, place = tmp_path / "served", tmp_path / "data"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Slow, directory=str(folder))) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{running.server_port}"
        offer(monkeypatch, folder, (address,))
        if damaged:
            (place / "mnist").mkdir(parents=True)
            for file in REMOTE["mnist"]:
                (place / "mnist" / file.name).write_bytes(b"damaged")
        words = [f"{file.name}={file.sha256}" for file in REMOTE["mnist"]]
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(place), address, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60) for process in processes]
        running.shutdown()
        thread.join()
    assert {err for _, err in said} == {""}
    assert {out.strip() for out, _ in said} == {load("mnist", folder=place).digest()}
    names = sorted(file.name for file in REMOTE["mnist"])
    assert sorted(path.name for path in (place / "mnist").iterdir()) == names


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    """In place of a file that was fetched before, a pipe is not waited for."""
    offer(monkeypatch, tmp_path, (unused_address(),))
    place = tmp_path / "data/mnist" / REMOTE["mnist"][0].name
    place.parent.mkdir(parents=True)
    make(place)
    with pytest.raises(DownloadError, match=r"ubyte\.gz is there already, and is no file"):
        fetch("mnist", tmp_path / "data", progress=False)

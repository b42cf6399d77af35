"""Fetches public data sets, each file checked against a pinned SHA-256."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isoconv.checks import check_choice, check_flag, check_path
from isoconv.data.names import KNOWN, RemoteFile
from isoconv.errors import DataError, DownloadError
from isoconv.files import is_regular
from isoconv.printable import printable
from isoconv.wording import setting

__public__ = {"isoconv.data": ["default_folder", "fetch"]}

_WHOLE = 64
"""Digits of a whole SHA-256."""
TIMEOUT = 30
"""Seconds without an answer after which a server is given up."""


REMOTE = {name: known.files for name, known in KNOWN.items() if known.files}
"""What is fetched of the data sets that do not come with the library, by name."""


def default_folder() -> Path:
    """Where data sets are kept: ``data`` in the user's cache folder for isoconv.

    Raises:
        DataError: the user has no home folder, and so no cache folder either.
    """
    import pooch

    try:
        kept = Path(pooch.os_cache("isoconv"))
    except (RuntimeError, KeyError):
        kept = Path("~")
    # Some versions leave a home folder that they do not find as "~".
    if not kept.is_absolute():
        raise DataError(
            "data sets are kept in the user's cache folder, and this user has no home folder; "
            f"say where they are to be: {setting('folder', '…')}"
        )
    return kept / "data"


def fetch(name: str, folder: Path | str | None = None, progress: bool = True) -> Path:
    """Fetch a data set; files that are there already and whole are not fetched again.

    Args:
        name: one that ``isoconv data list`` shows, such as ``cifar10``.
        folder: where data sets are kept; by default the user's cache folder.
        progress: show a progress bar on the terminal, if there is one.

    Several processes may fetch at once: each writes a file of its own, and the whole one takes its
    place in one step.

    Returns:
        The data set's own folder, which `isoconv.data.load` reads.

    Raises:
        ArgumentError: no data set of this name is known.
        DataError: no folder is given, and the user has no home folder.
        DownloadError: no server could be reached, or a file has another SHA-256 than the pinned
            one. The message says what to do by hand.
    """
    name, progress = check_choice("name", name, REMOTE), check_flag("progress", progress)
    target = (default_folder() if folder is None else check_path("folder", folder)) / name
    for file in REMOTE[name]:
        fetch_file(file, target, progress, " The data set 'fashion-sample' needs no network.")
    return target


def fetch_file(file: RemoteFile, target: Path, progress: bool, way_out: str = "") -> None:
    """Fetch a file into a folder, unless it is there already and whole.

    Args:
        file: with its SHA-256, or the first digits of it.
        target: the folder.
        progress: show a progress bar on the terminal, if there is one.
        way_out: what needs no network, for the message.

    Raises:
        DownloadError: as for `fetch`.
    """
    import pooch

    # Its own messages would stand between ours and the progress bar.
    pooch.get_logger().setLevel(logging.ERROR)
    place = target / file.name
    # What lies there is read for its checksum.
    if (place.is_symlink() or place.exists()) and not is_regular(place):
        found = f"{printable(place)} is there already, and is no file"
        raise DownloadError(f"{file.name} could not be fetched: {found}")
    failures: list[str] = []
    for server in file.servers:
        url = f"{server}/{file.name}"
        try:
            with _bar(file.name, progress) as bar:
                downloader = pooch.HTTPDownloader(
                    progressbar=bar, chunk_size=1 << 16, timeout=TIMEOUT
                )
                _retrieve(url, file, target, downloader)
        except ValueError:
            # pooch removes what it has fetched when the checksum is another one.
            failures.append(f"{url}: the file's SHA-256 is not the pinned one")
        except OSError as error:
            # Every error of the connection is an OSError, those of the folder too.
            failures.append(f"{url}: {_reason(error)}")
        else:
            return
    tried = "\n  ".join(failures)
    rule = "be" if len(file.sha256) == _WHOLE else "begin with"
    raise DownloadError(
        f"{file.name} could not be fetched into {printable(target)}:\n  {tried}\n"
        "Without a network: fetch the file elsewhere, put it into that folder and run this again; "
        f"its SHA-256 must {rule} {file.sha256}.{way_out}"
    )


def _retrieve(url: str, file: RemoteFile, target: Path, downloader: Any) -> None:
    """Fetch a file from one address.

    Raises:
        OSError: it cannot be had.
        ValueError: it has another SHA-256.
    """
    import pooch

    if len(file.sha256) == _WHOLE:
        pooch.retrieve(url, f"sha256:{file.sha256}", file.name, target, downloader=downloader)
        return
    # pooch compares whole digests alone.
    place, fresh = target / file.name, f".{file.name}.{os.getpid()}.{threading.get_ident()}.tmp"
    if place.exists() and pooch.file_hash(str(place)).startswith(file.sha256):
        return
    found = Path(pooch.retrieve(url, None, fresh, target, downloader=downloader))
    try:
        if not pooch.file_hash(str(found)).startswith(file.sha256):
            raise ValueError(f"{url} has another SHA-256")
        found.replace(place)
    finally:
        found.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    """The innermost cause: 'Name or service not known', not the layers around it."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    return str(cause) or type(cause).__name__


class _Bar:
    """What pooch asks of a progress bar, shown by rich."""

    def __init__(self, bars: Any, title: str) -> None:
        self._bars = bars
        self._task = bars.add_task(title, total=None)

    @property
    def total(self) -> int:
        return int(self._bars.tasks[self._task].total or 0)

    @total.setter
    def total(self, size: int) -> None:
        self._bars.update(self._task, total=size or None)

    def update(self, count: int) -> None:
        self._bars.advance(self._task, count)

    def reset(self) -> None:
        self._bars.update(self._task, completed=0)

    def close(self) -> None:
        """Nothing is left to do: leaving the context ends the bar."""


@contextmanager
def _bar(title: str, wanted: bool) -> Iterator[_Bar | bool]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if not (wanted and console.is_terminal):
        yield False
        return
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        yield _Bar(bars, title)

"""Where the data of a name or a path are, and of which kind they are."""

from __future__ import annotations

import stat
from pathlib import Path

from isoconv.checks import as_word, check_path
from isoconv.data.download import REMOTE, default_folder
from isoconv.data.files import Format, bad_file
from isoconv.data.formats import ENDINGS, FORMATS
from isoconv.data.names import KNOWN
from isoconv.errors import DataError
from isoconv.files import kind_of_file
from isoconv.printable import printable
from isoconv.wording import either


def place_of(source: str | Path, folder: Path | str | None) -> Path:
    """Where the data of this name or path are.

    Args:
        source: a name, or a path.
        folder: where fetched data sets are kept; None for the user's cache folder.

    Raises:
        DataError: there are none, or they were not fetched.
        DataFileError: the path cannot be read.
    """
    if str(source) in REMOTE:
        kept = (default_folder() if folder is None else Path(folder)) / source
        if not kept.is_dir():
            option, argument = "", ""
            if folder is not None:
                option, argument = f" --folder {as_word(folder)}", f", {str(folder)!r}"
            raise DataError(
                f"{source} has not been fetched into {printable(kept)}: run `isoconv data fetch "
                f"{source}{option}`"
                + either(f" or isoconv.data.fetch({str(source)!r}{argument})", ""),
                argument="source",
                value=source,
                path=kept,
            )
        return kept
    try:
        path = check_path("source", source).expanduser()
    except RuntimeError as error:
        text = f"{source}: there is no such home folder: {error}"
        raise DataError(text, argument="source", value=source) from error
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"there is no data called {str(source)!r}: give one of {', '.join(KNOWN)}, or the path "
            f"of a folder or a file of {' or '.join(ENDINGS)}",
            argument="source",
            value=source,
            path=path,
        ) from error
    except (OSError, ValueError) as error:
        raise bad_file(
            path, f"cannot be read: {getattr(error, 'strerror', '') or error}"
        ) from error
    return path


def kind_of(path: Path) -> Format:
    """The kind of source that a path is.

    Raises:
        DataFileError: it is none, or several.
    """
    found: list[Format] = []
    try:
        for kind in FORMATS:
            if not (kind.general and found) and kind.splits(path):
                found.append(kind)
    except OSError as error:
        reason = error.strerror or error
        raise bad_file(path, f"cannot be read: {reason}") from error
    if len(found) > 1:
        names = " and ".join(kind.name for kind in found).replace("`", "")
        raise bad_file(path, f"expected one kind of data; found {names}")
    if not found:
        kinds = "".join(f"\n  - {kind.name}: {kind.detail}" for kind in FORMATS).replace("`", "")
        raise bad_file(path, f"expected one of{kinds}\nfound {_contents(path)}")
    return found[0]


def _contents(path: Path) -> str:
    state = path.stat()
    if stat.S_ISREG(state.st_mode):
        return f"a file of {state.st_size} bytes"
    if not stat.S_ISDIR(state.st_mode):
        return kind_of_file(state.st_mode)
    names = sorted(printable(entry.name) for entry in path.iterdir())
    if not names:
        return "an empty folder"
    return f"a folder with {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"

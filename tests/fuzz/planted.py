"""Readers with a fault each, by which it is seen that the fuzzer finds what it is for."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.fuzz.readers import Reader
from tests.fuzz.seeds import Seed

from isoconv.errors import DataFileError, DataWarning

__all__ = ["FAULTS", "SEED", "readers_of"]

SEED = Seed("planted", "text", {"text": b"some content"}, target="text")


def _key_error(path: Path) -> Any:
    nothing: dict[str, Any] = {}
    return nothing[path.name]


def _busy(path: Path) -> Any:
    while path:
        pass


def _waits(path: Path) -> Any:
    time.sleep(3600)


def _deaf(path: Path) -> Any:
    # As native code may be: nothing that Python does comes through.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF, signal.SIGALRM})
    time.sleep(3600)


def _takes_memory(path: Path) -> Any:
    return bytearray(1 << 40)


def _prints(path: Path) -> Any:
    print(path)  # noqa: T201


def _native_output(path: Path) -> Any:
    os.write(2, b"from native code\n")


def _warns(path: Path) -> Any:
    warnings.warn("it is odd", UserWarning, stacklevel=1)


def _crashes(path: Path) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


def _exits(path: Path) -> Any:
    sys.exit(3)


def _ends(path: Path) -> Any:
    os._exit(0)


def _raw(text: str) -> DataFileError:
    """An error that shows a text as it is, whatever errors of the library do with theirs."""

    class RawError(DataFileError):
        def __str__(self) -> str:
            return text

    return RawError("a file")


def _escapes(path: Path) -> Any:
    raise _raw("a file called \x1b[2J")


def _endless(path: Path) -> Any:
    raise _raw("a" * 100_000)


def _writes(path: Path) -> Any:
    path.with_name("beside").write_bytes(b"")


def _reads_beside(path: Path) -> Any:
    with contextlib.suppress(FileNotFoundError):
        return (path.parents[2] / "elsewhere").read_bytes()
    return None


def _starts(path: Path) -> Any:
    os.system("true")  # noqa: S605, S607  # it must be found


def _removes(path: Path) -> Any:
    path.unlink(missing_ok=True)


def _notes(path: Path) -> Any:
    return ["one", "two \u202e"]


def _right(path: Path) -> Any:
    warnings.warn("some images are alike", DataWarning, stacklevel=1)
    with tempfile.TemporaryFile() as file:
        file.write(path.read_bytes())
    return ["one", "two"]


def _refuses(path: Path) -> Any:
    raise DataFileError(f"{path}: expected\nanother file")


FAULTS: Mapping[str, tuple[Reader, str]] = {
    "KeyError": (_key_error, "KeyError at fuzz/planted.py:_key_error"),
    "busy": (_busy, "_TooLongError at fuzz/planted.py:_busy"),
    "waits": (_waits, "_TooLongError at fuzz/planted.py:_waits"),
    "deaf": (_deaf, "it hangs"),
    "memory": (_takes_memory, "MemoryError at fuzz/planted.py:_takes_memory"),
    "prints": (_prints, "written to standard output or error"),
    "native": (_native_output, "written to standard output or error"),
    "warns": (_warns, "a warning: UserWarning"),
    "crashes": (_crashes, "a crash: SIGSEGV"),
    "exits": (_exits, "SystemExit at fuzz/planted.py:_exits"),
    "ends": (_ends, "the process ended: 0"),
    "escapes": (
        _escapes,
        "a message that is not printable: RawError at fuzz/planted.py:_escapes",
    ),
    "notes": (_notes, "a message that is not printable"),
    "endless": (_endless, "a message without end: RawError at fuzz/planted.py:_endless"),
    "writes": (_writes, "written beside its files"),
    "removes": (_removes, "os.remove beside its files"),
    "reads": (_reads_beside, "read beside its files"),
    "starts": (_starts, "os.system beside its files"),
    "right": (_right, ""),
    "refuses": (_refuses, ""),
}
"""A reader of each name, and what is to be found of it; "" for nothing."""


def readers_of(kind: str, number: int) -> tuple[Reader, ...]:
    """One reader for each number, in the order of `FAULTS`."""
    return (list(FAULTS.values())[number % len(FAULTS)][0],)

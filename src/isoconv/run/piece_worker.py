"""A process that works on pieces (`pieces`): what it is told, what it answers, how it ends."""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import queue
import signal
import site
import struct
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from typing import IO, Any

from isoconv.errors import ArgumentError, IsoconvError
from isoconv.graph.passes import check_passes
from isoconv.memory import set_limit
from isoconv.signals import ended_by_exception, number_of
from isoconv.wording import spoken_on_the_command_line

SIZE = struct.Struct("<q")
"""Bytes that follow."""
PATIENCE = 10.0
"""Seconds that a process has for saving what it is at when it is asked to end."""

_MOMENT = 1.0
"""Seconds between two looks at the process that gives pieces."""
_ending = threading.Lock()
"""Held by the first who finds that it is gone: asked twice, a training would end unsaved."""

Send = Callable[[str, Any], None]
"""Sends a kind of answer and what it is."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a process is to know of the one that it works for.

    Attributes:
        passes_checked: whether results of passes are checked.
        memory: bytes that it may have in all, or None.
        options: of the command line that speaks, or None.
    """

    passes_checked: bool
    memory: int | None
    options: Mapping[str, str] | None


def serve() -> None:
    """Work on what comes in on standard input until it ends; a process's whole life."""
    # Packages that are installed in place are found by what this reads.
    site.main()
    code, source, parent = 0, sys.stdin.buffer, os.getppid()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    writing = threading.Lock()

    def send(kind: str, content: Any) -> None:
        pickled = pickle.dumps((kind, content))
        with writing:
            answers.write(SIZE.pack(len(pickled)) + pickled)
            answers.flush()

    try:
        with ended_by_exception(), contextlib.suppress(BrokenPipeError):
            _serve(source, send, parent)
    except KeyboardInterrupt as error:
        code = 128 + number_of(error)
    except EOFError:
        # The other process ended at once.
        pass
    except BaseException:  # noqa: BLE001 - nobody is left to raise it to
        traceback.print_exc()
        code = 1
    finally:
        sys.stderr.flush()
        # A thread may be reading still.
        os._exit(code)


def _serve(source: IO[bytes], send: Send, parent: int) -> None:
    around, pickled, places, descriptors = pickle.loads(_take(source))  # noqa: S301  # our parent
    arrays = _arrays(places, descriptors, source)
    check_passes(around.passes_checked)
    set_limit(around.memory)
    speaks: AbstractContextManager[None] = contextlib.nullcontext()
    if around.options is not None:
        speaks = spoken_on_the_command_line(around.options)
    pieces: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    busy = threading.Event()
    for target, first in ((_listen, source), (_mind, parent)):
        threading.Thread(target=target, args=(first, pieces, busy), daemon=True).start()
    made = cache(partial(_work, pickled, arrays))
    with speaks:
        while (piece := pieces.get()) is not None:
            busy.set()
            answer(made, partial(pickle.loads, piece), send)
            busy.clear()


def answer(work: Callable[[], Any], piece: Callable[[], Any], send: Send) -> None:
    """Work on a piece, and send what is told of it, its warnings, and "done" or "failed"."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            result = work()(piece(), lambda what: send("told", what))
        for warning in caught:
            send("warned", warning.message)
        send("done", result)
    except Exception as error:  # noqa: BLE001 - it is raised where it can be seen
        _fail(error, send)


def _arrays(
    places: list[tuple[int, int, bool]], descriptors: tuple[int, ...], source: IO[bytes]
) -> list[Any]:
    """The large arrays: in the file that all processes share, or behind what was told."""
    if not descriptors:
        return [_take(source) if fixed else bytearray(_take(source)) for _, _, fixed in places]
    # What is written stays this process's own.
    whole = memoryview(mmap.mmap(descriptors[0], 0, access=mmap.ACCESS_COPY))
    os.close(descriptors[0])
    parts = [(whole[offset : offset + size], fixed) for offset, size, fixed in places]
    return [part.toreadonly() if fixed else part for part, fixed in parts]


def _work(pickled: bytes, arrays: list[Any]) -> Any:
    try:
        return pickle.loads(pickled, buffers=arrays)  # noqa: S301  # only our parent holds the pipe
    except (AttributeError, ImportError) as error:
        raise ArgumentError(
            f"workers must be 1 for what another process cannot import ({error}); it can where "
            "classes and functions stand in a module of their own",
            argument="workers",
        ) from error


def _fail(error: Exception, send: Send) -> None:
    if not isinstance(error, IsoconvError):
        error.add_note(f"in another process:\n{traceback.format_exc()}")
    try:
        send("failed", error)
    except (pickle.PicklingError, AttributeError, TypeError):
        send("failed", RuntimeError(traceback.format_exc()))


def _listen(
    source: IO[bytes], pieces: queue.SimpleQueue[bytes | None], busy: threading.Event
) -> None:
    """Hear of pieces, and of the end of the process that gives them."""
    with contextlib.suppress(EOFError):
        while True:
            pieces.put(_take(source))
    _end(pieces, busy)


def _mind(parent: int, pieces: queue.SimpleQueue[bytes | None], busy: threading.Event) -> None:
    """See that the process that gives pieces is there: a child of its own may hold its pipes."""
    while os.getppid() == parent:
        time.sleep(_MOMENT)
    _end(pieces, busy)


def _end(pieces: queue.SimpleQueue[bytes | None], busy: threading.Event) -> None:
    """Let what is under way be saved, and end."""
    if not _ending.acquire(blocking=False):
        return
    pieces.put(None)
    if busy.is_set():
        # Trainings save where they stand.
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(1)


def _take(source: IO[bytes]) -> bytes:
    head = source.read(SIZE.size)
    if len(head) < SIZE.size:
        raise EOFError
    (size,) = SIZE.unpack(head)
    content = source.read(size)
    if len(content) < size:
        raise EOFError
    return content

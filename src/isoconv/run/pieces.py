"""Independent pieces of work: one after the other, or in several processes at the same time.

What is done with a piece is an object that can be pickled and called; pieces can be pickled too,
and none needs what comes of another one. So whoever carries them out (`Mapper`) may do so in any
order and at any place. Two who do are here: `InTurn`, and `Processes` of this machine.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from signal import Signals
from typing import Any, Protocol, TypeVar

from isoconv.checks import check_count, refusal
from isoconv.compile.native.fork import renew_in_child
from isoconv.compile.native.interpreter import Interpreter
from isoconv.cores import cores
from isoconv.errors import TrainingError
from isoconv.graph.passes import passes_are_checked
from isoconv.memory import limit_now
from isoconv.run import piece_worker
from isoconv.run.piece_worker import PATIENCE, SIZE, Surroundings
from isoconv.wording import spoken_options

Piece = TypeVar("Piece")
Result = TypeVar("Result")
Piece_contra = TypeVar("Piece_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)

Tell = Callable[[Any], None]
"""Takes what is told of a piece while it is worked on."""

_LARGE = 1 << 16
"""Bytes from which on an array goes past the pickle."""
_LINE = 64
"""What arrays in a file begin at multiples of."""


class Work(Protocol[Piece_contra, Result_co]):
    """What is done with each piece; it can be pickled, as pieces and results can."""

    def __call__(self, piece: Piece_contra, tell: Tell, /) -> Result_co:
        """Work on one piece.

        Args:
            piece: any of them, in any process.
            tell: takes what is to be known of it meanwhile.
        """


class Mapper(Protocol):
    """Whoever carries out pieces of work: in this process, in others, on other machines."""

    def map(
        self,
        work: Work[Piece, Result],
        pieces: Iterable[Piece],
        told: Callable[[Piece, Any], None] | None = None,
    ) -> Generator[tuple[Piece, Result], None, None]:
        """Each piece with what came of it, as they come.

        Pieces are taken in their order, each when somebody is free to work on it and the result
        before was looked at. Closing the generator ends what is under way.

        Args:
            work: what is done with each.
            pieces: what it is done with.
            told: called, in this thread, with what is told of a piece that is under way.

        Raises:
            TrainingError: who worked on a piece is gone.
            Exception: what the work raises.
        """


class SizedMapper(Mapper, Protocol):
    """One that knows how many pieces it can work on at the same time."""

    @property
    def size(self) -> int:
        """How many, as it is now."""


class Machines(Protocol):
    """Other machines, which carry out pieces: `isoconv.Cluster`."""

    def mapper(
        self, tell: Callable[[str], None], writes: Path | None = None, reads: Sequence[Path] = ()
    ) -> AbstractContextManager[SizedMapper]:
        """Who works on them.

        Args:
            tell: says a line to a person.
            writes: a folder that the work writes to; None for none.
            reads: files that it reads; of many that lie together one.
        """


class InTurn:
    """Works on one piece after the other, here.

    Example:
        >>> list(InTurn().map(lambda piece, tell: piece * piece, range(3)))
        [(0, 0), (1, 1), (2, 4)]
    """

    def map(
        self,
        work: Work[Piece, Result],
        pieces: Iterable[Piece],
        told: Callable[[Piece, Any], None] | None = None,
    ) -> Generator[tuple[Piece, Result], None, None]:
        """See `Mapper`."""
        for piece in pieces:

            def tell(what: Any, piece: Piece = piece) -> None:
                if told is not None:
                    told(piece, what)

            yield piece, work(piece, tell)


class Processes:
    """Works on several pieces at a time, each in a process of its own.

    Such a process imports what it needs, and neither sees nor runs the user's program. Large arrays
    of the work are one copy in memory for all. It ends when this process does, however that ends,
    and has ten seconds to save what it is at. Of a limit of memory each has its part.

    Args:
        workers: how many.

    Raises:
        ArgumentError: below 1.
    """

    def __init__(self, workers: int) -> None:
        self.workers = check_count("workers", workers)

    def map(
        self,
        work: Work[Piece, Result],
        pieces: Iterable[Piece],
        told: Callable[[Piece, Any], None] | None = None,
    ) -> Generator[tuple[Piece, Result], None, None]:
        """See `Mapper`.

        Raises:
            ArgumentError: the work cannot be sent to another process, or none can be started.
        """
        waiting = iter(pieces)
        doing: dict[_Worker, Piece] = {}
        with _Crew(work, self.workers) as crew:
            for piece in _first(waiting, self.workers):
                worker = crew.start()
                doing[worker] = piece
                worker.give(piece)
            while doing:
                worker, kind, content = crew.answer()
                if kind == "told":
                    if told is not None:
                        told(doing[worker], content)
                    continue
                if kind == "warned":
                    warnings.warn(content, stacklevel=2)
                    continue
                piece = doing.pop(worker)
                if kind == "failed":
                    raise content
                if kind == "gone":
                    raise TrainingError(f"a process that worked on {piece} {worker.how_it_ended()}")
                yield piece, content
                for piece in _first(waiting, 1):
                    doing[worker] = piece
                    worker.give(piece)


def check_machines(cluster: Machines | None, workers: int) -> None:
    """See that a cluster is one, and that nobody asked for processes of this machine beside it.

    Raises:
        ArgumentError: it is none, or somebody did.
    """
    if cluster is None:
        return
    if isinstance(cluster, type) or not callable(getattr(cluster, "mapper", None)):
        raise refusal("cluster", "be an isoconv.Cluster or None", cluster)
    if workers != 1:
        raise refusal("workers", "be 1 with a cluster, which has its own", workers)


def mapper_for(workers: int) -> Mapper:
    """Who works in so many processes: this one alone, or others.

    Raises:
        ArgumentError: below 1.
    """
    return InTurn() if check_count("workers", workers) == 1 else Processes(workers)


def threads_for(workers: int, threads: int | None) -> int:
    """How many threads each of several processes has: as asked for, or its part of the cores.

    Example:
        >>> threads_for(3, 2)
        2
    """
    return max(1, cores() // workers) if threads is None else threads


def division(workers: int, threads: int) -> str:
    """How work is divided, in words; and that this is more than there are cores, if it is."""
    here = cores()
    many = "" if workers * threads <= here else f", more than the {_counted(here, 'core')} here"
    return f"{workers} processes of {_counted(threads, 'thread')} each{many}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _first(pieces: Iterator[Piece], count: int) -> Iterator[Piece]:
    for _, piece in zip(range(count), pieces, strict=False):
        yield piece


class _Crew:
    """The processes that work, and what comes from them.

    Args:
        work: what they do.
        most: how many there may be.
    """

    def __init__(self, work: Any, most: int) -> None:
        self._parcel = _Parcel(work)
        self._most = most
        self._workers: list[_Worker] = []
        self._answers: queue.SimpleQueue[tuple[_Worker, str, Any]] = queue.SimpleQueue()

    def start(self) -> _Worker:
        """One more."""
        limit = limit_now()
        around = Surroundings(
            passes_are_checked(),
            None if limit is None else limit // (self._most + 1),
            spoken_options(),
        )
        worker = _Worker(self._parcel, around, self._answers)
        self._workers.append(worker)
        if not worker.runs:
            rule = "be 1, for no other Python can be started here"
            raise refusal("workers", rule, self._most)
        return worker

    def answer(self) -> tuple[_Worker, str, Any]:
        """The next thing that one of them has to say."""
        while True:
            # Without an end to the waiting, Ctrl-C would not be heard on Windows.
            with contextlib.suppress(queue.Empty):
                return self._answers.get(timeout=1)

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for worker in self._workers:
                worker.ask_to_end()
            until = time.monotonic() + PATIENCE
            for worker in self._workers:
                worker.wait(max(0.0, until - time.monotonic()))
        finally:
            # One more interrupt ends the waiting.
            for worker in self._workers:
                worker.close()
            self._parcel.close()


class _Worker:
    """A process that works, and the thread that listens to it.

    Args:
        parcel: what it is to do.
        around: what it is to know of this process.
        answers: where to put what it says.
    """

    def __init__(
        self,
        parcel: _Parcel,
        around: Surroundings,
        answers: queue.SimpleQueue[tuple[_Worker, str, Any]],
    ) -> None:
        self._answers = answers
        self._python = Interpreter(piece_worker.__name__, descriptors=parcel.descriptors)
        self._thread: threading.Thread | None = None
        if not self._python.runs:
            return
        renew_in_child(self, _Worker._renew)
        self._thread = threading.Thread(target=self._listen, daemon=True, name="isoconv-pieces")
        self._thread.start()
        self._send(pickle.dumps((around, parcel.pickled, parcel.places, parcel.descriptors)))
        if not parcel.descriptors:
            for array in parcel.arrays:
                self._send(array)

    def _renew(self) -> None:
        """In a forked process: the thread is the parent's."""
        self._thread = None

    @property
    def runs(self) -> bool:
        """Whether it could be started."""
        return self._python.runs

    def give(self, piece: Any) -> None:
        """Let it work on a piece."""
        self._send(pickle.dumps(piece))

    def _send(self, content: bytes | memoryview) -> None:
        # One that has ended is heard of where it was listened to.
        with contextlib.suppress(OSError, EOFError):
            self._python.write(SIZE.pack(len(content)))
            self._python.write(content)

    def _listen(self) -> None:
        try:
            while True:
                (size,) = SIZE.unpack(self._python.read(SIZE.size))
                # Our own child alone holds the pipe.
                kind, content = pickle.loads(self._python.read(size))  # noqa: S301
                self._answers.put((self, kind, content))
        except Exception:  # noqa: BLE001 - whatever it says that is none of this, it is of no use
            self._answers.put((self, "gone", None))

    def how_it_ended(self) -> str:
        """How it did, which was not asked to."""
        code = self._python.wait(PATIENCE)
        if code is None:
            return "answers no more"
        if code >= 0:
            return f"ended with exit code {code}"
        name = Signals(-code).name if -code in {*Signals} else f"signal {-code}"
        why = ", as by a system that is short of memory" if name == "SIGKILL" else ""
        return f"was ended by {name}{why}"

    def ask_to_end(self) -> None:
        """Let it save what it is at and end."""
        self._python.end_input()

    def wait(self, seconds: float) -> None:
        """See it end."""
        self._python.wait(seconds)

    def close(self) -> None:
        """End it, whatever it does."""
        self._python.kill()
        if self._thread is not None:
            self._thread.join()
        self._python.close_pipes()


class _Parcel:
    """Work as it is sent: a pickle, and large arrays beside it, in a file without a name.

    Attributes:
        pickled: the pickle.
        arrays: the large arrays.
        places: of each its offset in the file, its size, and whether it may not be written to.
        descriptors: that of the file; none where processes cannot be given one, and without arrays.

    Raises:
        ArgumentError: the work cannot be pickled.
        TrainingError: there is no room for the file.
    """

    def __init__(self, work: Any) -> None:
        self.arrays: list[memoryview] = []
        self.places: list[tuple[int, int, bool]] = []
        self.descriptors: tuple[int, ...] = ()
        self._file: Any = None
        try:
            self.pickled = pickle.dumps(work, protocol=5, buffer_callback=self._stays)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            rule = (
                f"be 1 for what cannot be sent to another process ({error}); it can where classes "
                "and functions stand in a module"
            )
            raise refusal("workers", rule, "more") from error
        offset = 0
        for array in self.arrays:
            self.places.append((offset, len(array), array.readonly))
            offset += -(-len(array) // _LINE) * _LINE
        if self.arrays and os.name == "posix":
            self._write()

    def _stays(self, buffer: pickle.PickleBuffer) -> bool:
        """Whether an array stays in the pickle."""
        array = buffer.raw()
        if len(array) < _LARGE:
            return True
        self.arrays.append(array)
        return False

    def _write(self) -> None:
        # No name is left of it, whatever ends this process.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        try:
            for array, (offset, _, _) in zip(self.arrays, self.places, strict=True):
                self._file.seek(offset)
                self._file.write(array)
            self._file.flush()
        except OSError as error:
            self.close()
            raise TrainingError(f"data cannot be given to other processes: {error}") from error
        self.descriptors = (self._file.fileno(),)

    def close(self) -> None:
        """Give up the file."""
        if self._file is not None:
            self._file.close()

"""One mutant and its readers, within a process whose time, memory and doings are watched."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.mutate import Mutant
from tests.fuzz.readers import Reader, said_by

import isoconv
from isoconv.errors import DataWarning, IsoconvError

__all__ = ["HANGS", "Fault", "Limits", "serve"]

HANGS = "it hangs"
"""The fault of a process that had to be killed."""
_LONGEST = 1 << 16
"""Characters of the longest message; one that lists 20 files has a few thousand."""
_TEMPORARY = "temporary"
"""The folder for temporary files, which readers may write."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_NEVER = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect",
          "socket.bind", "pickle.find_class")  # fmt: skip
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod",
            "os.truncate", "shutil.rmtree", "shutil.move", "shutil.copyfile")  # fmt: skip
_MAY_READ = (
    "/dev/null", "/dev/urandom", "/etc/mime.types", "/proc/", "/sys/", "/usr/", "/lib/",
    *(
        f"{place}/"
        for folder in (sys.prefix, sys.base_prefix)
        for place in (folder, os.path.realpath(folder))
    ),
    f"{Path(isoconv.__file__).parent}/", f"{Path(__file__).parents[1]}/",
)  # fmt: skip
"""What Python and libraries read for themselves."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a case may take.

    Attributes:
        seconds: of the processor's time, for each reader.
        wall: seconds that a reader may take where it waits.
        memory: bytes that the process may grow.
    """

    seconds: float = 5.0
    wall: float = 20.0
    memory: int = 512 << 20


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that no reader may do.

    Attributes:
        number: of the mutant.
        kind: of its seed.
        what: the fault in short, by which those alike are counted once.
        reader: that was called.
        text: the traceback, or what was written where nothing is to be written.
    """

    number: int
    kind: str
    what: str
    reader: str = ""
    text: str = field(default="", compare=False)

    @property
    def greedy(self) -> bool:
        """Whether it took too much time or memory."""
        return self.what.startswith(("MemoryError", "_TooLongError", HANGS))


class _TooLongError(BaseException):
    """A reader takes too long; nothing that catches errors is to catch it."""


class _Watch:
    """Notes what a process opens and changes that is not its own."""

    def __init__(self, scratch: Path) -> None:
        self._own = os.fspath(scratch)
        self._temporary = os.fspath(scratch / _TEMPORARY)
        self.found: list[str] = []
        self.on = False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        """The hook that Python calls before what it does with files and processes."""
        if not self.on:
            return
        if event == "open":
            path, _, flags = args
            if isinstance(path, int):
                return
            self._opened(os.path.abspath(os.fsdecode(path)), flags or 0)  # noqa: PTH100
        elif event in _NEVER:
            self.found.append(f"{event} {args[0]!r:.200}")
        elif event in _CHANGES and isinstance(args[0], (str, bytes, os.PathLike)):
            path = os.path.abspath(os.fsdecode(args[0]))  # noqa: PTH100
            if not path.startswith(self._temporary):
                self.found.append(f"{event} {path}")

    def _opened(self, path: str, flags: int) -> None:
        if flags & _WRITES:
            if not path.startswith(self._temporary):
                self.found.append(f"written: {path}")
        elif not path.startswith((self._own, *_MAY_READ)):
            self.found.append(f"read: {path}")


def _late(signum: int, frame: Any) -> None:
    raise _TooLongError("time" if signum == signal.SIGPROF else "it waits")


def _timed(limits: Limits | None) -> None:
    """Start the clocks, or stop them; they strike more than once, as native code may be deaf."""
    seconds, wall = (0.0, 0.0) if limits is None else (limits.seconds, limits.wall)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0 if seconds else 0.0)
    signal.setitimer(signal.ITIMER_REAL, wall, 1.0 if wall else 0.0)


def _wrong_text(text: str) -> str:
    """What is wrong with a text that a person is to see; "" for nothing."""
    if len(text) > _LONGEST:
        return "a message without end"
    odd = next((line for line in text.split("\n") if not line.isprintable()), None)
    return "" if odd is None else "a message that is not printable"


def _where(error: BaseException) -> str:
    """The innermost place in the library that an error went through."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.name != _late.__name__
    ]
    own = [frame for frame in frames if "isoconv" in Path(frame.filename).parts]
    frame = (own or frames)[-1]
    return f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.name}"


class _Case:
    """Calls readers one after the other; what they do wrong is gathered."""

    def __init__(self, limits: Limits, watch: _Watch, output: int) -> None:
        self._limits, self._watch, self._output = limits, watch, output

    def of(self, mutant: Mutant, readers: Sequence[Reader], folder: Path) -> list[Fault]:
        """The faults of one mutant, at most one for each reader."""
        path = mutant.write(folder)
        faults = []
        for reader in readers:
            found = self._read(reader, path)
            if found is not None:
                what, text = found
                name = reader.__name__.strip("_")
                faults.append(Fault(mutant.number, mutant.seed.kind, what, name, text))
        return faults

    def _read(self, reader: Reader, path: Path) -> tuple[str, str] | None:
        """Call one reader."""
        found: tuple[str, str] | None = None
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            self._watch.on = True
            try:
                _timed(self._limits)
                lines = list(said_by(reader(path)))
                _timed(None)
                found = next(
                    ((odd, repr(line)) for line in lines if (odd := _wrong_text(line))), None
                )
            except IsoconvError as error:
                _timed(None)
                odd = _wrong_text(str(error))
                if odd:
                    found = f"{odd}: {type(error).__name__} at {_where(error)}", _traced(error)
            except BaseException as error:  # noqa: BLE001  # that is what is looked for
                _timed(None)
                found = f"{type(error).__name__} at {_where(error)}", _traced(error)
            finally:
                _timed(None)
                self._watch.on = False
        beside = self._beside(said)
        return found or beside

    def _beside(self, said: list[warnings.WarningMessage]) -> tuple[str, str] | None:
        """What a reader did beside its work."""
        doings, self._watch.found = self._watch.found, []
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        output = os.pread(self._output, 2000, 0)
        if output:
            os.ftruncate(self._output, 0)
            os.lseek(self._output, 0, os.SEEK_SET)
            text = output.decode("utf-8", "replace")
            return "written to standard output or error", repr(text)
        if doings:
            return doings[0].partition(" ")[0].rstrip(":") + " beside its files", "\n".join(
                doings[:20]
            )
        for each in said:
            text = str(each.message)
            if not issubclass(each.category, DataWarning) or _wrong_text(text):
                return f"a warning: {each.category.__name__}", f"{each.filename}: {text}"
        return None


def _traced(error: BaseException) -> str:
    lines = "".join(traceback.format_exception(error, limit=-12))
    return lines if len(lines) < 6000 else f"{lines[:2000]}\n…\n{lines[-3000:]}"


def _limit_memory(growth: int) -> None:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    now = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + growth, resource.RLIM_INFINITY))


def serve(
    numbers: Sequence[int],
    made: Callable[[int], Mutant | None],
    readers: Callable[[str, int], Sequence[Reader]],
    limits: Limits,
    scratch: Path,
    answers: int,
    output: int,
) -> None:
    """Go through mutants in this process, which serves nothing else and ends afterwards.

    Args:
        numbers: of the mutants.
        made: makes one.
        readers: of a kind and a number.
        limits: what each may take.
        scratch: an empty folder.
        answers: where to write, line by line, ``s NUMBER`` before a mutant, ``f`` and a fault as
            JSON, ``k KIND`` behind a mutant, ``e`` at the end.
        output: an open file that takes the place of standard output and standard error.
    """
    for standard in (1, 2):
        os.dup2(output, standard)
    faulthandler.enable(2, all_threads=False)
    (scratch / _TEMPORARY).mkdir()
    tempfile.tempdir = str(scratch / _TEMPORARY)
    watch = _Watch(scratch)
    sys.addaudithook(watch)
    # Its parent ends it where somebody asks for that.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, _late)
    signal.signal(signal.SIGALRM, _late)
    _limit_memory(limits.memory)
    case = _Case(limits, watch, output)
    for number in numbers:
        os.write(answers, b"s %d\n" % number)
        folder = scratch / str(number)
        folder.mkdir()
        kind = "none"
        try:
            mutant = made(number)
            faults = []
            if mutant is not None:
                kind = mutant.seed.kind
                faults = case.of(mutant, readers(kind, number), folder)
        except Exception as error:  # noqa: BLE001  # the fuzzer's own faults are told like others
            faults = [
                Fault(number, kind, f"the fuzzer: {type(error).__name__}", "", _traced(error))
            ]
        for fault in faults:
            os.write(answers, b"f " + json.dumps(asdict(fault)).encode() + b"\n")
        os.write(answers, b"k " + kind.encode() + b"\n")
        shutil.rmtree(folder, ignore_errors=True)
        if any(fault.greedy for fault in faults):
            # What it left behind is not the next one's.
            break
    os.write(answers, b"e\n")

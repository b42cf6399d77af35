"""A fresh Python beside this process, and pipes to it and from it.

It neither sees nor runs the user's program, and finds modules where this process does. However
this process ends, the other one's input ends with it; Ctrl-C is for this one alone. A process
forked from this one has none: it neither reads from those of its parent nor ends them.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from isoconv.compile.native.fork import renew_in_child, undivided

_PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
if hasattr(signal, "pthread_sigmask"):
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from {} import serve
serve()
"""


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C waits in this thread, and in a process that is started within.

    That one ignores it from its first instruction on, but it comes to Python's own start before.
    Windows starts it without a console, whose Ctrl-C it would hear.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _python() -> str | None:
    """A Python to start; None where this process is another program with Python inside."""
    if getattr(sys, "frozen", False) or not sys.executable:
        return None
    return sys.executable if Path(sys.executable).stem.lower().startswith("python") else None


class Interpreter:
    """Another Python.

    Args:
        module: whose function ``serve`` it runs, once it knows where modules are.
        quiet: whether nobody hears of what it writes to standard error.
        descriptors: of files that it is to have open, by the same numbers; not on Windows.

    Attributes:
        is_ours: whether it was not started by a process that this one was forked from.
        runs: whether it was started.
    """

    def __init__(
        self, module: str, *, quiet: bool = False, descriptors: Sequence[int] = ()
    ) -> None:
        self.is_ours = True
        self._process: subprocess.Popen[bytes] | None = None
        python = _python()
        if python is None:
            return
        renew_in_child(self, Interpreter._renew)
        with contextlib.suppress(OSError):
            # A fork in between would take pipes along that nobody in the child knows to close.
            with undivided, _without_interrupts():
                self._process = subprocess.Popen(  # noqa: S603  # the Python that runs this
                    [python, "-I", "-S", "-c", _PROGRAM.format(module)],
                    # What a buffer holds would be written by parent and child.
                    bufsize=0,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL if quiet else None,
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                    pass_fds=descriptors,
                )
            # So little fits into any pipe.
            self.write(pickle.dumps([*sys.path, str(Path(__file__).parents[3])]))

    def _renew(self) -> None:
        """In a forked process: it is the parent's, with its pipes."""
        self.is_ours = False
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        # Nobody here is to wait for a process that is not a child of this one.
        process.returncode = 0

    @property
    def runs(self) -> bool:
        """Whether it was started."""
        return self._process is not None

    def write(self, content: bytes | memoryview) -> None:
        """All of it.

        Raises:
            OSError: it reads no more.
        """
        rest = memoryview(content)
        while rest:
            rest = rest[self._pipe("stdin").write(rest) :]

    def read(self, size: int) -> bytes:
        """So many bytes.

        Raises:
            EOFError: it writes no more.
        """
        parts: list[bytes] = []
        while size:
            # A pipe without a buffer gives what it has.
            parts.append(self._pipe("stdout").read(size))
            if not parts[-1]:
                raise EOFError
            size -= len(parts[-1])
        return b"".join(parts)

    def _pipe(self, name: str) -> IO[bytes]:
        pipe: IO[bytes] | None = getattr(self._process, name, None)
        if pipe is None:
            raise EOFError
        return pipe

    def end_input(self) -> None:
        """Nothing more is written to it."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def wait(self, seconds: float) -> int | None:
        """Its exit code (of a signal its number, negative); None if it has not ended by then."""
        if self._process is None:
            return 0
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def kill(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close_pipes(self) -> None:
        """Close them, once nobody reads or writes any more."""
        self.end_input()
        if self._process is not None and self._process.stdout is not None:
            with contextlib.suppress(OSError):
                self._process.stdout.close()

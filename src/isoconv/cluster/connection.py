"""The connection to a Ray cluster: its nodes, and actors on them."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoconv.compile.native.fork import renew_in_child
from isoconv.errors import IsoconvError, MissingExtraError, NotEnoughMemoryError, TrainingError
from isoconv.printable import printable

OUT_OF_MEMORY = "its node ran out of memory"
"""Why a worker died that Ray has killed for the memory that it took."""


AUTO = "auto"
"""The cluster that this machine is part of."""
_KNOCK_SECONDS = 5.0
_FRAME, _SETTINGS = 9, 4  # bytes of an HTTP/2 frame's head, and its type where it holds settings
_TLS_ALERT = 21  # the first byte of one
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])
_MOMENT = 1.0
"""Seconds between two looks at those who are waited for."""
_SIGNS = "signs"
"""The calls of an actor that are answered while others are under way."""
_RAYLET = re.compile(r".*/raylet(\.\d+)?")
"""The name of the socket by which a node knows that a driver lives."""


class LostError(Exception):
    """A worker, or what it had made, is gone; the text says what Ray knows of it.

    Attributes:
        own: whether it is the worker that was called; otherwise it is one whose results were to be
            worked with.
    """

    def __init__(self, text: str, *, own: bool = False) -> None:
        super().__init__(text)
        self.own = own


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: of Ray's own, hexadecimal.
        host: its name.
        cpus: that Ray may give out on it.
        store: bytes of its object store.
    """

    id: str
    host: str
    cpus: int
    store: int

    @property
    def name(self) -> str:
        """What a person reads: several nodes may share a machine."""
        return f"{printable(self.host)} ({self.id[:8]})"


def first_line(error: BaseException) -> str:
    """What an error says, without the pages that Ray puts behind it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[0] if lines else type(error).__name__)[:300]


def _death(error: BaseException) -> str:
    """Why a worker died, as far as Ray can tell."""
    for line in str(error).splitlines():
        _, found, detail = line.partition("Worker exit detail: ")
        if found:
            return printable(detail.partition(". ")[0])[:200]
    return first_line(error)


class Connection:
    """To the cluster at an address; to that of this process if it has one already.

    Args:
        address: `AUTO`, or ``host:port``.

    Attributes:
        ray: the library.
        meanwhile: called each second or so while somebody is waited for. It may end who is: then
            the waiting ends with a `LostError`.

    Raises:
        MissingExtraError: Ray is not installed.
        TrainingError: no cluster answers there.
    """

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingExtraError(
                "training on a cluster needs Ray: pip install 'isoconv[cluster]'"
            ) from error
        self.ray: Any = ray
        self._own = not ray.is_initialized()
        try:
            if self._own:
                _knock(address)
                with _signals_stay():
                    ray.init(address=address, log_to_driver=False, configure_logging=False)
            elif address not in (AUTO, own := ray.get_runtime_context().gcs_address):
                raise ConnectionError(f"this process is connected to {own} already")
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise TrainingError(
                f"a Ray cluster must answer at {address!r}: {first_line(error)} (ray start --head "
                "begins one)",
                argument="address",
                value=address,
            ) from error
        # By a copy of such a socket in another process, a node would take a dead driver to live.
        for handle in _raylets():
            os.set_inheritable(handle, False)
        renew_in_child(self, Connection._renew)

    def _renew(self) -> None:
        """In a forked process, which has all that was open."""
        with suppress(OSError):
            nothing = os.open(os.devnull, os.O_RDWR)
            for handle in _raylets():
                os.dup2(nothing, handle, inheritable=False)
            os.close(nothing)

    def nodes(self) -> list[Node]:
        """Those that live and have processors to give."""
        found = []
        for each in self.ray.nodes():
            resources = each["Resources"]
            if each["Alive"] and resources.get("CPU", 0) >= 1:
                store = int(resources.get("object_store_memory", 0))
                host = each["NodeManagerHostname"]
                found.append(Node(each["NodeID"], host, int(resources["CPU"]), store))
        return sorted(found, key=lambda node: node.id)

    def actor(self, kind: type, node: Node, cpus: int, *arguments: Any) -> Any:
        """An actor on a node, which nobody starts again."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        place = NodeAffinitySchedulingStrategy(node.id, soft=False)
        remote = self.ray.remote(concurrency_groups={_SIGNS: 1})
        made = remote(kind).options(
            num_cpus=cpus, max_restarts=0, max_task_retries=0, scheduling_strategy=place
        )
        return made.remote(*arguments)

    def signs(self, actor: Any) -> Any:
        """What an actor that is `Living` says of itself while its other calls are under way."""
        call = actor.signs.options(num_returns="streaming", concurrency_group=_SIGNS)
        return call.remote()

    def kill(self, actor: Any) -> None:
        """End an actor, whatever it does."""
        self.ray.kill(actor)

    def put(self, value: Any) -> Any:
        """A reference to a value, which goes to each node once.

        Raises:
            NotEnoughMemoryError: the object store of this machine does not hold it.
        """
        from ray.exceptions import ObjectStoreFullError, OutOfDiskError

        try:
            return self.ray.put(value)
        except (ObjectStoreFullError, OutOfDiskError) as error:
            raise _full("this machine") from error

    def get(self, reference: Any) -> Any:
        """The value of a reference.

        Raises:
            LostError: whoever was to make it has died, or what it was to be made of is gone.
            IsoconvError: what went wrong where it was made.
        """
        from ray.exceptions import (
            GetTimeoutError,
            ObjectStoreFullError,
            OutOfDiskError,
            OutOfMemoryError,
            RayActorError,
            RayError,
            RayTaskError,
        )

        try:
            try:
                return self.ray.get(reference, timeout=_MOMENT)
            except GetTimeoutError:
                # Whoever gives up waiting for a value gives up what has come of it so far.
                while not self._is_here(reference):
                    self.meanwhile()
                return self.ray.get(reference)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, IsoconvError):
                raise cause from None
            if isinstance(cause, (ObjectStoreFullError, OutOfDiskError)):
                raise _full("its node") from None
            if isinstance(cause, RayError):
                raise LostError(first_line(cause)) from None
            raise TrainingError(f"{type(cause).__name__}: {first_line(cause)}") from error
        except (ObjectStoreFullError, OutOfDiskError):
            raise _full("its node, or of this machine,") from None
        except OutOfMemoryError:
            raise LostError(OUT_OF_MEMORY, own=True) from None
        except RayError as error:
            raise LostError(_death(error), own=isinstance(error, RayActorError)) from None

    def _is_here(self, reference: Any) -> bool:
        """Whether a value has come to this machine, or never will; waits for a moment."""
        done, _ = self.ray.wait([reference], timeout=_MOMENT, fetch_local=True)
        return bool(done)

    def ready(self, references: list[Any], seconds: float) -> list[Any]:
        """Those of some references whose values, or failures, are there within so many seconds."""
        if not references:
            return []
        end = time.monotonic() + seconds
        while True:
            left = max(0.0, end - time.monotonic())
            # What is waited for stays where it is.
            done, _ = self.ray.wait(
                references, num_returns=len(references), timeout=min(left, _MOMENT),
                fetch_local=False,
            )  # fmt: skip
            if len(done) == len(references) or left <= _MOMENT:
                return list(done)
            self.meanwhile()

    def close(self) -> None:
        """Leave the cluster, where it was joined here."""
        if self._own and self.ray.is_initialized():
            with _signals_stay():
                self.ray.shutdown()


def _full(where: str) -> NotEnoughMemoryError:
    """What is said of an object store without room: Ray names no more than the object."""
    return NotEnoughMemoryError(
        f"the object store of {where} must have room for data, weights and sums, in memory "
        "(ray start --object-store-memory says how much) or on the disk behind it; both are full"
    )


def _raylets() -> Iterator[int]:
    """The open files that are connections to this machine's part of the cluster."""
    with suppress(OSError):
        for link in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if _is_raylet(int(link.name)):
                    yield int(link.name)


def _is_raylet(handle: int) -> bool:
    if not stat.S_ISSOCK(os.fstat(handle).st_mode):
        return False
    with socket.socket(fileno=os.dup(handle)) as found:
        name = found.getpeername() if found.family == socket.AF_UNIX else ""
    return isinstance(name, str) and _RAYLET.fullmatch(name) is not None


def _knock(address: str) -> None:
    """See that a cluster answers there: Ray itself asks for minutes, whoever listens.

    Ray speaks gRPC, and so HTTP/2, where both sides begin with their settings (RFC 9113, section
    3.4). Behind TLS it gives no answer to that, or an alert, and Ray is left to find out.

    Raises:
        OSError: nobody listens, or something that answers in another way.
    """
    if address == AUTO:
        return
    host, _, port = address.rpartition(":")
    answer = b""
    with (
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS) as line,
        suppress(OSError),
    ):
        line.sendall(_HTTP2)
        while len(answer) < _FRAME and (more := line.recv(_FRAME - len(answer))):
            answer += more
    settings = len(answer) == _FRAME and answer[3] == _SETTINGS
    if answer and not settings and answer[0] != _TLS_ALERT:
        raise ConnectionError("something else than a Ray cluster listens there")


@contextmanager
def _signals_stay() -> Iterator[None]:
    """What is done with signals is as before: Ray takes SIGTERM for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:
                signal.signal(number, handler)

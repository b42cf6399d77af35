"""Work on many files by several threads; what comes of it is told in the order of the files."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from isoconv.cores import cores
from isoconv.memory import available_memory

Item = TypeVar("Item")
Result = TypeVar("Result")
Take = Callable[[int], None]
"""Waits until there is room for so many bytes; they count until the work on the file is done."""

_AHEAD = 4
"""Files for each thread that are begun or done before the first of them is asked for."""
_SHARE = 2
"""The part of the memory that there is which pictures in flight take together."""


class _StoppedError(Exception):
    """Nobody wants the results any more."""


class _Room:
    """The memory that files in flight have together.

    A file that needs more than all of it goes alone, as it would with one thread: whether there is
    memory for it at all is not decided here.

    Args:
        total: bytes; None for no bound.
    """

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._taken = 0
        self._changed = threading.Condition()
        self._open = True

    @contextmanager
    def share(self) -> Iterator[Take]:
        """What one file takes, from the first request to the end of the block."""
        own = 0

        def take(size: int) -> None:
            nonlocal own
            with self._changed:
                # Who has some never waits: two that wait for each other's would do so for ever.
                if not own:
                    self._changed.wait_for(partial(self._fits, size))
                if not self._open:
                    raise _StoppedError
                own += size
                self._taken += size

        try:
            yield take
        finally:
            with self._changed:
                self._taken -= own
                self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        if self._total is None or not self._open or not self._taken:
            return True
        return self._taken + size <= self._total

    def close(self) -> None:
        """Who waits for room, or asks for some from now on, ends."""
        with self._changed:
            self._open = False
            self._changed.notify_all()


def freely(size: int) -> None:
    """Takes memory for one file at a time, which needs no room beside others."""


def each_in_order(
    work: Callable[[Item, Take], Result], items: Sequence[Item], threads: int | None = None
) -> Generator[tuple[Item, Callable[[], Result]], None, None]:
    """Each item with what gives its result, or raises its error, in the order of the items.

    Whoever goes through them closes the iterator in the end (`contextlib.closing`): then the
    threads are gone, after no more than the file that each is at.

    Args:
        work: on an item, in any thread and in any order; it asks for memory before it takes much.
        items: any number.
        threads: that work; None for one for each core.

    Example:
        >>> found = each_in_order(lambda number, take: number * number, [1, 2, 3], threads=2)
        >>> [(number, result()) for number, result in found]
        [(1, 1), (2, 4), (3, 9)]
    """
    if threads is None:
        threads = cores() if len(items) > 1 else 1
    threads = min(threads, len(items))
    if threads < 2:
        for item in items:
            yield item, partial(work, item, freely)
        return
    memory = available_memory()
    room = _Room(None if memory is None else memory // _SHARE)

    def done(item: Item) -> Result:
        with room.share() as take:
            return work(item, take)

    pool = ThreadPoolExecutor(threads, "isoconv-reading")
    begun: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            begun.append((item, pool.submit(done, item)))
            if len(begun) > _AHEAD * threads:
                first, result = begun.popleft()
                yield first, result.result
        while begun:
            first, result = begun.popleft()
            yield first, result.result
    finally:
        room.close()
        pool.shutdown(cancel_futures=True)

"""What a forked process makes anew, and what a fork waits for.

``os.fork`` copies all memory, and of all threads the one that calls it. The others are gone in the
child, in the middle of whatever they did: a lock that one of them held is never opened there, work
that was handed to one is never done. So whoever keeps threads, locks or processes follows one of
two rules:

- what can be made anew is made anew in the child (`renew_in_child`);
- what must not be cut in two is done while holding `undivided`: a fork waits for its end.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

Thing = TypeVar("Thing")

undivided = threading.RLock()
"""Held while something is done that no other thread's fork may come in the middle of."""

_AWAITED: list[AbstractContextManager[object]] = [undivided]
_RENEWALS: dict[int, tuple[weakref.ref[Any], Callable[[Any], None]]] = {}
_NUMBERS = itertools.count()


def renew_in_child(thing: Thing, renew: Callable[[Thing], None]) -> None:
    """Call ``renew(thing)`` in every process forked from this one, before the fork returns there.

    For as long as the thing lives; what was asked for first is called first. It finds one thread,
    and all memory as it was: the others may have been anywhere in the middle of changing it.

    Args:
        thing: what has to be renewed; it is not held.
        renew: makes anew what the child lacks; does not hold the thing either.
    """
    number = next(_NUMBERS)
    forget = _RENEWALS.pop
    _RENEWALS[number] = weakref.ref(thing, lambda _: forget(number, None)), renew


def forks_wait_for(lock: AbstractContextManager[object], *, outer: bool = False) -> None:
    """Let every fork enter a reentrant lock before, and leave it after, in parent and child.

    Args:
        lock: who holds it asks neither for `undivided` nor for a lock that forks enter before it,
            which are those that were named before.
        outer: enter it before all that were named without this word, so that who holds it may ask
            for those. Freeing what nobody needs any more does, and Python frees at any time.
    """
    _AWAITED.insert(1 if outer else len(_AWAITED), lock)


def _wait() -> None:
    for lock in _AWAITED:
        lock.__enter__()


def _go_on() -> None:
    for lock in reversed(_AWAITED):
        # Ctrl-C may have ended the waiting, which Python reports: then it is not ours to open.
        with contextlib.suppress(RuntimeError):
            lock.__exit__(None, None, None)


def _begin_child() -> None:
    _go_on()
    # The copy is made at once; meanwhile things may end and be forgotten.
    for reference, renew in _RENEWALS.copy().values():
        thing = reference()
        if thing is not None:
            renew(thing)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait, after_in_parent=_go_on, after_in_child=_begin_child)

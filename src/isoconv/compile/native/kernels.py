"""Kernels by their specification: emitted, compiled and loaded once, then shared.

A specification, with a schedule where there is a choice of them, is a frozen record of everything
that shapes a kernel. Its canonical text, the target and the versions of all that turns it into
machine code make the key under which the object file is kept, in memory and on disk.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping

from isoconv.compile.native.build import toolchain
from isoconv.compile.native.cache import KernelCache
from isoconv.compile.native.fork import renew_in_child
from isoconv.compile.native.jit import LoadedLibrary
from isoconv.compile.native.runtime import RunSpec
from isoconv.compile.native.specification import Specification, meaning
from isoconv.compile.native.worker import WorkerPool, compile_all, helpers_for
from isoconv.compile.target import Target

MOST_BYTES = 128 * 2**20
"""Of loaded machine code, with what its loading took, kept whether anybody uses it or not."""
_OVERHEAD = 64 * 2**10  # bytes that LLVM needs for a loading, beside the code

Progress = Callable[[int, int], None]


def kernel_key(spec: Specification, target: Target) -> str:
    """Hexadecimal key of a kernel on a target."""
    text = f"{type(spec).__name__}\n{spec!r}\n{target!r}\n{toolchain()}"
    return hashlib.sha256(text.encode()).hexdigest()


def _symbol(spec: Specification, key: str) -> str:
    return f"{type(meaning(spec)).__name__.removesuffix('Spec').lower()}_{key[:16]}"


class Addresses(dict[Specification, int]):
    """Addresses of kernels by specification; they stay valid for as long as this object lives."""

    __slots__ = ("_held",)

    def __init__(self, found: Mapping[Specification, tuple[int, LoadedLibrary]]) -> None:
        super().__init__({spec: address for spec, (address, _) in found.items()})
        self._held = {id(home): home for _, home in found.values()}


class KernelLibrary:
    """The kernels of one process for one target.

    What was loaded together stays until it would be more than `MOST_BYTES` with all that was asked
    for since. Then it goes, as soon as the last `Addresses` with it are gone; who asks for it again
    has it loaded again.

    Args:
        target: the machine they are for.
        cache: where compiled kernels are kept between processes; None keeps none.
    """

    def __init__(self, target: Target, cache: KernelCache | None) -> None:
        self.target = target
        self.cache = cache
        self.compiled = 0
        # One table, which is whole at every moment.
        self._known: dict[str, tuple[int, LoadedLibrary]] = {}
        self._asked = 0
        self._lock = threading.Lock()
        renew_in_child(self, KernelLibrary._renew)

    def _renew(self) -> None:
        # Whatever a thread was in the middle of: a kernel has its address when it is whole.
        self._lock = threading.Lock()

    def worker_pool(self, kernels: int) -> WorkerPool:
        """Helpers for about so many kernels, so that they start while the kernels are planned.

        They are started only if it is plain that the kernels will have to be compiled: if not even
        the loop that every script needs is at hand. Otherwise `addresses` starts what it needs.
        """
        pool = WorkerPool(self.target)
        key = kernel_key(RunSpec(), self.target)
        if key not in self._known and not (self.cache is not None and self.cache.holds(key)):
            pool.grow(helpers_for(kernels))
        return pool

    def addresses(
        self,
        specs: Iterable[Specification],
        progress: Progress | None = None,
        pool: WorkerPool | None = None,
    ) -> Addresses:
        """Addresses of these kernels, compiling what is not at hand.

        Args:
            specs: specifications; equal ones are one kernel.
            progress: called with (kernels ready, kernels in all), in this thread.
            pool: helpers that were started before.

        Raises:
            CompileError: a kernel cannot be compiled or loaded.
        """
        with self._lock:
            keys = {spec: kernel_key(spec, self.target) for spec in dict.fromkeys(specs)}
            new = {key: spec for spec, key in keys.items() if key not in self._known}
            self._load(self._codes(new, len(keys), progress, pool), new)
            found = Addresses({spec: self._known[key] for spec, key in keys.items()})
            self._asked += 1
            for key in keys.values():
                self._known[key][1].asked = self._asked
            if new:
                self._forget()
            return found

    def _codes(
        self,
        new: dict[str, Specification],
        total: int,
        progress: Progress | None,
        pool: WorkerPool | None,
    ) -> dict[str, bytes]:
        """Object code of kernels by their keys, from the cache or compiled."""
        ready = total - len(new)
        codes: dict[str, bytes] = {}

        def note() -> None:
            if progress is not None:
                progress(ready + len(codes), total)

        if ready:
            note()
        missing: list[str] = []
        for key in new:
            code = self.cache.get(key) if self.cache is not None else None
            if code is None:
                missing.append(key)
            else:
                codes[key] = code
                note()

        def done(number: int, code: bytes) -> None:
            key = missing[number]
            codes[key] = code
            self.compiled += 1
            if self.cache is not None:
                self.cache.put(key, code)
            note()

        jobs = [(_symbol(new[key], key), new[key]) for key in missing]
        compile_all(jobs, self.target, done, pool=pool)
        return codes

    def _load(self, codes: dict[str, bytes], specs: dict[str, Specification]) -> None:
        if not codes:
            return
        # Loading all at once takes a twentieth of the time that one by one takes.
        loaded = LoadedLibrary(codes.values(), self.target)
        self._known |= {key: (loaded.address(_symbol(specs[key], key)), loaded) for key in codes}

    def _forget(self) -> None:
        """Keep what was asked for last, as much as there is room for."""
        homes = {id(home): home for _, home in self._known.values()}
        room, kept = MOST_BYTES, set()
        for home in sorted(homes.values(), key=lambda home: home.asked, reverse=True):
            room -= home.size + _OVERHEAD
            if room >= 0 or home.asked == self._asked:
                kept.add(id(home))
        if len(kept) < len(homes):
            self._known = {key: item for key, item in self._known.items() if id(item[1]) in kept}

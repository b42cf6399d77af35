"""Kernels by their specification: emitted, compiled and loaded once, then shared.

A specification is a frozen record of everything that shapes a kernel. Its canonical text, the
target and the versions of all that turns it into machine code make the key under which the
object file is kept, in memory and on disk.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import llvmlite
import llvmlite.binding as llvm

import isoconv.arithmetic
import isoconv.compile
from isoconv.compile.cache import KernelCache
from isoconv.compile.contract import ContractSpec
from isoconv.compile.contract_weight import ContractWeightSpec
from isoconv.compile.depthwise import DepthwiseSpec, DepthwiseWeightSpec
from isoconv.compile.jit import LoadedObject, compile_object, load_object
from isoconv.compile.loops import Kernel
from isoconv.compile.planes import PlanesSpec
from isoconv.compile.target import Target

__all__ = ["KernelLibrary", "KernelSpec", "emit_object", "kernel_key"]

_CONTRACTIONS = (ContractSpec, ContractWeightSpec, DepthwiseSpec, DepthwiseWeightSpec, PlanesSpec)

Progress = Callable[[int, int], None]


class KernelSpec(Protocol):
    """What a kernel family's specification offers."""

    @property
    def buffers(self) -> int:
        """Number of pointers the kernel takes."""

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body."""


@functools.cache
def _toolchain() -> str:
    """Versions and source text of all that turns a specification into machine code."""
    digest = hashlib.sha256()
    for package in (isoconv.compile, isoconv.arithmetic):
        for folder in package.__path__:
            for path in sorted(Path(folder).glob("*.py")):
                digest.update(path.read_bytes())
    version = ".".join(str(part) for part in llvm.llvm_version_info)
    return f"llvmlite {llvmlite.__version__} LLVM {version} sources {digest.hexdigest()}"


def kernel_key(spec: KernelSpec, target: Target) -> str:
    """Hexadecimal key of a kernel on a target."""
    text = f"{type(spec).__name__}\n{spec!r}\n{target!r}\n{_toolchain()}"
    return hashlib.sha256(text.encode()).hexdigest()


def emit_object(spec: KernelSpec, target: Target, name: str) -> bytes:
    """Emit and compile one kernel to an object file."""
    kernel = Kernel(name, target, spec.buffers)
    spec.emit(kernel)
    return compile_object(kernel.finish(), target, thorough=isinstance(spec, _CONTRACTIONS))


class KernelLibrary:
    """The kernels of one process for one target.

    Args:
        target: the machine they are for.
        cache: where compiled kernels are kept between processes; None keeps none.
    """

    def __init__(self, target: Target, cache: KernelCache | None) -> None:
        self.target = target
        self.cache = cache
        self.compiled = 0
        self._addresses: dict[str, int] = {}
        self._objects: list[LoadedObject] = []
        self._lock = threading.Lock()

    def addresses(
        self, specs: Iterable[KernelSpec], progress: Progress | None = None
    ) -> dict[KernelSpec, int]:
        """Addresses of these kernels, compiling what is not at hand.

        Args:
            specs: specifications; equal ones are one kernel.
            progress: called with (kernels ready, kernels in all).
        """
        unique = list(dict.fromkeys(specs))
        found: dict[KernelSpec, int] = {}
        with self._lock:
            for number, spec in enumerate(unique):
                found[spec] = self._address(spec)
                if progress is not None:
                    progress(number + 1, len(unique))
        return found

    def _address(self, spec: KernelSpec) -> int:
        key = kernel_key(spec, self.target)
        if key not in self._addresses:
            name = f"{type(spec).__name__.removesuffix('Spec').lower()}_{key[:16]}"
            code = self.cache.get(key) if self.cache is not None else None
            if code is None:
                code = emit_object(spec, self.target, name)
                self.compiled += 1
                if self.cache is not None:
                    self.cache.put(key, code)
            loaded = load_object(code, self.target)
            self._objects.append(loaded)
            self._addresses[key] = loaded.address(name)
        return self._addresses[key]

"""From a kernel's specification to its object code, in this process."""

from __future__ import annotations

import functools
import os
import platform
from typing import TYPE_CHECKING

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from isoconv.compile.native.collector import collector_paused
from isoconv.compile.native.emitters import effort_of, emit
from isoconv.compile.native.jit import compile_object, compile_text
from isoconv.compile.native.sources import state
from isoconv.compile.native.specification import Specification
from isoconv.compile.target import Target

if TYPE_CHECKING:
    import llvmlite.ir as ir


@functools.cache
def toolchain() -> str:
    """All that turns a specification into machine code: versions, and what the sources say.

    LLVM makes the code, llvmlite passes it the modules, emitters take constants from NumPy, and
    Python writes numbers into text and has `math`. Where nothing can be said of the sources, a
    number that no other process has stands for them, so that none takes these kernels for its own.
    """
    python = f"{platform.python_implementation()} {platform.python_version()}"
    version = ".".join(str(part) for part in llvm.llvm_version_info)
    versions = f"{python} NumPy {np.__version__} llvmlite {llvmlite.__version__} LLVM {version}"
    return f"{versions} {_code() or f'process {os.urandom(32).hex()}'}"


def is_shared() -> bool:
    """Whether other processes can know that their kernels are made as this one's are."""
    return _code() is not None


@functools.cache
def _code() -> str | None:
    return state("isoconv.compile")


def emit_object(spec: Specification, target: Target, name: str) -> bytes:
    """Emit and compile one kernel to an object file.

    Raises:
        CompileError: nothing emits it for this target, or LLVM rejects it.
    """
    with collector_paused():
        return compile_object(_module(spec, target, name), target, effort=effort_of(spec, target))


def emit_text(spec: Specification, target: Target, name: str) -> str:
    """The same kernel in assembly language; the target may be another machine's.

    Raises:
        CompileError: nothing emits it for this target, or LLVM rejects it.
    """
    return compile_text(_module(spec, target, name), target, effort=effort_of(spec, target))


def _module(spec: Specification, target: Target, name: str) -> ir.Module:
    # Where all kernels are at hand nothing of LLVM's language is needed.
    from isoconv.compile.native.loops import Kernel

    kernel = Kernel(name, target, spec.buffers)
    emit(kernel, spec)
    return kernel.build()

"""From a kernel's specification to its object code, in this process."""

from __future__ import annotations

import functools
import os
import platform
from typing import Protocol

import llvmlite
import llvmlite.binding as llvm
import numpy as np

from isoconv.compile.contraction.contract import ContractSpec
from isoconv.compile.contraction.depthwise import DepthwiseSpec, DepthwiseWeightSpec
from isoconv.compile.contraction.weight_gradient import ContractWeightSpec
from isoconv.compile.native.collector import collector_paused
from isoconv.compile.native.jit import Effort, compile_object
from isoconv.compile.native.loops import Kernel
from isoconv.compile.native.sources import state
from isoconv.compile.target import Target
from isoconv.compile.winograd.chunks import WinogradConvSpec, WinogradConvWeightSpec
from isoconv.compile.winograd.components import PlanesSpec

__all__ = ["KernelSpec", "emit_object", "is_contraction", "is_shared", "toolchain"]

_CONTRACTIONS = (ContractSpec, ContractWeightSpec, DepthwiseSpec, DepthwiseWeightSpec)


class KernelSpec(Protocol):
    """What a kernel family's specification offers."""

    @property
    def buffers(self) -> int:
        """Number of pointers the kernel takes."""

    def emit(self, k: Kernel) -> None:
        """Emit the kernel's body."""


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


def is_contraction(spec: KernelSpec) -> bool:
    """Whether this is one of the large kernels, which take the longest to compile."""
    return isinstance(_innermost(spec), _CONTRACTIONS)


def _innermost(spec: KernelSpec) -> KernelSpec:
    """The contraction that a kernel is made around, or the kernel itself."""
    if isinstance(spec, (WinogradConvSpec, WinogradConvWeightSpec)):
        spec = spec.product
    return spec.inner if isinstance(spec, PlanesSpec) else spec


def emit_object(spec: KernelSpec, target: Target, name: str) -> bytes:
    """Emit and compile one kernel to an object file."""
    with collector_paused():
        kernel = Kernel(name, target, spec.buffers)
        spec.emit(kernel)
        return compile_object(kernel.finish(), target, effort=_effort(spec, target))


def _effort(spec: KernelSpec, target: Target) -> Effort:
    """Which of LLVM's passes a kernel gains by; measured for each family, on ResNet-20 and others.

    Most gain by none: their loops are emitted as they are to run.
    """
    spec = _innermost(spec)
    if isinstance(spec, (ContractSpec, ContractWeightSpec)):
        tile = spec.tile
        held = tile.rows * tile.columns * tile.vectors + tile.vectors
        if not target.memory_broadcast and held + 1 >= target.registers:
            # Every register is taken; which values have to leave is then a matter of luck, and
            # LLVM has more of it after the whole pipeline (AVX2, 1 × 4 × 3: 228 instead of 326 µs).
            return "whole"
    return "loops" if isinstance(spec, DepthwiseSpec) else "plain"

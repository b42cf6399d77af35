"""Kernels that are free to reorder their arithmetic, beside which the exact order is timed."""

from __future__ import annotations

import re

import llvmlite.binding as llvm
import numpy as np
import pytest
from bench.libraries.isoconv_library import IsoconvLibrary
from bench.libraries.reassociated_library import ALL_PASSES, FLAGS, ReassociatedLibrary, free
from bench.measure import step_request
from bench.workloads import Step
from llvmlite.ir.module import Module

from isoconv.compile.native.cache import KernelCache
from isoconv.compile.native.loops import Kernel
from isoconv.compile.target import host_target

STEP = Step("tiny", "tiny", 8, (12, 12, 1), batches=1)


def kernel(lanes: int) -> Module:
    """A kernel of a fused multiply-add, a sum, a square root and a product in float64."""
    k = Kernel("k", host_target(), 1)
    b = k.builder
    x = k.splat_const(3.0, "float32", lanes)
    kind = x.type
    place = b.alloca(kind)
    loaded = [b.load(place, typ=kind) for _ in range(3)]
    total = b.fadd(k.fma(*loaded), loaded[0])
    suffix = f"v{lanes}f32"
    root = k.call(f"llvm.sqrt.{suffix}", kind, total)
    wide = b.fpext(root, k.vector_type("float64", lanes))
    b.store(b.fptrunc(b.fmul(wide, wide), kind), place)
    return k.build()


def float_operations(text: str) -> tuple[list[str], list[str]]:
    """Arithmetic of a module as LLVM writes it, by whether it is float32."""
    lines = re.findall(r'= (?:fadd|fsub|fmul|fdiv|fneg|call .*@"?llvm\.(?:fma|sqrt)).*', text)
    single = [line for line in lines if "float" in line]
    return single, [line for line in lines if line not in single]


@pytest.mark.parametrize("lanes", [1, 16])
def test_patched_module_carries_the_flags(lanes: int) -> None:
    """LLVM reads the flags on every float32 operation; float64 and the result's shape stay."""
    text, count = free(str(kernel(lanes)))
    with llvm.parse_assembly(text) as module:
        module.verify()
        single, double = float_operations(str(module))
    # The fused multiply-add has become a product and a sum.
    assert count == len(single) == 4
    assert all(f" {FLAGS} " in line for line in single)
    assert len(double) == 1
    assert "reassoc" not in double[0]


def test_ordinary_module_carries_none() -> None:
    """What isoconv compiles has no such flag."""
    single, double = float_operations(str(kernel(16)))
    assert len(single) == 3
    assert not any("reassoc" in line for line in (*single, *double))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["", ALL_PASSES])
def test_step_on_free_kernels(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same training step but for roundings; nothing goes to or comes from a cache on disk."""
    request, arrays = step_request(STEP)
    request = {**request, "weights": True, "threads": 1, "variant": variant}
    ours = IsoconvLibrary().step(request, arrays)

    def refuse(*_: object) -> None:
        raise AssertionError("the cache was used")

    monkeypatch.setattr(KernelCache, "get", refuse)
    monkeypatch.setattr(KernelCache, "put", refuse)
    theirs = ReassociatedLibrary().step(request, arrays)
    monkeypatch.undo()
    assert theirs.facts["free_operations"] > theirs.facts["kernels"] > 0
    theirs.work()
    changed = 0
    for name, array in ours.results.items():
        np.testing.assert_allclose(theirs.results[name], array, rtol=1e-4, atol=1e-6)
        changed += np.sum(theirs.results[name] != array)
    assert changed > 0
    again = IsoconvLibrary().step(request, arrays)
    for name, array in ours.results.items():
        np.testing.assert_array_equal(again.results[name], array)

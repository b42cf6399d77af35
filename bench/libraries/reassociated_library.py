"""isoconv's own kernels, compiled with the freedom to change the order of the arithmetic.

What the exact order costs is the difference. Every operation on float32 gets LLVM's flags to
reassociate, to fuse, to take reciprocals and to forget the sign of zero, and every fused
multiply-add is written as a multiplication and an addition that may be fused again, so that LLVM
may split and merge chains as it likes. Operations on float64 keep their order: in a float32 network
they are the elementary functions, whose rounding by ``(x + c) - c`` reassociation would remove, and
which no library reorders.

These kernels live in this process alone; no cache on disk ever holds one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import patch

import llvmlite.binding as llvm

from bench.libraries.isoconv_library import IsoconvLibrary
from bench.worker import Array, Prepared, serve
from isoconv.compile.native import build, kernels
from isoconv.compile.native.emitters import Effort
from isoconv.compile.native.jit import compile_object
from isoconv.compile.native.kernels import KernelLibrary
from isoconv.compile.native.worker import compile_all
from isoconv.compile.target import Target, host_target
from isoconv.run import training

__all__ = ["ALL_PASSES", "FLAGS", "ReassociatedLibrary", "free", "optimised"]

FLAGS = "reassoc nsz arcp contract afn"
"""LLVM's fast-math without the promises that there is no NaN and no infinity."""
ALL_PASSES = "all passes"
"""The variant that runs LLVM's whole pipeline with its vectorisers on every kernel."""

_TYPE = r"(?:<\d+ x float>|float)"
_FMA = re.compile(
    rf"^(?P<lead>\s*)(?P<name>%\S+) = call (?P<type>{_TYPE}) "
    r'@"?llvm\.fma\.\w+"?\((?P=type) (?P<x>.+), (?P=type) (?P<y>.+), (?P=type) (?P<z>.+)\)$',
    re.MULTILINE,
)
_OPERATION = re.compile(
    rf'= (?P<what>fadd|fsub|fmul|fdiv|fneg|call(?= {_TYPE} @"?llvm\.sqrt\.)) (?={_TYPE} )'
)


class _Text:
    """A module as the compiler takes it: a name, and the text that ``str`` gives."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._text = text

    def __str__(self) -> str:
        return self._text


def free(text: str) -> tuple[str, int]:
    """A module's text with its float32 arithmetic free to be reordered.

    Args:
        text: LLVM's assembly of a kernel.

    Returns:
        The text, and the number of operations that carry the flags.
    """
    text = _FMA.sub(_split, text)
    return _OPERATION.subn(rf"= \g<what> {FLAGS} ", text)


def _split(found: re.Match[str]) -> str:
    """``fma(x, y, z)`` as a product and a sum."""
    lead, name, kind = found["lead"], found["name"], found["type"]
    product = '%"product.' + name.strip('%"') + '"'
    return (
        f"{lead}{product} = fmul {kind} {found['x']}, {found['y']}\n"
        f"{lead}{name} = fadd {kind} {product}, {found['z']}"
    )


def optimised(text: str, target: Target) -> str:
    """A module's text after LLVM's whole pipeline, its loop and SLP vectorisers among it."""
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="small"
    )
    with machine, llvm.parse_assembly(text) as module:
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_unrolling = True
        options.loop_interleaving = True
        options.loop_vectorization = True
        options.slp_vectorization = True
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        return str(module)


class ReassociatedLibrary(IsoconvLibrary):
    """Training steps; the variant tells which of LLVM's passes run."""

    def step(self, request: dict[str, Any], arrays: dict[str, Array]) -> Prepared:
        """The training engine, on kernels that are compiled for it alone."""
        library = KernelLibrary(host_target(), None)
        flagged = []

        def compiled(module: Any, target: Target, *, effort: Effort = "plain") -> bytes:
            text, count = free(str(module))
            flagged.append(count)
            if request["variant"] == ALL_PASSES:
                text = optimised(text, target)
            return compile_object(_Text(module.name, text), target, effort=effort)

        def chosen(*_: object, **__: object) -> KernelLibrary:
            return library

        with (
            patch.object(build, "compile_object", compiled),
            # Other processes would compile the kernels as they are.
            patch.object(kernels, "compile_all", partial(compile_all, helpers=0)),
            patch.object(training, "library_for", chosen),
        ):
            prepared = super().step(request, arrays)
        prepared.work = partial(_run, prepared.work, library)
        prepared.facts |= {"kernels": len(flagged), "free_operations": sum(flagged)}
        return prepared


def _run(work: Callable[[], None], _library: KernelLibrary) -> None:
    """The work, which holds the library: machine code lives as long as that."""
    work()


if __name__ == "__main__":
    serve(ReassociatedLibrary())

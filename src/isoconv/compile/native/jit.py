"""From a kernel's LLVM module to machine code, and from machine code to an address."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm

from isoconv.compile.native.emitters import Effort
from isoconv.compile.native.fork import forks_wait_for, undivided
from isoconv.compile.target import Target
from isoconv.errors import CompileError

if TYPE_CHECKING:
    import llvmlite.ir as ir

_PLAIN = ("sroa", "instruction_combine")
_PASSES: Mapping[Effort, tuple[str, ...]] = {
    # Registers for variables, constants folded; code generation does the rest.
    "plain": _PLAIN,
    "loops": (*_PLAIN, "simplify_cfg", "loop_rotate", "instruction_combine"),
}


# LLVM keeps tables of its own, which a fork must not find half changed. `undivided` is held while
# kernels are compiled and loaded; LLVM's objects are freed in any thread, behind llvmlite's lock.
_LLVM_LOCK = getattr(llvm.ffi.lib, "_lock", None)
if _LLVM_LOCK is not None:
    forks_wait_for(_LLVM_LOCK)


def _machine(target: Target) -> llvm.TargetMachine:
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="small"
    )


@functools.cache
def _compiler(target: Target) -> tuple[llvm.TargetMachine, llvm.PassBuilder]:
    """What compiles for a target; making it takes as long as compiling a small kernel."""
    machine = _machine(target)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    # The emitters choose vectors, tiles and unrolling; LLVM is to keep them as they are.
    options.loop_unrolling = False
    options.loop_vectorization = False
    options.slp_vectorization = False
    return machine, llvm.create_pass_builder(machine, options)


def compile_object(module: ir.Module, target: Target, *, effort: Effort = "plain") -> bytes:
    """Optimise a module and compile it to an object file.

    Args:
        module: the kernel.
        target: the machine it is for.
        effort: which of LLVM's passes.

    Raises:
        CompileError: LLVM rejects the module.
    """
    code: bytes = _compiled(module, target, effort, llvm.TargetMachine.emit_object)
    return code


def compile_text(module: ir.Module, target: Target, *, effort: Effort = "plain") -> str:
    """The same as assembly language, to be looked at.

    Args:
        module: the kernel.
        target: the machine it is for.
        effort: which of LLVM's passes.

    Raises:
        CompileError: LLVM rejects the module.
    """
    text: str = _compiled(module, target, effort, llvm.TargetMachine.emit_assembly)
    return text


def _compiled(module: ir.Module, target: Target, effort: Effort, emit: Callable[..., Any]) -> Any:
    text = str(module)
    with undivided:
        try:
            parsed = llvm.parse_assembly(text)
            parsed.verify()
        except RuntimeError as error:
            raise CompileError(f"kernel {module.name}: LLVM rejects it: {error}") from error
        with parsed:
            machine, builder = _compiler(target)
            passes = llvm.create_new_module_pass_manager()
            for name in _PASSES[effort]:
                getattr(passes, f"add_{name}_pass")()
            passes.run(parsed, builder)
            return emit(machine, parsed)


class LoadedLibrary:
    """Machine code in memory; its addresses stay valid as long as this object lives.

    Args:
        objects: object files; names of functions are unique among them.
        target: the machine they are for.

    Attributes:
        size: bytes of the object files.
        asked: when it was asked for last, in its owner's count.

    Raises:
        CompileError: an object file is not for this process.
    """

    def __init__(self, objects: Iterable[bytes], target: Target) -> None:
        objects = list(objects)
        self.size = sum(map(len, objects))
        self.asked = 0
        with undivided:
            try:
                holder = llvm.parse_assembly(f'target triple = "{target.triple}"')
                # An engine takes its machine for its own, so each gets a new one.
                self._engine = llvm.create_mcjit_compiler(holder, _machine(target))
                for code in objects:
                    self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
                self._engine.finalize_object()
            except RuntimeError as error:
                raise CompileError(f"machine code could not be loaded: {error}") from error

    def address(self, name: str) -> int:
        """Address of a function.

        Raises:
            CompileError: there is no such function.
        """
        address = int(self._engine.get_function_address(name))
        if address == 0:
            raise CompileError(f"machine code holds no function {name!r}")
        return address

"""Which function emits a kernel: a table from kinds of specification and architectures.

The emitters of a kind stand in a module of the same name as the one that its record stands in, in a
folder of that wing named after the architecture: the record in ``window/pool.py``, its emitter for
CPUs in ``window/cpu/pool.py``. They are imported when the first kernel of the kind is compiled: a
process that finds all its kernels in the cache imports none of them. Another architecture is
another folder in each wing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from isoconv.compile.native.specification import Scheduled, Specification, meaning
from isoconv.errors import CompileError

if TYPE_CHECKING:
    from isoconv.compile.native.loops import Kernel
    from isoconv.compile.target import Target

Effort = Literal["plain", "loops"]
"""Which of LLVM's passes a kernel gains by; most by none, as their loops are emitted as they are to
run. ``loops`` also turns loops so that they end with their condition. LLVM's whole pipeline would
take longer than everything else together."""

Function = TypeVar("Function", bound=Callable[..., None])
EffortOf = Callable[[Any, "Target"], Effort]
"""``effort(schedule, target)``"""


@dataclass(frozen=True, slots=True)
class _Emitter:
    """A function that emits kernels, and what LLVM is to do with them."""

    function: Callable[..., None]
    effort: Effort | EffortOf


_EMITTERS: dict[tuple[type[Specification], str], _Emitter] = {}


def emits(
    kind: type[Specification], architecture: str = "cpu", *, effort: Effort | EffortOf = "plain"
) -> Callable[[Function], Function]:
    """A decorator: the function emits kernels of this kind for this architecture.

    It is called with the kernel, the specification and, if there is one, the schedule.

    Args:
        kind: of specification.
        architecture: of target.
        effort: which of LLVM's passes these kernels gain by, or a function of a kernel's schedule
            and target that says so; measured for each kind, on ResNet-20 and others.
    """

    def enter(function: Function) -> Function:
        _EMITTERS[kind, architecture] = _Emitter(function, effort)
        return function

    return enter


def emit(k: Kernel, spec: Specification) -> None:
    """Emit a kernel's body.

    Raises:
        CompileError: nothing emits this kind of kernel for the kernel's target.
    """
    function = _emitter(spec, k.target).function
    if isinstance(spec, Scheduled):
        function(k, spec.spec, spec.schedule)
    else:
        function(k, spec)


def effort_of(spec: Specification, target: Target) -> Effort:
    """Which of LLVM's passes a kernel gains by.

    Raises:
        CompileError: nothing emits this kind of kernel for this target.
    """
    effort = _emitter(spec, target).effort
    if callable(effort):
        return effort(spec.schedule if isinstance(spec, Scheduled) else None, target)
    return effort


def _emitter(spec: Specification, target: Target) -> _Emitter:
    kind = type(meaning(spec))
    key = kind, target.architecture
    wing, _, module = kind.__module__.rpartition(".")
    if key not in _EMITTERS and wing:
        folder = f"{wing}.{target.architecture}"
        try:
            import_module(f"{folder}.{module}")
        except ModuleNotFoundError as error:
            if error.name not in (folder, f"{folder}.{module}"):
                raise
    if key not in _EMITTERS:
        raise CompileError(
            f"every kind of kernel must have an emitter for its target; got {kind.__name__} of "
            f"{kind.__module__} for the architecture {target.architecture!r}"
        )
    return _EMITTERS[key]

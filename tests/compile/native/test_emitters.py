"""The table of emitters: found by kind and architecture, imported when they are needed."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import isoconv.compile
from isoconv.compile.native import emitters
from isoconv.compile.native.emitters import effort_of, emit, emits
from isoconv.compile.native.kernels import kernel_key
from isoconv.compile.native.loops import Kernel
from isoconv.compile.native.runtime import AdvanceSpec, BarrierSpec
from isoconv.compile.native.specification import Schedule, Scheduled, Specification
from isoconv.compile.target import host_target
from isoconv.errors import CompileError

TARGET = host_target()


def kinds() -> list[type[Specification]]:
    """All kinds of specification of the compiler."""
    found = []
    for module in pkgutil.walk_packages(isoconv.compile.__path__, "isoconv.compile."):
        for kind in vars(importlib.import_module(module.name)).values():
            here = getattr(kind, "__module__", "") == module.name
            if here and isinstance(kind, type) and issubclass(kind, Specification):
                found.append(kind)
    return [kind for kind in found if kind.__name__.endswith("Spec")]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_kind_has_an_emitter(kind: type[Specification]) -> None:
    """For CPUs; it is in the table, or stands where it is looked for."""
    assert callable(emitters._emitter(object.__new__(kind), TARGET).function)


@dataclass(frozen=True, slots=True)
class LonelySpec(Specification):
    """A kernel that nothing emits."""

    buffers: int = 0


def test_what_nothing_emits_is_refused() -> None:
    """By the kind and the architecture."""
    k = Kernel("kernel", TARGET, 0)
    with pytest.raises(CompileError, match=r"got LonelySpec of .*test_emitters for .* 'cpu'"):
        emit(k, LonelySpec())
    elsewhere = replace(TARGET, architecture="abacus")
    with pytest.raises(CompileError, match=r"got BarrierSpec .* for the architecture 'abacus'"):
        emit(Kernel("kernel", elsewhere, 1), BarrierSpec())


FAMILY = """
from dataclasses import dataclass
from isoconv.compile.native.specification import Specification

@dataclass(frozen=True, slots=True)
class BeadSpec(Specification):
    beads: int
    buffers: int = 1
"""
EMITTER = """
from isoconv.compile.native.emitters import emits
from family.bead import BeadSpec

@emits(BeadSpec, "abacus", effort="loops")
def bead(k, spec):
    k.store(k.const(spec.beads), k.buffers[0])
"""


@pytest.fixture
def bead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A specification of a family that has a folder for another architecture."""
    folder = tmp_path / "family"
    (folder / "abacus").mkdir(parents=True)
    for place in (folder, folder / "abacus"):
        (place / "__init__.py").touch()
    (folder / "bead.py").write_text(FAMILY)
    (folder / "abacus" / "bead.py").write_text(EMITTER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(emitters, "_EMITTERS", dict(emitters._EMITTERS))
    yield importlib.import_module("family.bead").BeadSpec(5)
    for name in [name for name in sys.modules if name.partition(".")[0] == "family"]:
        del sys.modules[name]


def test_another_architecture_is_a_folder(bead: Any) -> None:
    """Its emitters are found under the name of the specification's module."""
    target = replace(TARGET, architecture="abacus")
    k = Kernel("kernel", target, 1)
    emit(k, bead)
    assert "store i64 5" in str(k.build())
    assert effort_of(bead, target) == "loops"
    with pytest.raises(CompileError, match="BeadSpec"):
        emit(Kernel("kernel", TARGET, 1), bead)


def test_what_an_emitter_lacks_is_told(bead: Any, tmp_path: Path) -> None:
    """An emitter that is there and cannot be imported is not taken for none."""
    (tmp_path / "family/abacus/bead.py").write_text("import isoconv_has_no_such_module\n")
    k = Kernel("kernel", replace(TARGET, architecture="abacus"), 1)
    with pytest.raises(ModuleNotFoundError, match="isoconv_has_no_such_module"):
        emit(k, bead)


@dataclass(frozen=True, slots=True)
class Pace(Schedule):
    """How many numbers are stored at a time."""

    numbers: int


@dataclass(frozen=True, slots=True)
class PacedSpec(Specification):
    """A kernel with a schedule."""

    value: int
    buffers: int = 1


@emits(PacedSpec, effort=lambda pace, _: "loops" if pace.numbers > 1 else "plain")
def paced(k: Kernel, spec: PacedSpec, pace: Pace) -> None:
    """Store the value."""
    for number in range(pace.numbers):
        k.store(k.const(spec.value), k.at(k.buffers[0], number, "int64"))


def test_a_schedule_is_no_part_of_the_meaning() -> None:
    """The emitter is given both, LLVM's passes go by the schedule, and the key holds both."""
    slow, fast = (Scheduled(PacedSpec(7), Pace(numbers)) for numbers in (1, 3))
    assert slow.spec == fast.spec
    assert slow.buffers == fast.buffers == 1
    for spec, stores, effort in ((slow, 1, "plain"), (fast, 3, "loops")):
        k = Kernel("kernel", TARGET, 1)
        emit(k, spec)
        assert str(k.build()).count("store i64 7") == stores
        assert effort_of(spec, TARGET) == effort
    keys = {kernel_key(spec, TARGET) for spec in (slow, fast, slow.spec)}
    assert len(keys) == 3


PROGRAM = """
import sys
from pathlib import Path
from isoconv.compile.native.cache import KernelCache
from isoconv.compile.native.kernels import KernelLibrary
from isoconv.compile.native.runtime import AdvanceSpec
from isoconv.compile.target import host_target
library = KernelLibrary(host_target(), KernelCache(Path(sys.argv[1])))
library.addresses([AdvanceSpec()])
print(library.compiled, *(name for name in sys.modules if name.startswith("isoconv.compile")))
"""


def test_a_warm_start_imports_no_emitter(tmp_path: Path) -> None:
    """A process that finds its kernels in the cache needs nothing of what emits them."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "kernels")]
    outputs = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
               for _ in range(2)]  # fmt: skip
    emitter = AdvanceSpec.__module__.replace(".runtime", ".cpu.runtime")
    (cold, *first), (warm, *second) = outputs
    assert (cold, warm) == ("1", "0")
    assert emitter in first
    assert "isoconv.compile.native.kernels" in second
    emitting = {"isoconv.compile.native.loops", "isoconv.compile.native.elementary"}
    assert not {name for name in second if "cpu" in name.split(".") or name in emitting}

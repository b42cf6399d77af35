"""Kernels by specification: made once, kept on disk, and found again by all that shapes them."""

from __future__ import annotations

import ast
import copy
import ctypes
import dataclasses
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.compile.places import targets

import isoconv.compile as compile_room
from isoconv import nn
from isoconv.compile.contraction import rules as lower_contract
from isoconv.compile.native import kernels
from isoconv.compile.native.cache import KernelCache
from isoconv.compile.native.emitters import emits
from isoconv.compile.native.jit import LoadedLibrary, compile_object
from isoconv.compile.native.kernels import KernelLibrary, kernel_key
from isoconv.compile.native.loops import Kernel
from isoconv.compile.native.runtime import (
    AdvanceSpec,
    BarrierSpec,
    GoSpec,
    HyperSpec,
    RunSpec,
    ServeSpec,
)
from isoconv.compile.native.specification import Specification, meaning
from isoconv.compile.pointwise.halo import HaloSpec
from isoconv.compile.target import host_target
from isoconv.compile.winograd import rules as lower_winograd
from isoconv.data import Augmentation
from isoconv.errors import CompileError
from isoconv.nn import functional
from isoconv.ops import Permutation, Take
from isoconv.run.script import ScriptBuilder
from isoconv.run.step import StepPlan
from isoconv.run.team import Team
from isoconv.train.graphs import Preparation, build_step
from isoconv.train.losses import Loss
from isoconv.train.optim import AdamW


@dataclass(frozen=True, slots=True)
class StoreSpec(Specification):
    """A kernel that stores a number."""

    value: int
    buffers: int = 1


@emits(StoreSpec)
def emit_store(k: Kernel, spec: StoreSpec) -> None:
    """Store it."""
    k.store(k.const(spec.value), k.buffers[0])


def call(address: int) -> int:
    """What the kernel at this address stores."""
    result = np.zeros(1, np.int64)
    pointers = (ctypes.c_void_p * 1)(result.ctypes.data)
    context = np.zeros(8, np.int64)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address)
    function(ctypes.addressof(pointers), context.ctypes.data)
    return int(result[0])


def fresh(folder: Path | None = None) -> KernelLibrary:
    """A library, with a cache in this folder or without one."""
    return KernelLibrary(host_target(), KernelCache(folder) if folder is not None else None)


def stored(library: KernelLibrary, *values: int) -> list[int]:
    """Results of the kernels that store these values."""
    specs = [StoreSpec(value) for value in values]
    addresses = library.addresses(specs)
    return [call(addresses[spec]) for spec in specs]


def test_made_once() -> None:
    """Equal specifications are one kernel, in one call and in later ones."""
    library = fresh()
    assert stored(library, 3, 4, 3) == [3, 4, 3]
    assert library.compiled == 2
    assert stored(library, 4, 5) == [4, 5]
    assert library.compiled == 3


def test_progress() -> None:
    """A caller is told of each kernel as it is ready."""
    told = []
    specs = [StoreSpec(value) for value in (1, 2, 2, 3)]
    fresh().addresses(specs, lambda ready, total: told.append((ready, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_warm_start_compiles_nothing(tmp_path: Path) -> None:
    """A second process with the same cache finds everything on disk."""
    assert stored(fresh(tmp_path / "k"), 7, 8) == [7, 8]
    again = fresh(tmp_path / "k")
    assert stored(again, 7, 8) == [7, 8]
    assert again.compiled == 0


@pytest.mark.parametrize("damage", ["truncated", "foreign", "swapped"])
def test_a_bad_entry_is_compiled_again(tmp_path: Path, damage: str) -> None:
    """Whatever lies in the cache under a kernel's name, the kernel computes what it should."""
    folder = tmp_path / "k"
    stored(fresh(folder), 7, 8)
    first, second = sorted(folder.iterdir())
    if damage == "truncated":
        first.write_bytes(first.read_bytes()[:-9])
    elif damage == "foreign":
        first.write_bytes(b"not a kernel")
    else:
        contents = first.read_bytes(), second.read_bytes()
        first.write_bytes(contents[1])
        second.write_bytes(contents[0])
    again = fresh(folder)
    assert stored(again, 7, 8) == [7, 8]
    assert again.compiled == (2 if damage == "swapped" else 1)
    third = fresh(folder)
    assert stored(third, 7, 8) == [7, 8]
    assert third.compiled == 0


def variants(value: Any) -> Iterator[Any]:
    """The same value with one thing changed, for every thing in it: each field of each record."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            if not field.compare:
                continue  # for people alone: records that differ in it are equal
            for other in variants(getattr(value, field.name)):
                changed = copy.copy(value)
                # Records are frozen, and some refuse what fits nowhere.
                object.__setattr__(changed, field.name, other)
                yield changed
    elif isinstance(value, tuple):
        yield (*value, 1)
        for place, entry in enumerate(value):
            for other in variants(entry):
                yield (*value[:place], other, *value[place + 1 :])
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, float):
        yield -value
        yield np.nextafter(value, np.inf).item()
    elif isinstance(value, str):
        yield value + "x"
    else:
        assert value is None, f"a specification holds {value!r}"
        yield 1


@pytest.fixture(scope="module")
def specifications() -> dict[str, Any]:
    """A specification of every kind that networks ask for."""

    def squared(x: nn.Tensor) -> nn.Tensor:
        return nn.functional.matmul(x, x.transpose(0, 2, 1))

    def moved(x: nn.Tensor) -> nn.Tensor:
        x = x.trace.add("transpose", x, attrs=Permutation((2, 0, 1)))
        x = functional.max_unpool2d(x, x, 1)
        return x.trace.add("take", x, attrs=Take(-3, (5, 1, 0, 2, 7, 5, 5, 6, 1)))

    model = nn.Sequential(
        nn.Conv2d(8, 3, padding=1, algorithm="winograd"), nn.BatchNorm2d(), nn.ReLU(),
        nn.FractionalMaxPool2d(1, 10), moved, nn.MaxPool2d(2),
        nn.DepthwiseConv2d(3), nn.Conv2d(40, 3, padding=1), nn.SiLU(),
        nn.Conv2d(40, 3, padding=1), nn.AvgPool2d(2), nn.LayerNorm(), squared,
        nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(7),
    ).build((10, 10, 2))  # fmt: skip
    changes = Preparation((10, 10, 2), "uint8", augmentation=Augmentation(rotation=3.0))
    step = build_step(model, changes, Loss(), AdamW(), 1.0)
    found: dict[str, Specification] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower_contract, "_INSIDE_SHARE", 0.9)
        patch.setattr(lower_contract, "_INSIDE_CHAIN", 1)
        patch.setattr(lower_contract, "_INSIDE_TIME", 1e9)
        for rows in (0, 1):
            patch.setattr(lower_winograd, "chunk_rows", lambda *_, rows=rows, **__: rows)
            for spec in StepPlan(step, 4, host_target(), fusion=True).specs():
                found.setdefault(type(meaning(spec)).__name__, spec)
    found["HaloSpec"] = HaloSpec("float32", (3, 4), 5, ((1, 1), (0, 2)))
    for own in (GoSpec(), ServeSpec(), BarrierSpec(), AdvanceSpec(), RunSpec()):
        found[type(own).__name__] = own
    return found


def test_every_kind_of_kernel_is_here(specifications: dict[str, Any]) -> None:
    """No kind of specification in compile/ escapes the test below."""
    kinds = {
        node.name
        for path in Path(compile_room.__file__).parent.rglob("*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name.endswith("Spec")
    }
    assert set(specifications) == kinds


def test_keys_hold_all_that_shapes_a_kernel(specifications: dict[str, Any]) -> None:
    """Whatever is changed in a specification, at any depth, makes another key."""
    target = host_target()
    for name, spec in specifications.items():
        key = kernel_key(spec, target)
        assert len(key) == 64
        assert int(key, 16) >= 0
        assert kernel_key(copy.deepcopy(spec), target) == key
        others = list(variants(spec))
        assert len(others) >= len(dataclasses.fields(spec))
        assert key not in {kernel_key(other, target) for other in others}, name
    keys = {kernel_key(spec, target) for spec in specifications.values()}
    assert len(keys) == len(specifications)


def test_keys_hold_the_target_and_the_toolchain(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does whatever is changed in the target, and another toolchain."""
    target, spec = host_target(), HyperSpec(1)
    key = kernel_key(spec, target)
    changed = [kernel_key(spec, other) for other in variants(target)]
    assert key not in changed
    assert len(changed) >= len(dataclasses.fields(target))
    assert len({kernel_key(spec, other) for other in targets()}) == len(targets())
    monkeypatch.setattr(kernels, "toolchain", lambda: "another version")
    assert kernel_key(spec, target) != key


def test_zeros_of_both_signs_are_two_kernels() -> None:
    """Constants that compare equal and differ in a bit are not taken for one."""
    from isoconv.compile.pointwise.expression import Domain, Expression, Operand, Step
    from isoconv.compile.pointwise.kernel import PointwiseSpec
    from isoconv.ops import Constant

    specs = []
    for value in (0.0, -0.0):
        store = Operand(0, "float32", (1,), 1)
        step = Step("offset", (0,), Constant(value), "float32")
        expression = Expression((store,), "", (step,), ((1, store),))
        specs.append(PointwiseSpec(Domain((1,)), expression, 1))
    library = fresh()
    for spec, negative in zip(specs, (False, True), strict=True):
        address = library.addresses(specs)[spec]
        number = np.array([-0.0], np.float32)
        pointers = (ctypes.c_void_p * 1)(number.ctypes.data)
        context = np.array([1, 0, 1, 0, 0, 0, 0, 0], np.int64)
        function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address)
        function(ctypes.addressof(pointers), context.ctypes.data)
        assert np.signbit(number[0]) == negative


def test_threads_share_a_library() -> None:
    """Threads that ask at once get the same addresses, and each kernel is made once."""
    library, found = fresh(), []
    threads = [
        threading.Thread(
            target=lambda: found.append(library.addresses(StoreSpec(v) for v in range(6)))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(one == found[0] for one in found)
    assert library.compiled == 6


def test_a_module_that_llvm_rejects() -> None:
    """A function without an end is an emitter's fault: the error names the kernel."""
    k = Kernel("faulty_kernel", host_target(), 1)
    with pytest.raises(CompileError, match="faulty_kernel"):
        compile_object(k.module, host_target())


def test_a_function_that_is_not_there() -> None:
    """Asking for another name is an error."""
    k = Kernel("present", host_target(), 0)
    loaded = LoadedLibrary([compile_object(k.build(), host_target())], host_target())
    assert loaded.address("present")
    with pytest.raises(CompileError, match="'absent'"):
        loaded.address("absent")


# What stays in memory -----------------------------------------------------------------------------


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> weakref.WeakSet[LoadedLibrary]:
    """The machine code that is in memory, of libraries that have room for five small kernels."""
    alive: weakref.WeakSet[LoadedLibrary] = weakref.WeakSet()

    class Noted(LoadedLibrary):
        """Machine code that is noted."""

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            alive.add(self)

    monkeypatch.setattr(kernels, "LoadedLibrary", Noted)
    room = 5 * (kernels._OVERHEAD + 2**12)
    monkeypatch.setattr(kernels, "MOST_BYTES", room)
    return alive


@pytest.mark.slow
def test_old_kernels_give_their_memory_back(loaded: weakref.WeakSet[LoadedLibrary]) -> None:
    """What was not asked for lately goes, and is loaded again for who asks for it."""
    library = fresh()
    for value in range(300):
        assert stored(library, value) == [value]
        assert len(loaded) <= 6
        assert stored(library, 0) == [0]
    assert library.compiled == 300
    assert stored(library, 7) == [7]
    assert library.compiled == 301


def test_kernels_in_use_stay(loaded: weakref.WeakSet[LoadedLibrary]) -> None:
    """Addresses are good for as long as somebody holds them, whatever the library keeps."""
    library = fresh()
    held = library.addresses([StoreSpec(1), StoreSpec(2)])
    for value in range(10, 40):
        stored(library, value)
    assert library.addresses([StoreSpec(1)])[StoreSpec(1)] != held[StoreSpec(1)]
    assert [call(held[StoreSpec(value)]) for value in (1, 2)] == [1, 2]
    count = len(loaded)
    del held
    assert len(loaded) == count - 1


def test_one_call_may_have_more_than_there_is_room_for(
    loaded: weakref.WeakSet[LoadedLibrary],
) -> None:
    """A program as large as it is has all its kernels."""
    library = fresh()
    specs = [StoreSpec(value) for value in range(20)]
    for spec in specs:
        library.addresses([spec])
    found = library.addresses(specs)
    assert [call(found[spec]) for spec in specs] == list(range(20))


def test_threads_end_before_their_code(loaded: weakref.WeakSet[LoadedLibrary]) -> None:
    """A team works on though its library has forgotten the loops of its threads."""
    library = fresh()
    with Team(2, library) as team:
        for value in range(20):
            stored(library, value)
        for _ in range(3):
            team.run([ScriptBuilder().build()] * 2, 1)

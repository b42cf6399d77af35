"""Everything that is public answers a wrong argument with an error of its own, or takes it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.wrong.calls import Call
from tests.wrong.calls_arrays import CALLS as ARRAYS
from tests.wrong.calls_data import CALLS as DATA
from tests.wrong.calls_exchange import CALLS as EXCHANGE
from tests.wrong.calls_nn import CALLS as NN
from tests.wrong.calls_train import CALLS as TRAIN
from tests.wrong.calls_train import Place
from tests.wrong.values import WRONG

import isoconv
from isoconv.checks import plain_setting
from isoconv.errors import ArgumentError, IsoconvError, NotEnoughMemoryError


def rooms(module: ModuleType = isoconv) -> Iterator[ModuleType]:
    """A package whose names are public, and those that are public within it."""
    yield module
    for name in module.__all__:
        value = getattr(module, name)
        # `isoconv.explain` is a package that is called as its function, and what is in errors
        # besides exceptions is for the library's own files.
        if inspect.ismodule(value) and not callable(value) and value is not isoconv.errors:
            yield from rooms(value)


CALLS = {**ARRAYS, **NN, **DATA, **TRAIN, **EXCHANGE}
OPERATORS = ("__add__", "__sub__", "__mul__", "__truediv__", "__pow__", "__radd__", "__rsub__",
             "__rmul__", "__rtruediv__", "__rpow__", "__call__")  # fmt: skip

EXEMPT = {
    "isoconv.Cluster.__call__": "the trainer calls it with what it has checked",
    "isoconv.Cluster.mapper": "what takes a cluster calls it with what it has checked",
    "nn.Module.forward": "a subclass defines it; this one says so with NotImplementedError",
}
"""Name → why no call of it is tried."""


def public() -> Iterator[tuple[str, Any]]:
    """Every public function, class and method of a class, by its name; each once."""
    seen: dict[int, Any] = {}
    for module in rooms():
        short = module.__name__.removeprefix("isoconv.")
        for name in module.__all__:
            value = getattr(module, name)
            known = inspect.isfunction(value) or inspect.isclass(value)
            # A package that is a function too.
            known = known or (inspect.ismodule(value) and callable(value))
            if id(value) in seen or not known:
                continue
            if inspect.isclass(value) and issubclass(value, BaseException):
                continue
            seen[id(value)] = value
            yield f"{short}.{name}", value
            if inspect.isclass(value):
                yield from methods(f"{short}.{name}", value, module, seen)


def methods(
    name: str, kind: type[Any], module: Any, seen: dict[int, Any]
) -> Iterator[tuple[str, Any]]:
    """The public methods of a class, and the operators that it defines itself."""
    for attribute in dir(kind):
        if attribute.startswith("_") and attribute not in OPERATORS:
            continue
        owner = next((each for each in kind.__mro__ if attribute in vars(each)), None)
        if owner is None:
            continue
        found = vars(owner)[attribute]
        function = getattr(found, "__func__", found)
        if id(function) in seen or not inspect.isfunction(function):
            continue
        if not function.__module__.startswith("isoconv"):
            continue
        seen[id(function)] = function
        # By the most general public class that has it.
        names = [
            each.__name__
            for each in kind.__mro__
            if getattr(module, each.__name__, None) is each
            and inspect.getattr_static(each, attribute, None) is found
        ]
        yield f"{name.rpartition('.')[0]}.{names[-1]}.{attribute}", function


PUBLIC = dict(public())

TOGETHER = {
    ("isoconv.bce_with_logits", "logits"): ("target",),
    ("isoconv.cross_entropy", "logits"): ("labels",),
    ("isoconv.explain", "gradient"): ("at",),
    ("isoconv.explain", "image"): ("label",),
    ("isoconv.gradients", "arrays"): ("grad_output",),
    ("isoconv.matmul", "a"): ("b",),
    ("isoconv.resize", "scale"): ("size",),
    ("isoconv.upsample", "scale_factor"): ("size",),
    ("isoconv.mse", "prediction"): ("target",),
    **{
        (f"nn.{kind}{rank}d", "filters"): ("groups",)
        for kind in ("Conv", "ConvTranspose", "QuantizedConv")
        for rank in (1, 2, 3)
    },
    ("nn.functional.resize", "scale"): ("size",),
    ("nn.functional.upsample", "scale_factor"): ("size",),
    ("nn.functional.slice_channels", "stop"): ("x",),
    ("nn.FractionalMaxPool2d", "output_ratio"): ("output_size",),
    ("nn.FractionalMaxPool3d", "output_ratio"): ("output_size",),
    **{
        (f"nn.functional.fractional_max_pool{rank}d{more}", "output_ratio"): ("output_size",)
        for rank in (2, 3)
        for more in ("", "_with_indices")
    },
    ("nn.Resize", "axes"): ("region", "scale"),
    ("nn.Resize", "scale"): ("size",),
    ("nn.Upsample", "scale_factor"): ("size",),
    ("symbols.conv", "input_size"): ("kernel_size",),
    ("symbols.conv_transpose", "input_size"): ("kernel_size",),
}
"""Name and argument → the others that have to fit it, of which an error may be as well."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Models, data and runs that calls are made with."""
    return Place(tmp_path_factory.mktemp("made"))


@pytest.fixture
def place(made: Place, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The same in a fresh folder, where files named "x" go. Nothing is fetched or read for long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("isoconv.data.download._retrieve", lambda *_: None)
    for name in ("load_into", "prepared_by"):
        monkeypatch.setattr(f"isoconv.exchange.published.{name}", lambda model, *_, **__: model)
    made.path = tmp_path
    return made


def test_everything_public_has_a_call() -> None:
    """What is new needs a valid call in a table here; what is gone must leave it."""
    known = {*CALLS, *EXEMPT}
    assert sorted(set(PUBLIC) - known) == [], "without a call"
    assert sorted(known - set(PUBLIC)) == [], "no longer there"
    assert not set(CALLS) & set(EXEMPT)


def unlike(name: str, call: Call, argument: str, value: Any, error: IsoconvError) -> str:
    """What an error lacks that is about one argument of a call; "" for nothing."""
    if not str(error):
        return "without a word"
    if isinstance(error, NotEnoughMemoryError):
        # Which of all arguments is to be smaller, no one can tell.
        return ""
    parameter = call.parameter(argument)
    names = {parameter, *TOGETHER.get((name, parameter), ())}
    if error.argument is None:
        return "" if not isinstance(error, ArgumentError) else "no argument is named"
    whole = error.argument.partition("[")[0]
    if whole not in names:
        return f"{error.argument} is named"
    given = (value, *call.star[1:]) if argument == "*" else value
    same = error.argument != parameter or is_same(error.value, given)
    return "" if same else f"the value {error.value!r}"


def is_same(found: Any, given: Any) -> bool:
    """Whether a value is the one that was given, or Python's own of it."""
    own = plain_setting(given)
    known = {(type(each), repr(each)) for each in (own, given)}
    return found is given or (type(found), repr(found)) in known


def test_which_values_are_the_same() -> None:
    """A number of NumPy's may come back as Python's, and nothing else as another thing."""
    array = np.zeros(2)
    assert is_same(array, array)
    assert is_same(3, np.int64(3))
    assert is_same((3,), (np.int64(3),))
    assert not is_same(array.astype(np.float32), array)
    assert not is_same(3, 3.0)
    assert not is_same(True, 1)
    assert not is_same([3], (3,))


@pytest.mark.parametrize("name", CALLS)
def test_wrong_values(name: str, place: Place) -> None:
    """A valid call succeeds; of another kind an argument is taken, or an error names it."""
    make = CALLS[name]
    make(place).run()
    failures = []
    for argument in make(place).arguments:
        for title, value in WRONG.items():
            call: Call = make(place)
            try:
                call.run(**{argument: value})
            except IsoconvError as error:
                found = unlike(name, call, argument, value, error)
                failures += [f"{argument} = {title}: {found}: {error}"[:200]] if found else []
            except Exception as error:  # noqa: BLE001 - which ones there are is the question
                failures.append(f"{argument} = {title}: {type(error).__name__}: {error}"[:200])
    assert not failures, f"{len(failures)} of {name}:\n" + "\n".join(failures)

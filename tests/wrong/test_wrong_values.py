"""Everything that is public answers a wrong argument with an error of its own, or takes it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from tests.wrong.calls import Call
from tests.wrong.calls_arrays import CALLS as ARRAYS
from tests.wrong.calls_data import CALLS as DATA
from tests.wrong.calls_nn import CALLS as NN
from tests.wrong.calls_train import CALLS as TRAIN
from tests.wrong.calls_train import Place
from tests.wrong.values import WRONG

from isoconv.errors import IsoconvError

ROOMS = (
    "isoconv", "isoconv.nn", "isoconv.nn.functional", "isoconv.nn.models", "isoconv.optim",
    "isoconv.schedule", "isoconv.data", "isoconv.train", "isoconv.symbols",
)  # fmt: skip
CALLS = {**ARRAYS, **NN, **DATA, **TRAIN}
OPERATORS = ("__add__", "__sub__", "__mul__", "__truediv__", "__pow__", "__radd__", "__rsub__",
             "__rmul__", "__rtruediv__", "__call__")  # fmt: skip

EXEMPT = {
    "nn.Module.forward": "a subclass defines it; this one says so with NotImplementedError",
}
"""Name → why no call of it is tried."""


def public() -> Iterator[tuple[str, Any]]:
    """Every public function, class and method of a class, by its name; each once."""
    seen: dict[int, Any] = {}
    for room in ROOMS:
        module = importlib.import_module(room)
        short = room.removeprefix("isoconv.")
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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Models, data and runs that calls are made with."""
    return Place(tmp_path_factory.mktemp("made"))


@pytest.fixture
def place(made: Place, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The same in a fresh folder: files named "x" go there. Nothing is fetched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("isoconv.data.download._fetch_file", lambda *_: None)
    made.path = tmp_path
    return made


def test_everything_public_has_a_call() -> None:
    """What is new needs a valid call in a table here; what is gone must leave it."""
    known = {*CALLS, *EXEMPT}
    assert sorted(set(PUBLIC) - known) == [], "without a call"
    assert sorted(known - set(PUBLIC)) == [], "no longer there"
    assert not set(CALLS) & set(EXEMPT)


@pytest.mark.parametrize("name", CALLS)
def test_wrong_values(name: str, place: Place) -> None:
    """A valid call succeeds; with any argument of another kind it does or gives our own error."""
    make = CALLS[name]
    make(place).run()
    failures = []
    for argument in make(place).arguments:
        for title, value in WRONG.items():
            call: Call = make(place)
            try:
                call.run(**{argument: value})
            except IsoconvError as error:
                if not str(error):
                    failures.append(f"{argument} = {title}: an error without a word")
            except Exception as error:  # noqa: BLE001 - which ones there are is the question
                failures.append(f"{argument} = {title}: {type(error).__name__}: {error}"[:200])
    assert not failures, f"{len(failures)} of {name}:\n" + "\n".join(failures)

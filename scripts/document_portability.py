"""Writes what the tests of portability vary, and the digests, into docs/portability.md.

    python -m scripts.document_portability

The rows are the tests of ``tests/portability`` themselves: what their docstrings say, the values of
their parameters, and the cases that they run. The digests are those of ``golden.json``.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scripts.marks import between_marks, table, write

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "portability.md"
GOLDEN = ROOT / "tests" / "portability" / "golden.json"

ParameterSet = type(pytest.param())


def modules() -> list[ModuleType]:
    """The files whose tests are rows, in their order."""
    from tests.portability import test_arm64, test_kill, test_table

    return [test_table, test_kill, test_arm64]


def tests_of(module: ModuleType) -> Iterator[Any]:
    """A file's tests as they stand in it."""
    for name, value in vars(module).items():
        if name.startswith("test_") and inspect.isfunction(value):
            yield value


def parameters(function: Any) -> list[dict[str, Any]]:
    """The parameters of each run of a test, by name.

    Raises:
        SystemExit: the test does not say its cases.
    """
    runs: list[dict[str, Any]] = [{}]
    # The decorator beside the function comes first here, and its parameters vary slowest.
    for mark in getattr(function, "pytestmark", ()):
        if mark.name != "parametrize":
            continue
        names, values = mark.args
        alone = isinstance(names, str)
        names = (names,) if alone else names
        # A case that has marks stands in `pytest.param`.
        values = [
            value.values if isinstance(value, ParameterSet) else (value,) if alone else value
            for value in values
        ]
        found = [dict(zip(names, value, strict=True)) for value in values]
        runs = [{**run, **more} for run in runs for more in found]
    if not all("case" in run for run in runs):
        raise SystemExit(f"{function.__name__} must have its cases as the parameter `case`")
    return runs


def row_of(function: Any) -> tuple[str, str]:
    """What a test holds, and its cases with the values that each goes through."""
    values: dict[str, list[dict[str, Any]]] = {}
    for run in parameters(function):
        varied = {name: value for name, value in run.items() if name != "case"}
        values.setdefault(run["case"], []).append(varied)
    alike: dict[str, list[str]] = {}
    for case, found in values.items():
        alike.setdefault(_texts(found), []).append(f"`{case}`")
    groups = [f"{', '.join(cases)}{text and ': '}{text}" for text, cases in alike.items()]
    return (function.__doc__ or "").strip(), "; ".join(groups)


def _texts(runs: list[dict[str, Any]]) -> str:
    """What a case goes through: numbers behind the name that they share, all else by itself."""
    if runs[0] and all(len(run) == 1 and type(v) is int for run in runs for v in run.values()):
        (name,) = runs[0]
        return f"{name} {', '.join(str(run[name]) for run in runs)}"
    return ", ".join(" and ".join(_text(*item) for item in run.items()) for run in runs if run)


def _text(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"`{' '.join(f'{key}={text}' for key, text in value.items())}`"
    if isinstance(value, tuple):
        return f"`{' '.join(map(str, value))}`"
    return f"`{value}`" if isinstance(value, str) else f"{name} {value}"


def digests() -> str:
    """Each case with the digest of its weights or of its probabilities."""
    results = json.loads(GOLDEN.read_text("utf-8"))["results"]
    names = sorted(results, key=lambda name: (name.startswith("predict-"), name))
    rows = [(f"`{n}`", f"`{results[n].get('weights') or results[n]['pixels']}`") for n in names]
    return table(("case", "SHA-256 of the weights, or of the probabilities"), rows)


def documented(page: str) -> str:
    """The page with everything between its marks made anew."""
    rows = [row_of(function) for module in modules() for function in tests_of(module)]
    texts = {"rows": table(("what holds", "cases, and what is varied"), rows), "digests": digests()}
    return between_marks(page, texts)


if __name__ == "__main__":
    write(PAGE, documented)

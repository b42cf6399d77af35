"""The public names: exact, sorted, documented, and quick to import."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import isoconv

ROOT = Path(__file__).parents[1]
MODULES = ["isoconv", *(m.name for m in pkgutil.walk_packages(isoconv.__path__, "isoconv."))]
HEAVY = ("numpy", "llvmlite", "PIL", "rich", "typer", "safetensors", "pooch", "matplotlib")


def order(name: str) -> tuple[int, list[tuple[int, int | str]]]:
    """Ruff's order for ``__all__``: constants, classes, the rest; numbers in names by value."""
    constant = len(name) > 1 and name.isupper()
    group = 0 if constant else 1 if name[0].isupper() else 2
    parts = re.findall(r"\d+|\D", name)
    return group, [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def public_definitions(module: ModuleType) -> list[str]:
    """Public functions and classes that a module's own text defines."""
    source = Path(str(module.__file__)).read_text("utf-8")
    return [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]


@pytest.mark.parametrize("name", MODULES)
def test_all(name: str) -> None:
    """``__all__`` is there where something is public, and is exact and sorted."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", None)
    if names is None:
        assert not public_definitions(module), f"{name} lacks __all__"
        return
    assert isinstance(names, list)
    missing = [each for each in names if not hasattr(module, each)]
    assert not missing, f"{name}.__all__ names what is not there"
    assert len(set(names)) == len(names)
    assert names == sorted(names, key=order)


@pytest.mark.parametrize("name", isoconv.__all__)
def test_public_names_are_documented(name: str) -> None:
    """Every public function, class and module has a docstring whose first line ends in a stop."""
    value = getattr(isoconv, name)
    if isinstance(value, str):
        return
    text = inspect.getdoc(value)
    assert text, f"isoconv.{name} has no docstring"
    summary = text.partition("\n\n")[0]
    assert summary.rstrip().endswith((".", "`", ";")), summary


@pytest.mark.parametrize("module", ["data", "errors", "nn", "optim", "schedule", "train"])
def test_public_classes_are_documented(module: str) -> None:
    """So has every class and function of the public modules, and every public method of theirs."""
    room = importlib.import_module(f"isoconv.{module}")
    for name in room.__all__:
        value = getattr(room, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        assert inspect.getdoc(value), f"{module}.{name} has no docstring"
        if not inspect.isclass(value):
            continue
        for method, member in vars(value).items():
            if inspect.isfunction(member) and not method.startswith("_"):
                assert inspect.getdoc(member), f"{module}.{name}.{method} has no docstring"


def test_unknown_name() -> None:
    """A name that is not there is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="module 'isoconv' has no attribute 'conv4d'"):
        _ = isoconv.conv4d  # type: ignore[attr-defined]


def test_dir() -> None:
    """``dir`` lists the public names, loaded or not."""
    assert dir(isoconv) == sorted(isoconv.__all__)


def test_import_is_quick() -> None:
    """``import isoconv`` loads none of the heavy dependencies."""
    program = f"import sys, isoconv; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_version() -> None:
    """The version is that of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert isoconv.__version__ == project["version"]


def test_lowest_versions() -> None:
    """`make test-lowest` gets every declared dependency, each at its bound; each has only that."""
    script = ROOT / "scripts" / "lowest_versions.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    own = ("report", "heic", "view", "notebook")
    declared = [*project["dependencies"], *(each for name in own for each in extras[name])]
    declared += [each for each in extras["dev"] if not each.startswith("isoconv[")]
    assert done.stdout.split() == [each.replace(">=", "==") for each in declared]
    assert set(extras) == {*own, "dev"}


def test_package_is_typed() -> None:
    """The package says that it carries types, and its wheel the marker and the photographs."""
    assert (Path(isoconv.__file__).parent / "py.typed").is_file()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    files = settings["tool"]["setuptools"]["package-data"]["isoconv"]
    assert {"py.typed", "data/sample/*", "explain/web/*"} <= set(files)

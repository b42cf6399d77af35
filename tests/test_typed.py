"""What a type checker sees: of the project all, with a program of somebody else's among it."""

from __future__ import annotations

import ast
import importlib
import tomllib
from pathlib import Path

import isoconv

ROOT = Path(__file__).parents[1]


def test_nothing_is_left_unchecked() -> None:
    """Every folder with programs is checked strictly; only libraries without types are excused."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
    folders = {path.parent.name for path in ROOT.glob("[!.]*/*.py")}
    assert set(settings["files"]) == folders | {"src"}
    assert settings["strict"] is True
    assert (ROOT / "tests" / "typed_program.py").exists()
    for excused in settings["overrides"]:
        assert not any(name.startswith(("isoconv", "tests")) for name in excused["module"])
        assert set(excused) == {"module", "ignore_missing_imports", "follow_imports"}


def test_public_names_are_those_for_types() -> None:
    """What is imported for type checkers alone is what the package gives, each from its place."""
    source = Path(isoconv.__file__).read_text("utf-8")
    block = next(
        node for node in ast.parse(source).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    )  # fmt: skip
    named: dict[str, str] = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        named.update({each.name: str(node.module) for each in node.names})
    assert set(named) | {"__version__"} == set(isoconv.__all__)
    for name, module in named.items():
        value = getattr(isoconv, name)
        # `isoconv.explain` is a package that is called as its function.
        value = value.__wrapped__ if name == "explain" else value
        if module == "isoconv":
            assert value is importlib.import_module(f"isoconv.{name}")
        else:
            assert value is getattr(importlib.import_module(module), name)

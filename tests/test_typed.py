"""What a type checker sees: of the package in a program of somebody else's, and of the project."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import isoconv

ROOT = Path(__file__).parents[1]

PROGRAM = """
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

import isoconv as ic
from isoconv import nn

x = np.zeros((1, 8, 8, 3), np.float32)
w = np.zeros((3, 3, 3, 4), np.float32)
assert_type(ic.conv2d(x, w, padding="same", algorithm="winograd"), npt.NDArray[Any])
assert_type(ic.max_pool2d(x, (2, 2), stride=2), npt.NDArray[Any])
assert_type(ic.gradients(ic.conv2d, x, x, w, stride=2), tuple[npt.NDArray[Any], ...])
ic.cross_entropy([[0.0, 1.0]], [1], smoothing=0.1)
model = nn.Sequential(nn.Conv2d(8, 3, padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(2))
data = ic.data.Dataset.from_arrays(x, ["cat"])
run = ic.Trainer(model, optimizer=ic.optim.SGD(0.1), schedule=ic.schedule.Cosine()).fit(data)
assert_type(run.best_epoch, int)
assert_type(ic.evaluate(model, data).loss, float)
assert_type(ic.load("model.safetensors"), nn.Module)
assert_type(ic.output_size(28, kernel=5), int)
assert_type(ic.__version__, str)
"""

WRONG = {
    "ic.conv2d(x)": "call-arg",
    "ic.conv2d(x, w, strides=2)": "call-arg",
    'ic.conv2d(x, w, padding="full")': "arg-type",
    'ic.conv2d(x, w, algorithm="fft")': "arg-type",
    "ic.max_pool2d(x)": "call-arg",
    'ic.leaky_relu(x, "0.1")': "arg-type",
    "ic.conv4d(x, w)": "attr-defined",
    "nn.Conv2d(8)": "call-arg",
    'ic.Trainer(nn.ReLU(), loss="l2")': "arg-type",
}


def checked(program: str, folder: Path) -> list[str]:
    """The lines that mypy prints for a program that uses the package."""
    (folder / "program.py").write_text(program, "utf-8")
    done = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--show-error-codes",
            "--follow-imports=silent", "--config-file=",
            f"--cache-dir={folder}", "program.py",
        ],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(Path(isoconv.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


def test_a_program_is_checked(tmp_path: Path) -> None:
    """Mypy finds every argument and result where a program is right, and each fault elsewhere."""
    lines = PROGRAM.splitlines()
    program = "\n".join([*lines, *WRONG]) + "\n"
    found = checked(program, tmp_path)
    wanted = [
        (f"program.py:{len(lines) + place}:", f"[{kind}]")
        for place, kind in enumerate(WRONG.values(), start=1)
    ]
    shown = "\n".join(found)
    errors = [line for line in found if ": error:" in line]
    assert len(errors) == len(wanted), shown
    for line, (place, kind) in zip(errors, wanted, strict=True):
        assert line.startswith(place), shown
        assert line.endswith(kind), shown


def test_nothing_is_left_unchecked() -> None:
    """Every folder with programs is checked strictly; only libraries without types are excused."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
    folders = {path.parent.name for path in ROOT.glob("[!.]*/*.py")}
    assert set(settings["files"]) == folders | {"src"}
    assert settings["strict"] is True
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

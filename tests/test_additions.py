"""What is added to a copy of the package touches its own file, and is there for everybody."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scripts import public_names

ROOT = Path(__file__).parents[1]

LAYER = '''
"""A neighbour of SiLU."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.nn.activations import leaky_relu, silu
from isoconv.nn.module import Module
from isoconv.nn.tensor import Tensor

__all__ = ["LeakySiLU", "leaky_silu"]
__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}


def leaky_silu(x: Tensor, slope: float = 0.5) -> Tensor:
    """``silu(x)``, and ``slope · silu(x)`` below zero."""
    return leaky_relu(silu(x), slope)


@dataclass(eq=False, repr=False)
class LeakySiLU(Module):
    """`leaky_silu` as a layer: ``silu(x)``, and ``slope · silu(x)`` below zero.

    Args:
        slope: factor below zero.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(...)``, the same.

    Source:
        Elfwing et al. 2017, "Sigmoid-weighted linear units", with a slope.

    Example:
        >>> from isoconv import nn
        >>> nn.LeakySiLU(slope=2.0)
        LeakySiLU(slope=2.0)
    """

    slope: float = 0.5

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return leaky_silu(x, self.slope)
'''

USE = """
import json, sys
import numpy as np
import isoconv as ic
from isoconv import nn
from scripts import document_layers

model = nn.Sequential(nn.Linear(3), nn.LeakySiLU(slope=1.5), nn.functional.leaky_silu).build((4,))
model.save(sys.argv[1])
made = ic.load(sys.argv[1])
x = np.eye(4, dtype=np.float32)
page = document_layers.documented(document_layers.PAGE.read_text("utf-8"))
print(json.dumps({
    "file": ic.__file__,
    "line": repr(made[1]),
    "function": made[2].__name__,
    "same": bool((made.predict(x) == model.predict(x)).all()),
    "rows": [line for line in page.splitlines() if "leaky_silu" in line],
}))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package, in which a file was added and lists were written."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(
        public_names.SRC / "isoconv", folder / "isoconv",
        ignore=shutil.ignore_patterns("__pycache__"),
    )  # fmt: skip
    (folder / "isoconv" / "nn" / "leaky.py").write_text(LAYER.lstrip(), "utf-8")
    public_names.main(folder)
    return folder


def run(copy: Path, *words: str) -> str:
    """What Python prints with the copy in the package's place."""
    path = os.pathsep.join([str(copy), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_layer_is_one_file(copy: Path, tmp_path: Path) -> None:
    """A layer of a new file is public, saved, read back and in the tables of the documents."""
    found: dict[str, Any] = json.loads(run(copy, "-c", USE, str(tmp_path / "model.safetensors")))
    assert Path(found["file"]).is_relative_to(copy)
    assert found["line"] == "LeakySiLU(slope=1.5)"
    assert found["function"] == "leaky_silu"
    assert found["same"] is True
    layer, function = found["rows"]
    assert layer.startswith("| `LeakySiLU` | `(...)` | `(...)` | `leaky_silu` as a layer")
    assert function == "| `leaky_silu` |  | `silu(x)`, and `slope · silu(x)` below zero. |"


def test_a_layer_is_there_for_type_checkers(copy: Path) -> None:
    """What type checkers read of `isoconv.nn` has the new name too; no other file changes."""
    page = (copy / "isoconv" / "nn" / "__init__.py").read_text("utf-8")
    assert "from isoconv.nn.leaky import LeakySiLU\n" in page
    assert '"LeakySiLU",' in page
    changed = [
        path.relative_to(copy).as_posix()
        for path in copy.rglob("*.py")
        if not (original := public_names.SRC / path.relative_to(copy)).is_file()
        or original.read_bytes() != path.read_bytes()
    ]
    assert sorted(changed) == [
        "isoconv/nn/__init__.py", "isoconv/nn/functional.py", "isoconv/nn/leaky.py",
    ]  # fmt: skip


def test_a_layer_is_tried_by_all_tests_of_layers(copy: Path) -> None:
    """Records, shapes and wrong values of the new layer are tested without a line about it."""
    said = run(
        copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "LeakySiLU or leaky_silu",
        "tests/nn/test_architecture.py", "tests/nn/test_documentation.py", "tests/wrong",
    )  # fmt: skip
    # Its record twice, its shapes twice, its function's record; wrong values of layer, forward
    # and function.
    assert "8 passed" in said

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


FORMAT = '''
"""Small gray pictures in a file of bytes: side, count, then a label and the pixels of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from isoconv.data.dataset import Dataset
from isoconv.data.files import Format, Split, build, file_error, part_by_part
from isoconv.files import is_regular, read_file

__public__ = {"isoconv.data.formats": ["STAMPS"]}


def _splits(path: Path) -> tuple[Split, ...]:
    return ("train",) if path.suffix == ".stamps" and is_regular(path) else ()


def _read(path: Path, split: Split) -> Dataset:
    side, count, *values = read_file(path, 1 << 20)
    if len(values) != count * (1 + side * side):
        raise file_error(path, f"{count} pictures of {side} by {side}", f"{len(values)} bytes")
    rows = np.array(values, np.uint8).reshape(count, -1)
    return build(path, rows[:, 1:].reshape(count, side, side), rows[:, 0].astype(np.int32), None)


STAMPS = Format(
    "a `.stamps` file",
    "small gray pictures with labels",
    _splits,
    part_by_part(_read),
    endings=(".stamps",),
)
'''

LOAD = """
import json, sys
from pathlib import Path
from isoconv import data
from isoconv.cli.complete import data_sources
from isoconv.cli.runs import title_of
from isoconv.errors import IsoconvError
from scripts import document_sources

def said(path):
    try:
        data.load(path)
    except IsoconvError as error:
        return str(error)

folder = Path(sys.argv[1])
found = data.load_splits(folder / "pets.stamps", validation=0.25, test=0)
page = document_sources.documented(document_sources.PAGE.read_text("utf-8"))
print(json.dumps({
    "shapes": [list(found.train.images.shape), list(found.validation.images.shape)],
    "labels": sorted(found.train.labels.tolist() + found.validation.labels.tolist()),
    "title": title_of("My pets.stamps"),
    "offered": data_sources(f"{folder}/pe"),
    "none": said(folder / "nothing"),
    "other": said(folder / "other.txt"),
    "short": said(folder / "short.stamps"),
    "rows": [line for line in page.splitlines() if "stamps" in line],
}))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package, in which files were added and lists were written."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(
        public_names.SRC / "isoconv", folder / "isoconv",
        ignore=shutil.ignore_patterns("__pycache__"),
    )  # fmt: skip
    (folder / "isoconv" / "nn" / "leaky.py").write_text(LAYER.lstrip(), "utf-8")
    (folder / "isoconv" / "data" / "stamps.py").write_text(FORMAT.lstrip(), "utf-8")
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


@pytest.mark.slow
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
        "isoconv/data/formats.py", "isoconv/data/stamps.py", "isoconv/nn/__init__.py",
        "isoconv/nn/functional.py", "isoconv/nn/leaky.py",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_layer_is_tried_by_all_tests_of_layers(copy: Path) -> None:
    """Records, shapes and wrong values of the new layer are tested without a line about it."""
    said = run(
        copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "LeakySiLU or leaky_silu",
        "tests/nn/test_architecture.py", "tests/nn/test_documentation.py", "tests/wrong",
    )  # fmt: skip
    # Its record twice, its shapes twice, its function's record; wrong values of layer, forward
    # and function.
    assert "8 passed" in said


def test_a_kind_of_data_is_one_file(copy: Path, tmp_path: Path) -> None:
    """A format of a new file is loaded, split, offered, named by errors and in the documents."""
    pictures = b"".join(bytes([number % 2, *[20 * number] * 4]) for number in range(8))
    (tmp_path / "pets.stamps").write_bytes(bytes([2, 8]) + pictures)
    (tmp_path / "short.stamps").write_bytes(bytes([2, 8]) + pictures[:-1])
    (tmp_path / "other.txt").write_bytes(b"hello")
    found: dict[str, Any] = json.loads(run(copy, "-c", LOAD, str(tmp_path)))
    assert found["shapes"] == [[6, 2, 2, 1], [2, 2, 2, 1]]
    assert found["labels"] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert found["title"] == "my-pets"
    assert found["offered"] == [str(tmp_path / "pets.stamps")]
    assert found["none"].endswith(
        "or the path of a folder or a file of .tar.gz or .npz or .pack or .stamps"
    )
    assert "\n  - a .stamps file: small gray pictures with labels\n" in found["other"]
    assert found["short"].endswith("expected 8 pictures of 2 by 2; found 39 bytes")
    assert found["rows"] == ["| a `.stamps` file | small gray pictures with labels |"]


# Operations -------------------------------------------------------------------------------------

SQUASH = """


def _gradient_squash(b: GraphBuilder, node: int, dy: int) -> Flows:
    (x,) = b[node].inputs
    wide = b.add("offset", b.add("abs", x), attrs=Constant(1.0))
    return (b.add("div", dy, b.add("square", wide)),)


register_unary(
    "squash", "y = x / (1 + |x|).", lambda _, x: x / (x.dtype.type(1) + np.abs(x)),
    _gradient_squash,
)
"""
EMITTER = """


@emits("squash")
def _squash(k: Kernel, _: Any, dtype: str, args: list[Value], place: Place) -> Value:
    wide = k.builder.fadd(fill(k, 1.0, dtype, place), _abs(k, None, dtype, args, place))
    return k.builder.fdiv(args[0], wide)
"""
COMPUTE = """
import json
import numpy as np
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.ops import ConvGeometry
from isoconv.ops.interpret import interpret
from isoconv.run.evaluate import evaluate

same = []
for dtype in ("float32", "float64"):
    b = GraphBuilder()
    x, w = b.input("dataset", "x", (5, 6, 3), dtype), b.input("parameter", "w", (3, 3, 3, 9), dtype)
    conv = b.add("conv", x, w, attrs=ConvGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)))
    y = b.add("squash", conv)
    dy = b.input("dataset", "dy", (5, 6, 9), dtype)
    flows = differentiate(b, {y: dy}, [x, w])
    graph = b.graph([("y", y), *((f"d{i}", flow) for i, flow in enumerate(flows.values()))])
    draw = np.random.default_rng(1)
    shapes = {"x": (4, 5, 6, 3), "w": (3, 3, 3, 9), "dy": (4, 5, 6, 9)}
    arrays = {name: draw.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
    found, wanted = evaluate(graph, arrays, 4), interpret(graph, arrays, 4)
    same += [found[name].tobytes() == wanted[name].tobytes() for name in wanted]
print(json.dumps(same))
"""


@pytest.mark.slow
def test_a_pointwise_operation_is_an_entry_and_an_emitter(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Written into its family's file and the emitters', it has kernels and gradients."""
    folder = tmp_path_factory.mktemp("operation")
    whole = shutil.ignore_patterns("__pycache__")
    shutil.copytree(public_names.SRC / "isoconv", folder / "isoconv", ignore=whole)
    added = {"ops/activation.py": SQUASH, "compile/pointwise/cpu/operations.py": EMITTER}
    for name, text in added.items():
        with (folder / "isoconv" / name).open("a", encoding="utf-8") as file:
            file.write(text)
    same = json.loads(run(folder, "-c", COMPUTE))
    assert len(same) == 6
    assert all(same)

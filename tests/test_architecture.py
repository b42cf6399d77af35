"""The shape of the project: imports, the page that names all files, borrowed mathematics."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import isoconv.ops  # noqa: F401  (fills the table of operations)
from isoconv.exchange.onnx import exporting, importing
from isoconv.graph.operation import operations

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "isoconv"
MODULES = sorted(SRC.rglob("*.py"))
MOST_LINES = 600
"""Some 400 are usual, and files are cut where ideas end; nobody takes this many for one idea."""

# What each room may import besides itself.
CORE = (
    "onward", "wording", "printable", "cards", "errors", "checks", "memory", "rows", "files",
    "cores", "private", "progress", "signals", "arithmetic", "graph", "ops", "compile", "run", "nn",
    "train", "exchange", "cluster", "cli",
)  # fmt: skip
ALLOWED = {room: frozenset(CORE[:place]) for place, room in enumerate(CORE)}
ALLOWED["data"] = ALLOWED["ops"] | {"ops"}
ALLOWED["nn"] |= {"data"}
ALLOWED["train"] |= {"data"}
ALLOWED["exchange"] |= {"data"}
ALLOWED["cluster"] |= {"data"}
ALLOWED["report"] = ALLOWED["train"] | {"train"}
ALLOWED["explain"] = ALLOWED["report"] | {"report", "exchange"}
ALLOWED["batch"] = ALLOWED["exchange"] | {"exchange"}
ALLOWED["serve"] = ALLOWED["explain"] | {"explain"}
ALLOWED["cli"] |= {"batch", "data", "report", "explain", "serve", "optim", "schedule", "symbols"}
ALLOWED["__main__"] = frozenset({"cli", "signals"})
# They hand on names and hold nothing of their own.
ALLOWED["optim"] = ALLOWED["schedule"] = frozenset({"train"})
ALLOWED["symbols"] = frozenset({"explain"})

WINGS = (
    ("cpus", "target", "layout"), ("native",), ("pointwise",), ("calls",), ("lowering",),
    ("augmentation", "movement", "reduction", "window"), ("normalization",), ("contraction",),
    ("winograd",), ("lower",),
)  # fmt: skip
"""The wings of compile/ from the lowest up; those of one row do not know one another."""

RESULTS = ("arithmetic", "graph", "ops", "compile", "run", "nn", "train", "exchange",
           "cluster", "explain")  # fmt: skip
"""Rooms on the path to a result."""

BORROWED = frozenset(
    {
        "sum", "mean", "average", "median", "std", "var", "nansum", "nanmean", "cumsum", "cumprod",
        "trapezoid", "dot", "vdot", "inner", "matmul", "tensordot", "einsum", "convolve",
        "correlate", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "sin",
        "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "arctan2", "asin",
        "acos", "atan", "atan2", "asinh", "acosh", "atanh", "hypot", "power", "pow", "float_power",
        "cbrt", "erf", "erfc", "gamma", "lgamma", "fsum", "fmod", "random", "linalg", "fft",
        "interp", "polyfit", "polyval", "gradient"
    }
)  # fmt: skip
"""Functions of NumPy and of math whose results differ between machines or versions."""

METHODS = frozenset({"sum", "mean", "std", "var", "dot", "cumsum"})
"""Methods of arrays that are reductions in an order of NumPy's own."""

EXCEPTIONS = {
    ("compile/", "sum"): "adds sizes and addresses; what is computed is in the code that it emits",
    ("compile/reduction/cpu/rows.py", ".sum()"): "the emitter's own, in the order of a reduction",
    ("explain/protocol.py", "sum"): "counts parameters and multiply-adds",
    ("nn/summary.py", "sum"): "counts parameters and multiply-adds",
    ("ops/shape.py", "sum"): "counts channels",
}
"""(file or room, what it uses) → why this is not borrowed mathematics."""


@cache
def tree_of(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text("utf-8"), str(path))


def name_of(path: Path) -> str:
    """A file's path within the package."""
    return path.relative_to(SRC).as_posix()


def room_of(path: Path) -> str:
    """The first folder, or the name of a module of the package itself ("" for __init__)."""
    first = path.relative_to(SRC).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Line and room of every import of isoconv in a file, those inside functions too."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [f"{base}.{alias.name}" if base == "isoconv" else base for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "isoconv":
                yield node.lineno, rest.partition(".")[0]


def test_imports_go_one_way() -> None:
    """A room imports only rooms below it, also inside functions and for types."""
    wrong = [
        f"{name_of(path)}:{line}: {room} imports {other or 'isoconv itself'}"
        for path in MODULES
        # The package itself hands on names of all rooms.
        if (room := room_of(path))
        for line, other in imported_rooms(path)
        if other not in ALLOWED[room] | {room}
        # The version number stands in the package itself.
        and not (other == "__version__" and room in ("train", "cli", "report", "serve"))
    ]
    assert not wrong


def wing_of(name: str) -> str:
    """The wing of a module of compile/, by its whole name."""
    return name.split(".")[2]


def test_wings_read_downwards() -> None:
    """A wing of compile/ imports itself and what is below it, also for types."""
    level = {wing: number for number, wings in enumerate(WINGS) for wing in wings}
    wrong = [
        f"{name_of(path)}:{node.lineno}: {node.module}"
        for path in sorted((SRC / "compile").glob("*/*.py"))
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("isoconv.compile.")
        and (other := wing_of(str(node.module))) != (own := path.relative_to(SRC).parts[1])
        and level[other] >= level[own]
    ]
    assert not wrong


def test_every_wing_has_its_place() -> None:
    """No folder and no module of compile/ is left out of the order."""
    present = {path.stem for path in (SRC / "compile").glob("[!_]*") if path.name != "__pycache__"}
    assert {wing for wings in WINGS for wing in wings} == present


def asks_for_names(tree: ast.Module, names: set[str]) -> list[int]:
    """Lines that compare an ``op`` with names of operations, or look one up in some of them."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Attribute)
        and node.left.attr == "op"
        and any(
            isinstance(inner, ast.Constant) and inner.value in names
            for right in node.comparators
            for inner in ast.walk(right)
        )
    ]


def test_operations_are_asked() -> None:
    """Nothing outside ops/ knows operations by name, but the rules that are entered for them."""
    names = {*operations()} - {"input", "copy", "add"}  # the graph's own
    found = [
        f"{name_of(path)}:{line}"
        for path in MODULES
        if room_of(path) != "ops" and path.name != "rules.py"
        for line in asks_for_names(tree_of(path), names)
    ]
    assert not found
    for source in ("node.op == 'conv'", "graph[i].op in ('relu', 'gelu')"):
        assert asks_for_names(ast.parse(source), names)


BY_NAME = (
    r"isoconv\.__main__",
    r"isoconv\.compile\.\w+\.rules",  # by compile.lowering, for the operations of its family
    r"isoconv\.compile\.\w+\.cpu\.\w+",  # by compile.native.emitters, beside its specification
)
"""Modules that are loaded by their names, and by whom."""


def test_every_file_is_loaded_by_another() -> None:
    """Else what it enters into a table is there only where somebody else happens to load it."""
    imported: set[str] = set()
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module)
                imported.update(f"{node.module}.{alias.name}" for alias in node.names)
    families = (*importing._FAMILIES, *exporting._FAMILIES)
    imported.update(f"isoconv.exchange.onnx.{family}" for family in families)
    modules = {f"isoconv.{name_of(path).removesuffix('.py').replace('/', '.')}" for path in MODULES}
    left = sorted(name for name in modules - imported if not name.endswith("__init__"))
    assert [name for name in left if not any(re.fullmatch(rule, name) for rule in BY_NAME)] == []


def test_imports_are_absolute() -> None:
    """No relative import, so that every import names its room."""
    relative = [
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative


def imported_tests(tree: ast.Module) -> list[int]:
    """Lines of a file that import from a test: a module whose name begins so."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        if any(name.startswith("tests.") and ".test_" in name for name in names):
            found.append(node.lineno)
    return found


def test_tests_import_no_tests() -> None:
    """What several tests share stands in a module of its own beside them, or in a `conftest.py`."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("tests", "bench")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in imported_tests(tree_of(path))
    ]
    assert not found
    for source in (
        "from tests.ops.test_conv import run", "from tests.ops import test_conv",
        "import tests.ops.test_conv", "from tests.test_notes import BY_INPUT",
    ):  # fmt: skip
        assert imported_tests(ast.parse(source))
    assert not imported_tests(ast.parse("from tests.ops.cases import CASES"))


def test_tests_stand_where_their_module_does() -> None:
    """A file of tests that has the name of a module of its room stands in that module's folder."""
    places: dict[tuple[str, str], set[Path]] = {}
    for path in MODULES:
        inside = path.relative_to(SRC).parent
        # An emitter is tested with its specification.
        folder = inside.parent if inside.name == "cpu" else inside
        places.setdefault((room_of(path), path.stem), set()).add(folder)
    astray = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        folder = path.relative_to(ROOT / "tests").parent
        room = folder.parts[0] if folder.parts else path.stem.removeprefix("test_")
        wanted = places.get((room, path.stem.removeprefix("test_")), {folder})
        if folder not in wanted:
            astray.append(f"{path.relative_to(ROOT)} belongs to {sorted(map(str, wanted))}")
    assert not astray


def described() -> tuple[set[str], set[str]]:
    """Folders and files of the package that ARCHITECTURE.md names, from the project's root."""
    folders: set[str] = set()
    files: set[str] = set()
    folder = ""
    for line in (ROOT / "ARCHITECTURE.md").read_text("utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("#").strip()
            folder = heading if heading.startswith("src/") else ""
            folders |= {folder} - {""}
        elif folder and (row := re.match(r"\| `([^`]+)` \|", line)):
            files.add(folder + row[1])
    return folders, files


def test_architecture_names_every_file() -> None:
    """Every folder and every file of the package has its line, and no line is without a file."""
    folders, files = described()
    pages = (*(SRC / "explain/web").iterdir(), *(SRC / "exchange").glob("*.txt"))
    present = {path.relative_to(ROOT).as_posix() for path in (*MODULES, *pages)}
    assert files == present
    inside = {
        f"{path.relative_to(ROOT).as_posix()}/"
        for path in (SRC, *SRC.rglob("*"))
        if path.is_dir() and path.name != "__pycache__"
    }
    assert folders == inside


def test_architecture_names_what_is_beside() -> None:
    """Folders and files beside the package that the page names are there, and no folder lacks."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8").partition("## Beside the package")[2]
    named = set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))
    assert named
    assert not {name for name in named if not (ROOT / name).exists()}
    wanted = {"bench/", "docs/", "examples/", "scripts/", "tests/"}
    assert wanted <= named


def test_files_fit_in_a_head() -> None:
    """No file of the library is longer than the limit."""
    lines = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}


def test_library_asserts_nothing() -> None:
    """Errors are raised by name; `assert` vanishes under ``python -O``."""
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Assert)
    ]
    assert not found


class Borrowed(ast.NodeVisitor):
    """Finds uses of mathematics that is not isoconv's own: (function, use, line)."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str, int]] = []
        self._function = ""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Remember the function around what is found."""
        outer, self._function = self._function, node.name
        self.generic_visit(node)
        self._function = outer

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """``np.exp``, ``math.log``, ``np.add.reduce``."""
        if isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy", "math"):
            if node.attr in BORROWED:
                self._note(f"{node.value.id}.{node.attr}", node.lineno)
        elif node.attr in ("reduce", "accumulate", "reduceat"):
            self._note(f"ufunc.{node.attr}", node.lineno)
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """``from math import exp``."""
        if node.module in ("numpy", "math"):
            for alias in node.names:
                if alias.name in BORROWED:
                    self._note(f"{node.module}.{alias.name}", node.lineno)

    def visit_Call(self, node: ast.Call) -> None:
        """``array.sum()``, ``sum(values)``, ``pow(x, y)``."""
        called = node.func
        if isinstance(called, ast.Name) and called.id in ("sum", "pow"):
            self._note(called.id, node.lineno)
        if isinstance(called, ast.Attribute) and called.attr in METHODS:
            base = called.value
            if not (isinstance(base, ast.Name) and base.id in ("np", "math")):
                self._note(f".{called.attr}()", node.lineno)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """``x @ y``, and ``x ** y`` where the result may be rounded."""
        if isinstance(node.op, ast.MatMult):
            self._note("@", node.lineno)
        if isinstance(node.op, ast.Pow) and not _is_exact_power(node):
            self._note("**", node.lineno)
        self.generic_visit(node)

    def _note(self, use: str, line: int) -> None:
        self.found.append((self._function, use, line))


def _is_exact_power(node: ast.BinOp) -> bool:
    """A power of two, or a power of whole numbers as they are written."""
    base, exponent = (
        isinstance(side, ast.Constant) and side.value for side in (node.left, node.right)
    )
    return base == 2 or (type(base) is int and type(exponent) is int)


def exception_for(path: Path, use: str) -> tuple[str, str] | None:
    """The exception that allows a file this use."""
    keys = ((name_of(path), use), (f"{room_of(path)}/", use))
    return next((key for key in keys if key in EXCEPTIONS), None)


def borrowed(path: Path) -> list[tuple[str, str, int]]:
    """What a file borrows: (function, use, line)."""
    visitor = Borrowed()
    visitor.visit(tree_of(path))
    return visitor.found


def test_no_borrowed_mathematics() -> None:
    """No libm, BLAS, NumPy reduction, transcendental function or floating-point ``sum``."""
    wrong = [
        f"{name_of(path)}:{line}, {function or 'module'}: {use}"
        for path in MODULES
        if room_of(path) in RESULTS
        for function, use, line in borrowed(path)
        if exception_for(path, use) is None
    ]
    assert not wrong


def test_exceptions_are_needed() -> None:
    """Every exception to the rule before is still used."""
    used = {
        exception_for(path, use)
        for path in MODULES
        if room_of(path) in RESULTS
        for _, use, _ in borrowed(path)
    }
    assert set(EXCEPTIONS) <= used


@pytest.mark.parametrize("source", ["np.sum(x)", "x.mean()", "x @ y", "sum(x)", "math.exp(x)"])
def test_borrowed_mathematics_is_found(source: str) -> None:
    """The search itself finds what it is for."""
    visitor = Borrowed()
    visitor.visit(ast.parse(source))
    assert len(visitor.found) == 1


def asks_environment(tree: ast.Module) -> list[int]:
    """Lines of a file that read environment variables."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"))
        or (isinstance(node, ast.alias) and node.name in ("environ", "environb", "getenv"))
    ]


def test_settings_are_passed() -> None:
    """No environment variable is read below ``cli/`` and ``compile/target.py``."""
    found = [
        f"{name_of(path)}:{line}"
        for path in MODULES
        if room_of(path) != "cli" and name_of(path) != "compile/target.py"
        for line in asks_environment(tree_of(path))
    ]
    assert not found
    for source in ("os.environ['A']", "os.getenv('A')", "from os import environ"):
        assert asks_environment(ast.parse(source))


def test_no_paths_of_one_machine() -> None:
    """No file that is handed on names a folder of the machine it was written on."""
    place = re.compile(r"(?<![\w.])/(?:home|root|work|Users|mnt|media)/\w")
    texts = [
        path
        for pattern in ("*.md", "*.toml", "Makefile", "src/**/*.py", "src/**/*.md", "tests/**/*.py",
                        "docs/**/*.md", "docs/**/*.svg", "examples/*.py", "scripts/*.py",
                        "bench/*.py", "bench/*/*.py", "bench/*.md", "bench/results/*")
        for path in ROOT.glob(pattern)
    ]  # fmt: skip
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in texts
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if place.search(line)
    ]
    assert not found

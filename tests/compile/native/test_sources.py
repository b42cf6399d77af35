"""What a kernel's key covers: the sources of all that makes it, found as they are."""

from __future__ import annotations

import ast
import compileall
import functools
import json
import shutil
import subprocess
import sys
import zipfile
from ast import AST
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isoconv
from isoconv.compile.native import build
from isoconv.compile.native.sources import closure, imports, parsed_imports, state

ROOM = "isoconv.compile"
SRC = Path(isoconv.__file__).parent
FILES = sorted(path.relative_to(SRC).as_posix() for path in SRC.rglob("*.py"))


def name_of(file: str) -> str:
    """The module in a file of the package."""
    parts = ["isoconv", *file.removesuffix(".py").split("/")]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in FILES}


def package_of(name: str) -> str:
    """The package that a module is in, or is."""
    return name if MODULES[name].endswith("__init__.py") else name.rpartition(".")[0]


def imported(tree: AST) -> Iterator[str]:
    """Names in the imports of a syntax tree that are run; all imports here are absolute."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from imported(node)


@functools.cache
def reached() -> set[str]:
    """Files that compiling may run, by Python's parser and the folders: another way to see it."""
    found, waiting = set(), [name for name in MODULES if f"{name}.".startswith(f"{ROOM}.")]
    while waiting:
        name = waiting.pop()
        while name and name not in MODULES:
            name = name.rpartition(".")[0]
        if name and name not in found:
            found.add(name)
            tree = ast.parse((SRC / MODULES[name]).read_text("utf-8"))
            waiting += [name.rpartition(".")[0], *imported(tree)]
    return {MODULES[name] for name in found}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a copy of the package's code in it."""
    place = tmp_path / "copy"
    shutil.copytree(SRC, place / "isoconv", ignore=shutil.ignore_patterns("__pycache__", "sample"))
    return place


def run(place: Path, program: str, *arguments: str, cache: Path | None = None) -> list[Any]:
    """What a program prints as JSON, with the package that is in a folder or an archive."""
    start = f"""
import json, os, sys
sys.dont_write_bytecode = True
sys.path.insert(0, {str(place)!r})
"""
    if cache:
        start += f"os.environ['XDG_CACHE_HOME'] = {str(cache)!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", start + program, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


# The closure --------------------------------------------------------------------------------------


def flat(found: dict[str, set[Any]]) -> set[str]:
    """All that an import may mean: its modules, and the names as modules in them."""
    return {*found, *(f"{base}.{name}" for base, names in found.items() for name in names)}


@pytest.mark.slow
def test_no_import_is_missed() -> None:
    """The quick reader finds every import that Python's parser finds."""
    for file in FILES:
        source, package = (SRC / file).read_bytes(), package_of(name_of(file))
        found, parsed = flat(imports(source, package)), flat(parsed_imports(source, package))
        assert found >= parsed, file
        assert not (found - parsed) & set(MODULES), f"{file}: something else is taken for an import"


@pytest.mark.slow
def test_closure() -> None:
    """All of the room, and all modules that it imports, from module to module; nothing else."""
    assert {MODULES[name] for name in closure(ROOM)} == reached()
    covered = {"__init__.py", "errors.py", "ops/image.py", "ops/winograd.py", "ops/__init__.py",
               "graph/ir.py", "arithmetic/philox.py", "compile/reduction/rows.py"}  # fmt: skip
    assert covered <= reached()
    outside = {file.partition("/")[0] for file in set(FILES) - reached()}
    assert {"cli", "data", "nn", "report", "run", "train"} <= outside
    assert all(closure(ROOM)[name] == (SRC / MODULES[name]).read_bytes() for name in closure(ROOM))


def test_nothing_else_can_be_imported() -> None:
    """No module of the closure imports by a name that is made up while it runs, but for these.

    What is above is found by name, and public names too, which this room does not ask for; the
    search for sources looks for modules without importing them; and lowering imports rules, and
    compiling emitters, all of which lie in this room, every module of which is in the closure.
    """
    ways = ("importlib", "__import__", "exec(", "eval(", "runpy", "pkgutil")
    found = {file for file in reached() for way in ways if way in (SRC / file).read_text("utf-8")}
    by_name = {"compile/lowering.py", "compile/native/emitters.py"}
    assert found == {"onward.py", "compile/native/sources.py"} | by_name


def test_another_room() -> None:
    """The closure is that of the room that was asked for; a room that is not there has none."""
    assert "isoconv.data.idx" in closure("isoconv.data")
    assert "isoconv.compile.native.build" not in closure("isoconv.data")
    for room in ("isoconv.kitchen", "isoconv.nn.kitchen.sink", "kitchen"):
        with pytest.raises(ImportError, match=room):
            closure(room)


STATEMENTS = {
    "plain": (b"import isoconv.ops.conv", {"ops.conv"}),
    "many": (b"import os, isoconv.ops as o, isoconv.graph.ir as ir", {"ops", "graph.ir"}),
    "from": (b"from isoconv.ops import conv as c, pool", {"ops", "ops.conv", "ops.pool"}),
    "the package": (b"from isoconv import ops", {"", "ops"}),
    "star": (b"from isoconv.ops import *", {"ops", "ops.*"}),
    "lines": (
        b"from isoconv.ops import (  # (one) of\n    conv,  # (two)\n    pool,\n)",
        {"ops", "ops.conv", "ops.pool"},
    ),
    "tight": (b"from isoconv.ops import(conv)", {"ops", "ops.conv"}),
    "wide": (b"from\tisoconv . ops  import\tconv", {"ops", "ops.conv"}),
    "function": (b"def f():\n\tfrom isoconv.ops import conv", {"ops", "ops.conv"}),
    "one line": (b"if True: import isoconv.ops; import isoconv.graph", {"ops", "graph"}),
    "else": (b"try:\n    pass\nfinally:import isoconv.ops", {"ops"}),
    "here": (b"from . import bits", {"compile", "compile.bits"}),
    "here, tight": (b"from.import bits", {"compile", "compile.bits"}),
    "beside": (b"from .bits import Bits", {"compile.bits", "compile.bits.Bits"}),
    "above": (b"from ..ops.conv import f", {"ops.conv", "ops.conv.f"}),
    "far above": (b"from .... import f", set()),
    "backslash": (b"from isoconv.ops \\\n import conv,\\\n pool", {"ops", "ops.conv", "ops.pool"}),
    "backslash in a comment": (b"# so: \\\nimport isoconv.ops", {"ops"}),
    "carriage returns": (b"import os\r\nimport isoconv.ops\r\n", {"ops"}),
    "byte order mark": (b"\xef\xbb\xbfimport isoconv.ops", {"ops"}),
    "latin-1": (b"# -*- coding: latin-1 -*-\n# \xe4\nimport isoconv.ops", {"ops"}),
    "behind a comment": (b"# from isoconv.nn import (\nimport isoconv.ops", {"ops"}),
    "behind a string": (b"'''from isoconv.nn import ('''\nimport isoconv.ops", {"ops"}),
    "an example": (b"'''\n>>> import isoconv.nn\n'''", set()),
    "another package": (b"import isoconvolution.ops, os\nfrom os import path", set()),
    "a part of a name": (b"import my.isoconv.ops", set()),
    "for types": (
        b"import os\nif TYPE_CHECKING:\n    import isoconv.nn\n\n    import os\nimport isoconv.ops",
        {"ops"},
    ),
    "not for types": (
        b"import os\nif TYPE_CHECKING:\n    import isoconv.nn\nelse:\n    import isoconv.ops",
        {"ops"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STATEMENTS)
def test_imports(case: str) -> None:
    """Every way to write an import is read as Python reads it; a name more does no harm."""
    source, wanted = STATEMENTS[case]
    wanted = {f"isoconv.{name}".rstrip(".") for name in wanted}
    assert flat(parsed_imports(source, "isoconv.compile")) == wanted
    found = flat(imports(source, "isoconv.compile"))
    assert found >= wanted
    assert not (found - wanted) & set(MODULES)


def test_finding_imports_nothing() -> None:
    """Sources are found and read without running any."""
    program = """
from isoconv.compile.native.sources import closure
before = set(sys.modules)
found = len(closure("isoconv.compile"))
new = set(sys.modules) - before
print(json.dumps([found, [name for name in new if name.startswith("isoconv")]]))
"""
    assert run(SRC.parent, program) == [len(reached()), []]


# The key ------------------------------------------------------------------------------------------

KEY = """
from pathlib import Path
from isoconv.compile.native import build
from isoconv.compile.native.kernels import kernel_key
from isoconv.compile.native.runtime import RunSpec
from isoconv.compile.target import host_target

def key():
    build._code.cache_clear()
    build.toolchain.cache_clear()
    return kernel_key(RunSpec(), host_target())
"""


def test_every_source_is_in_the_key(copy: Path) -> None:
    """A change to any file that compiling may run is another key, each its own; others are none."""
    program = (
        KEY
        + """
def with_changed(files):
    paths = [Path(build.__file__).parents[2] / file for file in files]
    texts = {path: path.read_bytes() for path in paths}
    for path, text in texts.items():
        path.write_bytes(text + b"# something else\\n")
    changed = key()
    for path, text in texts.items():
        path.write_bytes(text)
    return changed

reached, others = json.loads(sys.argv[1])
keys = [key(), *(with_changed([file]) for file in reached)]
print(json.dumps([keys, with_changed(others), key()]))
"""
    )
    keys, others, last = run(copy, program, json.dumps([[*reached()], [*set(FILES) - reached()]]))
    assert keys[0] == others == last
    assert len(set(keys)) == len(reached()) + 1


def test_a_new_import_is_in_the_key(copy: Path) -> None:
    """A module that an emitter begins to read is covered from then on, wherever the import is."""
    program = (
        KEY
        + """
def write(file, text):
    path = Path(build.__file__).parents[2] / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as stream:
        stream.write(text)
    return key()

print(json.dumps([
    key(),
    write("nn/table.py", "T = 1\\n"),
    write("compile/pointwise/bits.py", "def f():\\n    from ...nn import table\\n"),
    write("nn/table.py", "T = 2\\n"),
    write("nn/__init__.py", "# The package of the table.\\n"),
    write("compile/another.py", "import isoconv.plain.table\\n"),
    write("plain/table.py", "# In a folder without __init__.\\n"),
]))
"""
    )
    before, unread, *others = run(copy, program)
    assert before == unread
    assert len({unread, *others}) == 6


@pytest.mark.slow
def test_a_table_of_the_operations_is_in_the_key(copy: Path, tmp_path: Path) -> None:
    """Columns swapped in a table that an emitter reads load no kernel of the columns before."""
    program = """
import numpy as np
import isoconv.ops as ops
from isoconv.graph.builder import GraphBuilder
from isoconv.run.evaluate import evaluate
from isoconv.run.team import library_for

b = GraphBuilder()
x = b.input("dataset", "x", (2, 2, 1))
table = b.input("dataset", "table", (9,))
graph = b.graph([("y", b.add("augment", x, table, attrs=ops.Augment()))])
arrays = {
    "x": np.float32([1, 2, 3, 4]).reshape(1, 2, 2, 1),
    "table": np.float32([[1, 0, 0, 0, 0, 0, 0, 1, 0]]),
}
y = evaluate(graph, arrays, 1)["y"]
print(json.dumps([y.ravel().tolist(), library_for().compiled > 0]))
"""
    cache = tmp_path / "cache"
    rows, columns = [3, 4, 0, 0], [2, 0, 4, 0]
    assert run(copy, program, cache=cache) == [rows, True]
    assert run(copy, program, cache=cache) == [rows, False]
    file = copy / "isoconv" / "ops" / "image.py"
    text = file.read_text("utf-8")
    swapped = text.replace('"dy",\n    "dx",', '"dx",\n    "dy",')
    assert swapped != text
    file.write_text(swapped, "utf-8")
    assert run(copy, program, cache=cache) == [columns, True]
    file.write_text(text, "utf-8")
    assert run(copy, program, cache=cache) == [rows, False]


def test_versions_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """So are the versions of all that is not the package's own and shapes code."""
    found = {build.toolchain()}
    for place, value in (
        ("platform.python_version", lambda: "3.99.0"),
        ("platform.python_implementation", lambda: "Otherpython"),
        ("numpy.__version__", "9.9"),
        ("llvmlite.__version__", "0.99"),
        ("llvmlite.binding.llvm_version_info", (99, 0, 0)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, value)
            found.add(build.toolchain.__wrapped__())
    assert len(found) == 6


# Without a folder of sources ----------------------------------------------------------------------

STATE = """
from isoconv.compile.native import build
from isoconv.compile.native import worker
from isoconv.compile.native.sources import state
from isoconv.compile.target import host_target
from isoconv.run.team import library_for

helper = worker._Helper(host_target())
number, greeting = worker._read_answer(helper._python)
helper.close()
same = greeting == worker._greeting(host_target())
kept = library_for().cache is not None
print(json.dumps([state("isoconv.compile"), build.toolchain(), same, kept]))
"""


def archive(folder: Path, suffix: str) -> Path:
    """An archive of the folder's files of one kind."""
    place = folder.with_suffix(".zip")
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob(f"*{suffix}")):
            file.write(path, path.relative_to(folder))
    return place


def without_sources(folder: Path) -> None:
    """The folder's package as bytecode alone."""
    assert compileall.compile_dir(folder, quiet=1, legacy=True)
    for path in folder.rglob("*.py"):
        path.unlink()


def test_folder(copy: Path) -> None:
    """From a folder: the sources, wherever it is, and a helper that agrees."""
    here = state(ROOM)
    assert here is not None
    assert here.startswith("sources ")
    assert here in build.toolchain()
    found, toolchain, *rest = run(copy, STATE)
    assert found == here
    assert found in toolchain
    assert rest == [True, True]


@pytest.mark.slow
def test_archive(copy: Path) -> None:
    """From an archive with sources: the same digest as from a folder."""
    found, _, *rest = run(archive(copy, ".py"), STATE)
    assert found == state(ROOM)
    assert rest == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_bytecode(copy: Path, packed: bool) -> None:
    """Without sources: all files of the package or the archive; another file is another key."""
    without_sources(copy)
    found = []
    for _ in range(2):
        place = archive(copy, ".pyc") if packed else copy
        known, toolchain, *rest = run(place, STATE)
        assert known.startswith("package ")
        assert known in toolchain
        assert rest == [True, True]
        found.append(known)
        shutil.copy(copy / "isoconv" / "graph" / "ir.pyc", copy / "isoconv" / "ops" / "more.pyc")
    assert found[0] != found[1]


@pytest.mark.slow
def test_one_source_is_missing(copy: Path) -> None:
    """A single module without its text is enough for all files to count."""
    whole = run(copy, STATE)[0]
    path = copy / "isoconv" / "ops" / "check.py"
    compileall.compile_file(path, quiet=1, legacy=True)
    path.unlink()
    found, _, *rest = run(copy, STATE)
    assert whole.startswith("sources ")
    assert found.startswith("package ")
    assert rest == [True, True]


@pytest.mark.parametrize("origin", [None, "/nowhere/program/isoconv/compile/native/sources.pyc"])
def test_a_program_with_the_package_inside(copy: Path, origin: str | None) -> None:
    """Where nothing can be read, no two processes have a key in common, and nothing is kept."""
    texts = {name: (copy / "isoconv" / file).read_text("utf-8") for name, file in MODULES.items()}
    packages = [name for name in MODULES if package_of(name) == name]
    (copy / "texts.json").write_text(json.dumps([texts, packages]), "utf-8")
    program = f"""
from importlib.util import spec_from_loader
with open({str(copy / "texts.json")!r}) as file:
    texts, packages = json.load(file)
sys.path.pop(0)

class Inside:
    def find_spec(self, name, path, target=None):
        if name not in texts:
            return None
        spec = spec_from_loader(name, self, is_package=name in packages)
        spec.origin, spec.has_location = {origin!r}, {origin is not None}
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(texts[module.__name__], module.__dict__)

sys.meta_path.insert(0, Inside())
from isoconv.compile.native import build
from isoconv.compile.native.sources import state
from isoconv.run.team import library_for

library = library_for()
print(json.dumps([state("isoconv.compile"), build.toolchain(), library.cache is None]))
"""
    runs = [run(copy, program) for _ in range(2)]
    assert all(found is None and unkept for found, _, unkept in runs)
    assert len({toolchain for _, toolchain, _ in runs}) == 2
    assert all(f"NumPy {np.__version__} " in toolchain for _, toolchain, _ in runs)


@pytest.mark.slow
def test_kernels_of_other_rooms_are_not_kept() -> None:
    """An emitter that no key covers hands its kernels to a library that keeps none on disk."""
    found = 0
    for file in sorted(set(FILES) - reached()):
        nodes = list(ast.walk(ast.parse((SRC / file).read_text("utf-8"))))
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        if any(getattr(call.func, "id", "") == "emits" for call in calls):
            made = [call for call in calls if getattr(call.func, "id", "") == "KernelLibrary"]
            kept = [ast.unparse(call) for call in made if ast.unparse(call.args[1]) != "None"]
            assert made, file
            assert not kept, file
            found += 1
    assert found

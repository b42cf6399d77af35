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

import pytest
from scripts import public_names

import isoconv

ROOT = Path(__file__).parents[1]
MODULES = ["isoconv", *(m.name for m in pkgutil.walk_packages(isoconv.__path__, "isoconv."))]
OFFERS = public_names.all_offers(public_names.SRC)
HEAVY = ("numpy", "llvmlite", "PIL", "rich", "typer", "safetensors", "pooch", "matplotlib")


def wrong_with_all(name: str) -> list[str]:
    """What is wrong with a module's ``__all__``, where it has one."""
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])
    assert isinstance(names, list), name
    wrong = [f"{name}.{each} is not there" for each in names if not hasattr(module, each)]
    if names != sorted(set(names), key=public_names.order):
        wrong.append(f"{name}.__all__ is not sorted, or names something twice")
    return wrong


def test_all() -> None:
    """``__all__`` is exact and sorted, of the packages and of other files that hand on names."""
    assert not [wrong for name in MODULES for wrong in wrong_with_all(name)]


def private_imports(path: Path) -> list[str]:
    """What a file imports from others of the library although an underscore stands in front."""
    return [
        f"{path.name} takes {each.name} from {node.module}"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("isoconv")
        for each in node.names
        if each.name.startswith("_") and not each.name.startswith("__")
    ]


def test_what_has_an_underscore_stays_in_its_file() -> None:
    """No file of the library takes from another one what is not meant for others."""
    paths = sorted(public_names.SRC.rglob("*.py"))
    assert not [taken for path in paths for taken in private_imports(path)]


@pytest.mark.parametrize("package", sorted(OFFERS))
def test_packages_hand_on_what_files_offer(package: str) -> None:
    """No list of a package is written by hand: `python -m scripts.public_names` writes the same."""
    page = public_names.file_of(package, public_names.SRC).read_text("utf-8")
    assert public_names.written(package, page, OFFERS[package]) == page
    module = importlib.import_module(package)
    assert set(module.__all__) == {offer.name for offer in OFFERS[package]}


def test_every_list_of_names_is_a_package_of_offers() -> None:
    """A file with the marks has names between them: no block is left that nothing writes."""
    marked = {
        path
        for path in public_names.SRC.rglob("*.py")
        if public_names.BEGIN in path.read_text("utf-8")
    }
    assert marked == {public_names.file_of(package, public_names.SRC) for package in OFFERS}


def test_all_operations_are_loaded() -> None:
    """Importing `isoconv.ops` loads every file of it that registers an operation."""
    folder = public_names.SRC / "isoconv" / "ops"
    program = "import sys, isoconv.ops; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    registering = {
        f"isoconv.ops.{path.stem}"
        for path in folder.glob("*.py")
        if re.search(r"^register\w*\(", path.read_text("utf-8"), re.MULTILINE)
    }
    assert len(registering) > 5
    assert registering <= set(done.stdout.split())


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('__public__ = {"isoconv.nn": ["b*"]}', "nothing that it defines fits 'b*'"),
        ('__public__ = {"isoconv.nn": ["_*"]}', "nothing that it defines fits '_*'"),
        ('__public__ = {"isoconv.nn": ["a", "?"]}', "offered twice"),
        ('__public__ = {"isoconv.ops": ["a"]}', "isoconv.ops has no marks"),
    ],
)
def test_what_cannot_be_offered(lines: str, said: str, tmp_path: Path) -> None:
    """A line that offers what is not there, twice, or nowhere stops the program, and says so."""
    folder = tmp_path / "isoconv"
    for name in ("nn", "ops"):
        (folder / name).mkdir(parents=True)
    (folder / "nn" / "__init__.py").write_text(public_names.BEGIN + public_names.END)
    (folder / "ops" / "__init__.py").write_text("")
    (folder / "nn" / "layer.py").write_text(f"{lines}\ndef a(): ...\ndef _b(): ...\n")
    with pytest.raises(SystemExit, match=re.escape(said)):
        public_names.main(tmp_path)


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


@pytest.mark.parametrize("module", [*sorted(OFFERS), "isoconv.errors"])
def test_public_classes_are_documented(module: str) -> None:
    """So has every class and function of the public modules, and every public method of theirs."""
    room = importlib.import_module(module)
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
    lists = (project["dependencies"], *extras.values())
    declared = [each for one in lists for each in one if not each.startswith("isoconv[")]
    assert done.stdout.split() == [each.replace(">=", "==") for each in declared]


def test_package_is_typed() -> None:
    """The package says that it carries types, and its wheel the marker and the photographs."""
    assert (Path(isoconv.__file__).parent / "py.typed").is_file()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    files = settings["tool"]["setuptools"]["package-data"]["isoconv"]
    assert {"py.typed", "data/sample/*", "explain/web/*"} <= set(files)


def test_importing_ops_loads_every_family() -> None:
    """No file that registers operations waits for somebody else to import it."""
    families = {
        f"isoconv.ops.{path.stem}"
        for path in Path(isoconv.__file__).parent.joinpath("ops").glob("*.py")
        if "\nregister(" in path.read_text("utf-8")
    }
    program = "import sys, isoconv.ops; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert len(families) > 10
    assert families <= set(done.stdout.split())

"""The sources that decide what a kernel is: all that this room imports, directly or not.

A kernel's key covers them (`compile/native/build.py`), so that no kernel outlives the code that
made it. They are found from import to import in the sources themselves: a table that an emitter
begins to read is covered from then on. Every process does that before its first kernel, in
milliseconds: no module is run to be found, and nothing of its text is read but the imports.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, NamespaceLoader, PathFinder
from pathlib import Path
from pkgutil import iter_modules

_PACKAGE = __name__.partition(".")[0]
_DEPTH = __name__.count(".") - 1  # folders from the package down to this file

# Imports of this package, absolute or relative. Both look ahead and take nothing away, so that what
# only looks like an import hides none that comes behind it.
_IMPORT = re.compile(rf"import(?=[ \t\f]+([\w., \t\f]*\b{_PACKAGE}\b[\w., \t\f]*))")
_FROM = re.compile(
    rf"from(?=[ \t\f]*((?:{_PACKAGE}\b|\.)[\w. \t\f]*?)\bimport\b[ \t\f]*"
    r"(\((?:[^)#]|#[^\n]*)*\)|[\w*, \t\f]+))"
)
_ALIAS = re.compile(r"\bas[ \t\f]+\w+")
_WORD = re.compile(r"\w+|\*")
_FOR_TYPES = re.compile(r"\nif TYPE_CHECKING:(?:\n[ \t]+.*|\n(?=\n))+")


def state(room: str) -> str | None:
    """A digest of a room's code and of all that it imports, after a word for what was read.

    ``sources``: the texts of all these modules. ``package``: where one of them has no text (it came
    as ``.pyc``), all files of the package, or the archive that it lies in. None: where these cannot
    be read either, as in a program that has Python and the package inside.

    Args:
        room: a package, by its whole name.
    """
    try:
        return f"sources {_digest(closure(room))}"
    except (OSError, ImportError, SyntaxError, ValueError):
        pass
    try:
        return f"package {_digest(_files())}"
    except OSError:
        return None


def _digest(texts: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(texts):
        digest.update(f"{name} {len(texts[name])}\n".encode())
        digest.update(texts[name])
    return digest.hexdigest()


def closure(room: str) -> dict[str, bytes]:
    """Texts of a room's modules and of all modules of the package that they import, by name.

    The packages that a module is in belong to it, as importing it runs them.

    Raises:
        ImportError: a module has no text, or there is no such room.
        OSError: a text cannot be read.
        SyntaxError: a text is no Python.
        ValueError: a text holds what no text may hold.
    """
    modules = _Modules()
    texts: dict[str, bytes] = {}
    waiting = [room, *modules.inside(room)]
    while waiting:
        name = waiting.pop()
        spec = None if name in texts else modules.find(name)
        if spec is None:
            continue
        texts[name] = _text(spec)
        above = name.rpartition(".")[0]
        if above:
            waiting.append(above)
        is_package = spec.submodule_search_locations is not None
        for base, names in imports(texts[name], name if is_package else above).items():
            waiting.append(base)
            found = modules.find(base)
            if found is not None and found.submodule_search_locations is not None:
                waiting.extend(f"{base}.{each}" for each in names)
                if "*" in names:
                    waiting.extend(modules.inside(base))
    if room not in texts:
        raise ImportError(f"{room} is not where modules are looked for", name=room)
    return texts


def imports(source: bytes, package: str) -> dict[str, set[str]]:
    """What a module imports of this package: modules, and the names that it takes from each.

    A name may be a module itself; ``*`` stands for any. Imports inside functions count; what stands
    under ``if TYPE_CHECKING:`` is never run and does not. What only looks like an import, in a
    string, may be among them, and so may the words of a comment among the names.

    Args:
        source: the module's text.
        package: the package that it is in, or is.

    Raises:
        SyntaxError: it is no Python.
        ValueError: it holds what no text may hold.
    """
    if b"\r" in source or (b"\\" in source and b"\\\n" in source):
        # Statements that go on after a backslash are rare, and so is their reader.
        return parsed_imports(source, package)
    text = _FOR_TYPES.sub("\n", source.decode("utf-8", "replace").removeprefix("\ufeff"))
    found: dict[str, set[str]] = {}
    for match in _IMPORT.finditer(text):
        if _begins_a_statement(text, match.start()):
            for base in "".join(_ALIAS.sub("", match[1]).split()).split(","):
                found.setdefault(base, set())
    for match in _FROM.finditer(text):
        if _begins_a_statement(text, match.start()):
            base = _absolute("".join(match[1].split()), package)
            found.setdefault(base, set()).update(_WORD.findall(match[2]))
    return _of_this_package(found)


def _begins_a_statement(text: str, at: int) -> bool:
    """Whether a statement can begin here: on a line of its own or behind another one."""
    before = text[text.rfind("\n", 0, at) + 1 : at].rstrip(" \t\f")
    return not before or before[-1] in ";:"


def parsed_imports(source: bytes, package: str) -> dict[str, set[str]]:
    """The same by Python's own parser, which takes a hundred times as long."""
    found: dict[str, set[str]] = {}
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting.extend(node.orelse)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name, set())
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), package)
            found.setdefault(base, set()).update(alias.name for alias in node.names)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return _of_this_package(found)


def _of_this_package(found: dict[str, set[str]]) -> dict[str, set[str]]:
    return {base: names for base, names in found.items() if base.partition(".")[0] == _PACKAGE}


def _absolute(name: str, package: str) -> str:
    """The whole name of what an import calls ``.name``, ``..name`` and so on."""
    rest = name.lstrip(".")
    if rest == name:
        return name
    parts = package.split(".")
    base = ".".join(parts[: max(len(parts) - (len(name) - len(rest) - 1), 0)])
    return f"{base}.{rest}" if rest else base


class _Modules:
    """Finds modules of this package as Python would, without running any."""

    def __init__(self) -> None:
        self._specs: dict[str, ModuleSpec | None] = {}

    def find(self, name: str) -> ModuleSpec | None:
        """Where a module is; None if there is none of this name."""
        if name not in self._specs:
            loaded = getattr(sys.modules.get(name), "__spec__", None)
            self._specs[name] = loaded or self._search(name)
        return self._specs[name]

    def _search(self, name: str) -> ModuleSpec | None:
        above = self.find(name.rpartition(".")[0]) if "." in name else None
        folders = None if above is None else above.submodule_search_locations
        return None if folders is None else PathFinder.find_spec(name, folders)

    def inside(self, name: str) -> Iterator[str]:
        """Names of all modules below a package."""
        spec = self.find(name)
        folders = None if spec is None else spec.submodule_search_locations
        for module in iter_modules(folders or [], f"{name}."):
            yield module.name
            if module.ispkg:
                yield from self.inside(module.name)


def _text(spec: ModuleSpec) -> bytes:
    if spec.loader is None or isinstance(spec.loader, NamespaceLoader):
        return b""  # a folder without __init__
    read = getattr(spec.loader, "get_data", None)
    if read is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ImportError(f"{spec.name} has no text", name=spec.name)
    text: bytes = read(spec.origin)
    return text


def _files() -> dict[str, bytes]:
    """All files of the package, or the archive that it lies in.

    Raises:
        OSError: a file cannot be read, or this module came from none of them.
    """
    spec = sys.modules[__name__].__spec__
    if spec is None or spec.origin is None or not spec.has_location:
        raise FileNotFoundError(f"{__name__} is in no file")
    here = Path(spec.origin)
    top = here.parents[_DEPTH]
    # A __pycache__ holds what Python made from sources, and is of use beside them alone.
    files = [
        path for path in top.rglob("*") if path.is_file() and path.parent.name != "__pycache__"
    ]
    if here in files:
        return {path.relative_to(top).as_posix(): path.read_bytes() for path in files}
    return {"": next((path for path in top.parents if path.is_file()), here).read_bytes()}

"""Writes the packages' lists of names out of the files that define them.

    python -m scripts.public_names

A file says below its imports by which packages its names are reached:

    __public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}

Each package stands with names that the file defines, or patterns of its functions and classes; the
last part of the file's own name stands for the whole file. What has an underscore in front is for
the file alone. Between the two marks in a package's file this program writes the imports and
``__all__`` that follow, and where names are loaded when they are first used a table of their
places. Nothing is imported for that.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"
LATE = ("isoconv", "isoconv.data", "isoconv.exchange", "isoconv.train")
"""Packages that load their names when they are first used, with `isoconv.onward.late_names`."""
BEGIN = "# begin of names that `python -m scripts.public_names` writes\n"
END = "# end of names\n"
BLOCK = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
COLUMNS = 100


@dataclass(frozen=True)
class Offer:
    """A name through which something is reached.

    Attributes:
        package: through which it is reached.
        module: the file that defines it.
        name: of something in the file, or of the whole file.
        whole: whether it is the whole file.
    """

    package: str
    module: str
    name: str
    whole: bool

    @property
    def place(self) -> str:
        """What the name is imported from."""
        return self.module.rpartition(".")[0] if self.whole else self.module


def assigned(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """What statements assign to one name each: the name and the value."""
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value


def offers_of(path: Path, root: Path) -> Iterator[Offer]:
    """What a file offers.

    Raises:
        SystemExit: a name or pattern that none of the file's names fits.
    """
    parts = path.relative_to(root).with_suffix("").parts
    package = parts[-1] == "__init__"
    module = ".".join(parts[:-1] if package else parts)
    text = path.read_text("utf-8")
    if "__public__" not in text:
        return
    body = ast.parse(text).body
    offered: dict[str, list[str]] = next(
        (ast.literal_eval(value) for name, value in assigned(body) if name == "__public__"), {}
    )
    defined = [
        node.name for node in body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]  # fmt: skip
    others = [name for name, _ in assigned(body)]
    own = module.rpartition(".")[2]
    # The list of a file with a block is made here, so that it is told its own names one by one.
    made = BLOCK.search(text) is not None
    for target, patterns in offered.items():
        for pattern in patterns:
            whole = pattern == own and own not in (*defined, *others)
            known = [pattern] if whole or made or pattern in others else defined
            found = [name for name in known if fnmatchcase(name, pattern)]
            if not found:
                raise SystemExit(f"{path}: nothing that it defines fits {pattern!r}")
            yield from (Offer(target, module, name, whole) for name in found)


def all_offers(root: Path) -> dict[str, list[Offer]]:
    """Package → what the files of all the library offer through it."""
    found: dict[str, list[Offer]] = {}
    for path in sorted(root.rglob("*.py")):
        for offer in offers_of(path, root):
            found.setdefault(offer.package, []).append(offer)
    return found


def file_of(package: str, root: Path) -> Path:
    """The file of a package, or of a module that hands on names."""
    path = root.joinpath(*package.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def order(name: str) -> tuple[int, list[tuple[int, int | str]]]:
    """Ruff's order for ``__all__``: constants, classes, the rest; numbers in names by value."""
    group = 0 if len(name) > 1 and name.isupper() else 1 if name[0].isupper() else 2
    parts = re.findall(r"\d+|\D+", name)
    return group, [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def import_order(name: str) -> tuple[int, list[tuple[int, int | str]]]:
    """Ruff's order within an import: the same groups, without regard to capitals."""
    return order(name)[0], order(name.lower())[1]


def imports(offers: Sequence[Offer], indent: str = "") -> Iterator[str]:
    """Import statements as ruff formats and sorts them."""
    places: dict[str, list[str]] = {}
    for offer in offers:
        places.setdefault(offer.place, []).append(offer.name)
    for place in sorted(places):
        names = sorted(places[place], key=import_order)
        line = f"{indent}from {place} import {', '.join(names)}"
        if len(line) <= COLUMNS:
            yield line
        else:
            yield f"{indent}from {place} import ("
            yield from (f"{indent}    {name}," for name in names)
            yield f"{indent})"


def listing(names: Sequence[str], start: str, end: str, indent: str = "") -> str:
    """Names in quotes: in one line with what stands around them, or in as few as they fill."""
    text = ", ".join(f'"{name}"' for name in names)
    line = f"{indent}{start}{text}{',' if len(names) == 1 and start[-1] == '(' else ''}{end}"
    if len(line) <= COLUMNS:
        return line
    inner = indent + "    "
    filled = textwrap.fill(f"{text},", COLUMNS, initial_indent=inner, subsequent_indent=inner)
    return f"{indent}{start}\n{filled}\n{indent}{end}"


def skipped(text: str) -> str:
    """A statement as it stands: ruff would give each name a line."""
    return f"{text}  # fmt: skip" if "\n" in text else text


def block(package: str, offers: Sequence[Offer]) -> str:
    """What stands between the marks of a package's file.

    Raises:
        SystemExit: two files offer one name.
    """
    names = sorted({offer.name for offer in offers}, key=order)
    if len(names) < len(offers):
        raise SystemExit(f"{package}: a name is offered twice among {', '.join(names)}")
    others = [offer for offer in offers if offer.module != package]
    late = package in LATE
    lines = ["if TYPE_CHECKING:", *imports(others, "    ")] if late else imports(others)
    parts = ["\n".join(lines), skipped(listing(names, "__all__ = [", "]"))]
    if late:
        places: dict[str, list[str]] = {}
        for offer in others:
            places.setdefault(offer.module, []).append(offer.name)
        head = "_PLACES: dict[str, tuple[str, ...]] = {"
        rows = [
            listing(sorted(found, key=order), f'"{module}": (', "),", "    ")
            for module, found in sorted(places.items())
        ]
        parts.append(skipped("\n".join([head, *rows, "}"])))
    return "\n\n".join(parts) + "\n"


def written(package: str, page: str, offers: Sequence[Offer]) -> str:
    """A package's file with its block made anew.

    Raises:
        SystemExit: the file has no place for it.
    """
    if not BLOCK.search(page):
        raise SystemExit(f"{package} has no marks between which its names go")
    return BLOCK.sub(lambda _: BEGIN + block(package, offers) + END, page)


def main(root: Path = SRC) -> None:
    """Write the packages' names anew, and say which that changed."""
    for package, offers in sorted(all_offers(root).items()):
        path = file_of(package, root)
        before = path.read_text("utf-8")
        after = written(package, before, offers)
        if after != before:
            path.write_text(after, "utf-8")
        print(f"{package}: {'as it was' if after == before else 'written anew'}", file=sys.stderr)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))

"""Writes the tables of layers, functions and ready models into docs/networks.md.

    python -m scripts.document_layers

What stands between the marks ``layers``, ``functions`` and ``models`` (see ``marks.py``) is made
from the public names of `isoconv.nn` and the documentation of each.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.marks import between_marks, table, write

import isoconv
from isoconv import nn

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"
CLASSES = 10
"""Of the ready models, for their figures."""


def kinds() -> Iterator[tuple[str, type[nn.Module]]]:
    """Every name of a layer, with its class."""
    for name in nn.__all__:
        value = getattr(nn, name)
        if isinstance(value, type) and issubclass(value, nn.Module) and value is not nn.Module:
            yield name, value


def text_of(value: Any) -> str:
    """Something's documentation."""
    return inspect.cleandoc(value.__doc__ or "")


def summary(value: Any) -> str:
    """The first paragraph of a documentation, as Markdown."""
    return text_of(value).partition("\n\n")[0].replace("``", "`")


def shape(kind: type[nn.Module], section: str) -> str:
    """The first shape of a section, as Markdown."""
    found = re.search(rf"^{section}:\n    (.*?)$", text_of(kind), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{kind.__name__} has no section {section!r}")
    written = re.search(r"``(\(.*?\))``", found[1])
    return f"`{written[1]}`" if written else found[1].rstrip(".")


def page_of(kind: type[nn.Module]) -> str:
    """A link to the page about a layer's family; "" where there is none."""
    family = kind.__module__.rpartition(".")[2].rpartition("_")[2]
    return f" ([{family}.md]({family}.md))" if (PAGE.parent / f"{family}.md").is_file() else ""


def layer_rows() -> Iterator[tuple[str, ...]]:
    """A row for each layer; those that differ in the number of axes share the one of two axes."""
    rows: dict[str, list[tuple[str, type[nn.Module]]]] = {}
    for name, kind in kinds():
        rows.setdefault(re.sub(r"[123]d$", "", name), []).append((name, kind))
    for shared in sorted(rows.values(), key=lambda found: (found[0][1].__module__, found[0][0])):
        names = ", ".join(f"`{name}`" for name, _ in shared)
        kind = next((kind for name, kind in shared if name.endswith("2d")), shared[0][1])
        sides = shape(kind, "Input shape"), shape(kind, "Output shape")
        yield names + page_of(kind), *sides, summary(kind)


def function_rows() -> Iterator[tuple[str, ...]]:
    """A row for each function on tensors."""
    for name in nn.functional.__all__:
        on_arrays = f"`isoconv.{name}`" if name in isoconv.__all__ else ""
        yield f"`{name}`", on_arrays, summary(getattr(nn.functional, name))


def model_rows() -> Iterator[tuple[str, ...]]:
    """A row for each ready model, with the figures for images of its documentation's size."""
    found = []
    for name, make in nn.models.ALL_MODELS.items():
        given = re.search(r"\.summary\((\([\d, ]+\))\)", text_of(make))
        if given is None:
            raise SystemExit(f"the example of {name} sums up no model")
        sides = ast.literal_eval(given[1])
        counted = make(CLASSES, sides).summary(sides)
        size = "\N{MULTIPLICATION SIGN}".join(map(str, sides))
        found.append((counted.parameters, counted.multiply_adds, name, size, summary(make)))
    for parameters, multiply_adds, name, size, said in sorted(found):
        yield f"`{name}`", said, size, f"{parameters:,}", f"{multiply_adds:,}"


def documented(page: str) -> str:
    """The page with its tables made anew."""
    layers = "layer", "input", "output", "what it does"
    functions = "function", "on arrays", "what it computes"
    models = "name", "what it is", "for", "parameters", "multiply-adds"
    return between_marks(
        page,
        {
            "layers": table(layers, list(layer_rows())),
            "functions": table(functions, list(function_rows())),
            "models": table(models, list(model_rows())),
        },
    )


def main() -> None:
    """Write the page anew, and say whether that changed it."""
    write(PAGE, documented)


if __name__ == "__main__":
    main()

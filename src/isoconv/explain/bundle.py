"""The page's modules: one by one as files, or put together into one script.

A module is a file of ``web/`` whose imports are named, ``import { a, b } from "./x.js";``, and
whose exports stand at the start of a line, ``export function a``. Put together, each becomes a
function that gives what it exports, in an order in which all that one needs comes before it; so
they need neither a server nor a tool to build them.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from isoconv.errors import ArgumentError
from isoconv.printable import printable

_IMPORT = re.compile(r'^import\s*\{([^}]*)\}\s*from\s*"\./([\w-]+\.js)";\s*$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const|let)\b)", re.MULTILINE)
_EXPORTED = re.compile(
    r"^export (?:async function\*?|function\*?|class|const|let)\s+([A-Za-z_$][\w$]*)", re.MULTILINE
)
_WEB = files("isoconv.explain") / "web"

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
"""What a page that stands alone may load: nothing from anywhere."""


@cache
def names() -> tuple[str, ...]:
    """The files of ``web/``, in the order of the alphabet.

    Example:
        >>> "float32.js" in names()
        True
    """
    return tuple(sorted(each.name for each in _WEB.iterdir() if each.is_file()))


@cache
def source(name: str) -> str:
    """The content of one file of ``web/``.

    Raises:
        ArgumentError: there is none of this name.
    """
    if name not in names():
        raise ArgumentError(f"the explorer has no file {name!r}; it has {', '.join(names())}")
    return (_WEB / name).read_text("utf-8")


@cache
def script(*entries: str) -> str:
    """One script of some modules and all that they import.

    Args:
        entries: the modules, ``"explorer.js"``.

    Returns:
        JavaScript: ``const <variable> = …`` for each module, in an order in which all that one
        needs comes before it; see `variable`.
    """
    written: dict[str, str] = {}
    for entry in entries:
        _add(entry, written, ())
    return "\n".join(written.values())


def _add(name: str, written: dict[str, str], above: tuple[str, ...]) -> None:
    if name in written:
        return
    if name in above:
        raise ArgumentError(f"modules import one another: {' → '.join((*above, name))}")
    text = source(name)
    for _, needed in _IMPORT.findall(text):
        _add(needed, written, (*above, name))

    def taken(match: re.Match[str]) -> str:
        pairs = [each.strip() for each in match[1].split(",") if each.strip()]
        renamed = ", ".join(re.sub(r"\s+as\s+", ": ", pair) for pair in pairs)
        return f"const {{ {renamed} }} = {variable(match[2])};"

    exported = ", ".join(_EXPORTED.findall(text))
    body = _EXPORT.sub("", _IMPORT.sub(taken, text))
    if re.search(r"^(?:import|export)\b", body, re.MULTILINE):
        raise ArgumentError(f"{name}: imports are named and stand alone, exports begin a line")
    written[name] = f"const {variable(name)} = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();"


def variable(name: str) -> str:
    """The name of a module in one script.

    Example:
        >>> variable("playground-state.js")
        'isoconv_playground_state'
    """
    return "isoconv_" + re.sub(r"\W", "_", name.removesuffix(".js"))


@cache
def styles(*wanted: str) -> str:
    """The style sheets of these names, one after another."""
    return "\n".join(source(name) for name in wanted)


def static_page(
    title: str,
    entries: tuple[str, ...],
    start: str,
    sheets: tuple[str, ...],
    description: Mapping[str, Any] | None = None,
    arrays: Mapping[int, bytes] | None = None,
) -> str:
    """A page of one file that needs neither Python nor a network.

    Args:
        title: of the page.
        entries: the modules that are needed, ``"explorer.js"``.
        start: JavaScript that starts them; what a module exports is in its `variable`, ``root`` is
            the element to draw into.
        sheets: the style sheets.
        description: what the page reads as JSON from the element ``isoconv-description``.
        arrays: bytes by number; each is kept in an element ``isoconv-array-<number>``, compressed
            (zlib) and as base64.

    Returns:
        HTML.
    """
    kept = []
    if description is not None:
        told = _data(description)
        kept.append(f'<script type="application/json" id="isoconv-description">{told}</script>')
    for number, content in (arrays or {}).items():
        packed = base64.b64encode(zlib.compress(content, 9)).decode("ascii")
        kept.append(f'<script type="text/plain" id="isoconv-array-{number}">{packed}</script>')
    root = 'const root = document.getElementById("isoconv-root");'
    code = f"{script(*entries)}\n{root}\n{start}"
    if "</script" in code.lower() or "<!--" in code:
        raise ArgumentError("a module of the explorer ends the script that it stands in")
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(printable(title))}</title>",
            f"<style>\n{styles(*sheets)}\n</style>",
            "</head>",
            '<body class="isoconv-page">',
            '<main id="isoconv-root" class="isoconv"></main>',
            *kept,
            f"<script>\n(() => {{\n{code}\n}})();\n</script>",
            "</body>",
            "</html>",
            "",
        )
    )


def _data(value: Any) -> str:
    """JSON that cannot end the element it stands in."""
    # All but ASCII is escaped: so is what is no text, such as half of a pair of surrogates.
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")

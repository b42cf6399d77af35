"""How the page's modules are written: what lets them be put together, and what keeps pages safe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.browser import WEB

MODULES = sorted(WEB.glob("*.js"))
IMPORT = re.compile(r'^import \{[^}]+\}\s+from "\./([\w-]+\.js)";$', re.MULTILINE)
MOST_LINES = 450

UNSAFE = {
    r"\binnerHTML\b|\bouterHTML\b|insertAdjacentHTML|document\.write": "text becomes markup",
    r"\beval\(|new Function\(": "text becomes code",
    r"\bhttps?://(?!www\.w3\.org/2000/svg)": "an address elsewhere",
    r"^export default|^export \{|^export \*": "an export that is not named where it stands",
    r"^await ": "a module that waits",
    r"""["']style["']\s*[:,]""": "a style by attribute, which the page's policy forbids",
}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_modules_keep_to_their_rules(path: Path) -> None:
    """Each opens with what it is, imports by name from beside it, and does nothing unsafe."""
    text = path.read_text("utf-8")
    lines = text.splitlines()
    assert lines[0].startswith("// ")
    assert lines[0][3].isupper()
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= 110
    named = IMPORT.findall(text)
    assert len(named) == len(re.findall(r"^import\b", text, re.MULTILINE))
    assert {WEB / name for name in named} <= set(MODULES)
    for pattern, what in UNSAFE.items():
        assert not re.search(pattern, text, re.MULTILINE), what


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_modules_import_no_circles(path: Path) -> None:
    """Modules can be put one behind the other so that each has what it needs."""

    def needed(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, (*above, name)
        for one in IMPORT.findall((WEB / name).read_text("utf-8")):
            needed(one, (*above, name))

    needed(path.name, ())


@pytest.mark.parametrize("path", sorted(WEB.glob("*.css")), ids=lambda path: path.name)
def test_style_stays_inside(path: Path) -> None:
    """Every rule is under the explorer's own classes: a notebook's looks stay its own."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)
    assert "url(" not in text
    assert "@import" not in text
    for selectors in re.findall(r"([^{};]+)\{", text):
        for selector in selectors.split(","):
            one = selector.strip()
            if one and not one.startswith("@") and not re.fullmatch(r"from|to|\d+%", one):
                media = one.startswith("(") or (one.endswith(")") and "isoconv" not in one)
                assert one.startswith(".isoconv") or media, one


@pytest.mark.parametrize("path", sorted(WEB.glob("*.html")), ids=lambda path: path.name)
def test_pages_hold_no_code(path: Path) -> None:
    """Pages name their scripts and styles; there is none inside, nor any on an element."""
    text = path.read_text("utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", text)
    for address in re.findall(r'(?:src|href)="([^"]*)"', text):
        assert address == "data:," or (WEB / address).is_file(), address

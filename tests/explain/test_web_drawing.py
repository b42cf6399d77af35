"""What pages are drawn with: grids, large maps, long lists of terms, arrows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.browser import ORIGIN, Remote, accessibility_faults

MAKE = """async (options) => {
  const { grid } = await import("./drawing.js");
  const said = window.said = [];
  const drawn = window.drawn = grid({ ...options,
    onselect: (row, column) => said.push([row, column]),
    onpoint: (row, column) => said.push(["at", row, column]) });
  const main = document.createElement("main");
  main.className = "isoconv";
  const heading = document.createElement("h1");
  heading.textContent = "grids";
  const sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  sheet.href = "./style.css";
  const styled = new Promise((done) => { sheet.onload = done; });
  document.head.append(sheet);
  await styled;
  main.append(heading, drawn.element);
  document.body.append(main);
  const values = Float32Array.from({ length: options.rows * options.columns },
    (_, i) => (i % 7) - 3);
  values[0] = NaN;
  values[1] = Infinity;
  drawn.show(values);
  return drawn.constructor.name;
}"""

# The colour of a cell's middle, read from a copy: the map itself is not made to be read often.
COLOUR = """([row, column]) => {
  const map = document.querySelector("canvas");
  const side = map.width / 48;
  const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  copy.drawImage(map, (column + 0.5) * side, (row + 0.5) * side, 1, 1, 0, 0, 1, 1);
  return [...copy.getImageData(0, 0, 1, 1).data];
}"""

SMALL = {"label": "small", "rows": 3, "columns": 4, "padding": [[1, 0], [0, 2]]}
LARGE = {"label": "large", "rows": 56, "columns": 48, "padding": [[1, 1], [1, 1]]}


@pytest.fixture
def blank(page: Remote) -> Remote:
    """An empty document whose language is known."""
    page.evaluate("document.documentElement.lang = 'en'")
    return page


def test_small_grids_are_text(blank: Remote) -> None:
    """Every number and every zero of the padding is text; NaN and infinity too."""
    assert blank.evaluate(MAKE, SMALL) == "Grid"
    assert blank.locator("[role=gridcell]").count() == 12
    assert blank.locator(".pad").count() == 1 * 6 + 3 * 2
    texts = blank.locator("[role=gridcell] text").all_text_contents()
    assert texts[:4] == ["nan", "inf", "-1", "0"]
    assert accessibility_faults(blank) == []


def test_large_maps_are_canvas_with_text(blank: Remote) -> None:
    """Arrow keys and clicks choose a cell, whose number stands below the picture."""
    assert blank.evaluate(MAKE, LARGE) == "CanvasGrid"
    canvas = blank.locator("canvas")
    canvas.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp", "ArrowUp"):
        blank.keyboard.press(key)
    assert blank.locator("output").inner_text() == "row 0, column 1: inf"
    box = canvas.bounding_box()
    side = box["width"] / 50
    canvas.click(position={"x": side * 3.5, "y": side * 2.5})
    assert blank.evaluate("said.filter((one) => one.length === 2).at(-1)") == [1, 2]
    assert blank.locator("output").inner_text() == f"row 1, column 2: {50 % 7 - 3}"
    assert accessibility_faults(blank) == []


@pytest.mark.parametrize("dark", [False, True])
def test_colours_of_large_maps(new_page: Callable[..., Remote], dark: bool) -> None:
    """Blue below zero, orange above, the cell's own colour at zero, in light and dark."""
    page = new_page(dark=dark)
    page.goto(f"{ORIGIN}/")
    page.evaluate(MAKE, {**LARGE, "padding": [[0, 0], [0, 0]]})
    page.wait_for_function(f"({COLOUR})([0, 6])[3] === 255")
    blue, none, orange = (page.evaluate(COLOUR, place) for place in ([0, 7], [0, 10], [0, 13]))
    assert blue[2] > blue[0] + 40
    assert orange[0] > orange[2] + 40
    assert max(none[:3]) - min(none[:3]) < 20
    assert (max(none[:3]) < 80) is dark


def test_marks_and_window(blank: Remote) -> None:
    """Cells that take part, the winner and the chosen one are marked; a window is outlined."""
    for options in (SMALL, LARGE):
        blank.evaluate(MAKE, options)
        blank.evaluate(
            """() => {
              drawn.mark([{ row: 0, column: 1, as: "used" }, { row: 1, column: 1, as: "winner" },
                { row: 2, column: 2, as: "selected" }, { row: -1, column: 0, as: "used" },
                { row: 99, column: 0, as: "used" }]);
              drawn.outline([[-1, 0], [1, 2]]);
              drawn.select(2, 2);
              drawn.point(1, 1);
            }"""
        )
        held = blank.evaluate("[[0, 0], [-1, 0], [-2, 0], [99, 0]].map((at) => drawn.holds(...at))")
        assert held == [True, True, False, False]
        boxes = blank.evaluate(
            "[[0, 0], [-1, 0], [99, 0]].map((at) => drawn.box(...at)?.width > 0 || false)"
        )
        assert boxes == [True, True, False]
    chosen = blank.locator("[aria-selected=true]")
    assert chosen.get_attribute("aria-label") == "row 2, column 2: 0"
    assert blank.locator(".pad.used").count() == 1
    assert blank.locator(".pointed").count() == 1
    assert blank.locator("rect.window").get_attribute("width") == "138"


def test_a_large_map_is_drawn_anew_for_dark_screens(blank: Remote) -> None:
    """Light turns to dark while the page is open: the map follows."""
    blank.evaluate(MAKE, {**LARGE, "padding": [[0, 0], [0, 0]]})
    blank.wait_for_function(f"({COLOUR})([0, 10])[0] > 200")
    blank.emulate_media(color_scheme="dark")
    blank.wait_for_function(f"({COLOUR})([0, 10])[0] < 80")


TERMS = """async (count) => {
  const { TermList } = await import("./sums.js");
  const list = window.list = new TermList({ label: "terms", onpoint: (i) => { window.at = i; } });
  list.show(["#", "x"], count, (i) => [`x${i}`]);
  document.body.replaceChildren(list.element);
}"""


def test_a_long_list_shows_its_ends(blank: Remote) -> None:
    """Of 25,088 terms the first and the last; the rest a hundred at a time."""
    blank.evaluate(TERMS, 25_088)
    rows = blank.locator("tbody tr:not(.gap)")
    assert rows.count() == 30
    assert rows.last.inner_text().split() == ["25087", "x25087"]
    assert blank.locator(".gap").inner_text() == "25058 terms are not shown show 100 more"
    blank.get_by_role("button").click()
    assert rows.count() == 130
    assert rows.nth(123).inner_text().split() == ["123", "x123"]
    rows.nth(124).hover()
    assert blank.evaluate("window.at") == 25_082
    blank.evaluate("list.point(25087)")
    assert blank.locator("tr.pointed th").inner_text() == "25087"


@pytest.mark.parametrize("count", [0, 1, 30, 32, 33, 131, 200])
def test_every_term_of_a_list_can_be_seen(blank: Remote, count: int) -> None:
    """Whatever the length: after all "more" each term stands there once, in order."""
    blank.evaluate(TERMS, count)
    more = blank.get_by_role("button")
    while more.count():
        more.click()
    found = blank.locator("tbody tr th").all_inner_texts()
    assert found == [str(i) for i in range(count)]

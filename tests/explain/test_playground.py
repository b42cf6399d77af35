"""The playground in a browser: the notes' lists, the engine's bits, keyboard, links, limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.browser import LOOKS, ORIGIN, Remote, accessibility_faults
from tests.notes import BY_INPUT, BY_KERNEL, FORWARD

import isoconv as ic
from isoconv.explain import symbols
from isoconv.explain.standalone import write_playground
from isoconv.graph.operation import Array

ADDRESS = f"{ORIGIN}/playground.html"
DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")

EXAMPLES = [
    "conv", "by-input", "by-kernel", "max", "max-back", "average", "average-back", "global",
    "padded", "dilated", "rgb", "grouped", "transposed", "line",
]  # fmt: skip


def plain(text: str) -> str:
    """A line with its indices as ordinary digits."""
    return text.translate(DIGITS)


def chosen(page: Remote) -> list[str]:
    """The chosen number's lines: symbols, numbers, value."""
    return [plain(line) for line in page.locator(".lines p").all_inner_texts()]


def all_numbers(page: Remote) -> dict[str, tuple[str, float]]:
    """The list of all numbers: {name: (symbols, value)}."""
    found = {}
    for line in page.locator(".all button").all_inner_texts():
        name, symbols, value = plain(line).split(" = ")
        found[name] = (symbols, float(value))
    return found


def grid_values(page: Remote, title: str) -> np.ndarray:
    """What a grid's cells say, row by row."""
    cells = page.locator("figure.grid", has_text=title).first.locator("[role=gridcell]")
    labels = cells.evaluate_all("cells => cells.map((cell) => cell.getAttribute('aria-label'))")
    found = [re.search(r": (\S+?)(;|$)", label) for label in labels]
    return np.array([float(each[1]) for each in found if each is not None], np.float32)


def cell(page: Remote, title: str, row: int, column: int) -> Remote:
    """One cell of a grid."""
    figure = page.locator("figure.grid", has_text=title).first
    found: Remote = figure.locator("[role=row]").nth(row).locator("[role=gridcell]").nth(column)
    return found


def example(page: Remote, name: str) -> None:
    """Chooses an example."""
    page.locator("select[aria-label=example]").select_option(name)


def notes(formulas: dict[str, str]) -> dict[str, str]:
    """The notes' list as the page writes it."""
    return {name: re.sub(r"(\S+) (\S+)", r"\1·\2", text) for name, text in formulas.items()}


def terms(text: str) -> str:
    """``a x00 + b x01`` with a dot in each product."""
    return " + ".join("·".join(term.split()) for term in text.split(" + "))


@pytest.fixture
def playground(page: Remote) -> Remote:
    """The playground with its first example."""
    page.goto(ADDRESS)
    page.locator(".playground").wait_for()
    return page


def test_the_lists_are_the_notes_own(playground: Remote) -> None:
    """Forward, by kernel and by input: every line of the notes, word for word."""
    lists = {"conv": FORWARD, "by-kernel": BY_KERNEL, "by-input": BY_INPUT}
    for name, formulas in lists.items():
        example(playground, name)
        prefix = "" if name == "conv" else "∂L/∂"
        found = {key: symbols for key, (symbols, _) in all_numbers(playground).items()}
        assert found == {prefix + key: terms(text) for key, text in formulas.items()}


LISTS = [
    ("conv", "", {}),
    ("conv", "c=2&f=2", {"channels": 2, "filters": 2}),
    ("conv", "f=2", {"filters": 2}),
    ("conv", "c=4&f=2&g=2", {"channels": 4, "filters": 2, "groups": 2}),
    ("conv", "s=2x1&p=1.0x1.1", {"stride": (2, 1), "padding": ((1, 0), (1, 1))}),
    ("conv", "d=2x2&flip=1", {"dilation": 2, "flip": True}),
    ("transposed", "s=2x2&p=1.1x0.0", {"stride": 2, "padding": ((1, 1), (0, 0))}),
    ("transposed", "c=2&f=2", {"channels": 2, "filters": 2}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("op", "fragment", "given"), LISTS, ids=lambda part: str(part)[:24])
def test_lists_are_those_of_the_command_line(
    page: Remote, op: str, fragment: str, given: dict[str, Any]
) -> None:
    """Whatever the settings: the same names, and the same terms in the same order."""
    write = {"conv": symbols.conv, "transposed": symbols.conv_transpose}[op]
    wanted = write((3, 4), (2, 2), **given).equations()
    found: dict[str, Any] = {}
    for tab in ("forward", "input", "kernel"):
        page.goto(f"{ADDRESS}#op={op}&in=3x4&k=2x2&{fragment}&tab={tab}".replace("&&", "&"))
        page.reload()
        page.locator(".lines .value").wait_for()
        found |= {name: terms for name, (terms, _) in all_numbers(page).items()}
    assert found == wanted


def test_the_notes_poolings(playground: Remote) -> None:
    """Maxima, averages, the mean of all, and the two gradients with a, b, c and d."""
    example(playground, "max")
    assert list(grid_values(playground, "Output y")) == [9, 5, 9, 3]
    assert chosen(playground)[:2] == ["y00 = max(x00, x01, x10, x11)", "= max(1, 5, 9, 2)"]
    example(playground, "max-back")
    found = {key: symbols for key, (symbols, _) in all_numbers(playground).items()}
    given = {"x01": "b", "x10": "a + c", "x21": "d"}
    assert found == {f"∂L/∂x{i}{j}": given.get(f"x{i}{j}", "0") for i in range(3) for j in range(3)}
    example(playground, "average")
    assert list(grid_values(playground, "Output y")) == [4.25, 3, 5, 2]
    assert chosen(playground)[0] == "y00 = (x00 + x01 + x10 + x11) / 4"
    example(playground, "average-back")
    found = {key: symbols for key, (symbols, _) in all_numbers(playground).items()}
    assert found["∂L/∂x00"] == "a/4"
    assert found["∂L/∂x01"] == "a/4 + b/4"
    assert found["∂L/∂x11"] == "a/4 + b/4 + c/4 + d/4"
    assert found["∂L/∂x21"] == "c/4 + d/4"
    example(playground, "global")
    assert grid_values(playground, "Output y")[0] == np.float32(33 / 9)


def settings(rng: np.random.Generator, op: str) -> dict[str, Any]:
    """Random settings of a 2-d operation that fit together."""
    while True:
        size, kernel = rng.integers(2, 6, 2).tolist(), rng.integers(1, 4, 2).tolist()
        padding = rng.integers(0, 2, 2).tolist()
        try:
            for side, k, p in zip(size, kernel, padding, strict=True):
                ic.output_size(side, k, padding=p)
        except ic.errors.IsoconvError:
            continue
        if op != "conv" and any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
            continue
        stride, groups = rng.integers(1, 3, 2).tolist(), int(rng.integers(1, 3))
        return {"size": size, "kernel": kernel, "padding": padding, "stride": stride,
                "groups": groups if op == "conv" else 1}  # fmt: skip


def text_of(array: np.ndarray) -> str:
    """Numbers as an address gives them."""
    return ",".join(str(value) for value in array.ravel())


def pair(values: list[Any]) -> str:
    """Two numbers as an address gives them."""
    return "x".join(map(str, values))


@pytest.mark.slow
@pytest.mark.parametrize("op", ["conv", "max", "average", "global"])
def test_numbers_are_the_engines(page: Remote, op: str) -> None:
    """Random numbers and settings: each result and gradient on the page has the engine's bits."""
    rng = np.random.default_rng(51)
    for _ in range(4):
        s = settings(rng, op)
        groups = s["groups"]
        x = rng.standard_normal((1, *s["size"], 2)).astype(np.float32)
        more: dict[str, Any] = {"stride": s["stride"], "padding": s["padding"]}
        w = rng.standard_normal((*s["kernel"], 2 // groups, 2)).astype(np.float32)
        function: Callable[..., Array]
        inputs: tuple[Array, ...]
        if op == "conv":
            function, inputs, more = ic.conv2d, (x, w), {**more, "groups": groups}
        elif op == "global":
            function, inputs, more = ic.global_avg_pool, (x,), {}
        else:
            function = ic.max_pool2d if op == "max" else ic.avg_pool2d
            inputs, more = (x,), {**more, "kernel_size": s["kernel"]}
        if op == "average":
            more["count_include_pad"] = bool(rng.integers(2))
        y = function(*inputs, **more)
        dy = rng.standard_normal(y.shape).astype(np.float32)
        gradients = ic.gradients(function, dy, *inputs, **more)
        common = f"op={op}&in={pair(s['size'])}&c=2&x={text_of(x)}&dy={text_of(dy)}"
        if op != "global":
            pads = pair([f"{p}.{p}" for p in s["padding"]])
            common += f"&k={pair(s['kernel'])}&s={pair(s['stride'])}&p={pads}"
        if more.get("count_include_pad"):
            common += "&counted=1"
        if op == "conv":
            common += f"&f=2&g={groups}&w={text_of(w)}"
        wanted = {"forward": ("y", y[0]), "input": ("∂L/∂x", gradients[0][0])}
        if op == "conv":
            wanted["kernel"] = ("∂L/∂w", gradients[1])
        for tab, (name, array) in wanted.items():
            page.goto(f"{ADDRESS}#{common}&tab={tab}")
            page.reload()
            page.locator(".playground").wait_for()
            assert page.locator(".notices p").count() == 0
            planes = array.reshape((*array.shape[:-2], -1)) if tab == "kernel" else array
            for number in range(planes.shape[-1]):
                title = f"{name} channel {number}"
                if tab == "kernel":
                    inner = array.shape[-2]
                    group = " of its group" if groups > 1 else ""
                    title = f"{name} channel {number // 2 % inner}{group}, filter {number % 2}"
                found = grid_values(page, title)
                plane = planes[..., number].ravel()
                assert found.tobytes() == plane.tobytes(), (s, tab, title)


def test_a_number_is_changed_by_keyboard(playground: Remote) -> None:
    """Enter, a number, Enter: forms and sums follow; Escape and nonsense change nothing."""
    cell(playground, "Input x", 0, 0).focus()
    playground.keyboard.press("ArrowRight")
    playground.keyboard.press("Enter")
    playground.keyboard.type("0.1")
    playground.keyboard.press("Enter")
    assert grid_values(playground, "Input x")[1] == np.float32(0.1)
    example_row = playground.locator("table.terms tbody tr").nth(1)
    assert "0.1" in example_row.inner_text()
    playground.keyboard.press("Enter")
    playground.keyboard.type("nonsense")
    playground.keyboard.press("Enter")
    assert playground.locator("input.cell-edit").get_attribute("aria-invalid") == "true"
    playground.keyboard.press("Escape")
    assert playground.locator("input.cell-edit").count() == 0
    assert grid_values(playground, "Input x")[1] == np.float32(0.1)
    playground.keyboard.type("7")
    playground.keyboard.press("Enter")
    assert grid_values(playground, "Input x")[1] == 7
    # The focus is where it was, so that the next number can be typed at once.
    playground.keyboard.press("ArrowRight")
    assert "column 2" in playground.evaluate("document.activeElement.getAttribute('aria-label')")


def test_a_number_is_changed_by_clicks(playground: Remote) -> None:
    """A first click points at a number, a second one opens it; a double click does both."""
    cell(playground, "Kernel w", 1, 0).click()
    assert playground.locator("input.cell-edit").count() == 0
    cell(playground, "Kernel w", 1, 0).click()
    playground.locator("input.cell-edit").fill("2,5")
    cell(playground, "Input x", 2, 2).dblclick()
    assert grid_values(playground, "Kernel w")[2] == 2.5
    playground.locator("input.cell-edit").fill("1/4")
    playground.keyboard.press("Enter")
    assert grid_values(playground, "Input x")[8] == 0.25
    assert chosen(playground)[1] == "= 1·1 + 5·0 + 9·2.5 + 2·2"


@pytest.mark.slow
def test_little_moves_for_those_who_asked(new_page: Callable[..., Remote]) -> None:
    """With reduced motion the window jumps; otherwise it slides."""
    for wanted, moves in (("reduce", False), ("no-preference", True)):
        page = new_page(reduced_motion=wanted)
        page.goto(ADDRESS)
        page.locator(".playground").wait_for()
        window = page.locator("rect.window").first
        lasts = window.evaluate("(one) => getComputedStyle(one).transitionDuration")
        assert (lasts != "0s") is moves


def test_the_chosen_number_moves_by_keyboard(playground: Remote) -> None:
    """Arrow keys in the result choose its numbers; arrow keys on the tabs choose the direction."""
    cell(playground, "Output y", 0, 0).focus()
    playground.keyboard.press("ArrowDown")
    playground.keyboard.press("ArrowRight")
    assert chosen(playground)[0].startswith("y11 = x11·w00 + x12·w01")
    assert "at=1.1.0" in playground.url
    playground.get_by_role("tab", name="Forward").focus()
    playground.keyboard.press("ArrowRight")
    assert chosen(playground)[0] == "∂L/∂x00 = a·w00"
    playground.keyboard.press("ArrowRight")
    assert chosen(playground)[0] == "∂L/∂w00 = a·x00 + b·x01 + c·x10 + d·x11"


def test_what_is_pointed_at_is_linked(playground: Remote) -> None:
    """A row of the list, a cell and a term in the lines point at one another."""
    playground.locator("table.terms tbody tr").nth(2).hover()
    pointed = playground.locator(".grid .pointed").evaluate_all(
        "cells => cells.map((cell) => cell.getAttribute('aria-label').split(',')[0])"
    )
    assert {plain(name) for name in pointed} >= {"x10", "w10"}
    assert [plain(text) for text in playground.locator(".term.pointed").all_inner_texts()] == [
        "x10·w10",
        "9·(-1)",
    ]
    assert playground.locator(".arrow.strong").count() == 1
    cell(playground, "Input x", 0, 1).focus()
    assert playground.locator("table.terms tr.pointed th").inner_text() == "1"


def test_only_what_feeds_the_number_is_marked(playground: Remote) -> None:
    """A corner of the gradient by input: one number of the gradient, one of the kernel."""
    example(playground, "by-input")
    cell(playground, "∂L/∂x", 0, 0).click()
    labels = playground.locator(".grid .used").evaluate_all(
        "cells => cells.map((cell) => cell.getAttribute('aria-label').split(',')[0])"
    )
    assert [plain(label) for label in labels] == ["a", "w00"]
    assert "3 products with 0 (beyond the edge)" in playground.locator(".remark").inner_text()


def test_the_winners_of_all_windows_are_marked(playground: Remote) -> None:
    """Back through max pooling to the middle, which is in four windows and the largest of none."""
    example(playground, "max-back")
    cell(playground, "∂L/∂x", 1, 1).click()
    winners = playground.locator(".grid .winner").evaluate_all(
        "cells => cells.map((cell) => cell.getAttribute('aria-label').split(',')[0])"
    )
    assert [plain(name) for name in winners] == ["x01", "x10", "x21"]
    assert chosen(playground)[0] == "∂L/∂x11 = 0"
    assert "4 windows have this cell" in playground.locator(".remark").inner_text()


@pytest.mark.slow
def test_the_window_slides(playground: Remote) -> None:
    """Play goes through the numbers one by one, and pauses; the buttons go step by step."""
    playground.get_by_role("button", name="next step").click()
    assert chosen(playground)[0].startswith("y01")
    playground.get_by_role("button", name="previous step").click()
    playground.get_by_role("button", name="play").click()
    playground.locator(".player .said", has_text="3 of 4").wait_for()
    assert playground.locator(".grid .later").count() == 1
    playground.get_by_role("button", name="pause").click()
    assert playground.locator(".grid .later").count() == 0
    assert chosen(playground)[0].startswith("y10")


WRONG = {
    "Kernel size, height": ("9", "Kernel size takes whole numbers from 1 to 7."),
    "Stride, width": ("", "Stride takes whole numbers from 1 to 6."),
    "Kernel size, width": ("4", "The kernel covers 4 of the width, the padded input has 3 + 0 + 0"),
    "Groups": ("2", "Groups must divide both channel counts: 1 and 1 by 2."),
}


@pytest.mark.parametrize("label", WRONG)
def test_what_is_wrong_is_told_beside_the_setting(playground: Remote, label: str) -> None:
    """One line below the field, the picture stays; put right, both are gone."""
    typed, line = WRONG[label]
    field = playground.get_by_label(label, exact=True)
    before, old = grid_values(playground, "Output y"), field.input_value()
    field.fill(typed)
    problem = playground.locator(".problem", has_text=line)
    assert problem.count() == 1
    assert field.get_attribute("aria-invalid") == "true"
    assert field.get_attribute("aria-describedby") == problem.get_attribute("id")
    assert np.array_equal(grid_values(playground, "Output y"), before)
    assert playground.locator(".notices p").count() == 1
    # It stays said while something else is done.
    playground.get_by_role("tab", name="Gradient by kernel").click()
    playground.get_by_role("tab", name="Forward").click()
    assert playground.locator(".notices p").count() == problem.count() == 1
    field.fill(old)
    assert playground.locator(".problem:not(:empty)").count() == 0
    assert playground.locator(".notices p").count() == 0


def test_settings_change_the_picture_and_the_formula(playground: Remote) -> None:
    """Padding and stride: the sizes follow, and the numbers that stay are kept."""
    playground.get_by_label("Padding, top").fill("1")
    playground.get_by_label("Stride, height").fill("2")
    lines = playground.locator(".size").inner_text().splitlines()
    lines = [line.replace("\N{MINUS SIGN}", "-") for line in lines]
    assert lines[0] == "O = ⌊(I + P₁ + P₂ - K) / S⌋ + 1"
    assert "height: ⌊(3 + 1 + 0 - 2) / 2⌋ + 1 = 2" in lines
    assert list(grid_values(playground, "Input x")) == [1, 5, 4, 9, 2, 1, 6, 3, 2]
    assert chosen(playground)[0] == "y00 = x00·w10 + x01·w11"
    assert "2 products with 0 (padding)" in playground.locator(".remark").inner_text()


def test_operations_are_chosen_by_keyboard(playground: Remote) -> None:
    """The list keeps the focus while the fields below it change."""
    playground.get_by_label("Operation").focus()
    for operation in ("Transposed convolution", "Max pooling", "Average pooling"):
        playground.keyboard.press("ArrowDown")
        chosen_now = playground.evaluate("document.activeElement.selectedOptions[0].textContent")
        assert chosen_now == operation
    assert playground.get_by_label("Count padding").count() == 1
    assert playground.get_by_label("Groups").count() == 0
    assert chosen(playground)[0] == "y00 = (x00 + x01 + x10 + x11) / 4"


@pytest.mark.slow
def test_a_link_brings_back_all(new_page: Callable[..., Remote], playground: Remote) -> None:
    """The address after a change, opened elsewhere, shows the same numbers and choice."""
    example(playground, "grouped")
    playground.get_by_role("tab", name="Gradient by kernel").click()
    cell(playground, "∂L/∂w channel 1 of its group, filter 0", 1, 0).click()
    link = playground.url
    other = new_page(width=400)
    other.goto(link)
    assert chosen(other) == chosen(playground)
    assert all_numbers(other) == all_numbers(playground)
    assert other.url == link


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("op=nothing", "no operation"),
        ("op=conv&in=99x3", "Input size takes whole numbers from 1 to 12."),
        ("op=conv&in=3x3&k=2", "no kernel size"),
        ("op=conv&in=3x3&x=1,2,a", "3 numbers for x, of which 2 can be read; 9 are needed"),
        ("op=conv&in=3x3&k=5x5", "The kernel covers 5 of the height"),
        ("op=conv&more=1&%E0%A4%A=2", "parts that mean nothing here: more"),
        ("op=conv&in=3x3x3", "no input size"),
        ("op=max&at=9.-1.a&tab=kernel", None),
    ],
)
def test_a_link_that_cannot_be_read_says_so(page: Remote, fragment: str, said: str | None) -> None:
    """What is replaced is told; the page works on."""
    page.goto(f"{ADDRESS}#{fragment}")
    page.locator(".lines .value").wait_for()
    notices = " ".join(page.locator(".notices p").all_inner_texts())
    assert said in notices if said else notices == ""
    page.get_by_role("tab", name="Gradient by input").click()
    assert chosen(page)[0].startswith("∂L/∂x")


@pytest.mark.slow
def test_links_of_the_documentation_work(page: Remote) -> None:
    """Every link of docs/playground.md shows what it says, and the parts of its table are known."""
    text = (Path(__file__).parents[2] / "docs/playground.md").read_text("utf-8")
    links = re.findall(r"^#op=\S+$", text, re.MULTILINE)
    parts = re.findall(r"^\| `\w+`.*\| `([^`]+)` \|$", text, re.MULTILINE)
    assert len(links) == 2
    assert len(parts) == 10
    for link in [*links, *(f"#op=conv&{part}" for part in parts)]:
        page.goto(f"{ADDRESS}{link}")
        page.reload()
        page.locator(".lines .value").wait_for()
        assert page.locator(".notices p").all_inner_texts() == [], link
    page.goto(f"{ADDRESS}{links[0]}")
    page.reload()
    assert chosen(page)[0] == "∂L/∂x11 = a·w11 + b·w10 + c·w01 + d·w00"


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_pages_can_be_used_by_everybody(
    new_page: Callable[..., Remote], width: int, dark: bool
) -> None:
    """Every example: nothing that axe-core finds, and no sideways scrolling; in light, some."""
    page = new_page(width=width, dark=dark)
    page.goto(ADDRESS)
    for name in EXAMPLES[:: 1 if dark else 3]:
        example(page, name)
        assert accessibility_faults(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_wrong_settings_can_be_used_by_everybody(playground: Remote) -> None:
    """The page while a setting is wrong and a number is being changed."""
    playground.get_by_label("Kernel size, height").fill("9")
    cell(playground, "Input x", 0, 0).focus()
    playground.keyboard.press("Enter")
    assert accessibility_faults(playground) == []


@pytest.mark.slow
def test_every_control_is_reached_by_tab(playground: Remote) -> None:
    """Tab comes to all settings, tabs, one cell of each grid, the player and the list."""
    seen = set()
    for _ in range(60):
        playground.keyboard.press("Tab")
        seen.add(playground.evaluate(
            "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText"
            " ?? '').split(':')[0]"
        ))  # fmt: skip
    names = {plain(one) for one in seen}
    wanted = {"example", "Copy link", "Stride, width", "Forward", "x00, row 0, column 0", "play",
              "w00, row 0, column 0", "y00, row 0, column 0", "slide the window"}  # fmt: skip
    assert wanted <= names


@pytest.mark.slow
def test_the_playground_is_one_file(
    new_page: Callable[..., Remote], playground: Remote, tmp_path: Path
) -> None:
    """Opened from a folder, offline: the same numbers and links as the page that is served."""
    file = tmp_path / "playground.html"
    write_playground(file)
    page = new_page(offline=True)
    page.goto(file.as_uri())
    for name in EXAMPLES:
        example(page, name)
        example(playground, name)
        assert all_numbers(page) == all_numbers(playground), name
    example(page, "max-back")
    link = page.url
    assert link.startswith("file:")
    other = new_page(width=400, dark=True, offline=True)
    other.goto(link)
    assert chosen(other) == ["∂L/∂x10 = a + c", "= 1 + 3", "= 4"]
    assert accessibility_faults(other) == []


@pytest.mark.slow
def test_the_link_is_copied(new_page: Callable[..., Remote]) -> None:
    """The button puts the address on the clipboard, or shows it to be copied by hand."""
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(ADDRESS)
    page.get_by_role("button", name="Copy link").click()
    # A page that is neither local nor encrypted has no clipboard: the link stands in a field.
    field = page.get_by_label("link", exact=True)
    field.wait_for()
    assert field.input_value() == page.url
    assert page.evaluate("document.activeElement.selectionEnd") == len(page.url)

"""The explorer in a browser, on a network that was really trained: the engine's own numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.browser import LOOKS, Remote, accessibility_faults
from tests.explain.explorers import (
    CLASSES,
    go,
    heading,
    number,
    same,
    served,
    settled,
    stripes,
    told,
    trained,
)

import isoconv as ic
from isoconv import nn
from isoconv.explain.explorer import Explorer
from isoconv.explain.field import field_of
from isoconv.explain.history import follow
from isoconv.explain.standalone import _wanted, write_page
from isoconv.explain.subject import Subject
from isoconv.nn.models import create
from isoconv.train import RunFolder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained run."""
    folder = tmp_path_factory.mktemp("explorer") / "run"
    trained(folder)
    return folder


@pytest.fixture
def explorer(run: Path) -> Explorer:
    """What stands behind the page: the run's network on an image of its validation part."""
    data = stripes(12, 2)
    start, notes = Subject.of(run).start()
    made = Explorer(
        ic.load(run), data.images[3:4], 0, title="Stripes", name="image 3", start=start, notes=notes
    )
    follow(made, RunFolder(run), data, "validation")
    return made


@pytest.fixture
def shown(explorer: Explorer, page: Remote) -> Iterator[Remote]:
    """The page, once it shows a number."""
    with served(explorer) as address:
        page.goto(address)
        settled(page)
        yield page


def places(shape: tuple[int, ...], count: int = 3) -> list[tuple[int, ...]]:
    """Some places in a map: its first, its last, and some between."""
    rng = np.random.default_rng(sum(shape))
    between = [tuple(int(rng.integers(side)) for side in shape) for _ in range(count - 2)]
    return [(0,) * len(shape), *between, tuple(side - 1 for side in shape)]


def test_every_layers_values_are_the_engines(shown: Remote, explorer: Explorer) -> None:
    """In each layer some numbers: the page's sums have the engine's bits, and say so."""
    network = explorer.scene.network
    same_bits = 0
    for layer in network.layers:
        value = network.value(layer.result)[0]
        for place in places(value.shape):
            go(shown, layer.name, place, "value")
            assert same(told(shown), value[place]), (layer.name, place)
            assert shown.locator(".bits.other").count() == 0
            same_bits += shown.locator(".bits.same").count()
    assert same_bits >= 12


@pytest.mark.slow
def test_every_gradient_is_the_engines(shown: Remote, explorer: Explorer) -> None:
    """The same for the gradients that flow back, with every term."""
    network = explorer.scene.network
    same_bits = 0
    for layer in network.layers:
        gradient = network.gradient(layer.result)[0]
        for place in places(gradient.shape):
            go(shown, layer.name, place, "gradient")
            assert heading(shown).startswith("The gradient of the loss by ")
            assert same(told(shown), gradient[place]), (layer.name, place)
            assert shown.locator(".bits.other").count() == 0
            same_bits += shown.locator(".bits.same").count()
    assert same_bits >= 8


def test_every_kernels_gradient_is_the_engines(shown: Remote, explorer: Explorer) -> None:
    """By each kernel, with one term for each position of the window."""
    network = explorer.scene.network
    for layer in network.layers:
        if "weight" not in layer.parameters or layer.root is None:
            continue
        index = layer.parameters["weight"]
        gradient = network.gradient(index)
        middle = tuple(side // 2 for side in network.value(layer.result).shape[1:])
        for place in places(gradient.shape):
            go(shown, layer.name, middle, "kernel", ",".join(map(str, place)))
            assert f"weight[{', '.join(map(str, place))}]" in heading(shown)
            assert same(told(shown), gradient[place]), (layer.name, place)
            assert shown.locator(".bits.same").count() == 1


def test_a_list_of_terms_ends_in_the_sum(shown: Remote, explorer: Explorer) -> None:
    """Each product and each running sum of a window, fused and in order."""
    network = explorer.scene.network
    layer = network.layer("0")
    assert layer.root is not None
    go(shown, "0", (5, 6, 2), "value")
    rows = shown.locator(".part").first.locator("tbody tr").all()
    assert len(rows) == 9
    x, w = (network.value(i) for i in network.node(layer.root).inputs)
    total = np.float32(0)
    for row, (dy, dx) in zip(rows, np.ndindex(3, 3), strict=True):
        texts = row.locator("td").all_inner_texts()
        a, b = x[0, 4 + dy, 5 + dx, 0], w[dy, dx, 0, 2]
        assert texts[0] == f"{dy}, {dx}"
        assert same(number(texts[1].partition("= ")[2]), a)
        assert same(number(texts[2].partition("= ")[2]), b)
        assert same(number(texts[3].removeprefix("≈ ")), a * b)
        total = np.float32(np.float64(a) * np.float64(b) + np.float64(total))
        assert abs(number(texts[4]) - total) < 1e-5
    assert same(number(texts[4]), network.value(layer.root)[0, 5, 6, 2])


def test_a_click_on_a_map_takes_that_cell_apart(shown: Remote, explorer: Explorer) -> None:
    """The mouse, then the arrow keys; the heading names the cell and holds its number."""
    go(shown, "0", (0, 0, 1), "value")
    canvas = shown.locator(".maps .large canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] * 7.5 / 12, "y": box["height"] * 3.5 / 12})
    settled(shown)
    value = explorer.scene.network.value(explorer.scene.network.layer("0").result)[0]
    assert same(told(shown), value[3, 7, 1])
    assert "row 3, column 7, channel 1" in heading(shown)
    shown.keyboard.press("ArrowDown")
    settled(shown)
    assert "row 4, column 7, channel 1" in heading(shown)
    assert same(told(shown), value[4, 7, 1])
    assert re.search(r"#at=0,4,7,1&show=value", shown.url)


@pytest.mark.slow
def test_a_click_brings_what_it_chose_into_sight(
    explorer: Explorer, new_page: Callable[..., Remote]
) -> None:
    """On a low screen the heading of the number is scrolled to, but not by the arrow keys."""
    within = """() => { const { top, bottom } = document.querySelector("section.cell > h2")
      .getBoundingClientRect(); return top >= 0 && bottom <= innerHeight; }"""
    with served(explorer) as address:
        page = new_page(width=1280, height=420)
        page.goto(address)
        settled(page)
        go(page, "0", (0, 0, 1), "value")
        assert not page.evaluate(within)
        page.locator(".maps .large canvas").focus()
        page.keyboard.press("ArrowDown")
        settled(page)
        page.wait_for_timeout(300)
        assert not page.evaluate(within)
        page.locator(".maps .large canvas").click(position={"x": 90, "y": 20})
        page.wait_for_function(within)


def test_a_gradient_by_kernel_begins_with_what_is_no_padding(
    shown: Remote, explorer: Explorer
) -> None:
    """Terms with padding that come first are folded, and it is said how many terms have it."""
    go(shown, "0", (5, 5, 1), "kernel", "0,0,0,1")
    part = shown.locator("section.cell .part")
    # Of 144 positions those of the first row and the first column lie in the padding.
    assert "23 of 144 terms: products with padding, which is 0." in part.inner_text()
    assert "the first 13 terms are products with padding" in part.inner_text()
    row = part.locator("tbody tr:not(.gap)").first
    assert row.locator("th").inner_text() == "14"
    assert "padding" not in row.inner_text()
    part.get_by_role("button", name="show them").click()
    row = part.locator("tbody tr:not(.gap)").first
    assert row.locator("th").inner_text() == "1"
    assert "padding" in row.inner_text()


@pytest.mark.slow
def test_what_the_page_is_for(shown: Remote) -> None:
    """A sentence says it until it was dismissed."""
    sentence = shown.get_by_text("Choose a layer and click a cell of its map")
    assert sentence.is_visible()
    shown.get_by_role("button", name="understood").click()
    assert not sentence.is_visible()
    shown.reload()
    settled(shown)
    assert not sentence.is_visible()


def test_the_window_slides_step_by_step(shown: Remote) -> None:
    """The player goes on by one position, and around the end of a row."""
    go(shown, "0", (2, 10, 0), "value")
    for expected in ("row 2, column 11", "row 3, column 0"):
        shown.locator(".cell .player").get_by_role("button", name="next step").click()
        shown.wait_for_function(
            "text => document.querySelector('section.cell > h2').textContent.includes(text)",
            arg=expected,
        )


def test_the_picture_shows_what_a_number_sees(shown: Remote, explorer: Explorer) -> None:
    """The rectangle is that of the engine's terms."""
    network = explorer.scene.network
    for name, place in (("0", (0, 5, 1)), ("4", (2, 2, 0)), ("6", (1, 2, 5))):
        go(shown, name, place, "value")
        field = field_of(network, network.layer(name).result, place)
        assert field is not None
        (top, left), (bottom, right) = field.first[:2], field.last[:2]
        said = shown.locator(".picture-sheet").inner_text()
        if field.whole:
            assert "sees the whole picture" in said
        else:
            assert f"rows {top} … {bottom}, columns {left} … {right}" in said


def test_winners_and_shares(shown: Remote, explorer: Explorer) -> None:
    """A maximum names its winner; an average divides by what its window covers."""
    network = explorer.scene.network
    go(shown, "3", (1, 1, 2), "value")
    rows = shown.locator(".part").first.locator("tbody tr").all_inner_texts()
    window = network.value(network.layer("2").result)[0, 2:4, 2:4, 2].ravel()
    assert len(rows) == 4
    assert "★" in rows[int(np.argmax(window))]
    assert sum("★" in row for row in rows) == 1
    go(shown, "6", (0, 0, 0), "value")
    assert re.search(r"/ 4 = ", shown.locator(".part").first.inner_text())


def test_the_end_is_softmax_and_p_minus_y(shown: Remote, explorer: Explorer) -> None:
    """Class by class: result, probability, label, p − y and the engine's gradient."""
    network = explorer.scene.network
    go(shown, "the end", (1,), "value")
    gradient = network.gradient(network.logits)[0]
    chances = network.value(network.finished)[0]
    for row in shown.locator(".ending tbody tr").all():
        place = CLASSES.index(row.locator("th").inner_text().strip())
        texts = row.locator("td").all_inner_texts()
        assert same(number(texts[0]), network.value(network.logits)[0, place])
        assert same(number(texts[1]), chances[place])
        assert texts[2] == str(int(place == 0))
        assert same(number(texts[3]), chances[place] - np.float32(place == 0))
        assert same(number(texts[4]), gradient[place])
    assert network.loss is not None
    loss = shown.locator(".ending strong.number").inner_text()
    assert same(number(loss), network.value(network.loss)[0])


@pytest.mark.slow
def test_another_class_is_differentiated(shown: Remote, explorer: Explorer) -> None:
    """Gradients of a class's result in place of the loss; another label."""
    go(shown, "4", (1, 1, 2), "gradient")
    shown.get_by_label("gradients of").select_option("2")
    shown.locator(".cell h2", has_text="the result of none before softmax").wait_for()
    network = explorer.scene.network
    found = network.gradient(network.layer("4").result, 2)[0, 1, 1, 2]
    assert same(told(shown), found)
    shown.get_by_label("its class").select_option("1")
    shown.locator(".cell h2", has_text="of the loss").wait_for()
    network = explorer.scene.network
    assert explorer.label == 1
    assert same(told(shown), network.gradient(network.layer("4").result)[0, 1, 1, 2])


def test_one_step_of_the_optimizer(shown: Remote, explorer: Explorer, run: Path) -> None:
    """The update's tab goes on to the new weight, as the run's optimizer makes it."""
    go(shown, "0", (5, 5, 1), "update", "1,2,0,1")
    start, _ = Subject.of(run).start()
    expected = ic.explain(
        run, explorer.scene.network.images, ("0", 1, 2, 0, 1), gradient="weight", label=[0]
    )
    assert start is not None
    values = shown.locator(".cell strong.number").all_inner_texts()
    assert same(number(values[0]), expected.value)
    assert same(number(values[-1]), expected.after)
    text = shown.locator("section.cell").inner_text()
    assert "t1: " in text
    assert "new mean: t" in text
    assert shown.locator("section.cell .value-line").last.inner_text().startswith("new weight ")


@pytest.mark.slow
def test_a_step_needs_the_loss(shown: Remote, explorer: Explorer) -> None:
    """Without a class the tab Update asks for it; of a class's result it leads to the loss."""
    go(shown, "0", (5, 5, 1), "update", "1,2,0,1")
    shown.get_by_label("gradients of").select_option("1")
    shown.get_by_role("button", name="Show gradients of the loss").click()
    shown.locator("section.cell", has_text="new weight").wait_for()
    assert explorer.scene.of == "loss"
    shown.get_by_label("its class").select_option("")
    shown.locator("section.cell", has_text="choose the picture's class").wait_for()
    shown.get_by_label("class of the picture").select_option("2")
    shown.locator("section.cell", has_text="new weight").wait_for()
    assert explorer.label == 2


@pytest.mark.slow
def test_a_picture_of_ones_own(shown: Remote, explorer: Explorer, tmp_path: Path) -> None:
    """A chosen file is read as in training; one that is no picture is refused in a line."""
    file = tmp_path / "mine.png"
    Image.fromarray(np.full((12, 12), 77, np.uint8)).save(file)
    shown.locator("input[type=file]").set_input_files(str(file))
    shown.locator(".picture-sheet", has_text="mine.png").wait_for()
    settled(shown)
    expected = explorer.model.predict(np.full((1, 12, 12, 1), 77, np.uint8))
    network = explorer.scene.network
    assert network.value(network.finished).tobytes() == expected.tobytes()
    best = int(np.argmax(expected))
    assert CLASSES[best] in shown.locator(".guesses tbody tr").first.inner_text()


@pytest.mark.slow
def test_the_number_of_the_picture(shown: Remote, explorer: Explorer, tmp_path: Path) -> None:
    """The field has the number of what is shown, is empty for another, and says what there is."""
    field = shown.locator(".ways input[type=number]")
    assert field.input_value() == ""
    for which in ("0", "5"):
        field.fill(which)
        field.press("Enter")
        shown.locator(".picture-sheet", has_text=f"validation image {which}").wait_for()
        settled(shown)
        assert field.input_value() == which
        assert explorer.number == int(which)
    field.fill("99")
    field.press("Enter")
    shown.locator(".ways .warning", has_text="there are images 0 … 11, no 99").wait_for()
    assert field.input_value() == "5"
    file = tmp_path / "mine.png"
    Image.fromarray(np.full((12, 12), 77, np.uint8)).save(file)
    shown.locator("input[type=file]").set_input_files(str(file))
    shown.locator(".picture-sheet", has_text="mine.png").wait_for()
    settled(shown)
    assert field.input_value() == ""


@pytest.mark.slow
def test_a_file_that_is_no_picture(explorer: Explorer, browser: Remote, tmp_path: Path) -> None:
    """It is refused in a line, and what was shown stays."""
    text = tmp_path / "no-picture.png"
    text.write_text("no picture")
    # A page of its own: the refusal stands in the browser's console, too.
    context = browser.new_context()
    with served(explorer) as address:
        page = context.new_page()
        page.goto(address)
        settled(page)
        before = explorer.serial
        page.locator("input[type=file]").set_input_files(str(text))
        page.locator(".status.warning").wait_for()
        assert "picture" in page.locator(".status").inner_text()
        assert explorer.serial == before
        go(page, "0", (1, 2, 3), "value")
        assert same(
            told(page),
            explorer.scene.network.value(explorer.scene.network.layer("0").result)[0, 1, 2, 3],
        )
    context.close()


def test_a_drawing(shown: Remote, explorer: Explorer) -> None:
    """What is drawn with the mouse becomes the picture."""
    shown.get_by_role("button", name="Draw…").click()
    box = shown.locator("canvas.drawing").bounding_box()
    shown.mouse.move(box["x"] + 40, box["y"] + box["height"] / 2)
    shown.mouse.down()
    shown.mouse.move(box["x"] + box["width"] - 40, box["y"] + box["height"] / 2, steps=6)
    shown.mouse.up()
    shown.get_by_role("button", name="Show it to the network").click()
    shown.locator(".picture-sheet", has_text="a drawing").wait_for()
    image = explorer.scene.network.images[0, :, :, 0]
    assert image[5:7, 3:9].min() > 60
    assert image[:3].max() == image[-3:].max() == 0


@pytest.mark.slow
def test_checkpoints_show_how_filters_came_to_be(shown: Remote, run: Path) -> None:
    """The slider puts the weights after another epoch into everything on the page."""
    go(shown, "0", (5, 5, 1), "kernel", "0,0,0,1")
    slider = shown.locator(".checkpoints input[type=range]")
    assert slider.get_attribute("max") == "2"
    for epoch in (0, 1, 2):
        slider.evaluate(
            "(slider, at) => { slider.value = at; slider.dispatchEvent(new Event('input')); }",
            epoch,
        )
        which = "0, untrained" if epoch == 0 else str(epoch)
        shown.locator(".checkpoints .which", has_text=re.compile(f"^{which}$")).wait_for()
        expected = ic.load(run, epoch=epoch).weights["0.weight"][0, 0, 0, 1]
        settled(shown)
        cell = shown.locator(".maps:visible [role=gridcell]").first
        label = cell.get_attribute("aria-label")
        assert same(number(label.rpartition(": ")[2]), expected), epoch


@pytest.mark.slow
def test_learning_curves_and_the_confusion_matrix(shown: Remote, explorer: Explorer) -> None:
    """Each cell's count is the evaluation's; a cell opens its images, and one of them is shown."""
    shown.get_by_role("tab", name="Training").click()
    assert shown.locator("figure.curve").count() == 2
    assert shown.locator("figure.curve circle.train").count() == 4
    shown.get_by_role("button", name="Measure the 12 validation images").click()
    shown.locator("table.confusion").wait_for()
    data = stripes(12, 2)
    measured = ic.evaluate(explorer.model, data)
    counts = [
        [int(text) if text.strip().isdigit() else 0 for text in row.locator("td").all_inner_texts()]
        for row in shown.locator("table.confusion tbody tr").all()
    ]
    assert counts == measured.confusion.tolist()
    shown.locator("table.confusion button").first.click()
    first = next(zip(*np.nonzero(measured.confusion), strict=True))
    found = [
        i for i in range(12) if data.labels[i] == first[0] and measured.predictions[i] == first[1]
    ]
    shown.locator(".thumbnail").first.wait_for()
    assert shown.locator(".thumbnail").count() == len(found)
    shown.locator(".thumbnail").first.click()
    shown.locator(".picture-sheet", has_text="validation image").wait_for()
    settled(shown)
    image = explorer.scene.network.images[0]
    assert any(np.array_equal(image, data.images[i]) for i in found)


def test_grad_cam_of_a_layer(shown: Remote, explorer: Explorer) -> None:
    """The strongest place is that of max(0, sum over channels of mean gradient · map)."""
    shown.get_by_label("gradients of").select_option("1")
    shown.get_by_label("laid over it").select_option("cam")
    shown.get_by_label("layer of Grad-CAM").select_option(label="ReLU 5")
    said = shown.locator(".picture-sheet", has_text="Orange: what speaks for standing")
    said.wait_for()
    image = explorer.scene.network.images[0]
    cam = ic.grad_cam(explorer.model, image, target=1, layer="5")
    if cam.map.max() > 0:
        assert (
            f"strongest at row {cam.strongest[0]}, column {cam.strongest[1]}." in said.inner_text()
        )
    else:
        assert "here nothing does" in said.inner_text()


@pytest.mark.slow
def test_saliency_has_the_librarys_bits(shown: Remote, explorer: Explorer) -> None:
    """Grad-CAM of every map and gradient times input are the same float32 as ic.grad_cam's."""
    image = explorer.scene.network.images[0]
    shown.get_by_label("gradients of").select_option("1")
    settled(shown)
    found = shown.evaluate("""async () => {
      const { HttpSource } = await import("/web/source.js");
      const { Scene } = await import("/web/scene.js");
      const { camLayers, gradCam, inputGradient, usualCamLayer } = await import("/web/saliency.js");
      const source = new HttpSource();
      const scene = new Scene(source, await source.description());
      const told = { usual: scene.layers[usualCamLayer(scene)].name, maps: {} };
      for (const number of camLayers(scene)) {
        told.maps[scene.layers[number].name] = [...(await gradCam(scene, number)).values];
      }
      told.times = [...(await inputGradient(scene, true)).values];
      told.sizes = [...(await inputGradient(scene, false)).values];
      return told;
    }""")
    assert found["usual"] == ic.grad_cam(explorer.model, image, target=1).settings["layer"]
    assert set(found["maps"]) >= {"0", "2", "3", "4", "5", "6"}
    assert any(any(values) for values in found["maps"].values())
    for name, values in found["maps"].items():
        expected = ic.grad_cam(explorer.model, image, target=1, layer=name).map
        assert np.array_equal(np.float32(values).reshape(12, 12), expected), name
    for key, times in (("times", True), ("sizes", False)):
        expected = ic.input_gradient(explorer.model, image, target=1, times_input=times).map
        assert np.array_equal(np.float32(found[key]).reshape(12, 12), expected)


def test_the_keyboard_reaches_everything(shown: Remote) -> None:
    """Layers by arrow keys, tabs by arrow keys, and every control has a visible focus."""
    go(shown, "0", (1, 1, 1), "value")
    shown.locator("ol.layers").focus()
    shown.keyboard.press("ArrowDown")
    shown.locator(".cell h2", has_text="BatchNorm, layer 1,").wait_for()
    shown.locator(".columns > .tabs [role=tab][aria-selected=true]").focus()
    shown.keyboard.press("ArrowRight")
    shown.locator(".cell h2", has_text="The gradient of the loss").wait_for()
    names = set()
    for _ in range(40):
        shown.keyboard.press("Tab")
        name, outline = shown.evaluate(
            "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
            " return [e.tagName + '.' + e.getAttribute('class'), s.outlineStyle]; })()"
        )
        if not name.startswith("BODY"):
            names.add(name)
            assert outline != "none" or "cell" in name, name
    assert len(names) > 5


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_it_can_be_read(
    explorer: Explorer, new_page: Callable[..., Remote], width: int, dark: bool
) -> None:
    """No rule of accessibility is broken, and nothing is wider than the page."""
    with served(explorer) as address:
        page = new_page(width, 720, dark=dark)
        page.goto(address)
        settled(page)
        for layer, place, tab in (
            ("0", (5, 5, 1), "value"), ("0", (5, 5, 1), "gradient"), ("4", (1, 1, 1), "kernel"),
            ("8", (1,), "update"), ("the end", (1,), "value"), ("3", (1, 1, 1), "value"),
        ):  # fmt: skip
            go(page, layer, place, tab)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (layer, tab)
            assert accessibility_faults(page) == []
        page.get_by_role("tab", name="Training").click()
        page.get_by_role("button", name="Measure the").click()
        page.locator("table.confusion").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert accessibility_faults(page) == []


@pytest.mark.slow
def test_a_file_alone_shows_the_same(
    explorer: Explorer, new_page: Callable[..., Remote], tmp_path: Path
) -> None:
    """One HTML file, opened from disk: the same numbers, the same bits, no request."""
    file = tmp_path / "page.html"
    write_page(explorer, file)
    page = new_page()
    page.goto(file.as_uri())
    settled(page)
    network = explorer.scene.network
    for name, place in (("0", (3, 4, 1)), ("4", (2, 1, 3)), ("8", (2,))):
        for tab, values in (
            ("value", network.value(network.layer(name).result)),
            ("gradient", network.gradient(network.layer(name).result)),
        ):
            go(page, name, place, tab)
            assert same(told(page), values[(0, *place)])
            assert page.locator(".bits.other").count() == 0
    # What needs the network itself is not offered.
    assert not page.locator(".checkpoints").is_visible()
    assert page.get_by_role("button", name="Choose a picture…").count() == 0
    page.get_by_role("tab", name="Training").click()
    assert page.locator("figure.curve").count() == 2


@pytest.mark.slow
def test_branches_and_winograd(new_page: Callable[..., Remote]) -> None:
    """A residual network: arcs for what jumps, Winograd's own value beside the plain sum."""
    model = create("small_resnet", 3).build((12, 12, 3))
    image = np.random.default_rng(4).random((12, 12, 3)).astype(np.float32)
    explorer = Explorer(model, image, 1, title="Residual")
    network = explorer.scene.network
    jumps = [pair for pair in explorer.description()["edges"] if pair[1] - pair[0] > 1]
    with served(explorer) as address:
        page = new_page()
        page.goto(address)
        settled(page)
        assert page.locator(".arcs path").count() == len(jumps) > 0
        windows = explorer.description()["layers"]
        name = next(
            each["name"] for each in windows if each["window"] and not each["window"]["own"]
        )
        value = network.value(network.layer(name).result)[0]
        go(page, name, (1, 2, 3), "value")
        assert same(told(page), value[1, 2, 3])
        assert "Winograd" in page.locator(".part").first.inner_text()
        assert page.locator(".bits.other[role=alert]").count() == 0
        # A gradient that Winograd's maps compute: its ordinary sum comes first, by its own formula.
        back = network.gradient(network.layer("2").result)[0]
        go(page, "2", (1, 2, 3), "gradient")
        assert same(told(page), back[1, 2, 3])
        first = page.locator(".part").first.inner_text()
        assert "conv grad input" in first
        assert "The ordinary sum" in first
        assert "dx[i, c] = sum over" in first
        assert (
            "sum of what flows back over both branches" in page.locator("section.cell").inner_text()
        )
        go(page, name, (1, 2, 3), "gradient")
        assert "batch normalisation, on the way back" in page.locator("section.cell").inner_text()
        assert "--" not in page.locator("section.cell").inner_text()


@pytest.mark.slow
def test_a_file_of_a_winograd_network_has_every_layers_gradient(
    new_page: Callable[..., Remote], tmp_path: Path
) -> None:
    """What the page reads for them comes before Winograd's components; what is lacking is said."""
    model = create("small_resnet", 3).build((12, 12, 3))
    image = np.random.default_rng(4).random((12, 12, 3)).astype(np.float32)
    explorer = Explorer(model, image, 1, title="Residual")
    network = explorer.scene.network
    wanted = {index for kind, index in _wanted(explorer.scene) if kind != "other numbers"}
    most = sum(network.node(index).spec.size * 4 for index in wanted)
    file = tmp_path / "page.html"
    assert write_page(explorer, file, most) == []
    page = new_page()
    page.goto(file.as_uri())
    settled(page)
    for layer in network.layers:
        place = (0,) * len(network.node(layer.result).spec.shape)
        for tab in ("value", "gradient"):
            go(page, layer.name, place, tab)
            assert page.locator(".status.warning").count() == 0, (layer.name, tab)
            assert " = " in heading(page)
    assert write_page(explorer, file, most // 2)
    page.reload()
    settled(page)
    assert "were left out of the page" in page.locator(".top .left").inner_text()
    last = network.layers[0].name
    go(page, last, (0, 0, 0), "value")
    go(page, last, (0, 0, 0), "kernel", "0,0,0,0")
    assert " = " not in heading(page)
    assert "left out" in page.locator("section.cell .warning").inner_text()


def test_an_odd_address_is_no_harm(shown: Remote) -> None:
    """Names and places that are not there are left aside, and numbers outside a map too."""
    before = heading(shown)
    for text in ("#at=nowhere,1,2", "#at=%zz", "#at=0,99,99,99&show=none", "#at=0,-1,2,x", "#"):
        shown.evaluate("text => { location.hash = text; }", text)
    settled(shown)
    assert heading(shown).partition(" at ")[0] == before.partition(" at ")[0]


@pytest.mark.slow
def test_two_pages_of_one_network(browser: Remote) -> None:
    """What one page changes, the other learns when it asks; no number is of another scene."""
    model = nn.Sequential(nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3))
    explorer = Explorer(model.build((6, 6, 1), seed=2), np.ones((6, 6, 1), np.float32), 0)
    with served(explorer) as address:
        # Pages of their own: the refusal stands in the browser's console, too.
        one, other = browser.new_page(), browser.new_page()
        for page in (one, other):
            page.goto(address)
            settled(page)
        other.get_by_label("its class").select_option("2")
        settled(other)
        one.get_by_role("tab", name="Update").click()
        one.locator("text=Another page has changed what is shown").wait_for()
        settled(one)
        assert one.get_by_label("its class").input_value() == "2"
        one.close()
        other.close()

"""The sliding window drawn: which numbers stand where, in every kind of file."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL import features as pillow_features
from scripts import document_pictures
from tests.cli.command import fail, succeed

import isoconv as ic
from isoconv.errors import ArgumentError, CheckpointError, DTypeError, ShapeError
from isoconv.explain.drawn import BLUE, ORANGE, PALE_BLUE, PALE_ORANGE, scenes_of
from isoconv.explain.scene import Box, Scene, Words
from isoconv.explain.steps import steps_of

X = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
K = [[1, 0], [0, 1]]
TIMES = "\N{MULTIPLICATION SIGN}"


def texts(scene: Scene) -> list[str]:
    """All texts of a picture."""
    return [shape.text for shape in scene.shapes if isinstance(shape, Words) and shape.text]


def filled(scene: Scene, color: str) -> list[str]:
    """The numbers in cells of a colour, in the order in which they are drawn."""
    found = []
    for box, words in zip(scene.shapes, scene.shapes[1:], strict=False):
        if isinstance(box, Box) and isinstance(words, Words) and box.fill == color:
            found.append(words.text)
    return found


def framed(scene: Scene, color: str) -> list[tuple[float, float, float, float]]:
    """The frames of a colour."""
    return [
        (b.x, b.y, b.width, b.height)
        for b in scene.shapes
        if isinstance(b, Box) and b.line == color and not b.fill
    ]


def test_convolution() -> None:
    """The window, the kernel beside it, the products and the cell that they fill."""
    scene = ic.symbols.conv().picture(X, K, at=(1, 0))
    assert filled(scene, PALE_BLUE) == ["4", "5", "7", "8"]
    assert filled(scene, PALE_ORANGE) == ["1", "0", "0", "1"]
    assert filled(scene, BLUE) == ["12"]
    assert texts(scene)[-1] == "y10 = 4·1 + 5·0 + 7·0 + 8·1 = 12"
    assert [t for t in texts(scene) if t[0] == TIMES] == [f"{TIMES}{w}" for w in (1, 0, 0, 1)]
    assert len(framed(scene, BLUE)) == len(framed(scene, ORANGE)) == 1
    # What is not reached yet is empty.
    assert "14" not in texts(scene)


def test_padding_is_dashed() -> None:
    """Zeros around the input lie in dashed cells, and their products are written."""
    scene = ic.symbols.conv((3,), (3,), padding=1).picture([1, 2, 3], [4, 5, 6])
    dashed = [shape for shape in scene.shapes if isinstance(shape, Box) and shape.dashed]
    assert len(dashed) == 2
    assert texts(scene)[-1] == "y0 = 0·4 + 1·5 + 2·6 = 17"
    assert filled(scene, PALE_BLUE) == ["0", "1", "2"]


def test_dilation_leaves_holes() -> None:
    """The frame goes around the whole window; the cells between stay as they are."""
    scene = ic.symbols.conv((5,), (2,), dilation=3).picture([1, 2, 3, 4, 5], [1, 1])
    assert filled(scene, PALE_BLUE) == ["1", "4"]
    ((_, _, width, height),) = framed(scene, BLUE)
    assert width == 4 * height


def test_groups() -> None:
    """Channels of other groups take no part, and have no kernel beside them."""
    sheet = ic.symbols.conv((2,), (1,), groups=2, of="y")
    scene = sheet.picture([[1, 2], [3, 4]], [[10, 20]], at=(1, 1))
    assert filled(scene, PALE_BLUE) == ["4"]
    assert filled(scene, PALE_ORANGE) == ["20"]
    assert texts(scene)[-1] == "y11 = 4·20 = 80"
    assert [t for t in texts(scene) if "filter" in t][:1] == [
        "Convolution: input 2 and 2 channels, kernel 1, 2 filters, 2 groups"
    ]


def test_channels() -> None:
    """Each channel has a plane of the kernel, and their products are added."""
    sheet = ic.symbols.conv((2,), (2,), channels=2, of="y")
    scene = sheet.picture([[1, 10], [2, 20]], [[1, 2], [3, 4]])
    assert texts(scene)[-1] == "y0 = 1·1 + 2·3 + 10·2 + 20·4 = 107"
    assert {"kernel, channel 0", "kernel, channel 1", "input, channel 1"} <= set(texts(scene))


def test_transposed() -> None:
    """Of the input and of the kernel, what meets in one element of the result is marked."""
    sheet = ic.symbols.conv_transpose((2,), (3,), stride=2)
    scene = sheet.picture([5, 7], [1, 2, 3], at=(2,))
    assert filled(scene, PALE_BLUE) == ["5", "7"]
    assert filled(scene, PALE_ORANGE) == ["1", "3"]
    assert texts(scene)[-1] == "y2 = 5·3 + 7·1 = 22"


def test_max_pooling() -> None:
    """The first of equals is framed; the window is drawn over its padding too."""
    scene = ic.symbols.max_pool([[3, 3], [1, 2]], 2).picture()
    (winner,) = framed(scene, ORANGE)
    (window,) = framed(scene, BLUE)
    assert winner[0] - window[0] == winner[1] - window[1] == 2
    assert texts(scene)[-1] == "y00 = max(3, 3, 1, 2) = 3"
    padded = ic.symbols.max_pool([1, 2, 3], 3, padding=1).picture()
    ((_, _, width, height),) = framed(padded, BLUE)
    assert width == 3 * height


def test_averages() -> None:
    """Means and their divisor; in a cell a long number is shortened, in the line it is whole."""
    assert texts(ic.symbols.avg_pool([1, -3], 2).picture())[-1] == "y0 = (1 - 3)/2 = -1"
    scene = ic.symbols.global_avg_pool().picture()
    assert filled(scene, BLUE) == ["3.667"]
    assert "".join(texts(scene)[-2:]).endswith("/9    = 3.6666667")


def test_overflow() -> None:
    """A sum beyond float32 is infinite, as in the engine, without a warning."""
    assert texts(ic.symbols.conv((2,), (2,)).picture([3e38, 3e38], [1, 1]))[-1].endswith("= inf")
    assert ic.symbols.avg_pool([3e38, 3e38], 2).equations()["y0"].endswith("= inf")


def test_all_steps_have_one_size() -> None:
    """Also where a window hangs over the end, and where a line is longer than others."""
    sheet = ic.symbols.max_pool([1, 2, 3, 4, 5, 6], 3, stride=2, ceil_mode=True)
    sizes = {(s.width, s.height) for s in (sheet.picture(at=(n,)) for n in range(3))}
    assert len(sizes) == 1


def frames_of(image: Any) -> int:
    """How many frames a picture has."""
    return int(image.n_frames)


@pytest.mark.parametrize("kind", ["gif", "apng", "webp"])
def test_moving_pictures(tmp_path: Path, kind: str) -> None:
    """Every step is a frame, and the last one stays longer."""
    if kind == "webp" and not pillow_features.check("webp"):
        pytest.skip("this Pillow has no WebP")
    sheet = ic.symbols.conv()
    sheet.animate(tmp_path / f"a.{kind}", X, K, seconds=0.5)
    with Image.open(tmp_path / f"a.{kind}") as image:
        assert frames_of(image) == 4
        for number, place in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
            image.seek(number)
            shown = np.asarray(image.convert("RGB"), np.int32)
            scene = np.asarray(sheet.picture(X, K, at=place).to_image(1.5), np.int32)
            # A GIF has few colours.
            assert np.abs(shown - scene).mean() < 3
        if kind != "webp":
            image.seek(3)
            assert image.info["duration"] == 1000


def test_still_pictures(tmp_path: Path) -> None:
    """One step as SVG and as PNG; the SVG is well-formed and says what it shows."""
    sheet = ic.symbols.conv()
    for kind in ("svg", "png"):
        sheet.animate(tmp_path / f"a.{kind}", X, K, at=(1, 1))
    # Made here, by no stranger.
    root = ET.fromstring((tmp_path / "a.svg").read_text("utf-8"))  # noqa: S314
    assert root[0].text == "Convolution: input 3\N{MULTIPLICATION SIGN}3, kernel 2" + (
        "\N{MULTIPLICATION SIGN}2: y11 = 5·1 + 6·0 + 8·0 + 9·1 = 14"
    )
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == sheet.picture(X, K).to_image(1.5).size
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.png", "a.svg"]


def test_a_picture_is_drawn() -> None:
    """Pixels have the colours that the drawing asks for."""
    image = ic.symbols.conv().picture(X, K).to_image(1)
    counted = image.getcolors(1 << 24)
    assert counted is not None
    colors = {color for _, color in counted}
    wanted = {tuple(bytes.fromhex(c[1:])) for c in (BLUE, ORANGE, PALE_BLUE, PALE_ORANGE)}
    assert wanted <= colors
    content = io.BytesIO()
    image.save(content, "PNG")
    assert content.getvalue()


def test_a_sign_of_multiplication_is_no_letter() -> None:
    """Pillow's own font lacks it: two strokes that cross, and what stands beside it is unmoved."""
    words = [Words(20, 20, text, 24) for text in ("\N{MULTIPLICATION SIGN}", "x")]
    times, letter = (
        255 - np.asarray(Scene(60, 40, (each,)).to_image(2).convert("L"), int) for each in words
    )
    assert (times > 128).any()
    assert (times != letter).any()
    rows, columns = np.nonzero(times > 32)
    drawn = times[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert abs(drawn.shape[0] - drawn.shape[1]) <= 1
    assert abs(drawn - drawn[:, ::-1]).mean() < 40
    middle = drawn.shape[0] // 2
    assert drawn[middle, middle] > 200
    assert max(drawn[0, middle], drawn[-1, middle], drawn[middle, 0], drawn[middle, -1]) == 0
    alone, behind = (
        np.asarray(Scene(80, 40, (Words(70, 20, text, 24, "#1a1a1a", "end"),)).to_image(1))
        for text in ("7", "\N{MULTIPLICATION SIGN}7")
    )
    assert (alone[:, 58:] == behind[:, 58:]).all()
    assert (behind[:, :58] != 255).any()


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda f: ic.symbols.conv().animate(f / "a.bmp"), ArgumentError,
         r"a picture is one of \.gif, \.apng, \.webp, \.svg, \.png"),
        (lambda f: ic.symbols.conv().animate(f / "no" / "a.gif"), CheckpointError,
         "cannot be written"),
        (lambda _: ic.symbols.conv().picture(at=(2, 2)), ArgumentError,
         r"at must be a place of the result, which has the sides \(2, 2, 1\)"),
        (lambda _: ic.symbols.conv().picture([[1, 2]]), ShapeError, "values must have shape"),
        (lambda _: ic.symbols.conv().picture(weights=[[np.inf, 1], [1, 1]]), ArgumentError,
         "weights must be finite"),
        (lambda _: ic.symbols.conv().picture([[True] * 3] * 3), DTypeError, "must be numbers"),
        (lambda _: ic.symbols.max_pool().picture(weights=[1]), ArgumentError, "has no weights"),
        (lambda _: ic.symbols.conv((40, 40), (40, 1), of="y").picture(), ArgumentError,
         "a picture has at most 1,024 elements; this would have 1,600"),
        (lambda _: ic.symbols.conv((32, 32), 20, padding="same", of=()).picture(), ArgumentError,
         "at most 100,000 terms are computed for a picture; this would have 409,600"),
        (lambda f: ic.symbols.conv((20, 20), (3, 3), of="y").animate(f / "a.gif"), ArgumentError,
         r"at most 256 steps; this would have 324: draw one of them \(at=\(0, 0\)\), or give"),
        (lambda f: ic.symbols.conv().animate(f / "a.gif", seconds=0), ArgumentError, "seconds"),
    ],
)  # fmt: skip
def test_refusals(
    tmp_path: Path, call: Callable[[Path], Any], error: type[Exception], said: str
) -> None:
    """What cannot be drawn is refused, and no file is made."""
    with pytest.raises(error, match=said):
        call(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_commands(tmp_path: Path) -> None:
    """The commands draw what they are given, and say which file it is."""
    out = tmp_path / "a.svg"
    said = succeed("explain", "conv", "--values", "1,2,3;4,5,6;7,8,9", "--weights", "1,0;0,1",
                   "--animate", out, "--at", "1,1")  # fmt: skip
    assert "a.svg: Convolution: input 3" in said
    assert "y11 = 5·1 + 6·0 + 8·0 + 9·1 = 14" in out.read_text("utf-8")
    planes = ("--channels", 2, "--filters", 2, "--input", 2, "--kernel", 1)
    succeed("explain", "conv", *planes, "--values", "1,2|3,4", "--weights", "10|20|30|40",
            "--animate", out, "--at", "1,1")  # fmt: skip
    assert "y11 = 2·30 + 4·40 = 220" in out.read_text("utf-8")
    large = ("--input", "28x28", "--kernel", "5x5", "--animate", out, "--at", "3,3")
    succeed("explain", "conv", *large)
    assert "y3,3 = " in out.read_text("utf-8")
    succeed("explain", "max", *large, "--stride", 1)
    assert "y3,3 = max(" in out.read_text("utf-8")
    for name in ("conv-transpose", "max", "average", "global"):
        succeed("explain", name, "--animate", tmp_path / f"{name}.gif")
        assert (tmp_path / f"{name}.gif").read_bytes()[:3] == b"GIF"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("conv", "--at", "1,1"), "--at says what a picture shows; add --animate FILE"),
        (("conv", "--animate", "a.gif", "--values", "1|2"), "--values must have 1 planes"),
        (("conv", "--animate", "a.gif", "--at", "x"), "--at must be whole numbers such as 1,0"),
        (
            ("conv", "--animate", "a.gif", "--input", "20x20", "--kernel", "3"),
            "at most 256 steps; this would have 324: draw one of them (--at 0,0), or give a",
        ),
        (("conv", "--animate", "a.gif", "--format", "latex"), "give one of them"),
        (("conv", "--kernel", "5"), "give a smaller --kernel or more --padding"),
        (("conv", "--input", "28x28"), "give a smaller --input, or fewer lists (--of y)"),
        (("max", "--values", "1,2;3"), "--values must have rows of equal lengths; got rows of 2,"),
        (("max", "--values", "1,x"), "--values must be numbers with commas between"),
        (("conv", "--padding", "-1"), "--padding must be a number, one per axis"),
        (("conv", "--of", "y,z"), "--of must be of y, w, x"),
        (("conv", "--groups", "2", "--channels", "3"), "--groups must divide the --channels"),
    ],
)
def test_commands_refuse(words: tuple[str, ...], said: str) -> None:
    """One line that names the option and says what to do."""
    message = fail("explain", *words)
    assert said in message
    assert len(message.strip().splitlines()) == 1


def test_commands_print(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists as text, LaTeX, Markdown and JSON; what is no command is no fault."""
    assert "∂L/∂x11 = a·w11 + b·w10 + c·w01 + d·w00" in succeed("explain", "conv")
    assert "dL/dx11 = a*w11 + b*w10 + c*w01 + d*w00" in succeed("explain", "conv", "--ascii")
    assert "\\begin{aligned}" in succeed("explain", "conv", "--format", "latex")
    assert re.match("### Max pooling", succeed("explain", "max", "--format", "markdown"))
    one = succeed("explain", "average", "--format", "json")
    assert one == succeed("explain", "average", "--json")
    assert "--order engine shows it" in succeed("explain", "conv")
    assert "isoconv explain conv --input 3x3" in succeed("explain")


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(data=st.data(), rank=st.integers(1, 2), transposed=st.booleans())
def test_values_are_the_bits_of_the_engine(
    data: st.DataObject, rank: int, transposed: bool
) -> None:
    """Every step of any setting can be drawn, and its value is that of the engine's kernels."""
    draw = data.draw
    groups = draw(st.integers(1, 2))
    chosen: dict[str, Any] = {
        "stride": draw(st.integers(1, 3)), "padding": draw(st.integers(0, 2)),
        "dilation": draw(st.integers(1, 2)), "groups": groups, "flip": draw(st.booleans()),
    }  # fmt: skip
    size, kernel = (tuple(draw(st.integers(low, 3)) for _ in range(rank)) for low in (2, 1))
    channels, filters = (groups * draw(st.integers(1, 2)) for _ in range(2))
    function = ic.symbols.conv_transpose if transposed else ic.symbols.conv
    try:
        sheet = function(size, kernel, **chosen, channels=channels, filters=filters, of=())
    except ShapeError as error:
        assume("must fit" not in str(error) and "give less padding" not in str(error))
        raise
    drawn = sheet.drawn
    random = np.random.default_rng(3)
    x = random.normal(size=drawn.x.shape).astype(np.float32)
    w = random.normal(size=drawn.w.shape).astype(np.float32)
    convolution = (ic.conv1d, ic.conv2d)[rank - 1]
    if transposed:
        over = np.zeros((1, *drawn.y.shape), np.float32)
        y, _ = ic.gradients(convolution, x[None], over, w, **chosen)
    else:
        y = convolution(x[None], w, **chosen)
    places = sheet.names[2].places()
    steps = steps_of(drawn, x, w, places)
    assert (
        np.array([step.value for step in steps], np.float32).tobytes()
        == y[0][tuple(np.array(places).T)].tobytes()
    )
    scenes = scenes_of(sheet, x, w, steps, range(len(steps)))
    assert len({(scene.width, scene.height) for scene in scenes}) == 1
    # Nothing lies outside the picture.
    for scene in scenes[:: max(1, len(scenes) - 1)]:
        for shape in scene.shapes:
            wide, high = (shape.width, shape.height) if isinstance(shape, Box) else (0, 0)
            assert shape.x >= 0
            assert shape.y >= 0
            assert shape.x + wide <= scene.width
            assert shape.y + high <= scene.height


# Documents -------------------------------------------------------------------------------------


def frames(path: Path) -> list[np.ndarray]:
    """The pixels of each step of a moving picture."""
    with Image.open(path) as image:
        found = []
        for number in range(frames_of(image)):
            image.seek(number)
            found.append(np.asarray(image.convert("RGB"), np.int32))
    return found


@pytest.mark.parametrize("name", document_pictures.PICTURES)
def test_pictures_of_documents(tmp_path: Path, name: str) -> None:
    """Each is what the script makes; letters may be drawn a little otherwise by another Pillow."""
    path = document_pictures.FOLDER / name
    document_pictures.PICTURES[name](tmp_path / name)
    if name.endswith(".svg"):
        assert (tmp_path / name).read_bytes() == path.read_bytes()
        return
    here, made = frames(path), frames(tmp_path / name)
    assert len(here) == len(made)
    for kept, drawn in zip(here, made, strict=True):
        assert kept.shape == drawn.shape
        assert np.abs(kept - drawn).mean() < 1.5


def test_every_picture_is_made_and_shown() -> None:
    """No file of the folder is another's, and each stands on a page."""
    folder = document_pictures.FOLDER
    assert {path.name for path in folder.iterdir()} == set(document_pictures.PICTURES)
    pages = "".join(path.read_text("utf-8") for path in folder.parent.glob("*.md"))
    assert all(f"(pictures/{name})" in pages for name in document_pictures.PICTURES)

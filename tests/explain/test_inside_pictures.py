"""Pictures of the inside of a network: tiles of maps and kernels, frames, parts of the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.report.made import NAMES, Page, dataset_of, evaluation_of, model_of, write_run

import isoconv as ic
from isoconv import nn
from isoconv.errors import ArgumentError
from isoconv.explain.field import Field
from isoconv.explain.pictures import framed, sections
from isoconv.explain.tiles import tiles_of_kernels, tiles_of_maps
from isoconv.report import write_report

WHITE = (255, 255, 255)


def test_tiles_of_maps_have_one_scale() -> None:
    """Zero is white, the greatest size of all channels the strongest colour, NaN is white too."""
    value = np.zeros((2, 2, 3), np.float32)
    value[0, 0] = [4, -4, np.nan]
    value[1, 1] = [2, 0, 0]
    found = tiles_of_maps(value, "a layer")
    # Tiles of 64 pixels, 32 for each cell, 4 between them.
    assert found.pixels.shape == (64, 3 * 68 - 4, 4)
    cells = found.pixels[16::32, :, :3]
    assert tuple(cells[0, 16]) == (232, 134, 28)
    assert tuple(cells[0, 68 + 16]) == (47, 127, 214)
    assert tuple(cells[0, 2 * 68 + 16]) == tuple(cells[0, 48]) == WHITE
    half = cells[1, 48].astype(int)
    assert np.abs(2 * half - 255 - (232, 134, 28)).max() <= 1
    assert not found.pixels[:, 64:68, 3].any()
    assert "what is not finite" in found.said


def test_tiles_of_kernels_show_the_channel_that_is_asked_for() -> None:
    """The first of several unless another is named; three are colours."""
    weight = np.zeros((1, 2, 2, 1), np.float32)
    weight[0, 0, 1, 0] = 1
    assert tuple(np.unique(tiles_of_kernels(weight, "k").pixels[..., :3])) == (255,)
    assert tuple(tiles_of_kernels(weight, "k", 1).pixels[0, 0]) == (232, 134, 28, 255)
    with pytest.raises(ArgumentError, match=r"channel must lie in 0 … 1; got 2"):
        tiles_of_kernels(weight, "k", 2)
    assert "colours" in tiles_of_kernels(np.ones((3, 3, 3, 2), np.float32), "k").said


def test_a_layer_shows_its_maps_and_filters(tmp_path: Path) -> None:
    """An inspection's layers give the same pictures, and save them."""
    model = nn.Sequential(nn.Conv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2)).build((6, 6, 1))
    view = ic.inspect(model, np.ones((2, 6, 6, 1), np.float32))["0"]
    expected = tiles_of_maps(view.value[1], "x").pixels
    assert view.maps(image=1).pixels.tobytes() == expected.tobytes()
    view.filters().save(tmp_path / "filters.png")
    with Image.open(tmp_path / "filters.png") as picture:
        assert picture.size == view.filters().pixels.shape[1::-1]
    assert 'src="data:image/png' in view.maps()._repr_html_()
    other = ic.inspect(model, np.ones((2, 6, 6, 1), np.float32))["1"]
    with pytest.raises(ArgumentError, match=r"'1' \(ReLU\) has no kernels to show"):
        other.filters()
    with pytest.raises(ArgumentError, match=r"image must lie in 0 … 1; got 2"):
        other.maps(image=2)


def test_a_frame_lies_on_the_edge_of_its_part() -> None:
    """Orange along the border of the field, and nowhere else."""
    image = np.full((64, 64, 3), 50, np.uint8)
    drawn = framed(image, Field((8, 16, 0), (15, 31, 2), (64, 64, 3)))
    assert drawn.shape == (128, 128, 3)
    orange = (drawn == (232, 134, 28)).all(axis=-1)
    rows, columns = np.nonzero(orange)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 31, 32, 63)
    assert not orange[20:28, 36:60].any()


@pytest.mark.slow
def test_parts_of_the_report(tmp_path: Path) -> None:
    """Two pictures for each of four mistakes, one for each of four others, and maps by layer."""
    data, model = dataset_of(), model_of()
    measured = evaluation_of(data.labels, 3)
    page = write_report(write_run(tmp_path), model, data, measured, more=sections)
    found = Page(page.read_text("utf-8"))
    alts = [each["alt"] or "" for tag, each in found.attributes if tag == "img"]
    assert len([alt for alt in alts if ": what speaks for " in alt]) == 4 * 2 + 4
    assert len([alt for alt in alts if "with the frame of rows" in alt]) == 2
    assert "Where it looked" in found.text
    assert "nothing outside" not in found.text
    assert not [name for name in found.tags if name == "b"]
    assert NAMES[1] in found.text
    without = write_report(tmp_path, model, data, measured)
    assert "Where it looked" not in without.read_text("utf-8")


def test_a_network_without_maps_has_no_such_parts(tmp_path: Path) -> None:
    """Linear layers alone: the page is there, without the two parts."""
    data = dataset_of()
    model = nn.Sequential(nn.Flatten(), nn.Linear(3)).build((12, 10, 3))
    measured = evaluation_of(data.labels, 3)
    page = write_report(write_run(tmp_path), model, data, measured, more=sections)
    text = Page(page.read_text("utf-8")).text
    assert "Where it looked" not in text
    assert "Layer by layer" not in text

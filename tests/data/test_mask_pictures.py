"""Masks on photographs: colours within, and outlines that are seen on any picture."""

from __future__ import annotations

import numpy as np
import pytest

from isoconv.data.mask_pictures import LINE, colours, overlaid

HERE, NONE = 4, 255
BLACK, WHITE = np.zeros(3, int), np.full(3, 255)


def light(colour: np.ndarray) -> float:
    """How light a colour is (ITU-R BT.601)."""
    return float((colour.astype(float) * [0.299, 0.587, 0.114]).sum())


def test_a_region_by_hand() -> None:
    """Half its colour within, its whole colour where it ends, and a line around it."""
    mask = np.zeros((7, 7), np.uint16)
    mask[2:5, 2:5] = HERE
    mask[:, 6] = NONE
    picture = np.full((7, 7, 3), 100, np.uint8)
    before = picture.copy()
    found = overlaid(picture, mask, NONE).astype(int)
    colour = colours()[HERE].astype(int)
    assert (found[3, 3] == (100 + colour + 1) // 2).all()
    ends = [(row, column) for row in (2, 3, 4) for column in (2, 3, 4) if (row, column) != (3, 3)]
    assert all((found[place] == colour).all() for place in ends)
    # Blue is dark: white beside it, not at corners.
    for place in [(1, 2), (1, 4), (5, 3), (3, 1), (2, 5)]:
        assert (found[place] == WHITE).all()
    for place in [(1, 1), (0, 3), (5, 5)]:
        assert (found[place] == 100).all()
    assert (found[:, 6] == 25).all()
    assert (picture == before).all()


@pytest.mark.parametrize("level", [0, 60, 128, 200, 255])
@pytest.mark.parametrize("number", range(1, 21))
def test_outlines_are_seen(level: int, number: int) -> None:
    """Of 20 classes, on black, gray and white: one of both lines is far from the picture."""
    mask = np.zeros((9, 9), np.uint16)
    mask[4, 4] = number
    found = overlaid(np.full((9, 9, 3), level, np.uint8), mask, NONE)
    assert (found[4, 4] == colours()[number]).all()
    around = [found[3, 4], found[5, 4], found[4, 3], found[4, 5]]
    assert all((each == around[0]).all() for each in around)
    assert max(abs(light(each) - level) for each in (around[0], found[4, 4])) > 60
    assert abs(light(around[0]) - light(found[4, 4])) > 120
    assert (found != level).any(axis=2).sum() <= 5


def test_neighbours_and_edges() -> None:
    """Where two regions meet each has its line; a region of the whole picture has a frame."""
    mask = np.full((6, 9), 1, np.uint16)
    mask[:, 4:] = 2
    picture = np.full((6, 9, 3), 255, np.uint8)
    found = overlaid(picture, mask, NONE)
    assert (found[1:-1, 3] == colours()[1]).all()
    assert (found[1:-1, 4] == colours()[2]).all()
    assert (found[0, :4] == colours()[1]).all()
    assert (found[-1, 4:] == colours()[2]).all()
    assert (found[1:-1, 1:3] == (255 + colours()[1].astype(int) + 1) // 2).all()
    whole = overlaid(picture, np.full((6, 9), 3, np.uint16), NONE)
    assert (whole[[0, -1]] == colours()[3]).all()
    assert (whole[2, 2] == (255 + colours()[3].astype(int) + 1) // 2).all()
    for size in ((1, 1), (1, 5), (2, 2), (5, 1)):
        small = overlaid(np.zeros((*size, 3), np.uint8), np.full(size, 3, np.uint16), NONE)
        assert (small == colours()[3]).all()
    assert (overlaid(picture, np.zeros((6, 9), np.uint16), NONE) == picture).all()


def test_lines_of_large_pictures() -> None:
    """They are wider, and end where another region begins."""
    side = 2 * LINE
    mask = np.zeros((side, side), np.uint16)
    mask[100:200, 100:200] = 1
    mask[100:200, 200:300] = 300
    found = overlaid(np.full((side, side, 3), 90, np.uint8), mask, 65535)
    assert (found[150, 97:104] == [
        WHITE, WHITE, WHITE, colours()[1], colours()[1], colours()[1], (90 + colours()[1] + 1) // 2
    ]).all()  # fmt: skip
    assert (found[150, 96] == 90).all()
    assert (found[150, 197:200] == colours()[1]).all()
    assert (found[150, 200:203] == colours()[300 & 255]).all()

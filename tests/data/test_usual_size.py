"""The size that pictures get when nobody says one: by a rule that is told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from tests.data.made import write

from isoconv.data import load, load_splits
from isoconv.data.survey import usual_size


@pytest.mark.parametrize(
    ("sizes", "found"),
    [({(28, 28): 5}, None), ({(64, 64): 1}, None), ({(64, 65): 1}, (64, 64)),
     ({(300, 65): 1}, (64, 64)), ({(10, 10): 1, (11, 10): 1}, (32, 32)),
     ({(3000, 4000): 9}, (64, 64)), ({(47, 90): 2, (48, 90): 1}, (32, 32)),
     ({(47, 90): 2, (48, 90): 3}, (48, 48)), ({(47, 90): 2, (48, 90): 2}, (32, 32)),
     ({(95, 900): 3, (900, 20): 2}, (64, 64)), ({(96, 96): 7}, (64, 64))],
)  # fmt: skip
def test_the_rule(sizes: dict[tuple[int, int], int], found: tuple[int, int] | None) -> None:
    """One small size stays; else the largest side that the middle picture has."""
    assert usual_size(Counter(sizes)) == found


def test_a_folder_gets_a_size(tmp_path: Path) -> None:
    """Of all parts together, told once; each part alone has the same."""
    for number in range(5):
        write(tmp_path / "train" / "a" / f"{number}.png", Image.new("L", (70 + number, 50)))
    write(tmp_path / "test" / "a" / "x.png", Image.new("L", (40, 200), 9))
    splits = load_splits(tmp_path, validation=0)
    note = (
        "pictures of 6 sizes, the middle one of shorter side 50: scaled to 48 by 48; size=… says "
        "otherwise"
    )
    for part, data in splits.parts.items():
        alone = load(tmp_path, part)  # type: ignore[arg-type]
        assert data.image_shape == alone.image_shape == (48, 48, 1)
        assert data.notes == alone.notes == (note,)
        assert data.reading == alone.reading
    # A later picture is read so, whatever the rule would say of it.
    assert load(tmp_path, "test", reading=splits.train.reading).notes == ()


def test_one_size(tmp_path: Path) -> None:
    """A small one stays, without a word; a large one is scaled."""
    write(tmp_path / "small" / "a" / "x.png", Image.new("L", (64, 30)))
    write(tmp_path / "large" / "a" / "x.png", Image.new("L", (100, 300)))
    write(tmp_path / "fits" / "a" / "x.png", Image.new("L", (64, 64)))
    small, large, fits = (load(tmp_path / name) for name in ("small", "large", "fits"))
    assert (small.image_shape, small.notes) == ((30, 64, 1), ())
    assert large.image_shape == (64, 64, 1)
    assert large.notes == ("pictures of 300 by 100: scaled to 64 by 64; size=… says otherwise",)
    assert (fits.image_shape, fits.notes) == ((64, 64, 1), ())

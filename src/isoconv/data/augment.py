"""Random changes to training images, each a function of (seed, epoch, sample) and nothing else.

What changes is drawn here, as a table with one row for each sample; the operation ``augment``
(`isoconv.ops.image`) applies a row to an image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoconv.arithmetic.elementary import cos_turns, sin_turns
from isoconv.arithmetic.philox import Purpose, integers, uniform32
from isoconv.checks import (
    check_array,
    check_count,
    check_flag,
    check_kind,
    check_number,
    refusal,
    settle,
)

__public__ = {"isoconv.data": ["Augmentation", "table"]}

# Which random number of a sample is used for what.
_CROP_Y, _CROP_X, _FLIP, _SHIFT_Y, _SHIFT_X, _CUT_Y, _CUT_X, _ANGLE = range(8)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What may happen to a training image. The default is nothing.

    Attributes:
        crop_padding: the image is padded by this many pixels on each side and a piece of its own
            size is cut out at random (He et al., 2016, use 4 for CIFAR-10).
        flip: mirrored left to right with probability 1/2.
        shift: moved by up to this many pixels in each direction, on top of the crop.
        rotation: turned about its centre by up to this many degrees to either side, 0 to 180.
        cutout: a square of this many pixels a side is covered, its centre anywhere in the image
            (DeVries and Taylor, 2017).
        fill: value of pixels from outside and of covered ones, in the units of the images.

    Raises:
        ArgumentError: a setting lies outside its range.

    Example:
        >>> Augmentation(crop_padding=4, flip=True).interpolate
        False
    """

    crop_padding: int = 0
    flip: bool = False
    shift: int = 0
    rotation: float = 0.0
    cutout: int = 0
    fill: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether pixels may come to stand elsewhere."""
        return bool(self.crop_padding or self.flip or self.shift or self.rotation)

    def __post_init__(self) -> None:
        # Up to here float32 holds every sum of these numbers of pixels exactly.
        pixels = {
            name: check_count(name, getattr(self, name), least=0, most=65536)
            for name in ("crop_padding", "shift", "cutout")
        }
        largest = float(np.finfo(np.float32).max)
        settle(
            self,
            **pixels,
            flip=check_flag("flip", self.flip),
            rotation=check_number("rotation", self.rotation, least=0, most=180),
            fill=check_number("fill", self.fill, least=-largest, most=largest),
        )

    @property
    def is_identity(self) -> bool:
        """Whether images are left as they are."""
        return not (self.crop_padding or self.flip or self.shift or self.rotation or self.cutout)

    @property
    def interpolate(self) -> bool:
        """Whether pixels are mixed (turned images) and not only copied."""
        return self.rotation > 0


def table(
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    samples: ArrayLike,
    height: int,
    width: int,
) -> NDArray[np.float32]:
    """Draw what happens to these samples in this epoch.

    Random number k of a sample is the word of ``(seed, AUGMENTATION, stream 0, epoch, sample, k)``;
    ``integer(n)`` is ``word * n >> 32`` and ``uniform`` is ``(word >> 8) * 2**-24``:

    - ``dy = (integer_0(2 p + 1) - p) + (integer_3(2 s + 1) - s)`` with p = crop_padding, s = shift;
      ``dx`` likewise from numbers 1 and 4;
    - ``flip = integer_2(2)``, or 0 when the setting is off;
    - ``cut_y0 = integer_5(height) - cutout // 2`` and ``cut_y1 = cut_y0 + cutout``, both then
      limited to 0 … height; ``cut_x0`` and ``cut_x1`` likewise from number 6 and the width;
    - the angle in turns is ``((2 uniform_7 - 1) * rotation) / 360`` in float64; ``cos`` and ``sin``
      are computed in float64 and rounded to float32.

    Args:
        augmentation: what may happen.
        seed: 0 ≤ seed < 2**64.
        epoch: 0 ≤ epoch < 2**32.
        samples: numbers of the samples in their data set, whole numbers ``(N,)``.
        height: of the images, in pixels.
        width: of the images, in pixels.

    Returns:
        float32 ``(N, 9)``, columns as in `isoconv.ops.image.TABLE_COLUMNS`: dy, dx, flip, cut_y0,
        cut_y1, cut_x0, cut_x1, cos, sin.

    Raises:
        ArgumentError: a number lies outside its range, or ``samples`` has not one axis.

    Example:
        >>> rows = table(Augmentation(shift=2), seed=0, epoch=0, samples=[5, 7], height=8, width=8)
        >>> rows.shape
        (2, 9)
        >>> bool((rows[1] == table(Augmentation(shift=2), 0, 0, [7], 8, 8)[0]).all())
        True
    """
    check_kind("augmentation", augmentation, Augmentation, "an Augmentation")
    seed = check_count("seed", seed, least=0, below=2**64)
    epoch = check_count("epoch", epoch, least=0, below=2**32)
    height = check_count("height", height, most=65536)
    width = check_count("width", width, most=65536)
    numbers = check_array("samples", samples)
    if numbers.ndim != 1:
        raise refusal("samples", "have one axis", samples, got=f"shape {numbers.shape}")

    def draw(bound: int, number: int) -> NDArray[np.int64]:
        if bound == 1:
            return np.zeros(numbers.shape, np.int64)
        return integers(bound, seed, Purpose.AUGMENTATION, 0, epoch, numbers, number)

    def offset(crop: int, shift: int) -> NDArray[np.int64]:
        padding, reach = augmentation.crop_padding, augmentation.shift
        return (draw(2 * padding + 1, crop) - padding) + (draw(2 * reach + 1, shift) - reach)

    rows = np.zeros((len(numbers), 9), np.float32)
    rows[:, 0] = offset(_CROP_Y, _SHIFT_Y)
    rows[:, 1] = offset(_CROP_X, _SHIFT_X)
    rows[:, 2] = draw(2 if augmentation.flip else 1, _FLIP)
    if augmentation.cutout:
        for column, side, number in ((3, height, _CUT_Y), (5, width, _CUT_X)):
            first = draw(side, number) - augmentation.cutout // 2
            rows[:, column] = np.clip(first, 0, side)
            rows[:, column + 1] = np.clip(first + augmentation.cutout, 0, side)
    rows[:, 7] = 1
    if augmentation.interpolate:
        uniform = uniform32(seed, Purpose.AUGMENTATION, 0, epoch, numbers, _ANGLE)
        turns = (2.0 * uniform.astype(np.float64) - 1.0) * float(augmentation.rotation) / 360.0
        rows[:, 7] = cos_turns(turns)
        rows[:, 8] = sin_turns(turns)
    return rows

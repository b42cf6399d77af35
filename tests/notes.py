"""The formulas of the notes' worked example, for tests."""

from __future__ import annotations

# The convolution of the notes, element by element; products and sums of symbols.
FORWARD = {
    "y00": "x00 w00 + x01 w01 + x10 w10 + x11 w11",
    "y01": "x01 w00 + x02 w01 + x11 w10 + x12 w11",
    "y10": "x10 w00 + x11 w01 + x20 w10 + x21 w11",
    "y11": "x11 w00 + x12 w01 + x21 w10 + x22 w11",
}
BY_KERNEL = {
    "w00": "a x00 + b x01 + c x10 + d x11",
    "w01": "a x01 + b x02 + c x11 + d x12",
    "w10": "a x10 + b x11 + c x20 + d x21",
    "w11": "a x11 + b x12 + c x21 + d x22",
}
# The notes give x00, x01, x10 and x11; the other five follow from the same four equations.
BY_INPUT = {
    "x00": "a w00",
    "x01": "a w01 + b w00",
    "x02": "b w01",
    "x10": "a w10 + c w00",
    "x11": "a w11 + b w10 + c w01 + d w00",
    "x12": "b w11 + d w01",
    "x20": "c w10",
    "x21": "c w11 + d w10",
    "x22": "d w11",
}

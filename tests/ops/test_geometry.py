"""Output sizes by the notes' formula, and settings that make no window."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoconv.errors import ArgumentError, ShapeError
from isoconv.ops.geometry import ConvGeometry, WindowGeometry, output_size, same_padding


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [
        (3, 2, 1, 0, 2),  # the notes' worked example
        (28, 5, 1, 0, 24),
        (28, 5, 1, 2, 28),
        (28, 3, 2, 1, 14),
        (7, 3, 2, 0, 3),
        (6, 3, 2, 0, 2),  # rounds down: the last column is never met
        (224, 7, 2, 3, 112),
        (5, 5, 1, 0, 1),
    ],
)
def test_notes_formula(size: int, kernel: int, stride: int, padding: int, expected: int) -> None:
    """O = floor((I + 2P - K) / S) + 1."""
    assert output_size(size, kernel, stride, padding) == expected
    assert (size + 2 * padding - kernel) // stride + 1 == expected


def test_ceil_mode_keeps_a_partial_window() -> None:
    """Rounding up adds a window that starts inside the input."""
    assert output_size(6, 3, 2) == 2
    assert output_size(6, 3, 2, ceil_mode=True) == 3


def test_ceil_mode_leaves_out_a_window_in_the_padding() -> None:
    """A window that would start in the padding after the input is left out."""
    assert output_size(3, 1, 3, (0, 0), ceil_mode=True) == 1
    assert output_size(4, 2, 3, (1, 1), ceil_mode=True) == 2


@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(1, 30),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
    dilation=st.integers(1, 3),
)
def test_output_size_counts_the_places(
    size: int, kernel: int, stride: int, before: int, after: int, dilation: int
) -> None:
    """The formula counts the places where the kernel lies inside the padded input."""
    extent = dilation * (kernel - 1) + 1
    places = range(-before, size + after - extent + 1, stride)
    if not places:
        with pytest.raises(ShapeError, match="must fit into the padded input"):
            output_size(size, kernel, stride, (before, after), dilation)
    else:
        assert output_size(size, kernel, stride, (before, after), dilation) == len(places)


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 40), kernel=st.integers(1, 7), stride=st.integers(1, 4))
def test_same_padding(size: int, kernel: int, stride: int) -> None:
    """Padding "same" gives ceil(size / stride) outputs; the odd zero is after, or before."""
    padding = same_padding(size, kernel, stride)
    assert output_size(size, kernel, stride, padding) == -(-size // stride)
    assert padding[1] - padding[0] in (0, 1)
    assert same_padding(size, kernel, stride, lower=True) == padding[::-1]


def test_kernel_larger_than_input() -> None:
    """The message states the rule and all sizes."""
    with pytest.raises(ShapeError) as caught:
        output_size(3, kernel=6, padding=1)
    assert str(caught.value) == (
        "the kernel must fit into the padded input: kernel size 6 with dilation 1 covers 6, "
        "the input has 3 + 1 + 1 = 5"
    )


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (((3,), (0,), ((0, 0),), (1,)), "stride must be at least 1 on every axis; got (0,)"),
        (((0,), (1,), ((0, 0),), (1,)), "kernel must be at least 1 on every axis; got (0,)"),
        (((3,), (1,), ((-1, 0),), (1,)), "padding must not be negative; got ((-1, 0),)"),
    ],
)
def test_bad_settings(settings_: tuple[Any, ...], message: str) -> None:
    """A setting outside its range is refused with its name and value."""
    with pytest.raises(ArgumentError) as caught:
        ConvGeometry(*settings_)
    assert str(caught.value) == message


def test_groups_below_one() -> None:
    """There is at least one group."""
    with pytest.raises(ArgumentError, match="groups must be at least 1; got 0"):
        ConvGeometry((3,), (1,), ((0, 0),), (1,), groups=0)


def test_entries_per_axis() -> None:
    """Every setting has an entry for every axis."""
    with pytest.raises(ShapeError, match=r"stride must have 2 entries, one per axis; got \(1,\)"):
        ConvGeometry((3, 3), (1,), ((0, 0), (0, 0)), (1, 1))


def test_pooling_padding_as_large_as_the_window() -> None:
    """Every pooling window meets the input."""
    with pytest.raises(ArgumentError, match="less than the kernel's extent: padding"):
        WindowGeometry((2,), (1,), ((2, 0),), (1,))

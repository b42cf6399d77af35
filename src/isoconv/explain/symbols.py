"""Convolutions in symbols: every element of the result and of every gradient as a sum of products.

The sums are the terms that the operations themselves give (`Operation.terms_of`), with names in
place of values. Poolings stand in `isoconv.explain.symbols_pooling`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from math import prod
from typing import Literal, TypeAlias

from isoconv.cards import sides
from isoconv.checks import LARGEST, check_choice, check_count, check_flag, refusal
from isoconv.errors import ArgumentError, ShapeError
from isoconv.explain.notation import Names
from isoconv.explain.sheet import Sheet
from isoconv.explain.sheet_blocks import Block, Equation, Equations, Matrices, Remark
from isoconv.explain.symbols_arrays import (
    GRAD,
    KERNEL,
    RESULT,
    SOURCE,
    Arrays,
    conv_names,
    kernel_places,
    kernel_planes,
    planes,
)
from isoconv.explain.symbols_sizes import (
    conv_formula,
    settings_line,
    size_lines,
    transposed_formula,
)
from isoconv.graph.ir import TensorSpec
from isoconv.graph.terms import Chain, Element, Index, Padding, Term
from isoconv.nn.settings import PaddingSetting, PerAxis, padding_pairs, per_axis
from isoconv.ops import ConvGeometry
from isoconv.wording import either, named

__public__ = {"isoconv.symbols": ["conv", "conv_transpose"]}

Order: TypeAlias = Literal["notes", "engine"]

MOST_EQUATIONS = 400
"""Equations that are written at most."""
MOST_TERMS = 10_000
"""Terms that all of them have at most."""
MOST_CELLS = 10_000
"""Elements that each matrix has at most."""

_ORDERS = ("notes", "engine")


def conv(
    input_size: PerAxis = (3, 3),
    kernel_size: PerAxis = (2, 2),
    *,
    stride: PerAxis = 1,
    padding: PaddingSetting = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    channels: int | None = None,
    filters: int | None = None,
    flip: bool = False,
    of: str | Collection[str] = ("y", "w", "x"),
    order: Order = "notes",
    show_padding: bool = False,
    ascii: bool = False,  # noqa: A002 - what it is called everywhere
) -> Sheet:
    """A convolution in symbols: its result and both gradients, element by element.

    ``y(p, o) = Σ_m Σ_c x(p S - P + m D, c) w(m, c, o)`` written out. An axis of one channel or one
    filter is not written: ``x01`` is row 0, column 1; ``x012`` its channel 2; ``w0120`` is row 0,
    column 1, channel 2, filter 0.

    Args:
        input_size: height and width; a single number is a signal of one axis.
        kernel_size: one number or one per axis.
        stride: likewise.
        padding: a number, one per axis, a pair (before, after) per axis, "same", "same_lower" or
            "valid".
        dilation: distance between kernel elements.
        groups: groups of channels that do not see each other.
        channels: of the input; one for each group if not given.
        filters: output channels; one for each group if not given.
        flip: True for convolution as mathematics defines it.
        of: which lists: "y", "w" (∂L/∂w), "x" (∂L/∂x); () for none, for a picture of what is too
            large to be written out.
        order: of the terms: "notes" goes channel by channel, and follows the letters of
            grad_output; "engine" is the order of the additions (docs/arithmetic.md).
        show_padding: write the products with padding, ``0·w00``, too.
        ascii: keep the text to ASCII.

    Returns:
        A `Sheet`: prints itself, and has ``to_latex()``, ``to_markdown()`` and ``to_dict()``.

    Raises:
        ArgumentError: a setting outside its allowed values, or more equations or terms than are
            written.
        ShapeError: the kernel does not fit, or groups do not divide the channels.

    Example:
        >>> for y, terms in conv(of="y").equations().items():
        ...     print(y, "=", terms)
        y00 = x00·w00 + x01·w01 + x10·w10 + x11·w11
        y01 = x01·w00 + x02·w01 + x11·w10 + x12·w11
        y10 = x10·w00 + x11·w01 + x20·w10 + x21·w11
        y11 = x11·w00 + x12·w01 + x21·w10 + x22·w11
        >>> conv().equations()["∂L/∂x11"]
        'a·w11 + b·w10 + c·w01 + d·w00'
    """
    geometry = _geometry(input_size, kernel_size, stride, padding, dilation, groups, flip)
    inputs, groups = input_sides(input_size), geometry.groups
    channels = groups if channels is None else check_count("channels", channels, most=LARGEST)
    filters = groups if filters is None else check_count("filters", filters, most=LARGEST)
    _check_groups(groups, channels=channels, filters=filters)
    x = TensorSpec((*inputs, channels))
    w = TensorSpec((*geometry.kernel, channels // groups, filters), batched=False)
    y = TensorSpec((*_fits(geometry, inputs), filters))
    arrays = Arrays(geometry, x, w, y, transposed=False)
    return _sheet(arrays, of, order, show_padding, ascii)


def conv_transpose(
    input_size: PerAxis = (2, 2),
    kernel_size: PerAxis = (2, 2),
    *,
    stride: PerAxis = 1,
    padding: PaddingSetting = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    channels: int | None = None,
    filters: int | None = None,
    flip: bool = False,
    of: str | Collection[str] = ("y", "w", "x"),
    order: Order = "notes",
    show_padding: bool = False,
    ascii: bool = False,  # noqa: A002 - what it is called everywhere
) -> Sheet:
    """A transposed convolution in symbols: the gradient of a convolution by its input, forward.

    Along each axis the result has ``(I - 1) S + D (K - 1) + 1 - P_before - P_after`` positions.
    Its kernel is that of the convolution that it turns around: ``w`` has the axes (kernel...,
    filter of the group, channel).

    Args:
        input_size: height and width; a single number is a signal of one axis.
        kernel_size: one number or one per axis.
        stride: how far one input lies from the next in the result.
        padding: what is cut off the result: a number, one per axis, or a pair per axis.
        dilation: distance between kernel elements.
        groups: groups of channels that do not see each other.
        channels: of the input; one for each group if not given.
        filters: output channels; one for each group if not given.
        flip: as for the convolution that it turns around.
        of: which lists: "y", "w" (∂L/∂w), "x" (∂L/∂x); () for none, for a picture of what is too
            large to be written out.
        order: of the terms, as for `conv`.
        show_padding: write what is cut off, as ``0·w00``, too.
        ascii: keep the text to ASCII.

    Returns:
        A `Sheet`.

    Raises:
        ArgumentError: a setting outside its allowed values, or more equations or terms than are
            written.
        ShapeError: nothing is left of the result, or groups do not divide the channels.

    Example:
        >>> conv_transpose().equations()["y11"]
        'x00·w11 + x01·w10 + x10·w01 + x11·w00'
    """
    if isinstance(padding, str) and padding in ("same", "same_lower"):
        raise ArgumentError(
            f'{named("padding")} "{padding}" does not say which result a transposed convolution is '
            "to have; give numbers, or a pair (before, after) for each axis",
            argument="padding",
            value=padding,
        )
    geometry = _geometry(input_size, kernel_size, stride, padding, dilation, groups, flip)
    inputs, groups = input_sides(input_size), geometry.groups
    channels = groups if channels is None else check_count("channels", channels, most=LARGEST)
    filters = groups if filters is None else check_count("filters", filters, most=LARGEST)
    _check_groups(groups, channels=channels, filters=filters)
    outputs = tuple(
        (i - 1) * s + d * (k - 1) + 1 - before - after
        for i, k, s, d, (before, after) in zip(
            inputs, geometry.kernel, geometry.stride, geometry.dilation, geometry.padding,
            strict=True,
        )
    )  # fmt: skip
    if min(outputs) < 1:
        raise ShapeError(
            f"the result must have at least one position on every axis; got {outputs} for an "
            f"input of {inputs} with {named('padding')} {geometry.padding}: give less padding",
            argument="padding",
            value=padding,
        )
    x = TensorSpec((*inputs, channels))
    w = TensorSpec((*geometry.kernel, filters // groups, channels), batched=False)
    y = TensorSpec((*outputs, filters))
    arrays = Arrays(geometry, x, w, y, transposed=True)
    return _sheet(arrays, of, order, show_padding, ascii)


# -- settings --------------------------------------------------------------------------------


def input_sides(input_size: PerAxis) -> tuple[int, ...]:
    """The input's sides; at most two."""
    rank = len(input_size) if isinstance(input_size, (tuple, list)) else 1
    if not 1 <= rank <= 2:
        raise refusal("input_size", "have one or two axes", input_size)
    return per_axis("input_size", input_size, rank)


def _geometry(
    input_size: PerAxis,
    kernel_size: PerAxis,
    stride: PerAxis,
    padding: PaddingSetting,
    dilation: PerAxis,
    groups: int,
    flip: bool,
) -> ConvGeometry:
    """How a kernel moves, from what a person gives."""
    inputs = input_sides(input_size)
    rank = len(inputs)
    kernel = per_axis("kernel_size", kernel_size, rank)
    steps = per_axis("stride", stride, rank)
    holes = per_axis("dilation", dilation, rank)
    pairs = padding_pairs(padding, inputs, kernel, steps, holes)
    return ConvGeometry(
        kernel,
        steps,
        pairs,
        holes,
        check_count("groups", groups, most=LARGEST),
        check_flag("flip", flip),
    )


def _check_groups(groups: int, **counts: int) -> None:
    for name, count in counts.items():
        if count % groups:
            rule = f"divide the {named(name)}: {count} is no multiple of {groups}"
            raise ShapeError(f"{named('groups')} must {rule}", argument="groups", value=groups)


def _fits(geometry: ConvGeometry, inputs: Sequence[int]) -> tuple[int, ...]:
    try:
        return geometry.output_sides(inputs)
    except ShapeError as error:
        behind = f"; give a smaller {named('kernel_size')} or more {named('padding')}"
        error.within(behind=behind)
        raise


def chosen(of: str | Collection[str], known: Sequence[str]) -> tuple[str, ...]:
    """Which lists are wanted, in the order of the notes; an empty collection is none."""
    given = [of] if isinstance(of, str) else list(of) if isinstance(of, (tuple, list, set)) else []
    none = not given and isinstance(of, (tuple, list, set))
    if not none and (not given or any(each not in known for each in given)):
        raise refusal("of", f"be of {', '.join(known)}", of)
    return tuple(each for each in known if each in given)


def total(counts: Iterable[int]) -> int:
    """Whole numbers added up."""
    found = 0
    for count in counts:
        found += count
    return found


def check_amount(equations: int, terms: int, cells: int, size: Sequence[int]) -> None:
    """Refuse what nobody would read, before it is made."""
    less = f"a smaller {named('input_size')}, or fewer lists ({either('of=', '--of ')}"
    rules = (
        (equations, MOST_EQUATIONS, "equations", less + either('"y"', "y") + ")"),
        (terms, MOST_TERMS, "terms", less + either('"y"', "y") + ")"),
        (cells, MOST_CELLS, "elements of a matrix", f"a smaller {named('input_size')}"),
    )
    for count, most, what, instead in rules:
        if count > most:
            raise ArgumentError(
                f"at most {most:,} {what} are written; an input of {'x'.join(map(str, size))} "
                f"would give {count:,}: give {instead}",
                argument="input_size",
                value=tuple(size),
            )


# -- the sheet -------------------------------------------------------------------------------


def _sheet(
    arrays: Arrays, of: str | Collection[str], order: Order, show_padding: bool, in_ascii: bool
) -> Sheet:
    wanted = chosen(of, ("y", "w", "x"))
    order = "engine" if check_choice("order", order, _ORDERS) == "engine" else "notes"
    show_padding = check_flag("show_padding", show_padding)
    specs = {"y": arrays.y, "w": arrays.w, "x": arrays.x}
    # Each position of what the kernel does not go over meets the whole kernel once.
    met = (arrays.x if arrays.transposed else arrays.y).shape[:-1]
    check_amount(
        total(specs[array].size for array in wanted),
        prod(met) * arrays.w.size * len(wanted),
        max(spec.size for spec in specs.values()),
        arrays.x.shape[:-1],
    )
    names = conv_names(arrays)
    lists, others = [], []
    for array in wanted:
        equations, same = _equations(arrays, array, names, order, show_padding)
        lists.append(equations)
        others += [] if same else ["y" if array == "y" else f"∂L/∂{array}"]
    geometry = arrays.geometry
    x, w, y = arrays.x.shape, arrays.w.shape, arrays.y.shape
    around = geometry.padding if show_padding and not arrays.transposed else None
    matrices = (
        *planes(SOURCE, x, "X", around),
        *kernel_planes(w),
        *planes(GRAD, y, r"grad\_output"),
        *planes(RESULT, y, "Y"),
    )
    kind = "Transposed convolution" if arrays.transposed else "Convolution"
    said = settings_line(geometry)
    channels = f" and {x[-1]} channels" if x[-1] > 1 else ""
    title = (
        f"{kind}: input {sides(x[:-1])}{channels}, kernel {sides(geometry.kernel)}"
        f"{f', {y[-1]} filters' if y[-1] > 1 else ''}{f', {said}' if said else ''}"
    )
    formula = (
        transposed_formula(geometry, x[-1] // geometry.groups, y[-1])
        if arrays.transposed
        else conv_formula(geometry, w[-2], w[-1])
    )
    blocks: list[Block] = [
        Matrices(matrices),
        *size_lines(geometry, x[:-1], y[:-1], transposed=arrays.transposed),
        *formula,
        *_remarks(arrays, order, others if wanted else None, show_padding),
        *lists,
    ]
    return Sheet(title, names, tuple(blocks), arrays, check_flag("ascii", in_ascii))


def _equations(
    arrays: Arrays, array: str, names: Sequence[Names], order: Order, show_padding: bool
) -> tuple[Equations, bool]:
    """An array's list, and whether the engine's order is that of the notes."""
    sliding, key = arrays.sliding(array), notes_order(arrays, array)
    name = names[{"x": SOURCE, "w": KERNEL, "y": RESULT}[array]]
    places = kernel_places(arrays.w.shape) if array == "w" else name.places()
    found, same = [], True
    for place in places:
        engine = [_grad_first(pair) for pair in sliding.chain(place).pairs]
        engine = [pair for pair in engine if show_padding or not _padded(pair)]
        notes = sorted(engine, key=key)
        same = same and notes == engine
        chain = Chain(tuple(engine if order == "engine" else notes))
        found.append(Equation(array, place, name, array != "y", chain))
    return Equations(tuple(found)), same


def _remarks(
    arrays: Arrays, order: Order, others: Sequence[str] | None, show_padding: bool
) -> list[Block]:
    """What is to be known of the lists: what indices mean, what is left out, the order.

    Others are the lists in another order than the engine's; None where there is no list.
    """
    remarks = []
    x, w, y = arrays.x.shape, arrays.w.shape, arrays.y.shape
    if max(x[-1], y[-1]) > 1:
        axes = ("row", "column")[2 - arrays.geometry.rank :]
        last = ("filter", "channel") if arrays.transposed else ("channel", "filter")
        told = [
            f"{letter} {', '.join((*axes, *more))}"
            for letter, more in (
                ("x", ["channel"] * (x[-1] > 1)),
                ("w", [name for name, side in zip(last, w[-2:], strict=True) if side > 1]),
                ("y", ["filter"] * (y[-1] > 1)),
            )
        ]
        remarks.append(f"Indices: {'; '.join(told)}.")
    if others is None:
        return [Remark(text) for text in remarks]
    if any(any(pair) for pair in arrays.geometry.padding) and not show_padding:
        how = either("show_padding=True", "--show-padding")
        remarks.append(f"Products with padding, which is 0, are not written ({how} writes them).")
    if order == "engine":
        remarks.append("Terms stand in the order in which the engine adds them.")
    elif not others:
        remarks.append("The engine adds the terms in the order in which they stand.")
    else:
        how = either('order="engine"', "--order engine")
        which = " and ".join(others)
        remarks.append(f"The engine adds the terms of {which} in another order ({how} shows it).")
    return [Remark(text) for text in remarks]


def _padded(pair: tuple[Term, Term]) -> bool:
    return any(isinstance(factor, Padding) for factor in pair)


def _grad_first(pair: tuple[Term, Term]) -> tuple[Term, Term]:
    """A product as the notes write it, grad_output's element before the other."""
    a, b = pair
    second = isinstance(b, (Element, Padding)) and b.operand == GRAD
    return (b, a) if second else pair


def notes_order(arrays: Arrays, array: str) -> Callable[[tuple[Term, Term]], Index]:
    """What the notes sort a sum by: channel, then place, of the kernel or of what is spread."""
    forward = array == "y" and not arrays.transposed
    leading = KERNEL if forward else SOURCE if array == "y" else GRAD

    def key(pair: tuple[Term, Term]) -> Index:
        factor = next(f for f in pair if isinstance(f, (Element, Padding)) and f.operand == leading)
        index = factor.index[:-1] if forward else factor.index
        return (index[-1], *index[:-1])

    return key

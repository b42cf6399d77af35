"""Output sizes and formulas with the numbers of one setting filled in, as text and as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

from isoconv.cards import sides as times
from isoconv.explain.sheet_blocks import Block, Line, Remark
from isoconv.ops import ConvGeometry, WindowGeometry

_AXES = ("height", "width")
_OUT, _IN = ("i", "j"), ("m", "n")
Pair = tuple[int, int]


def settings_line(geometry: ConvGeometry | WindowGeometry) -> str:
    """The settings that are not the usual ones, in words: ``stride 2, padding 1``.

    Example:
        >>> settings_line(ConvGeometry((2, 2), (2, 2), ((1, 1), (1, 1)), (1, 1)))
        'stride 2, padding 1'
    """
    parts = []
    if set(geometry.stride) != {1}:
        parts.append(f"stride {_one_or_all(geometry.stride)}")
    if any(any(pair) for pair in geometry.padding):
        same = all(before == after for before, after in geometry.padding)
        each = tuple(b if same else f"{b}+{a}" for b, a in geometry.padding)
        parts.append(f"padding {_one_or_all(each)}")
    if set(geometry.dilation) != {1}:
        parts.append(f"dilation {_one_or_all(geometry.dilation)}")
    if isinstance(geometry, ConvGeometry):
        parts += [f"{geometry.groups} groups"] * (geometry.groups > 1)
        parts += ["kernel turned (flip)"] * geometry.flip
    elif geometry.ceil_mode:
        parts.append("ceil mode")
    return ", ".join(parts)


def _one_or_all(values: Sequence[object]) -> str:
    return str(values[0]) if len(set(values)) == 1 else times(values)  # type: ignore[arg-type]


def size_lines(
    geometry: ConvGeometry | WindowGeometry,
    inputs: Sequence[int],
    outputs: Sequence[int],
    *,
    transposed: bool = False,
) -> list[Block]:
    """The output size of each axis, its formula filled in; one line where all axes are alike.

    Args:
        geometry: how the window moves.
        inputs: sides of what goes in.
        outputs: sides of what comes out.
        transposed: whether the window goes over what comes out.
    """
    ceil = isinstance(geometry, WindowGeometry) and geometry.ceil_mode
    found = [
        _transposed_size(i, k, s, pair, d, o) if transposed else _size(i, k, s, pair, d, o, ceil)
        for i, k, s, pair, d, o in zip(
            inputs, geometry.kernel, geometry.stride, geometry.padding, geometry.dilation, outputs,
            strict=True,
        )
    ]  # fmt: skip
    if len(set(found)) == 1:
        return [Line(*found[0])]
    return [
        Line(f"{axis}: {text}", rf"\text{{{axis}: }} {latex}")
        for axis, (text, latex) in zip(_AXES, found, strict=False)
    ]


def _size(i: int, k: int, s: int, pair: Pair, d: int, o: int, ceil: bool) -> tuple[str, str]:
    before, after = pair
    # Letters and numbers of the same formula: padding alike on both sides or not, holes or none.
    if before == after:
        padding, filled = "2P", f"2·{before}"
    else:
        padding, filled = "P_before + P_after", f"{before} + {after}"
    if d == 1:
        extent, covered = "K", f"{k}"
    else:
        extent, covered = "(D·(K - 1) + 1)", f"({d}·({k} - 1) + 1)"
    above, numbers = f"I + {padding} - {extent}", f"{i} + {filled} - {covered}"
    word = "ceil" if ceil else "floor"
    text = f"O = {word}(({above}) / S) + 1 = {word}(({numbers}) / {s}) + 1 = {o}"
    left, right = (r"\left\lceil", r"\right\rceil") if ceil else (r"\left\lfloor", r"\right\rfloor")
    latex = " = ".join(
        rf"{left} \frac{{{_latex(top)}}}{{{below}}} {right} + 1"
        for top, below in ((above, "S"), (numbers, s))
    )
    if ceil and o != -(-(i + before + after - d * (k - 1) - 1) // s) + 1:
        left_out = "without the last window, which would start in the padding"
        return f"{text} ({left_out})", rf"O = {latex} - 1 = {o}"
    return text, f"O = {latex} = {o}"


def _transposed_size(i: int, k: int, s: int, pair: Pair, d: int, o: int) -> tuple[str, str]:
    before, after = pair
    padding, filled = ("2P", f"2·{before}") if before == after else (
        "P_before - P_after", f"{before} - {after}"
    )  # fmt: skip
    letters = f"S·(I - 1) + D·(K - 1) + 1 - {padding}"
    numbers = f"{s}·({i} - 1) + {d}·({k} - 1) + 1 - {filled}"
    text = f"O = {letters} = {numbers} = {o}"
    return text, _latex(text)


def _latex(text: str) -> str:
    words = {"P_before": r"P_{\text{before}}", "P_after": r"P_{\text{after}}", "·": r" \cdot "}
    for word, instead in words.items():
        text = text.replace(word, instead)
    return text


# -- what holds for all elements -------------------------------------------------------------


def conv_formula(geometry: ConvGeometry, channels: int, filters: int) -> list[Block]:
    """A convolution's formula.

    Args:
        geometry: how the kernel moves.
        channels: of the kernel.
        filters: of the kernel.
    """
    plain = all(s == 1 == d and not any(pair) for s, d, pair in _steps(geometry))
    as_notes = geometry.flip and plain
    places = []
    for axis, (stride, dilation, (before, _)) in enumerate(_steps(geometry)):
        reach = dilation * (geometry.kernel[axis] - 1)
        constant = (0 if as_notes else reach - before) if geometry.flip else -before
        places.append(_affine(_OUT[axis], stride, _IN[axis], dilation, geometry.flip, constant))
    blocks = _formula(geometry, channels, filters, places, "Y", "X")
    if as_notes:
        first = ", ".join(str(k - 1) for k in geometry.kernel)
        letters = " and ".join(_OUT[: geometry.rank])
        runs = "counts" if geometry.rank == 1 else "count"
        where = f"{letters} {runs} from the far corner of the window: y"
        blocks.append(Remark(f"{where}{'0' * geometry.rank} is Y({first})."))
    return blocks


def transposed_formula(geometry: ConvGeometry, channels: int, filters: int) -> list[Block]:
    """A transposed convolution's formula.

    Args:
        geometry: of the convolution that it turns around.
        channels: of the input, in the group of one output channel.
        filters: of the result.
    """
    places = []
    for axis, (stride, dilation, (before, _)) in enumerate(_steps(geometry)):
        reach = dilation * (geometry.kernel[axis] - 1)
        constant = before - (reach if geometry.flip else 0)
        sign = not geometry.flip
        inner = _affine(_OUT[axis], 1, _IN[axis], dilation, sign, constant)
        places.append(inner if stride == 1 else f"({inner})/{stride}")
    blocks = _formula(geometry, channels, filters, places, "Y", "X")
    told = "Only positions that the input has take part"
    whole = ", and only where the division leaves no rest" if max(geometry.stride) > 1 else ""
    return [*blocks, Remark(f"{told}{whole}.")]


def pool_formula(kind: str, window: WindowGeometry) -> Line:
    """A pooling's formula: of "max", "average" or "global"."""
    rank = len(window.kernel)
    out, inner = ", ".join(_OUT[:rank]), ",".join(_IN[:rank])
    if kind == "global":
        if rank == 1:
            return Line(
                "output_c = 1/L Σ_i X_c(i)", r"output\_c = \frac{1}{L} \sum_{i=1}^{L} X_c(i)"
            )
        return Line(
            "output_c = 1/(H·W) Σ_i Σ_j X_c(i, j)",
            r"output\_c = \frac{1}{H \times W} \sum_{i=1}^{H} \sum_{j=1}^{W} X_c(i, j)",
        )
    steps = zip(_OUT, _IN, window.stride, window.dilation, window.padding, strict=False)
    places = ", ".join(_affine(i, s, m, d, False, -before) for i, m, s, d, (before, _) in steps)
    if kind == "max":
        text, latex = f"max_{inner} X({places})", rf"\max_{{{inner}}} X({_latex(places)})"
    else:
        text = f"1/count Σ_{inner} X({places})"
        latex = rf"\frac{{1}}{{\text{{count}}}} \sum_{{{inner}}} X({_latex(places)})"
    return Line(f"Y({out}) = {text}", f"Y({out}) = {latex}")


def _steps(geometry: ConvGeometry) -> list[tuple[int, int, Pair]]:
    return list(zip(geometry.stride, geometry.dilation, geometry.padding, strict=True))


def _affine(out: str, stride: int, in_: str, dilation: int, minus: bool, constant: int) -> str:
    """``stride * out ± dilation * in + constant``.

    Example:
        >>> _affine("i", 2, "m", 1, False, -1), _affine("i", 1, "m", 1, True, 0)
        ('2·i + m - 1', 'i - m')
    """
    first = out if stride == 1 else f"{stride}·{out}"
    second = in_ if dilation == 1 else f"{dilation}·{in_}"
    rest = "" if not constant else f" {'-' if constant < 0 else '+'} {abs(constant)}"
    return f"{first} {'-' if minus else '+'} {second}{rest}"


def _formula(
    geometry: ConvGeometry, channels: int, filters: int, places: Sequence[str], y: str, x: str
) -> list[Block]:
    rank = geometry.rank
    out, kernel = ", ".join(_OUT[:rank]), ", ".join(_IN[:rank])
    letters = (*["c"] * (channels > 1), *_IN[:rank])
    of_x = "c" if channels > 1 else "g" if geometry.groups > 1 else ""
    of_k = ",".join((*["c"] * (channels > 1), *["o"] * (filters > 1)))
    of_y = "o" if filters > 1 else ""
    text = (
        f"{y}{_below(of_y)}({out}) = {' '.join(f'Σ_{letter}' for letter in letters)} "
        f"{x}{_below(of_x)}({', '.join(places)}) · K{_below(of_k)}({kernel})"
    )
    sums = " ".join(rf"\sum_{{{letter}}}" for letter in letters)
    latex = (
        f"{y}{_below_latex(of_y)}({out}) = {sums} "
        f"{x}{_below_latex(of_x)}({_latex(', '.join(places))}) \\cdot "
        f"K{_below_latex(of_k)}({kernel})"
    )
    blocks: list[Block] = [Line(text, latex)]
    if geometry.groups > 1:
        whose = (
            "c goes over the channels of o's group, which K counts from 0."
            if channels > 1
            else "g is the channel of o's group."
        )
        blocks.append(Remark(f"Here {whose}"))
    return blocks


def _below(letters: str) -> str:
    return f"_{letters}" if letters else ""


def _below_latex(letters: str) -> str:
    if len(letters) < 2:
        return _below(letters)
    return f"_{{{letters}}}"

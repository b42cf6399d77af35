"""Formulas with numbers in them: an operation's own sentence, its operands put in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np

from isoconv.explain.blocks import number
from isoconv.graph.operation import Operation

_SENTENCE = re.compile(r"(\w+) = (?P<right>[^,:=]+?)(, (per|as|in|to) .*)?\.")
"""One formula, and after a comma what else is to be said of it."""

_WORDS = re.compile(r"\b(where|with|is|else|of|count|size)\b")
"""What makes a sentence of a formula: numbers in it would not be read."""

_LEADING = re.compile(r"(^|\()\((-[^()\s]+)\)(?= )")
"""A negative number at the beginning of a sum, which needs no brackets of its own."""


def worked(
    entry: Operation, attrs: Any, names: Sequence[str], values: Sequence[Any], value: Any
) -> str | None:
    """``x[2] + y[2] = 0.5 + 1 = 1.5``: the formula, with names, with numbers, and its value.

    Args:
        entry: an operation that works element by element.
        attrs: its settings.
        names: what its operands are called.
        values: what they are.
        value: what comes out.

    Returns:
        None where the operation's sentence is no plain formula.

    Example:
        >>> import isoconv.ops
        >>> from isoconv.graph.operation import operation
        >>> worked(operation("mul"), None, ["g", "rate"], [np.float32(3), np.float32(0.5)], 1.5)
        'g * rate = 3 * 0.5 = 1.5'
    """
    found = _SENTENCE.fullmatch(entry.summary)
    if found is None or _WORDS.search(found["right"]):
        return None
    right = found["right"]
    operands = entry.operand_names(len(names))
    settings = _settings(attrs, value)
    if len(operands) != len(names):
        return None
    symbols = _put(right, {**settings, **dict(zip(operands, names, strict=True))})
    numbers = _put(right, {**settings, **dict(zip(operands, map(_bracketed, values), strict=True))})
    numbers = _LEADING.sub(r"\1\2", numbers)
    return " = ".join(dict.fromkeys((symbols, numbers, number(value))))


def _settings(attrs: Any, value: Any) -> dict[str, str]:
    """Numbers among an operation's settings, rounded to the result's dtype as it rounds them."""
    if not is_dataclass(attrs) or isinstance(attrs, type):
        return {}
    kind = np.asarray(value).dtype.type
    plain = {name: each for name, each in asdict(attrs).items() if isinstance(each, float)}
    return {name: number(kind(each)) for name, each in plain.items()}


def _put(formula: str, known: dict[str, str]) -> str:
    pattern = r"\b(" + "|".join(map(re.escape, known)) + r")\b" if known else r"(?!)"
    return re.sub(pattern, lambda found: known[found[0]], formula)


def _bracketed(value: Any) -> str:
    text = number(value)
    return f"({text})" if text.startswith("-") else text

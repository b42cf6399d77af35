"""What shape rules have in common: the checks they make and the messages they raise.

Each message names the operation, the rule, and all inputs as they were received.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from isoconv.errors import ArgumentError, DTypeError, IsoconvError, ShapeError
from isoconv.graph.ir import TensorSpec

Kind = TypeVar("Kind", bound=IsoconvError)
FLOATS = ("float32", "float64")


def in_operation(error: Kind, op: str, **specs: TensorSpec) -> Kind:
    """An error whose message is the rule alone, with the operation and what that was given.

    Args:
        error: a new one, or one that was raised by what the operation rests on.
        op: name of the operation.
        **specs: the inputs by their argument names.
    """
    received = ", ".join(f"{name} {spec}" for name, spec in specs.items())
    return error.within(op, f"; got {received}", operation=op, inputs=specs)


def _about_inputs(error: Kind, op: str, specs: dict[str, TensorSpec]) -> Kind:
    if len(specs) == 1:
        # There is one input alone that can be wrong.
        ((name, spec),) = specs.items()
        error.within(argument=name, value=spec)
    return in_operation(error, op, **specs)


def shape_error(op: str, rule: str, **specs: TensorSpec) -> ShapeError:
    """An error that states the operation, its rule and what it was given.

    Args:
        op: name of the operation.
        rule: what must hold.
        **specs: the inputs by their argument names.

    Example:
        >>> shape_error("softmax", "x must have at least one axis", x=TensorSpec(()))
        ShapeError('softmax: x must have at least one axis; got x float32(N)')
    """
    return _about_inputs(ShapeError(rule), op, specs)


def dtype_error(op: str, rule: str, **specs: TensorSpec) -> DTypeError:
    """As `shape_error`, for element types.

    Example:
        >>> dtype_error("relu", "x must be a float", x=TensorSpec((3,), "uint8"))
        DTypeError('relu: x must be a float; got x uint8(N, 3)')
    """
    return _about_inputs(DTypeError(rule), op, specs)


def require_float(op: str, **specs: TensorSpec) -> None:
    """All inputs are float32, or all are float64.

    Raises:
        DTypeError: an input is of another dtype, or two inputs differ.
    """
    names = " and ".join(specs)
    if any(spec.dtype not in FLOATS for spec in specs.values()):
        raise dtype_error(op, f"{names} must be float32 or float64", **specs)
    if len({spec.dtype for spec in specs.values()}) > 1:
        raise dtype_error(op, f"{names} must have one dtype", **specs)


def require_constants(op: str, attrs: Any, spec: TensorSpec) -> None:
    """The numbers among an operation's settings stay finite in the dtype of its values.

    Args:
        op: name of the operation.
        attrs: the record of its settings, or None.
        spec: of the values that they meet.

    Raises:
        ArgumentError: a finite number would become infinite.
    """
    for field in () if attrs is None else fields(attrs):
        numbers = _floats(getattr(attrs, field.name)) if spec.dtype == "float32" else ()
        value = max((x for x in numbers if math.isfinite(x)), key=abs, default=None)
        if value is not None:
            with np.errstate(over="ignore"):
                rounded = np.float32(value)
            if not np.isfinite(rounded):
                raise ArgumentError(
                    f"{op}: {field.name} must be a number of float32, at most "
                    f"{np.finfo(np.float32).max:g}; got {value!r}",
                    operation=op,
                    argument=field.name,
                    value=value,
                )


def _floats(value: object) -> Iterator[float]:
    """A float, or those in a list and in its lists."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _floats(each)


def require_dtype(op: str, dtype: str, **specs: TensorSpec) -> None:
    """All inputs are of this dtype.

    Raises:
        DTypeError: an input is of another dtype.
    """
    if any(spec.dtype != dtype for spec in specs.values()):
        raise dtype_error(op, f"{' and '.join(specs)} must be {dtype}", **specs)


def require_batched(op: str, **specs: TensorSpec) -> None:
    """All inputs have an image axis.

    Raises:
        ShapeError: an input has none.
    """
    if not all(spec.batched for spec in specs.values()):
        raise shape_error(op, f"{' and '.join(specs)} must have an image axis", **specs)


def require_unbatched(op: str, **specs: TensorSpec) -> None:
    """No input has an image axis.

    Raises:
        ShapeError: an input has one.
    """
    if any(spec.batched for spec in specs.values()):
        raise shape_error(op, f"{' and '.join(specs)} must have no image axis", **specs)

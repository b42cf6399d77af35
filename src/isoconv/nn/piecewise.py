"""Piecewise linear activations: those with bounds, a learned slope, or a threshold."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.checks import LARGEST_SINGLE, check_count, check_number, refusal
from isoconv.nn.activations import relu
from isoconv.nn.alike import like
from isoconv.nn.comparisons import less_equal, where
from isoconv.nn.elementwise import minimum
from isoconv.nn.module import Module
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import Bounds

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}


def clip(x: Tensor, minimum: float | None = None, maximum: float | None = None) -> Tensor:
    """``min(max(x, minimum), maximum)``; NaN stays NaN. The gradient is 0 at the bounds.

    Args:
        x: any shape.
        minimum: the least value, a finite number; None for no bound.
        maximum: the greatest value, likewise. Below the minimum it is the result everywhere.

    Raises:
        ArgumentError: a bound that is no number.

    Example:
        >>> from isoconv.nn import Trace
        >>> clip(Trace().images((4, 4, 2)), minimum=0.5).shape
        (4, 4, 2)
    """
    given = {"minimum": minimum, "maximum": maximum}
    bounds = {
        name: float(check_number(name, value)) for name, value in given.items() if value is not None
    }
    return apply("clip", x=x, attrs=Bounds(**bounds))


def relu6(x: Tensor) -> Tensor:
    """``min(max(x, 0), 6)``. Howard et al. 2017, "MobileNets".

    Example:
        >>> from isoconv.nn import Trace
        >>> relu6(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return clip(x, 0.0, 6.0)


def hardtanh(x: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``min(max(x, min_val), max_val)``. Collobert 2004, "Large scale machine learning".

    Args:
        x: any shape.
        min_val: the least value, a finite number.
        max_val: the greatest value, likewise.

    Raises:
        ArgumentError: a bound that is no number.

    Example:
        >>> from isoconv.nn import Trace
        >>> hardtanh(Trace().images((4, 4, 2)), -2.0, 2.0).shape
        (4, 4, 2)
    """
    return clip(x, check_number("min_val", min_val), check_number("max_val", max_val))


def hardsigmoid(x: Tensor, alpha: float = 1 / 6, beta: float = 0.5) -> Tensor:
    """``min(max(alpha · x + beta, 0), 1)``. Courbariaux et al. 2015, "BinaryConnect".

    Args:
        x: any shape.
        alpha: the slope between the bounds: 1/6 is PyTorch's, 0.2 ONNX's.
        beta: the value at 0.

    Raises:
        ArgumentError: an alpha or a beta that is no finite number.

    Example:
        >>> from isoconv.nn import Trace
        >>> hardsigmoid(Trace().images((4, 4, 2)), alpha=0.2).shape
        (4, 4, 2)
    """
    check_tensors("hardsigmoid", x=x)
    alpha, beta = check_number("alpha", alpha), check_number("beta", beta)
    return clip(x * alpha + float(beta), 0.0, 1.0)


@like(relu6)
def hardswish(x: Tensor) -> Tensor:
    """``x · min(max(x / 6 + 1/2, 0), 1)``. Howard et al. 2019, "Searching for MobileNetV3"."""
    return apply("hardswish", x=x)


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    """``max(x, 0) + weight · min(x, 0)``. He et al. 2015, "Delving deep into rectifiers".

    Args:
        x: any shape.
        weight: the slope below zero; its shape broadcasts with that of x.

    Raises:
        ShapeError: shapes that do not broadcast.

    Example:
        >>> from isoconv.nn import Trace
        >>> x = Trace().images((4, 4, 2))
        >>> prelu(x, x.trace.input("parameter", "weight", (2,))).shape
        (4, 4, 2)
    """
    check_tensors("prelu", x=x, weight=weight)
    return relu(x) + weight * minimum(x, 0.0)


def threshold(x: Tensor, threshold: float, value: float) -> Tensor:
    """``value`` where x ≤ threshold, else x; NaN stays NaN.

    Args:
        x: any shape.
        threshold: up to which x is replaced, a finite number.
        value: what it is replaced by, likewise.

    Raises:
        ArgumentError: a threshold or a value that is no number.

    Example:
        >>> from isoconv.nn import Trace
        >>> threshold(Trace().images((4, 4, 2)), 0.5, 0.0).shape
        (4, 4, 2)
    """
    check_tensors("threshold", x=x)
    bound, value = check_number("threshold", threshold), check_number("value", value)
    return where(less_equal(x, bound), value, x)


@dataclass(eq=False, repr=False)
class Clip(Module):
    """`clip` as a layer: ``min(max(x, minimum), maximum)``.

    Args:
        minimum: the least value, a finite number; None for no bound.
        maximum: the greatest value, likewise. Below the minimum it is the result everywhere.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(...)``, the same.

    Source:
        No formula: values are compared, none is computed.

    Raises:
        ArgumentError: when traced: a bound that is no number.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.Clip(-0.5, 1.5).build((3,))
        >>> layer.predict(np.array([[-1, 0, 2]], np.float32), finish="none")
        array([[-0.5,  0. ,  1.5]], dtype=float32)
    """

    minimum: float | None = None
    maximum: float | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return clip(x, self.minimum, self.maximum)


class ReLU6(Module):
    """`relu6` as a layer: ``min(max(x, 0), 6)``.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(...)``, the same.

    Source:
        Howard et al. 2017, "MobileNets: efficient convolutional neural networks for mobile vision
        applications".

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.ReLU6().build((3,))
        >>> layer.predict(np.array([[-1, 2, 8]], np.float32), finish="none")
        array([[0., 2., 6.]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return relu6(x)


@like(Clip)
@dataclass(eq=False, repr=False)
class Hardtanh(Module):
    """`hardtanh` as a layer: ``min(max(x, min_val), max_val)``.

    Args:
        min_val: the least value, a finite number.
        max_val: the greatest value, likewise.

    Source:
        Collobert 2004, "Large scale machine learning".

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.Hardtanh().build((3,))
        >>> layer.predict(np.array([[-2, 0.5, 2]], np.float32), finish="none")
        array([[-1. ,  0.5,  1. ]], dtype=float32)
    """

    min_val: float = -1.0
    max_val: float = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return hardtanh(x, self.min_val, self.max_val)


@like(Clip)
@dataclass(eq=False, repr=False)
class Hardsigmoid(Module):
    """`hardsigmoid` as a layer: ``min(max(alpha · x + beta, 0), 1)``.

    Args:
        alpha: the slope between the bounds: 1/6 is PyTorch's, 0.2 ONNX's.
        beta: the value at 0.

    Source:
        Courbariaux et al. 2015, "BinaryConnect: training deep neural networks with binary weights".

    Raises:
        ArgumentError: when traced: an alpha or a beta that is no finite number.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.Hardsigmoid(alpha=0.25).build((3,))
        >>> layer.predict(np.array([[-1, 0, 8]], np.float32), finish="none")
        array([[0.25, 0.5 , 1.  ]], dtype=float32)
    """

    alpha: float = 1 / 6
    beta: float = 0.5

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return hardsigmoid(x, self.alpha, self.beta)


@like(ReLU6)
class Hardswish(Module):
    """`hardswish` as a layer: ``x · min(max(x / 6 + 1/2, 0), 1)``.

    Source:
        Howard et al. 2019, "Searching for MobileNetV3".

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.Hardswish().build((4,))
        >>> layer.predict(np.array([[-4, -1.5, 1.5, 4]], np.float32), finish="none")
        array([[-0.   , -0.375,  1.125,  4.   ]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return hardswish(x)


@dataclass(eq=False, repr=False)
class PReLU(Module):
    """`prelu` as a layer: ``max(x, 0) + weight · min(x, 0)`` with a learned weight.

    Args:
        num_parameters: 1 for one slope, or the number of channels for one of each.
        init: the slopes at the start.

    Input shape:
        ``(..., C)``, float32.

    Output shape:
        ``(..., C)``, the same.

    Source:
        He et al. 2015, "Delving deep into rectifiers: surpassing human-level performance on
        ImageNet classification".

    Raises:
        ArgumentError: when traced: another number of parameters, or an init that is no number.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.PReLU().build((3,))
        >>> layer.predict(np.array([[-1, 0, 2]], np.float32), finish="none")
        array([[-0.25,  0.  ,  2.  ]], dtype=float32)
    """

    num_parameters: int = 1
    init: float = 0.25

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to the same shape."""
        check_tensors("PReLU", x=x)
        count = check_count("num_parameters", self.num_parameters)
        if count != 1 and x.shape[-1:] != (count,):
            rule = f"be 1 or the number of channels in {x.shape}"
            raise refusal("num_parameters", rule, count)
        start = check_number("init", self.init, least=-LARGEST_SINGLE, most=LARGEST_SINGLE)
        weight = x.trace.parameter(self, "weight", (count,), float(start))
        return prelu(x, weight if x.shape else weight.reshape())


@like(Clip)
@dataclass(eq=False, repr=False)
class Threshold(Module):
    """`threshold` as a layer: ``value`` where x ≤ threshold, else x.

    Args:
        threshold: up to which x is replaced, a finite number.
        value: what it is replaced by, likewise.

    Source:
        No formula: values are compared, none is computed.

    Raises:
        ArgumentError: when traced: a threshold or a value that is no number.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.Threshold(0.5, -1.0).build((3,))
        >>> layer.predict(np.array([[-1, 0.5, 2]], np.float32), finish="none")
        array([[-1., -1.,  2.]], dtype=float32)
    """

    threshold: float
    value: float

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return threshold(x, self.threshold, self.value)

"""Activations: functions of each element, and softmax over the channels."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.checks import LARGEST_SINGLE, check_choice, check_number
from isoconv.errors import ShapeError
from isoconv.nn.alike import like
from isoconv.nn.module import Module
from isoconv.nn.settings import added
from isoconv.nn.shaping import slice_channels
from isoconv.nn.tensor import Tensor, apply, check_tensors
from isoconv.ops import LeakyRelu

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}


def relu(x: Tensor) -> Tensor:
    """``max(x, 0)``; NaN stays NaN.

    Example:
        >>> from isoconv.nn import Trace
        >>> relu(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("relu", x=x)


def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    """``x`` where x > 0, else ``slope · x``. Maas et al. 2013, "Rectifier nonlinearities".

    Args:
        x: any shape.
        slope: factor below zero, a finite number.

    Raises:
        ArgumentError: a slope that is none.

    Example:
        >>> from isoconv.nn import Trace
        >>> leaky_relu(Trace().images((4, 4, 2)), 0.1).shape
        (4, 4, 2)
    """
    return apply("leaky_relu", x=x, attrs=LeakyRelu(float(check_number("slope", slope))))


@like(relu)
def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))``."""
    return apply("sigmoid", x=x)


@like(relu)
def tanh(x: Tensor) -> Tensor:
    """``(exp(x) - exp(-x)) / (exp(x) + exp(-x))``."""
    return apply("tanh", x=x)


@like(relu)
def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    """``x/2 · (1 + erf(x / √2))``. Hendrycks and Gimpel 2016, "Gaussian error linear units".

    Args:
        x: any shape.
        approximate: ``"tanh"`` for ``x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))``, ``"none"`` for
            the function itself.

    Raises:
        ArgumentError: an approximation that there is not.
    """
    check_choice("approximate", approximate, ("none", "tanh"))
    return apply("gelu_tanh" if approximate == "tanh" else "gelu", x=x)


@like(relu)
def silu(x: Tensor) -> Tensor:
    """``x · sigmoid(x)``. Elfwing et al. 2017, "Sigmoid-weighted linear units"."""
    return apply("silu", x=x)


def glu(x: Tensor) -> Tensor:
    """``a · sigmoid(b)`` of the first and the second half of the channels. Dauphin et al. 2016.

    Args:
        x: ``(..., C)`` with an even C.

    Returns:
        ``(..., C / 2)``.

    Raises:
        ShapeError: an odd number of channels, or none.

    Example:
        >>> from isoconv.nn import Trace
        >>> glu(Trace().images((4, 4, 6))).shape
        (4, 4, 3)
    """
    check_tensors("glu", x=x)
    if not x.shape or x.shape[-1] % 2:
        text = f"glu takes an even number of channels; got shape {x.shape}"
        raise ShapeError(text, argument="x", value=x)
    half = x.shape[-1] // 2
    return slice_channels(x, 0, half) * sigmoid(slice_channels(x, half, 2 * half))


def softmax(x: Tensor) -> Tensor:
    """``exp(x_k) / Σ_j exp(x_j)`` over the last axis; the largest is subtracted first.

    Args:
        x: ``(..., K)``.

    Returns:
        The same shape; each row adds up to 1 but for rounding.

    Example:
        >>> from isoconv.nn import Trace
        >>> softmax(Trace().images((10,))).shape
        (10,)
    """
    return apply("softmax", x=x)


@like(softmax)
def log_softmax(x: Tensor) -> Tensor:
    """``x_k - log Σ_j exp(x_j)`` over the last axis; the largest is subtracted first.

    Returns:
        The same shape.
    """
    return apply("log_softmax", x=x)


class ReLU(Module):
    """`relu` as a layer: ``max(x, 0)``.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(...)``, the same.

    Source:
        Nair and Hinton 2010, "Rectified linear units improve restricted Boltzmann machines".

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.ReLU().build((3,))
        >>> layer.predict(np.array([[-1, 0, 2]], np.float32), finish="none")
        array([[0., 0., 2.]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return relu(x)


@like(ReLU)
@dataclass(eq=False, repr=False)
class LeakyReLU(Module):
    """`leaky_relu` as a layer: ``x`` where x > 0, else ``slope · x``.

    Args:
        slope: factor below zero, a finite number of float32.

    Source:
        Maas et al. 2013, "Rectifier nonlinearities improve neural network acoustic models".

    Raises:
        ArgumentError: a slope that is none.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.LeakyReLU(slope=0.25).build((3,))
        >>> layer.predict(np.array([[-1, 0, 2]], np.float32), finish="none")
        array([[-0.25,  0.  ,  2.  ]], dtype=float32)
    """

    slope: float = 0.01

    def __post_init__(self) -> None:
        check_number("slope", self.slope, least=-LARGEST_SINGLE, most=LARGEST_SINGLE)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return leaky_relu(x, self.slope)


@like(ReLU)
class Sigmoid(Module):
    """`sigmoid` as a layer: ``1 / (1 + exp(-x))``.

    Source:
        Rumelhart et al. 1986, "Learning representations by back-propagating errors".

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.Sigmoid().build((3,))
        >>> layer.predict(np.array([[-2, 0, 2]], np.float32), finish="none")
        array([[0.11920292, 0.5       , 0.8807971 ]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return sigmoid(x)


@like(ReLU)
class Tanh(Module):
    """`tanh` as a layer: ``(exp(x) - exp(-x)) / (exp(x) + exp(-x))``.

    Source:
        LeCun et al. 1998, "Efficient BackProp", without its scaling.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.Tanh().build((3,))
        >>> layer.predict(np.array([[-1, 0, 1]], np.float32), finish="none")
        array([[-0.7615942,  0.       ,  0.7615942]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return tanh(x)


@like(ReLU)
@dataclass(eq=False, repr=False)
class GELU(Module):
    """`gelu` as a layer: ``x/2 · (1 + erf(x / √2))``.

    Args:
        approximate: ``"tanh"`` for ``x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))``, ``"none"`` for
            the function itself.

    Source:
        Hendrycks and Gimpel 2016, "Gaussian error linear units (GELUs)".

    Raises:
        ArgumentError: when traced: an approximation that there is not.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.GELU().build((3,))
        >>> layer.predict(np.array([[-1, 0, 1]], np.float32), finish="none")
        array([[-0.15865526,  0.        ,  0.8413448 ]], dtype=float32)
    """

    approximate: str = added("none")

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return gelu(x, self.approximate)


@like(ReLU)
class SiLU(Module):
    """`silu` as a layer: ``x · sigmoid(x)``.

    Source:
        Elfwing et al. 2017, "Sigmoid-weighted linear units for neural network function
        approximation in reinforcement learning".

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.SiLU().build((3,))
        >>> layer.predict(np.array([[-1, 0, 1]], np.float32), finish="none")
        array([[-0.26894143,  0.        ,  0.7310586 ]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return silu(x)


class Softmax(Module):
    """`softmax` over the last axis as a layer: ``exp(x_k) / Σ_j exp(x_j)``.

    A network that is trained with cross-entropy ends in logits, not in this layer.

    Input shape:
        ``(..., K)``, float32: K classes.

    Output shape:
        ``(..., K)``; each row adds up to 1 but for rounding.

    Source:
        Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs".

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.Softmax().build((3,))
        >>> layer.predict(np.array([[0, 0, 1]], np.float32), finish="none")
        array([[0.21194156, 0.21194156, 0.57611686]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(..., K)``."""
        return softmax(x)


class LogSoftmax(Module):
    """`log_softmax` over the last axis as a layer: ``x_k - log Σ_j exp(x_j)``.

    Input shape:
        ``(..., K)``, float32: K classes.

    Output shape:
        ``(..., K)``, the same.

    Source:
        Bridle 1990, "Probabilistic interpretation of feedforward classification network outputs".

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.LogSoftmax().build((3,))
        >>> layer.predict(np.array([[0, 0, 1]], np.float32), finish="none")
        array([[-1.5514448, -1.5514448, -0.5514447]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(..., K)``."""
        return log_softmax(x)


class GLU(Module):
    """`glu` as a layer: ``a · sigmoid(b)`` of the first and the second half of the channels.

    Input shape:
        ``(..., C)``, float32, C even.

    Output shape:
        ``(..., C/2)``.

    Source:
        Dauphin et al. 2016, "Language modeling with gated convolutional networks".

    Raises:
        ShapeError: when traced: an odd number of channels.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.GLU().build((4,))
        >>> layer.predict(np.array([[1, 2, 0, 0]], np.float32), finish="none")
        array([[0.5, 1. ]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """``(..., C)`` to ``(..., C / 2)``."""
        return glu(x)

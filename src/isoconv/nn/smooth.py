"""Smooth activations besides those of ``activations.py``, most of them made of exponentials."""

from __future__ import annotations

from dataclasses import dataclass

from isoconv.checks import check_number
from isoconv.nn.alike import like
from isoconv.nn.module import Module
from isoconv.nn.tensor import Tensor, apply
from isoconv.ops import Elu
from isoconv.ops import Softplus as SoftplusAttrs

__public__ = {"isoconv.nn": ["[A-Z]*"], "isoconv.nn.functional": ["[a-z]*"]}

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """``x`` where x > 0, else ``alpha · (exp(x) - 1)``. Clevert et al. 2015, "ELUs".

    Args:
        x: any shape.
        alpha: minus what the result tends to far below zero, a finite number.

    Raises:
        ArgumentError: an alpha that is none.

    Example:
        >>> from isoconv.nn import Trace
        >>> elu(Trace().images((4, 4, 2)), 0.5).shape
        (4, 4, 2)
    """
    alpha = float(check_number("alpha", alpha))
    return apply("elu", x=x, attrs=Elu(1.0, alpha, 1.0))


def selu(x: Tensor) -> Tensor:
    """``λ x`` where x > 0, else ``λ α (exp(x) - 1)``. Klambauer et al. 2017.

    Example:
        >>> from isoconv.nn import Trace
        >>> selu(Trace().images((4, 4, 2))).shape
        (4, 4, 2)
    """
    return apply("elu", x=x, attrs=Elu(_SELU_SCALE, _SELU_SCALE * _SELU_ALPHA, 1.0))


@like(elu)
def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """``x`` where x > 0, else ``alpha · (exp(x / alpha) - 1)``. Barron 2017, "CELUs".

    Args:
        x: any shape.
        alpha: minus what the result tends to far below zero, a finite number above 0.
    """
    alpha = float(check_number("alpha", alpha, above=0))
    return apply("elu", x=x, attrs=Elu(1.0, alpha, 1.0 / alpha))


@like(selu)
def mish(x: Tensor) -> Tensor:
    """``x · tanh(log(1 + exp(x)))``. Misra 2019, "Mish"."""
    return apply("mish", x=x)


def softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta · x)) / beta``. Dugas et al. 2000.

    Args:
        x: any shape.
        beta: how sharply it bends, a finite number above 0.
        threshold: where ``beta · x`` is above it, the result is x itself.

    Raises:
        ArgumentError: a beta or a threshold that is none.

    Example:
        >>> from isoconv.nn import Trace
        >>> softplus(Trace().images((4, 4, 2)), beta=2.0).shape
        (4, 4, 2)
    """
    sharp = float(check_number("beta", beta, above=0))
    line = float(check_number("threshold", threshold))
    return apply("softplus", x=x, attrs=SoftplusAttrs(sharp, line))


@like(selu)
def softsign(x: Tensor) -> Tensor:
    """``x / (1 + |x|)``. Bergstra et al. 2009."""
    return apply("softsign", x=x)


@dataclass(eq=False, repr=False)
class ELU(Module):
    """`elu` as a layer: ``x`` where x > 0, else ``alpha · (exp(x) - 1)``.

    Args:
        alpha: minus what the result tends to far below zero, a finite number.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(...)``, the same.

    Source:
        Clevert et al. 2015, "Fast and accurate deep network learning by exponential linear units".

    Raises:
        ArgumentError: when traced: an alpha that is none.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.ELU(alpha=0.5).build((3,))
        >>> layer.predict(np.array([[-1, 0, 2]], np.float32), finish="none")
        array([[-0.31606027,  0.        ,  2.        ]], dtype=float32)
    """

    alpha: float = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return elu(x, self.alpha)


class SELU(Module):
    """`selu` as a layer: ``λ x`` where x > 0, else ``λ α (exp(x) - 1)``.

    Input shape:
        ``(...)``, any shape, float32.

    Output shape:
        ``(...)``, the same.

    Source:
        Klambauer et al. 2017, "Self-normalizing neural networks".

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.SELU().build((3,))
        >>> layer.predict(np.array([[-1, 0, 2]], np.float32), finish="none")
        array([[-1.1113307,  0.       ,  2.101402 ]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return selu(x)


@like(ELU)
@dataclass(eq=False, repr=False)
class CELU(Module):
    """`celu` as a layer: ``x`` where x > 0, else ``alpha · (exp(x / alpha) - 1)``.

    Args:
        alpha: minus what the result tends to far below zero, a finite number above 0.

    Source:
        Barron 2017, "Continuously differentiable exponential linear units".

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.CELU(alpha=0.5).build((3,))
        >>> layer.predict(np.array([[-1, 0, 2]], np.float32), finish="none")
        array([[-0.43233237,  0.        ,  2.        ]], dtype=float32)
    """

    alpha: float = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return celu(x, self.alpha)


@like(SELU)
class Mish(Module):
    """`mish` as a layer: ``x · tanh(log(1 + exp(x)))``.

    Source:
        Misra 2019, "Mish: a self regularized non-monotonic activation function".

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.Mish().build((3,))
        >>> layer.predict(np.array([[-1, 0, 1]], np.float32), finish="none")
        array([[-0.30340147,  0.        ,  0.8650984 ]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return mish(x)


@like(ELU)
@dataclass(eq=False, repr=False)
class Softplus(Module):
    """`softplus` as a layer: ``log(1 + exp(beta · x)) / beta``.

    Args:
        beta: how sharply it bends, a finite number above 0.
        threshold: where ``beta · x`` is above it, the result is x itself.

    Source:
        Dugas et al. 2000, "Incorporating second-order functional knowledge for better option
        pricing".

    Raises:
        ArgumentError: when traced: a beta or a threshold that is none.

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.Softplus(beta=2.0).build((3,))
        >>> layer.predict(np.array([[-1, 0, 1]], np.float32), finish="none")
        array([[0.06346401, 0.3465736 , 1.063464  ]], dtype=float32)
    """

    beta: float = 1.0
    threshold: float = 20.0

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return softplus(x, self.beta, self.threshold)


@like(SELU)
class Softsign(Module):
    """`softsign` as a layer: ``x / (1 + |x|)``.

    Source:
        Bergstra et al. 2009, "Quadratic polynomials learn better image features".

    Example:
        >>> import numpy as np
        >>> from isoconv import nn
        >>> layer = nn.Softsign().build((3,))
        >>> layer.predict(np.array([[-1, 0, 3]], np.float32), finish="none")
        array([[-0.5 ,  0.  ,  0.75]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return softsign(x)

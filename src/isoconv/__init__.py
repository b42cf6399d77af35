"""Convolutional networks for images, trained to the same bits on every machine.

Example:
    >>> import isoconv as ic
    >>> ic.output_size(28, kernel=5, padding=2)
    28
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isoconv import data, errors, nn, optim, schedule, symbols
    from isoconv.explain.inspect import inspect
    from isoconv.explain.numbers import explain
    from isoconv.explain.saliency import grad_cam, input_gradient, occlusion
    from isoconv.explain.widget import explore
    from isoconv.nn.arrays import (
        avg_pool1d,
        avg_pool2d,
        avg_pool3d,
        batch_norm,
        bce_with_logits,
        conv1d,
        conv2d,
        conv3d,
        cross_entropy,
        gelu,
        global_avg_pool,
        global_max_pool,
        gradients,
        leaky_relu,
        linear,
        log_softmax,
        max_pool1d,
        max_pool2d,
        max_pool3d,
        mse,
        power,
        relu,
        sigmoid,
        silu,
        softmax,
        tanh,
    )
    from isoconv.ops.geometry import output_size, same_padding
    from isoconv.train import EarlyStopping, Trainer, evaluate, load

__all__ = [
    "EarlyStopping",
    "Trainer",
    "__version__",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bce_with_logits",
    "conv1d",
    "conv2d",
    "conv3d",
    "cross_entropy",
    "data",
    "errors",
    "evaluate",
    "explain",
    "explore",
    "gelu",
    "global_avg_pool",
    "global_max_pool",
    "grad_cam",
    "gradients",
    "input_gradient",
    "inspect",
    "leaky_relu",
    "linear",
    "load",
    "log_softmax",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mse",
    "nn",
    "occlusion",
    "optim",
    "output_size",
    "power",
    "relu",
    "same_padding",
    "schedule",
    "sigmoid",
    "silu",
    "softmax",
    "symbols",
    "tanh",
]

__version__ = "0.1.0"

_MODULES = ("data", "errors", "explain", "nn", "optim", "schedule", "symbols")
# `explain` is a function and the package that it is in.
_PLACES = {
    "EarlyStopping": "isoconv.train",
    "Trainer": "isoconv.train",
    "evaluate": "isoconv.train",
    "explore": "isoconv.explain.widget",
    "grad_cam": "isoconv.explain.saliency",
    "input_gradient": "isoconv.explain.saliency",
    "inspect": "isoconv.explain.inspect",
    "load": "isoconv.train",
    "occlusion": "isoconv.explain.saliency",
    "output_size": "isoconv.ops.geometry",
    "same_padding": "isoconv.ops.geometry",
}


if not TYPE_CHECKING:
    # To a type checker this would say that any name is there.
    def __getattr__(name: str) -> Any:
        """Load a public name when it is first used, which keeps ``import isoconv`` quick."""
        if name in _MODULES:
            return importlib.import_module(f"isoconv.{name}")
        if name not in __all__:
            raise AttributeError(f"module 'isoconv' has no attribute {name!r}")
        return getattr(importlib.import_module(_PLACES.get(name, "isoconv.nn.arrays")), name)


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)

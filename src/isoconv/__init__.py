"""Convolutional networks for images, trained to the same bits on every machine.

Example:
    >>> import isoconv as ic
    >>> ic.output_size(28, kernel=5, padding=2)
    28
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isoconv.onward import late_names

# begin of names that `python -m scripts.public_names` writes
if TYPE_CHECKING:
    from isoconv import data, errors, exchange, nn, optim, schedule, symbols, train
    from isoconv.cluster.settings import Cluster
    from isoconv.explain.inspect import inspect
    from isoconv.explain.numbers import explain
    from isoconv.explain.saliency import grad_cam, input_gradient, occlusion
    from isoconv.explain.widget import explore
    from isoconv.nn.array_elements import (
        gelu,
        leaky_relu,
        log_softmax,
        power,
        relu,
        sigmoid,
        silu,
        softmax,
        tanh,
    )
    from isoconv.nn.array_losses import bce_with_logits, cross_entropy, mse
    from isoconv.nn.array_pooling import (
        avg_pool1d,
        avg_pool2d,
        avg_pool3d,
        global_avg_pool,
        global_max_pool,
        max_pool1d,
        max_pool2d,
        max_pool3d,
    )
    from isoconv.nn.array_resizing import resize, upsample
    from isoconv.nn.array_transposed import conv_transpose1d, conv_transpose2d, conv_transpose3d
    from isoconv.nn.array_weights import (
        batch_norm,
        conv1d,
        conv2d,
        conv3d,
        layer_norm,
        linear,
        matmul,
    )
    from isoconv.nn.arrays import gradients
    from isoconv.ops.geometry import output_size, same_padding
    from isoconv.train.callbacks import EarlyStopping
    from isoconv.train.cross_validation import cross_validate
    from isoconv.train.grid import grid_search
    from isoconv.train.loading import load
    from isoconv.train.metrics import evaluate
    from isoconv.train.trainer import Trainer

__all__ = [
    "Cluster", "EarlyStopping", "Trainer", "__version__", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "batch_norm", "bce_with_logits", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "cross_entropy", "cross_validate", "data", "errors",
    "evaluate", "exchange", "explain", "explore", "gelu", "global_avg_pool", "global_max_pool",
    "grad_cam", "gradients", "grid_search", "input_gradient", "inspect", "layer_norm", "leaky_relu",
    "linear", "load", "log_softmax", "matmul", "max_pool1d", "max_pool2d", "max_pool3d", "mse",
    "nn", "occlusion", "optim", "output_size", "power", "relu", "resize", "same_padding",
    "schedule", "sigmoid", "silu", "softmax", "symbols", "tanh", "train", "upsample",
]  # fmt: skip

_PLACES: dict[str, tuple[str, ...]] = {
    "isoconv.cluster.settings": ("Cluster",),
    "isoconv.data": ("data",),
    "isoconv.errors": ("errors",),
    "isoconv.exchange": ("exchange",),
    "isoconv.explain.inspect": ("inspect",),
    "isoconv.explain.numbers": ("explain",),
    "isoconv.explain.saliency": ("grad_cam", "input_gradient", "occlusion"),
    "isoconv.explain.widget": ("explore",),
    "isoconv.nn": ("nn",),
    "isoconv.nn.array_elements": (
        "gelu", "leaky_relu", "log_softmax", "power", "relu", "sigmoid", "silu", "softmax", "tanh",
    ),
    "isoconv.nn.array_losses": ("bce_with_logits", "cross_entropy", "mse"),
    "isoconv.nn.array_pooling": (
        "avg_pool1d", "avg_pool2d", "avg_pool3d", "global_avg_pool", "global_max_pool",
        "max_pool1d", "max_pool2d", "max_pool3d",
    ),
    "isoconv.nn.array_resizing": ("resize", "upsample"),
    "isoconv.nn.array_transposed": ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    "isoconv.nn.array_weights": (
        "batch_norm", "conv1d", "conv2d", "conv3d", "layer_norm", "linear", "matmul",
    ),
    "isoconv.nn.arrays": ("gradients",),
    "isoconv.ops.geometry": ("output_size", "same_padding"),
    "isoconv.optim": ("optim",),
    "isoconv.schedule": ("schedule",),
    "isoconv.symbols": ("symbols",),
    "isoconv.train": ("train",),
    "isoconv.train.callbacks": ("EarlyStopping",),
    "isoconv.train.cross_validation": ("cross_validate",),
    "isoconv.train.grid": ("grid_search",),
    "isoconv.train.loading": ("load",),
    "isoconv.train.metrics": ("evaluate",),
    "isoconv.train.trainer": ("Trainer",),
}  # fmt: skip
# end of names

__public__ = {"isoconv": ["__version__"]}

__version__ = "0.1.0"


if not TYPE_CHECKING:
    # To a type checker this would say that any name is there.
    __getattr__, __dir__ = late_names(__name__, _PLACES)

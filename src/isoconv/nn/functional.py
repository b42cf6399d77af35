"""All functions on tensors in one place; each stands beside its layer."""

from __future__ import annotations

# begin of names that `python -m scripts.public_names` writes
from isoconv.nn.activations import (
    gelu,
    glu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    tanh,
)
from isoconv.nn.adaptive_pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from isoconv.nn.comparisons import (
    equal,
    greater,
    greater_equal,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
    where,
)
from isoconv.nn.convolution import conv1d, conv2d, conv3d
from isoconv.nn.elementwise import (
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atanh,
    ceil,
    cos,
    cosh,
    divide,
    erf,
    exp,
    expm1,
    floor,
    log,
    log1p,
    maximum,
    minimum,
    multiply,
    neg,
    power,
    reciprocal,
    round,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
)
from isoconv.nn.fractional_pooling import (
    fractional_max_pool2d,
    fractional_max_pool2d_with_indices,
    fractional_max_pool3d,
    fractional_max_pool3d_with_indices,
)
from isoconv.nn.global_pooling import global_avg_pool, global_max_pool
from isoconv.nn.group_normalization import group_norm, instance_norm, local_response_norm, rms_norm
from isoconv.nn.linear import linear
from isoconv.nn.losses import bce_with_logits, cross_entropy, dice, focal, l1, mse, smooth_l1
from isoconv.nn.lp_pooling import lp_pool1d, lp_pool2d, lp_pool3d
from isoconv.nn.matrices import matmul
from isoconv.nn.moving import flip, squeeze, take, transpose, unsqueeze
from isoconv.nn.normalization import batch_norm, layer_norm, moments
from isoconv.nn.padding import pad
from isoconv.nn.parts import slice_axes, split
from isoconv.nn.piecewise import clip, hardsigmoid, hardswish, hardtanh, prelu, relu6, threshold
from isoconv.nn.pooling import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from isoconv.nn.ranking import argmax, argmin, one_hot, top_k
from isoconv.nn.reduction import reduce
from isoconv.nn.regularization import dropout, dropout1d, dropout2d, dropout3d, stochastic_depth
from isoconv.nn.resizing import resize, upsample
from isoconv.nn.shaping import concatenate, flatten, slice_channels, zero_pad
from isoconv.nn.shuffling import channel_shuffle, pixel_shuffle, pixel_unshuffle
from isoconv.nn.smooth import celu, elu, mish, selu, softplus, softsign
from isoconv.nn.transposed import conv_transpose1d, conv_transpose2d, conv_transpose3d
from isoconv.nn.unpooling import (
    max_pool1d_with_indices,
    max_pool2d_with_indices,
    max_pool3d_with_indices,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)

__all__ = [
    "abs", "acos", "acosh", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "add", "argmax", "argmin",
    "asin", "asinh", "atan", "atanh", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm",
    "bce_with_logits", "ceil", "celu", "channel_shuffle", "clip", "concatenate", "conv1d", "conv2d",
    "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cos", "cosh",
    "cross_entropy", "dice", "divide", "dropout", "dropout1d", "dropout2d", "dropout3d", "elu",
    "equal", "erf", "exp", "expm1", "flatten", "flip", "floor", "focal", "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices", "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices", "gelu", "global_avg_pool", "global_max_pool", "glu",
    "greater", "greater_equal", "group_norm", "hardsigmoid", "hardswish", "hardtanh",
    "instance_norm", "isinf", "isnan", "l1", "layer_norm", "leaky_relu", "less", "less_equal",
    "linear", "local_response_norm", "log", "log1p", "log_softmax", "logical_and", "logical_not",
    "logical_or", "logical_xor", "lp_pool1d", "lp_pool2d", "lp_pool3d", "matmul", "max_pool1d",
    "max_pool1d_with_indices", "max_pool2d", "max_pool2d_with_indices", "max_pool3d",
    "max_pool3d_with_indices", "max_unpool1d", "max_unpool2d", "max_unpool3d", "maximum", "minimum",
    "mish", "moments", "mse", "multiply", "neg", "not_equal", "one_hot", "pad", "pixel_shuffle",
    "pixel_unshuffle", "power", "prelu", "reciprocal", "reduce", "relu", "relu6", "resize",
    "rms_norm", "round", "selu", "sigmoid", "sign", "silu", "sin", "sinh", "slice_axes",
    "slice_channels", "smooth_l1", "softmax", "softplus", "softsign", "split", "sqrt", "square",
    "squeeze", "stochastic_depth", "subtract", "take", "tan", "tanh", "threshold", "top_k",
    "transpose", "unsqueeze", "upsample", "where", "zero_pad",
]  # fmt: skip
# end of names

__public__ = {"isoconv.nn": ["functional"]}

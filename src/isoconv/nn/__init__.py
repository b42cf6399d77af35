"""Layers, models made of them, and the tracing that turns a model into a graph."""

from __future__ import annotations

# begin of names that `python -m scripts.public_names` writes
from isoconv.nn import functional, models
from isoconv.nn.activations import (
    GELU,
    GLU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from isoconv.nn.adaptive_pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from isoconv.nn.combining import Add, Branches, Concatenate, Multiply, Residual, Sequential
from isoconv.nn.convolution import Conv1d, Conv2d, Conv3d, DepthwiseConv2d
from isoconv.nn.excitation import SqueezeExcitation
from isoconv.nn.fractional_pooling import FractionalMaxPool2d, FractionalMaxPool3d
from isoconv.nn.global_pooling import (
    GlobalAvgPool1d,
    GlobalAvgPool2d,
    GlobalAvgPool3d,
    GlobalMaxPool1d,
    GlobalMaxPool2d,
    GlobalMaxPool3d,
)
from isoconv.nn.group_normalization import (
    GroupNorm,
    InstanceNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LocalResponseNorm,
    RMSNorm,
)
from isoconv.nn.layer_scale import LayerScale
from isoconv.nn.linear import Linear
from isoconv.nn.lp_pooling import LPPool1d, LPPool2d, LPPool3d
from isoconv.nn.matrices import MatMul
from isoconv.nn.module import Module
from isoconv.nn.moving import Flip, Reshape, Squeeze, Transpose, Unsqueeze
from isoconv.nn.network import Apply, Constant, Network
from isoconv.nn.normalization import BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d, LayerNorm
from isoconv.nn.padding import Pad
from isoconv.nn.parts import Slice
from isoconv.nn.piecewise import Clip, Hardsigmoid, Hardswish, Hardtanh, PReLU, ReLU6, Threshold
from isoconv.nn.pooling import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d
from isoconv.nn.quantization import (
    QuantizedConv1d,
    QuantizedConv2d,
    QuantizedConv3d,
    QuantizedLinear,
)
from isoconv.nn.ranking import ArgMax, ArgMin, OneHot, TopK
from isoconv.nn.reduction import Reduce
from isoconv.nn.regularization import Dropout, Dropout1d, Dropout2d, Dropout3d, StochasticDepth
from isoconv.nn.resizing import Resize, Upsample
from isoconv.nn.shaping import Flatten, ZeroPad1d, ZeroPad2d, ZeroPad3d
from isoconv.nn.shuffling import ChannelShuffle, PixelShuffle, PixelUnshuffle
from isoconv.nn.smooth import CELU, ELU, SELU, Mish, Softplus, Softsign
from isoconv.nn.summary import Summary
from isoconv.nn.tensor import Tensor
from isoconv.nn.trace import ParameterSpec, StateSpec, Trace
from isoconv.nn.traced import Traced, trace_model
from isoconv.nn.transposed import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from isoconv.nn.unpooling import MaxUnpool1d, MaxUnpool2d, MaxUnpool3d

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "SELU", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "Add",
    "Apply", "ArgMax", "ArgMin", "AvgPool1d", "AvgPool2d", "AvgPool3d", "BatchNorm", "BatchNorm1d",
    "BatchNorm2d", "BatchNorm3d", "Branches", "ChannelShuffle", "Clip", "Concatenate", "Constant",
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
    "DepthwiseConv2d", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "Flatten", "Flip",
    "FractionalMaxPool2d", "FractionalMaxPool3d", "GlobalAvgPool1d", "GlobalAvgPool2d",
    "GlobalAvgPool3d", "GlobalMaxPool1d", "GlobalMaxPool2d", "GlobalMaxPool3d", "GroupNorm",
    "Hardsigmoid", "Hardswish", "Hardtanh", "InstanceNorm", "InstanceNorm1d", "InstanceNorm2d",
    "InstanceNorm3d", "LPPool1d", "LPPool2d", "LPPool3d", "LayerNorm", "LayerScale", "LeakyReLU",
    "Linear", "LocalResponseNorm", "LogSoftmax", "MatMul", "MaxPool1d", "MaxPool2d", "MaxPool3d",
    "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "Mish", "Module", "Multiply", "Network", "OneHot",
    "PReLU", "Pad", "ParameterSpec", "PixelShuffle", "PixelUnshuffle", "QuantizedConv1d",
    "QuantizedConv2d", "QuantizedConv3d", "QuantizedLinear", "RMSNorm", "ReLU", "ReLU6", "Reduce",
    "Reshape", "Residual", "Resize", "Sequential", "SiLU", "Sigmoid", "Slice", "Softmax",
    "Softplus", "Softsign", "Squeeze", "SqueezeExcitation", "StateSpec", "StochasticDepth",
    "Summary", "Tanh", "Tensor", "Threshold", "TopK", "Trace", "Traced", "Transpose", "Unsqueeze",
    "Upsample", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d", "functional", "models", "trace_model",
]  # fmt: skip
# end of names

__public__ = {"isoconv": ["nn"]}

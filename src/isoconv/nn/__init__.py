"""Layers, models made of them, and the tracing that turns a model into a graph."""

from __future__ import annotations

# begin of names that `python -m scripts.public_names` writes
from isoconv.nn import functional, models
from isoconv.nn.activations import GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softmax, Tanh
from isoconv.nn.combining import Add, Concatenate, Multiply, Residual, Sequential
from isoconv.nn.convolution import Conv1d, Conv2d, Conv3d, DepthwiseConv2d
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
from isoconv.nn.linear import Linear
from isoconv.nn.module import Module
from isoconv.nn.normalization import BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d, LayerNorm
from isoconv.nn.pooling import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d
from isoconv.nn.reduction import Reduce
from isoconv.nn.regularization import Dropout
from isoconv.nn.shaping import Flatten, ZeroPad1d, ZeroPad2d, ZeroPad3d
from isoconv.nn.summary import Summary
from isoconv.nn.tensor import Tensor
from isoconv.nn.trace import ParameterSpec, StateSpec, Trace, Traced, trace_model

__all__ = [
    "GELU", "Add", "AvgPool1d", "AvgPool2d", "AvgPool3d", "BatchNorm", "BatchNorm1d", "BatchNorm2d",
    "BatchNorm3d", "Concatenate", "Conv1d", "Conv2d", "Conv3d", "DepthwiseConv2d", "Dropout",
    "Flatten", "GlobalAvgPool1d", "GlobalAvgPool2d", "GlobalAvgPool3d", "GlobalMaxPool1d",
    "GlobalMaxPool2d", "GlobalMaxPool3d", "GroupNorm", "InstanceNorm", "InstanceNorm1d",
    "InstanceNorm2d", "InstanceNorm3d", "LayerNorm", "LeakyReLU", "Linear", "LocalResponseNorm",
    "MaxPool1d", "MaxPool2d", "MaxPool3d", "Module", "Multiply", "ParameterSpec", "RMSNorm", "ReLU",
    "Reduce", "Residual", "Sequential", "SiLU", "Sigmoid", "Softmax", "StateSpec", "Summary",
    "Tanh", "Tensor", "Trace", "Traced", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d", "functional",
    "models", "trace_model",
]  # fmt: skip
# end of names

__public__ = {"isoconv": ["nn"]}

"""All operations: importing this package fills the table of `isoconv.graph.operation`."""

from __future__ import annotations

# begin of names that `python -m scripts.public_names` writes
from isoconv.ops import layer_norm, matmul, rows
from isoconv.ops.activation import Bounds, LeakyRelu
from isoconv.ops.conv import ConvGradInput
from isoconv.ops.cross_entropy import CrossEntropy, Hits
from isoconv.ops.dropout import Dropout
from isoconv.ops.fractional_pool import FractionalWindow
from isoconv.ops.geometry import ConvGeometry, WindowGeometry
from isoconv.ops.group_norm import GroupNorm
from isoconv.ops.image import Augment
from isoconv.ops.move import Permutation, Take
from isoconv.ops.norm import BatchNorm, Epsilon
from isoconv.ops.pointwise import Constant, Convert
from isoconv.ops.pool import AvgPool, AvgPoolGrad
from isoconv.ops.ranking import OneHot, TopK
from isoconv.ops.reduce import Broadcast, CountAttrs, Sum, SumAxes
from isoconv.ops.resample import Resample
from isoconv.ops.shape import Embed, Padding, Shape, Slice
from isoconv.ops.smooth import Elu, Softplus
from isoconv.ops.steps import Lookup
from isoconv.ops.uniform import Uniform
from isoconv.ops.unpool import Unpool
from isoconv.ops.winograd import WinogradOutput, WinogradPatches

__all__ = [
    "Augment", "AvgPool", "AvgPoolGrad", "BatchNorm", "Bounds", "Broadcast", "Constant",
    "ConvGeometry", "ConvGradInput", "Convert", "CountAttrs", "CrossEntropy", "Dropout", "Elu",
    "Embed", "Epsilon", "FractionalWindow", "GroupNorm", "Hits", "LeakyRelu", "Lookup", "OneHot",
    "Padding", "Permutation", "Resample", "Shape", "Slice", "Softplus", "Sum", "SumAxes", "Take",
    "TopK", "Uniform", "Unpool", "WindowGeometry", "WinogradOutput", "WinogradPatches",
    "layer_norm", "matmul", "rows",
]  # fmt: skip
# end of names

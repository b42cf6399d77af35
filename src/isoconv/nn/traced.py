"""A model as a graph: what one run of it on symbolic images gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isoconv.checks import check_shape, refusal
from isoconv.errors import ShapeError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType
from isoconv.graph.passes import checked_pass
from isoconv.graph.verify import verify_nodes
from isoconv.nn.tensor import Tensor
from isoconv.nn.trace import ParameterSpec, StateSpec, Trace, check_module

if TYPE_CHECKING:
    from isoconv.nn.module import Module

__public__ = {"isoconv.nn": ["*"]}


@dataclass(frozen=True, slots=True)
class Traced:
    """What came out of tracing a model.

    Attributes:
        trace: the trace, to add a loss to.
        input: position of the images in the graph, in the model's dtype.
        output: position of the model's result.
        parameters: what the model learns, by name, in the order of first use.
        states: what follows the data, by name.
        state_updates: in training, for each state the position of the shard's value times the
            shard's number of images.
    """

    trace: Trace
    input: int
    output: int
    parameters: dict[str, ParameterSpec]
    states: dict[str, StateSpec]
    state_updates: dict[str, int]

    @property
    def builder(self) -> GraphBuilder:
        """The graph so far."""
        return self.trace.builder

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.builder.spec(self.input).shape

    @property
    def output_tensor(self) -> Tensor:
        """The model's result as a tensor."""
        return Tensor(self.trace, self.output)


@checked_pass(lambda traced, *_, **__: verify_nodes(traced.builder.nodes))
def trace_model(
    model: Module, input_shape: Sequence[int], *, training: bool, dtype: DType = "float32"
) -> Traced:
    """Run a model on a symbolic batch of images.

    The graph has the data set's input ``images``, float32 ``input_shape``. What layers draw
    in training adds ``samples`` (data set, int64) and ``key`` (scalar, int64 ``(2,)``: seed and
    epoch).

    Args:
        model: the model.
        input_shape: shape of one image, ``(H, W, C)`` for two-dimensional models.
        training: dropout drops, fractional pooling draws its windows, and batch normalisation uses
            the shard's own statistics.
        dtype: of parameters and activations, ``"float32"`` or ``"float64"``.

    Raises:
        ShapeError: the input or a layer's settings do not fit; the message names the layer.
        ArgumentError: a setting outside its allowed values; likewise.

    Example:
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(8, 3), nn.ReLU(), nn.GlobalAvgPool2d(), nn.Linear(10))
        >>> traced = nn.trace_model(model, (28, 28, 1), training=True)
        >>> list(traced.parameters)
        ['0.weight', '0.bias', '3.weight', '3.bias']
        >>> traced.output_tensor.shape
        (10,)
    """
    check_module("model", model)
    trace = Trace(model, training=training, dtype=dtype)
    if not check_shape("input_shape", input_shape):
        rule = "have at least one axis, that of channels"
        raise refusal("input_shape", rule, input_shape, ShapeError, "()")
    images = trace.images(input_shape)
    output = model(images)
    return Traced(
        trace=trace,
        input=images.index,
        output=output.index,
        parameters=trace.parameters,
        states=trace.states,
        state_updates=trace.state_updates() if training else {},
    )

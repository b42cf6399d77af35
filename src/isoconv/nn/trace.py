"""Tracing: a model is run once on symbolic values, and what it asked for becomes a graph."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from isoconv.arithmetic.philox import Purpose
from isoconv.checks import (
    check_choice,
    check_flag,
    check_kind,
    check_number,
    check_shape,
    check_text,
    entries,
    refusal,
    shown,
)
from isoconv.errors import ArgumentError, DTypeError, IsoconvError, ShapeError
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DTYPES, DType, InputKind
from isoconv.nn.shown import named
from isoconv.nn.tensor import Tensor, check_tensors
from isoconv.ops import Broadcast, Constant, Convert, Uniform

if TYPE_CHECKING:
    from isoconv.nn.module import Module

__public__ = {"isoconv.nn": ["ParameterSpec", "StateSpec", "Trace"]}

INITIALIZERS = ("he_uniform", "zeros", "ones")
Initializer = Literal["he_uniform", "zeros", "ones"] | float
"""How a parameter begins; a number is that of each element."""


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A learned array that a model asks for.

    Attributes:
        name: path of its layer and its own name, ``"features.0.weight"``.
        shape: its shape.
        initializer: ``"he_uniform"``, ``"zeros"`` or ``"ones"``, or a number for each element.
        fan_in: numbers that are added up for each result; None for the product of all axes but
            the last.
    """

    name: str
    shape: tuple[int, ...]
    initializer: Initializer
    fan_in: float | None = None


@dataclass(frozen=True, slots=True)
class StateSpec:
    """An array that follows the data but is not learned, such as a running mean.

    After a training step it becomes ``(1 - momentum) * old + momentum * s``, where ``s`` is the
    step's value: the sum over shards of the trace's ``state_updates`` divided by the number of
    images.

    Attributes:
        name: path of its layer and its own name, ``"features.1.running_mean"``.
        shape: its shape.
        initial: the value of every element at the start.
        momentum: share of the step's value.
    """

    name: str
    shape: tuple[int, ...]
    initial: float
    momentum: float


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a module while tracing.

    Attributes:
        path: the module's path, "" for the model itself.
        module: the module.
        inputs: shapes of what it received.
        output: shape of what it gave.
        nodes: positions of the nodes that it added itself, without those of modules inside it.
        inner: whether it called other modules.
        sources: positions of the tensors that it received.
        result: position of what it gave.
    """

    path: str
    module: Module
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    nodes: tuple[int, ...]
    inner: bool
    sources: tuple[int, ...]
    result: int


class Trace:
    """Collects what a model computes.

    Args:
        model: the model whose modules get their names from it; None to use functions alone.
        training: dropout drops, fractional pooling draws its windows, and batch normalisation uses
            the shard's own statistics.
        dtype: of parameters and activations.
        frozen: paths of modules that compute as in inference whatever `training` says.

    Attributes:
        builder: the graph so far.
        training: as given; within a frozen module False.
        dtype: as given.
        parameters: by name, in the order in which the model asked for them.
        states: likewise.
        calls: uses of modules, in the order in which they ended.
        owners: the module of each parameter and state by name, in the order of first use.
        frozen: as given.

    Example:
        >>> from isoconv.nn import Trace, functional
        >>> x = Trace().images((8, 8, 3))
        >>> functional.max_pool2d(x, 2).shape
        (4, 4, 3)
    """

    def __init__(
        self,
        model: Module | None = None,
        *,
        training: bool = False,
        dtype: DType = "float32",
        frozen: Collection[str] = (),
    ) -> None:
        if model is not None:
            check_module("model", model)
        self.builder = GraphBuilder()
        self.training = check_flag("training", training)
        self.dtype: DType = _checked_float(dtype)
        self.parameters: dict[str, ParameterSpec] = {}
        self.states: dict[str, StateSpec] = {}
        self.calls: list[Call] = []
        self.owners: dict[str, Module] = {}
        if not isinstance(frozen, (set, frozenset, list, tuple)):
            raise refusal("frozen", "be paths of modules", frozen)
        self._paths = _paths(model)
        known = {*self._paths.values()}
        for name, path in entries("frozen", frozen).items():
            if check_text(name, path) not in known:
                raise refusal(name, "be the path of a module of the model", path)
        self.frozen = frozenset(frozen)
        self._updates: dict[str, list[Tensor]] = {}
        self._streams: dict[Purpose, int] = {}
        self._open: list[_OpenCall] = []

    # Values

    def input(
        self, kind: InputKind, name: str, shape: Sequence[int], dtype: DType = "float32"
    ) -> Tensor:
        """Something that is given when the graph runs; see ``GraphBuilder.input``.

        Raises:
            ArgumentError: a kind, a name or a dtype that there is not.
            ShapeError: a shape that is none.
        """
        check_choice("kind", kind, get_args(InputKind))
        check_choice("dtype", dtype, DTYPES)
        sides = check_shape("shape", shape)
        return Tensor(self, self.builder.input(kind, check_text("name", name), sides, dtype))

    def images(self, shape: Sequence[int]) -> Tensor:
        """The data set's input ``"images"``, float32 ``shape``, in the trace's dtype.

        Raises:
            ShapeError: a shape that is none, or a side below 1.
        """
        images = self.input("dataset", "images", check_shape("shape", shape))
        return images if self.dtype == "float32" else self.convert(images, self.dtype)

    def add(self, op: str, *inputs: Tensor, attrs: Any = None) -> Tensor:
        """Add an operation of the catalogue.

        Raises:
            ArgumentError: an input that is no tensor of this trace.
            ShapeError: shapes that do not fit the operation.
            DTypeError: a dtype that the operation does not take.
        """
        for name, value in entries("inputs", inputs).items():
            self._check_own(name, value, op)
        check_text("op", op)
        indices = (value.index for value in inputs)
        return Tensor(self, self.builder.add(op, *indices, attrs=attrs))

    def convert(self, x: Tensor, dtype: DType) -> Tensor:
        """The same values in another element type."""
        check_tensors("convert", x=x)
        check_choice("dtype", dtype, DTYPES)
        return x if x.dtype == dtype else self.add("convert", x, attrs=Convert(dtype))

    # What modules ask for

    def parameter(
        self,
        module: Module,
        name: str,
        shape: Sequence[int],
        initializer: Initializer = "he_uniform",
        fan_in: float | None = None,
    ) -> Tensor:
        """A learned array of a module; asked for again, it is the same one.

        Args:
            module: the module that owns it.
            name: its name within the module.
            shape: its shape.
            initializer: ``"he_uniform"`` (uniform within ±sqrt(6 / fan_in)), ``"zeros"`` or
                ``"ones"``, or a number for each element.
            fan_in: above 0; None for the product of all axes but the last.

        Raises:
            ShapeError: the module is used twice with inputs that ask for different shapes.
            ArgumentError: an unknown initializer, a fan_in that is none, or a module that the model
                does not hold.
        """
        if isinstance(initializer, (int, float)):
            initializer = float(check_number("initializer", initializer))
        else:
            check_choice("initializer", initializer, INITIALIZERS)
        if fan_in is not None:
            fan_in = float(check_number("fan_in", fan_in, above=0))
        full = self._claim(module, name)
        spec = ParameterSpec(full, check_shape("shape", shape), initializer, fan_in)
        known = self.parameters.setdefault(full, spec)
        _check_same(full, known.shape, spec.shape)
        return self.input("parameter", full, spec.shape, self.dtype)

    def state(
        self, module: Module, name: str, shape: Sequence[int], initial: float, momentum: float
    ) -> Tensor:
        """An array of a module that follows the data; asked for again, it is the same one.

        Raises:
            ShapeError: the module is used twice with inputs that ask for different shapes.
            ArgumentError: a module that the model does not hold.
        """
        full = self._claim(module, name)
        start = float(check_number("initial", initial))
        share = float(check_number("momentum", momentum, least=0, most=1))
        spec = StateSpec(full, check_shape("shape", shape), start, share)
        known = self.states.setdefault(full, spec)
        _check_same(full, known.shape, spec.shape)
        return self.input("state", full, spec.shape, self.dtype)

    def update_state(self, module: Module, name: str, value: Tensor) -> None:
        """Say what a state follows in this step; several uses of one module are averaged."""
        self._check_own("value", value, "update_state")
        self._updates.setdefault(self._claim(module, name), []).append(value)

    def dropout_source(self) -> tuple[Tensor, Tensor, int]:
        """Inputs ``samples`` (int64) and ``key`` (int64 ``(2,)``) and a fresh stream number."""
        return self._source(Purpose.DROPOUT)

    def uniform(self, purpose: Purpose, shape: Sequence[int]) -> Tensor:
        """Random numbers in [0, 1) of this shape, other ones for each image, epoch and call.

        Args:
            purpose: what they are for; two purposes never share a number.
            shape: of one image's numbers.

        Raises:
            ArgumentError: a purpose that is none.
            ShapeError: a shape that is none.

        Example:
            >>> from isoconv.arithmetic.philox import Purpose
            >>> Trace(training=True).uniform(Purpose.FRACTIONAL_POOLING, (2, 8)).shape
            (2, 8)
        """
        check_kind("purpose", purpose, Purpose, "a Purpose")
        sides = check_shape("shape", shape)
        samples, key, stream = self._source(purpose)
        # Its shape is all that is asked of it.
        like = self.convert(samples, self.dtype)
        like = self.add("broadcast", like, attrs=Broadcast(sides, True, True))
        return self.add("uniform_like", like, samples, key, attrs=Uniform(int(purpose), stream))

    def _source(self, purpose: Purpose) -> tuple[Tensor, Tensor, int]:
        samples = self.input("dataset", "samples", (), "int64")
        key = self.input("scalar", "key", (2,), "int64")
        stream = self._streams.get(purpose, 0)
        self._streams[purpose] = stream + 1
        return samples, key, stream

    def state_updates(self) -> dict[str, int]:
        """For each followed state the position of its shard value times the shard's images."""
        updates = {}
        for name, values in self._updates.items():
            total = values[0]
            for value in values[1:]:
                total = self.add("add", total, value)
            if len(values) > 1:
                total = self.add("scale", total, attrs=Constant(1.0 / len(values)))
            updates[name] = self.add("times_images", total).index
        return updates

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter and state by name."""
        found = {name: spec.shape for name, spec in self.parameters.items()}
        return {**found, **{name: spec.shape for name, spec in self.states.items()}}

    # Modules

    def call(self, module: Module, inputs: tuple[Any, ...]) -> Tensor:
        """Run a module's ``forward`` under its name; errors come out with layer and shapes."""
        path = self._path(module)
        if not isinstance(inputs, tuple) or not inputs:
            text = f"a module is called with a tuple of tensors; got {shown(inputs)}"
            raise ArgumentError(text, argument="inputs", value=inputs)
        call = _OpenCall()
        if self._open:
            self._open[-1].pause(len(self.builder))
        call.resume(len(self.builder))
        self._open.append(call)
        outer, self.training = self.training, self.training and path not in self.frozen
        try:
            with self.builder.layer(path):
                output = self._forward(module, inputs)
        except IsoconvError as error:
            if error.layer is not None:
                raise
            shapes = ", ".join(str(value.shape) for value in inputs if isinstance(value, Tensor))
            where = f"layer {path!r}" if path else "the model"
            error.within(f"{where}, {named(module)}, on input {shapes}", layer=path)
            raise
        finally:
            self.training = outer
            self._open.pop()
        call.pause(len(self.builder))
        if self._open:
            self._open[-1].inner = True
            self._open[-1].resume(len(self.builder))
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        record = Call(
            path, module, tuple(value.shape for value in tensors), output.shape,
            tuple(call.nodes), call.inner, tuple(value.index for value in tensors), output.index,
        )  # fmt: skip
        self.calls.append(record)
        return output

    def _forward(self, module: Module, inputs: tuple[Any, ...]) -> Tensor:
        for name, value in entries("inputs", inputs).items():
            self._check_own(name, value, type(module).__name__)
        output = module.forward(*inputs)
        if not isinstance(output, Tensor):
            text = f"forward must return a Tensor; got {type(output).__name__}"
            raise ArgumentError(text, argument="module", value=module)
        return output

    def _check_own(self, name: str, value: object, reader: str) -> None:
        check_tensors(reader, **{name: value})
        if value.trace is not self:  # type: ignore[attr-defined]
            text = f"{reader} takes tensors of one trace; got one of another trace"
            raise ArgumentError(text, argument=name, value=value)

    def _path(self, module: Module) -> str:
        try:
            return self._paths[id(module)]
        except KeyError:
            raise ArgumentError(
                f"a layer must be held by an attribute of the model, so that it has a name; "
                f"{named(module)} is not",
                argument="module",
                value=module,
            ) from None

    def _claim(self, module: Module, name: str) -> str:
        path = self._path(module)
        full = f"{path}.{check_text('name', name)}" if path else check_text("name", name)
        if self.owners.setdefault(full, module) is not module:
            text = f"parameter names must be unique; two layers ask for {full!r}"
            raise ArgumentError(text, argument="name", value=name)
        return full


class _OpenCall:
    """The nodes that a running call added, with pauses while modules inside it run."""

    def __init__(self) -> None:
        self.nodes: list[int] = []
        self.inner = False
        self._start = 0

    def resume(self, length: int) -> None:
        self._start = length

    def pause(self, length: int) -> None:
        self.nodes.extend(range(self._start, length))


def check_module(name: str, model: object) -> None:
    """Refuse what is no module."""
    from isoconv.nn.module import Module

    check_kind(name, model, Module, "a Module")


def _checked_float(dtype: object) -> DType:
    if not isinstance(dtype, str) or dtype not in ("float32", "float64"):
        text = f"a model computes in float32 or float64; got dtype={shown(dtype)}"
        raise DTypeError(text, argument="dtype", value=dtype)
    return "float64" if dtype == "float64" else "float32"


def _paths(model: Module | None) -> dict[int, str]:
    if model is None:
        return {}
    paths: dict[int, str] = {}
    taken: set[str] = set()
    for path, module in model.named_modules():
        if path in taken:
            text = f"layer names must be unique; two layers are called {path!r}"
            raise ArgumentError(text, argument="model", value=model, layer=path)
        taken.add(path)
        paths[id(module)] = path
    return paths


def _check_same(name: str, known: tuple[int, ...], asked: tuple[int, ...]) -> None:
    if known != asked:
        raise ShapeError(
            f"a layer that is used twice needs inputs of the same channels: {name!r} has shape "
            f"{known}, this use asks for {asked}",
            argument="shape",
            value=asked,
        )

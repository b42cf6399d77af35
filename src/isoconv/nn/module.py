"""What every layer and model is: settings in plain fields, a ``forward``, and weights by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from isoconv.checks import plain_setting
from isoconv.errors import ArgumentError
from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.nn.initial import check_memory, initial_array
from isoconv.nn.snapshot import note_change
from isoconv.nn.summary import Summary, summarize
from isoconv.nn.tensor import Tensor
from isoconv.nn.trace import trace_model
from isoconv.run.fixed import fixed_copy

__all__ = ["Module"]

_SCALE, _OFFSET = "normalise:scale", "normalise:offset"


class Module:
    """A layer or a whole model.

    A subclass keeps its settings and the modules that it is made of in attributes (lists, tuples
    and dicts of modules are found too) and says in ``forward`` what it computes. A module's name
    is the path of attributes that leads to it, ``"features.0"``. A module that is used twice, or
    held twice, has one set of weights.

    Weights live in the layers. ``build`` gives them their first values; the sizes that depend on
    the input, such as channels, are inferred then. Their arrays are read-only: ``load_weights`` and
    training put others in their place.

    Example:
        >>> from isoconv import nn
        >>> class Branches(nn.Module):
        ...     def __init__(self, filters):
        ...         self.narrow = nn.Conv2d(filters, 1)
        ...         self.wide = nn.Conv2d(filters, 3, padding=1)
        ...     def forward(self, x):
        ...         return nn.functional.concatenate(self.narrow(x), self.wide(x))
        >>> model = Branches(4).build((8, 8, 3))
        >>> {name: array.shape for name, array in model.weights.items()}["wide.weight"]
        (3, 3, 3, 4)
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the next prediction looks at them all.

        A setting that is declared as a dataclass's field is kept as Python's own number.
        """
        if name in getattr(type(self), "__dataclass_fields__", ()):
            value = plain_setting(value)
        super().__setattr__(name, value)
        note_change()

    def __delattr__(self, name: str) -> None:
        """Delete an attribute; the next prediction looks at them all."""
        super().__delattr__(name)
        note_change()

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """What the module computes: tensors in, one tensor out."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Use the module on tensors of a trace.

        Raises:
            ArgumentError: called on anything else; arrays go through ``predict``.
        """
        for value in inputs:
            if isinstance(value, Tensor):
                return value.trace.call(self, inputs)
        kinds = ", ".join(type(value).__name__ for value in inputs) or "nothing"
        raise ArgumentError(
            f"{type(self).__name__} takes tensors of a trace; got {kinds} "
            "(arrays go through model.predict)"
        )

    # Modules inside

    def children(self) -> Iterator[tuple[str, Module]]:
        """The modules in this one's attributes with their names, in order of assignment."""
        for name, value in vars(self).items():
            yield from modules_in(name, value)

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module (named "") and all inside it with their paths, each once.

        Example:
            >>> from isoconv import nn
            >>> [name for name, _ in nn.Sequential(nn.ReLU(), nn.Flatten()).named_modules()]
            ['', '0', '1']
        """
        seen: set[int] = set()
        waiting: list[tuple[str, Module]] = [("", self)]
        while waiting:
            path, module = waiting.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            prefix = f"{path}." if path else ""
            inside = [(prefix + name, child) for name, child in module.children()]
            waiting.extend(reversed(inside))

    # Weights

    def build(self, input_shape: Sequence[int], seed: int = 0) -> Self:
        """Infer all sizes and give every parameter and state its first value.

        Weights are drawn with Philox 4×32-10 from ``(seed, purpose 1, stream)``, where the stream
        is the parameter's place in the order of first use: uniform within ±sqrt(6 / fan_in)
        (He et al. 2015, "Delving deep into rectifiers"), worked out in float64 and rounded to
        float32. Biases start at 0, scales of batch normalisation at 1.

        Args:
            input_shape: shape of one image, ``(H, W, C)`` for two-dimensional models.
            seed: 64-bit seed.

        Returns:
            The module itself.

        Raises:
            ShapeError: the input or a layer's settings do not fit; the message names the layer.
            ArgumentError: a setting or the seed outside its allowed values.
            NotEnoughMemoryError: the parameters need more memory than there is.
        """
        traced = trace_model(self, input_shape, training=True)
        check_memory(traced)
        for _, module in self.named_modules():
            own_arrays(module, "parameters").clear()
            own_arrays(module, "states").clear()
        for stream, spec in enumerate(traced.parameters.values()):
            owner = traced.trace.owners[spec.name]
            value = fixed_copy(initial_array(spec, seed, stream))
            own_arrays(owner, "parameters")[_leaf(spec.name)] = value
        for state in traced.states.values():
            owner = traced.trace.owners[state.name]
            value = fixed_copy(np.full(state.shape, state.initial, np.float32))
            own_arrays(owner, "states")[_leaf(state.name)] = value
        self.__dict__["_input_shape"] = tuple(input_shape)
        note_change()
        return self

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape that ``build`` was given, or None."""
        shape: tuple[int, ...] | None = self.__dict__.get("_input_shape")
        return shape

    def parameters(self) -> dict[str, Array]:
        """The learned arrays by name, read-only; empty before ``build``."""
        return self._collect("parameters")

    def states(self) -> dict[str, Array]:
        """The arrays that follow the data (running statistics) by name, read-only."""
        return self._collect("states")

    @property
    def weights(self) -> dict[str, Array]:
        """Parameters and states by name, read-only; empty before ``build``.

        Example:
            >>> from isoconv import nn
            >>> model = nn.Linear(2).build((3,))
            >>> changed = {name: 2 * array for name, array in model.weights.items()}
            >>> model.load_weights(changed)
        """
        return {**self.parameters(), **self.states()}

    def _collect(self, kind: str) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for path, module in self.named_modules():
            prefix = f"{path}." if path else ""
            found.update({prefix + name: a for name, a in own_arrays(module, kind).items()})
        return found

    def load_weights(self, weights: Mapping[str, Array]) -> None:
        """Take over parameters and states from arrays (they are copied).

        Args:
            weights: one float32 or float64 array for every name in ``self.weights``.

        Raises:
            CheckpointError: names are missing or not the model's, or shapes or dtypes differ; the
                message lists them all, and the model stays as it was.
        """
        known = self.weights
        storage.check_names(known, weights)
        # All copies are made before the first is put in place.
        copies = {name: fixed_copy(np.asarray(weights[name])) for name in known}
        for path, module in self.named_modules():
            prefix = f"{path}." if path else ""
            for kind in ("parameters", "states"):
                own = own_arrays(module, kind)
                own.update({name: copies[prefix + name] for name in own})
        note_change()

    def save(self, path: str | Path) -> None:
        """Write parameters, states and the input shape as safetensors; atomic.

        Raises:
            ArgumentError: the model was not built.
            OSError: the file cannot be written; an earlier file of that name stays whole.
        """
        if self.input_shape is None:
            raise ArgumentError("only a built model can be saved: call model.build(input_shape)")
        arrays = self.weights
        if self.normalisation is not None:
            arrays[_SCALE], arrays[_OFFSET] = self.normalisation
        storage.write(Path(path), arrays, self.input_shape, {"finish": self.finish})

    def load(self, path: str | Path) -> Self:
        """Read what ``save`` wrote; a model that was not built yet is built first.

        Returns:
            The module itself.

        Raises:
            CheckpointError: the file cannot be read or belongs to another model.
        """
        arrays, input_shape, metadata = storage.read(Path(path))
        normalisation = arrays.pop(_SCALE, None), arrays.pop(_OFFSET, None)
        if self.input_shape is None:
            storage.check_input_shape(Path(path), input_shape)
            self.build(input_shape)
        self.load_weights(arrays)
        scale, offset = normalisation
        self.normalisation = None if scale is None or offset is None else (scale, offset)
        self.finish = metadata.get("finish", "softmax")
        return self

    def digest(self) -> str:
        """SHA-256 of all parameters and states, as 64 hexadecimal digits.

        Over the names in sorted order: the name, the shape and the dtype as text, a line each,
        then the elements as little-endian bytes in row-major order.

        Example:
            >>> from isoconv import nn
            >>> nn.Linear(2).build((3,)).digest() == nn.Linear(2).build((3,)).digest()
            True
        """
        return storage.digest(self.weights)

    # Use

    def summary(self, input_shape: Sequence[int] | None = None) -> Summary:
        """Layers with output shapes, parameters and multiply-adds; print it.

        Args:
            input_shape: shape of one image; left out, the one that the model was built with.

        Raises:
            ArgumentError: no input shape is known.
            ShapeError: the input does not fit; the message names the layer.
        """
        shape = self.input_shape if input_shape is None else tuple(input_shape)
        if shape is None:
            raise ArgumentError("summary needs an input shape: model.summary((28, 28, 1))")
        return summarize(self, shape)

    def predict(
        self,
        images: Array,
        *,
        finish: str | None = None,
        threads: int | None = None,
        target: str | None = None,
        shard_size: int | None = None,
    ) -> Array:
        """The model's results for images, in inference mode: for a classifier, probabilities.

        A result does not depend on which other images are given, on threads or on shard size.
        Images are normalised as the training images were.

        Args:
            images: ``(N, H, W, C)``, uint8 or floating point, or ``(N, H, W)`` for one channel.
            finish: what follows the model's own result: ``"softmax"``, ``"sigmoid"`` or
                ``"none"``; left out, what the loss in training asks for (at first softmax).
            threads: number of threads; None for all cores.
            target: name of the CPU target to compile for; None for this machine's.
            shard_size: images that one thread takes at a time, at most; None for what suits the
                model.

        Returns:
            Float32, ``(N,)`` and the shape of the model's result.

        Raises:
            ArgumentError: the model was not built.
            ShapeError: images of another shape than the model was built for.
            DataError: images that hold NaN or infinity.
        """
        from isoconv.nn.inference import predict

        return predict(
            self, images, finish=finish, threads=threads, target=target, shard_size=shard_size
        )

    # What training leaves beside weights

    @property
    def normalisation(self) -> tuple[Array, Array] | None:
        """Scale and offset per channel, ``x * scale + offset``, that come before the model."""
        found: tuple[Array, Array] | None = self.__dict__.get("_normalisation")
        return found

    @normalisation.setter
    def normalisation(self, value: tuple[Array, Array] | None) -> None:
        if value is not None:
            scale, offset = (fixed_copy(np.asarray(array, np.float32)) for array in value)
            value = scale, offset
        self.__dict__["_normalisation"] = value

    @property
    def finish(self) -> str:
        """What ``predict`` puts behind the model's own result."""
        return str(self.__dict__.get("_finish", "softmax"))

    @finish.setter
    def finish(self, value: str) -> None:
        if value not in ("softmax", "sigmoid", "none"):
            raise ArgumentError(f"finish must be softmax, sigmoid or none; got {value!r}")
        self.__dict__["_finish"] = value

    def __repr__(self) -> str:
        settings = ", ".join(
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if not name.startswith("_") and not list(modules_in(name, value))
        )
        return f"{type(self).__name__}({settings})"


def modules_in(name: str, value: object) -> Iterator[tuple[str, Module]]:
    """The modules in an attribute's value with their names: itself, or inside lists and dicts."""
    if isinstance(value, Module):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from modules_in(f"{name}.{place}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from modules_in(f"{name}.{key}", item)


def own_arrays(module: Module, kind: str) -> dict[str, Array]:
    """The module's own arrays of a kind; made on first use, so that no __init__ is needed."""
    arrays: dict[str, Array] = module.__dict__.setdefault(f"_{kind}", {})
    return arrays


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]

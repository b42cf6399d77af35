"""What every layer and model is: settings in plain fields, a ``forward``, and weights by name."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal, Self

from isoconv.cards import Carded
from isoconv.checks import check_count, check_flag, check_mapping, plain_setting
from isoconv.errors import ArgumentError, CheckpointError
from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.nn.described import Described
from isoconv.nn.held import own_arrays, put_weights
from isoconv.nn.initial import build_traced
from isoconv.nn.settings import added_settings
from isoconv.nn.shown import module_card, own_settings
from isoconv.nn.snapshot import changed_together, note_change, whole
from isoconv.nn.summary import Summary, summarize
from isoconv.nn.tensor import Tensor
from isoconv.nn.traced import trace_model
from isoconv.onward import onward
from isoconv.run.immutable import immutable_copy

__public__ = {"isoconv.nn": ["Module"]}


class Module(Described, Carded, card=module_card):
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

    width: ClassVar[str] = ""
    """Name of the setting that says how many channels a layer gives; "" where none does."""

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
            "(arrays go through model.predict)",
            argument="inputs[0]" if inputs else "inputs",
            value=inputs[0] if inputs else (),
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

    @property
    def over_batch(self) -> bool:
        """Whether a layer's training needs whole batches, so that a shard is one.

        Example:
            >>> from isoconv import nn
            >>> nn.Sequential(nn.BatchNorm2d(over="batch")).over_batch
            True
        """
        return any(child.over_batch for _, child in self.children())

    # Weights

    def build(
        self, input_shape: Sequence[int], seed: int | None = None, *, fresh: bool = False
    ) -> Self:
        """Infer all sizes and give every parameter and state that has none its first value.

        Layers that have weights keep them, so that a model made of trained layers goes on from
        what they learned; ``fresh=True`` draws all anew.

        Weights are drawn with Philox 4×32-10 from ``(seed, purpose 1, stream)``, where the stream
        is the parameter's place in the order of first use: uniform within ±sqrt(6 / fan_in)
        (He et al. 2015, "Delving deep into rectifiers"), worked out in float64 and rounded to
        float32. Biases start at 0, scales of batch normalisation at 1.

        Args:
            input_shape: shape of one image, ``(H, W, C)`` for two-dimensional models.
            seed: 64-bit seed; None for 0.
            fresh: draw every weight anew, and forget what the model was trained on.

        Returns:
            The module itself.

        Raises:
            ShapeError: the input or a layer's settings do not fit, or a layer has weights of
                another shape; the message names the layer.
            ArgumentError: a setting or the seed outside its allowed values, or a seed for a model
                whose layers all have weights.
            NotEnoughMemoryError: the parameters need more memory than there is.

        Example:
            >>> from isoconv import nn
            >>> body = nn.Sequential(nn.Conv2d(4, 3), nn.ReLU()).build((8, 8, 3), seed=1)
            >>> whole = nn.Sequential(*body, nn.Flatten(), nn.Linear(2)).build((8, 8, 3), seed=2)
            >>> bool((whole.weights["0.weight"] == body.weights["0.weight"]).all())
            True
        """
        seed = None if seed is None else check_count("seed", seed, least=0, below=2**64)
        fresh = check_flag("fresh", fresh)
        traced = trace_model(self, input_shape, training=True)
        build_traced(self, traced.trace, traced.input_shape, seed, fresh=fresh)
        return self

    def place(self, input_shape: Sequence[int], weights: Mapping[str, Array]) -> Self:
        """Infer all sizes and take every parameter and state from arrays (they are copied).

        Raises:
            ShapeError: as for `build`.
            ArgumentError, CheckpointError: as for `load_weights`; the model stays as it was.
        """
        traced = trace_model(self, input_shape, training=True)
        values = storage.check_names(traced.trace.shapes, weights)
        put_weights(self, traced.trace, traced.input_shape, values)
        return self

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
        with whole:
            return {**self.parameters(), **self.states()}

    def _collect(self, kind: str) -> dict[str, Array]:
        found: dict[str, Array] = {}
        with whole:
            for path, module in self.named_modules():
                prefix = f"{path}." if path else ""
                found.update({prefix + name: a for name, a in own_arrays(module, kind).items()})
        return found

    def load_weights(self, weights: Mapping[str, Array]) -> None:
        """Take over parameters and states from arrays (they are copied).

        Predictions of other threads take either all of them or none.

        Args:
            weights: one float32 or float64 array for every name in ``self.weights``.

        Raises:
            ArgumentError: no mapping from names.
            CheckpointError: names are missing or not the model's, or shapes or dtypes differ; the
                message lists them all, and the model stays as it was.
        """
        known = self.weights
        if not known and self.input_shape is None and check_mapping("weights", weights):
            raise CheckpointError(
                "weights can only be loaded into a built model: call model.build(input_shape) first"
            )
        shapes = {name: array.shape for name, array in known.items()}
        # All copies are made before the first is put in place.
        copies = {
            name: immutable_copy(a) for name, a in storage.check_names(shapes, weights).items()
        }
        with changed_together():
            for path, module in self.named_modules():
                prefix = f"{path}." if path else ""
                for kind in ("parameters", "states"):
                    own = own_arrays(module, kind)
                    own.update({name: copies[prefix + name] for name in own})

    def save(self, path: str | Path) -> None:
        """Write all that a prediction needs into one safetensors file; atomic.

        Weights, architecture, input shape, how images are read and normalised, and class names
        stand in it as data; `isoconv.load` reads them back. Of a class of one's own the
        architecture is not stored.

        Raises:
            ArgumentError: the model was not built.
            OSError: the file cannot be written; an earlier file of that name stays whole.
        """
        from isoconv.nn.saved import save

        save(self, path)

    def to_onnx(
        self,
        path: str | Path,
        *,
        opset: int = 17,
        preprocessing: Literal["inside", "beside"] = "inside",
    ) -> None:
        """Write the model as an ONNX file; see `isoconv.exchange.save_onnx`.

        Raises:
            ArgumentError: the model was not built, or does what no operator of ONNX does.
            MissingExtraError: the package `onnx` is not installed.
            OSError: the file cannot be written; an earlier file of that name stays whole.
        """
        write = onward("exchange.onnx.exporting.save_onnx")
        write(self, path, opset=opset, preprocessing=preprocessing)

    def load(self, path: str | Path) -> Self:
        """Read what ``save`` or a training wrote; the model becomes the one of the file.

        Returns:
            The module itself.

        Raises:
            CheckpointError: the file cannot be read or belongs to another model.
        """
        from isoconv.nn.saved import read_into

        read_into(self, path)
        return self

    def describe(self) -> dict[str, Any]:
        """All that the model is beside its arrays, as plain values; what ``save`` writes.

        ``digest`` in it is the SHA-256 of all the rest, the weights' own digest included.

        Raises:
            ArgumentError: the model was not built.

        Example:
            >>> from isoconv import nn
            >>> nn.Sequential(nn.Flatten(), nn.Linear(2)).build((4, 4, 1)).describe()["input_shape"]
            [4, 4, 1]
        """
        from isoconv.nn.saved import record_of

        return record_of(self)

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
        shape = self.input_shape if input_shape is None else input_shape
        if shape is None:
            text = "summary needs an input shape: model.summary((28, 28, 1))"
            raise ArgumentError(text, argument="input_shape")
        return summarize(self, shape)

    def predict(
        self,
        images: Array,
        *,
        finish: str | None = None,
        scale: float | None = None,
        threads: int | None = None,
        target: str | None = None,
        shard_size: int | None = None,
    ) -> Array:
        """The model's results for images, in inference mode: for a classifier, probabilities.

        A result does not depend on which other images are given, on threads or on shard size.
        Images are normalised as the training images were. They must be of the same kind as those:
        of the same dtype, layout and channels. Values far outside the range of the training images,
        or in a small part of it alone, are a warning.

        Args:
            images: ``(N, H, W, C)``, uint8 or floating point, or ``(N, H, W)`` for one channel.
            finish: what follows the model's own result: ``"softmax"``, ``"sigmoid"`` or
                ``"none"``; left out, what the loss in training asks for (at first softmax), unless
                the model ends in softmax or sigmoid itself.
            scale: what each value is to be multiplied with before, in float64 and rounded to
                float32; 1 says that images of another dtype or range are meant as they are. 255
                brings floats of 0 to 1 to a model that was trained on uint8, 1/255 the reverse; of
                floats that are ``images / 255`` to the very bits of the other kind.
            threads: number of threads; None for all cores. More than cores are slower, and more
                than 4 for each core are not started.
            target: name of the CPU target to compile for; None for this machine's.
            shard_size: images that one thread takes at a time, at most; None for what suits the
                model. What a combination of settings needs, memory and threads, is kept for the 8
                that were used last.

        Returns:
            Float32, ``(N,)`` and the shape of the model's result.

        Raises:
            ArgumentError: the model was not built, or ends in an activation that ``finish`` cannot
                follow.
            ShapeError: images of another shape than the model was built for.
            DTypeError: images of another dtype than those that the model was trained on, or with
                masked elements.
            DataError: images that hold NaN or infinity.
        """
        found: Array = _inference().predict(
            self,
            images,
            finish=finish,
            scale=scale,
            threads=threads,
            target=target,
            shard_size=shard_size,
        )
        return found

    def predict_files(
        self,
        paths: Sequence[str | Path],
        *,
        scale: float | None = None,
        skip_bad: bool = False,
        threads: int | None = None,
        target: str | None = None,
    ) -> Array:
        """The model's results for picture files, read as the training pictures were.

        A picture is turned upright, scaled until it covers the size of the training images, its
        centre is taken, and it becomes gray or coloured as they were: what the command line does.

        Args:
            paths: of the files.
            scale: for a model that was not trained on pictures: what brightness, 0 to 255, is to
                be multiplied with, such as 1/255.
            skip_bad: a file that cannot be read gets NaN for results and a warning that names it,
                in place of an error.
            threads: number of threads; None for all cores.
            target: name of the CPU target to compile for; None for this machine's.

        Returns:
            Float32, ``(N,)`` and the shape of the model's result; its class names are
            ``model.class_names``.

        Raises:
            ArgumentError: the model was not built, no file is given, or a scale is needed.
            ShapeError: the model takes images of other than 1 or 3 channels.
            DataFileError: files that cannot be read; all are named.
        """
        found: Array = _inference().predict_files(
            self, paths, scale=scale, skip_bad=skip_bad, threads=threads, target=target
        )
        return found

    def line(self) -> str:
        """This module alone with its settings, as receipts name it.

        Of a class that describes itself (``__repr__``) it is that.

        Example:
            >>> from isoconv import nn
            >>> nn.Linear(2).line()
            'Linear(features=2, bias=True)'
        """
        if type(self).__repr__ is not Module.__repr__:
            return repr(self)
        usual = added_settings(type(self)).items()
        told = [each for each in own_settings(self).items() if each not in usual]
        settings = ", ".join(f"{name}={value!r}" for name, value in told)
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


@functools.cache
def _inference() -> ModuleType:
    """What predicts: it needs the compiler, which takes a moment to import."""
    from isoconv.nn import inference

    return inference

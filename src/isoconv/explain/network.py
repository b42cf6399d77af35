"""A model on some images, forward and backward: every value by its node, in the engine's bits.

The model is traced as for a prediction (or as in training), and all values are outputs of the
graph, so that none is fused away. Fusion changes no bit: what is here is what a prediction and a
step of training compute.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isoconv.checks import refusal, shown
from isoconv.errors import ArgumentError
from isoconv.explain.losses import contained, loss_behind
from isoconv.graph.autodiff import differentiate
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import DType, Node
from isoconv.graph.operation import Array, operation
from isoconv.graph.terms import Asked, Element, Index, Term
from isoconv.nn import Module
from isoconv.nn.images import checked_images
from isoconv.nn.ready import normalised
from isoconv.nn.tensor import Tensor
from isoconv.nn.trace import Trace
from isoconv.ops import Broadcast
from isoconv.run.evaluate import evaluate
from isoconv.train.losses import LOSSES, Loss, LossName, loss_of


@dataclass(frozen=True, slots=True)
class Layer:
    """One use of a module that holds no others, or that computes something beside them.

    Attributes:
        path: its name in the model, ``"features.0"``; "" for the model itself.
        use: which use of the module this is, from 0.
        module: the module.
        sources: positions of the values that it takes.
        nodes: positions of the nodes that it added itself.
        result: position of its result.
        root: position of the node that is not element by element (a convolution, a pooling, a
            linear layer, the last of Winograd's three maps, …); None where there is none.
        parameters: position of each learned array by its own name, ``"weight"``.
    """

    path: str
    use: int
    module: Module
    sources: tuple[int, ...]
    nodes: tuple[int, ...]
    result: int
    root: int | None
    parameters: Mapping[str, int]

    @property
    def kind(self) -> str:
        """The module's class."""
        return type(self.module).__name__

    @property
    def name(self) -> str:
        """The path, with the number of the use where it is not the first: ``"block.relu@2"``."""
        path = self.path or "model"
        return path if self.use == 0 else f"{path}@{self.use + 1}"


@dataclass(frozen=True, slots=True)
class Flow:
    """Gradients of one number by all values that it depends on.

    Attributes:
        of: what is differentiated: ``"loss"`` (the mean over the images), or the number of a
            class: the sum over the images of that class's output before softmax.
        nodes: for each value with a gradient the position of the gradient.
    """

    of: str | int
    nodes: Mapping[int, int]


class Network:
    """A model on some images: its graph, its layers, every value and every gradient.

    Args:
        model: a built model.
        images: ``(N, H, W, C)``, as for ``model.predict``.
        labels: a class number for each image, or targets of the result's shape, as the loss takes;
            None if no loss is asked for.
        loss: what is minimised, of the model's result as in training. The cross-entropy of a
            softmax and the bce of a sigmoid, which contain them and which a trainer refuses, are
            of the value before. None for "bce" after a sigmoid, "cross_entropy" otherwise.
        label_smoothing: of the cross-entropy.
        class_weights: of the loss, one for each class; none for 1.
        batch: the loss is the sum over these images divided by this many: of a shard, the images
            of all shards; None for the images.
        first: of a shard, the number of its first image among those of all shards.
        training: batch normalisation uses the images' own statistics, dropout drops and fractional
            pooling draws its windows.
        frozen: paths of modules that compute as in inference all the same.
        samples: numbers of the images in their data set, for what is drawn (dropout, windows of
            fractional pooling); None for 0, 1, ….
        key: seed and epoch, likewise.
        scale: as for ``model.predict``.

    Attributes:
        model: as given.
        images: as the graph takes them.
        count: N.
        training: as given.
        batch: as given, or N.
        first: as given.
        layers: uses of layers in order.
        picture: position of the images as they are given.
        source: position of the images as the first layer takes them, normalised.
        output: position of the model's result.
        logits: position of the result before softmax or sigmoid; the output where there is none.
        judged: position of what the loss is taken of.
        finished: position of the result as ``model.predict`` gives it.
        loss: position of each image's loss; None without labels.

    Raises:
        ArgumentError: the model was not built; labels that do not fit.
        ShapeError: images of another shape.
        DTypeError, DataError: images of another kind.

    Example:
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3))
        >>> network = Network(model.build((5, 5, 1)), np.ones((1, 5, 5, 1), np.float32), [0])
        >>> [layer.name for layer in network.layers]
        ['0', '1', '2', '3']
        >>> network.value(network.layer("1").result).shape
        (1, 3, 3, 2)
        >>> network.gradient(network.layer("1").result).shape
        (1, 3, 3, 2)
    """

    def __init__(
        self,
        model: Module,
        images: Any,
        labels: Any = None,
        *,
        loss: LossName | None = None,
        label_smoothing: float = 0.0,
        class_weights: tuple[float, ...] = (),
        batch: int | None = None,
        first: int = 0,
        training: bool = False,
        frozen: Collection[str] = (),
        samples: Sequence[int] | Array | None = None,
        key: tuple[int, int] = (0, 0),
        scale: float | None = None,
    ) -> None:
        self.model = model
        self.images = checked_images(model, images, scale)
        self.count = len(self.images)
        if not self.count:
            text = "there must be an image to explain; got none"
            raise ArgumentError(text, argument="images", value=images)
        self.batch = self.count if batch is None else batch
        self.first = first
        self.training = training
        trace = Trace(model, training=training, frozen=frozen)
        self._builder = trace.builder
        dtype: DType = "uint8" if self.images.dtype == np.uint8 else "float32"
        picture = trace.input("dataset", "images", self.images.shape[1:], dtype)
        tensor = normalised(picture, model.normalisation is not None)
        self.picture = picture.index
        result = model(tensor)
        self.source, self.output = tensor.index, result.index
        last = self._builder[result.index]
        ends = last.op in {kind.contains for kind in LOSSES.values()}
        self.logits = last.inputs[0] if ends else result.index
        self.loss_kind: LossName = loss or loss_behind(model.finish, last.op)
        within = last.op == LOSSES[self.loss_kind].contains
        self.judged = self.logits if within else result.index
        finish = model.finish
        plain = ends or finish == "none"
        self.finished = self.output if plain else trace.add(finish, result).index
        self._arrays: dict[str, Array] = {name: np.asarray(a) for name, a in model.weights.items()}
        if model.normalisation is not None:
            scale_, offset = model.normalisation
            self._arrays |= {"normalise:scale": scale_, "normalise:offset": offset}
        self._arrays["images"] = self.images
        self._arrays["samples"] = np.array(
            range(self.count) if samples is None else samples, np.int64
        )
        self._arrays["key"] = np.array(key, np.int64)
        self.loss: int | None = None
        if labels is not None:
            weights = class_weights if LOSSES[self.loss_kind].by_class else ()
            self.loss = self._add_loss(trace, labels, label_smoothing, weights)
        self.parameters = {
            name: self._builder.input("parameter", name, spec.shape)
            for name, spec in trace.parameters.items()
        }
        self.layers = _layers(trace, self.parameters)
        self._forward = len(self._builder)
        self._values: dict[int, Array] = {}
        self._flows: dict[str | int, Flow] = {}

    def _add_loss(
        self, trace: Trace, labels: Any, smoothing: float, weights: tuple[float, ...]
    ) -> int:
        judged = Tensor(trace, self.judged)
        if LOSSES[self.loss_kind].by_class:
            given = np.asarray(labels)
            *sides, classes = judged.shape
            if given.shape != (self.count, *sides) or given.dtype.kind not in "iu":
                each = f"for each place of the {self.count} images, " if sides else ""
                rule = (
                    f"be a class number {each}of shape {(self.count, *sides)}"
                    if sides
                    else f"be a class number for each of the {self.count} images"
                )
                got = f"{given.dtype} of shape {given.shape}"
                raise refusal("labels", rule, labels, got=got)
            # A place of a map may have no label.
            least = -1 if sides else 0
            if ((given < least) | (given >= classes)).any():
                raise refusal(
                    "labels", f"lie in {least} … {classes - 1}", labels, got=f"{given.tolist()}"
                )
            target = trace.input("dataset", "labels", sides, "int32")
            self._arrays["labels"] = given.astype(np.int32)
            return loss_of(Loss(self.loss_kind, smoothing, weights), judged, target).index
        given = np.asarray(labels, np.float32)
        if judged.shape == (1,) and given.shape == (self.count,):
            given = given.reshape(-1, 1)
        if given.shape != (self.count, *judged.shape):
            raise refusal(
                "targets",
                f"have the shape of the model's results, {(self.count, *judged.shape)}",
                given,
                got=f"{given.shape}",
            )
        target = trace.input("dataset", "labels", judged.shape)
        self._arrays["labels"] = given
        return loss_of(Loss(self.loss_kind), judged, target).index

    @property
    def judged_note(self) -> str:
        """What is to be said where the loss is not taken of the model's result; "" otherwise."""
        if self.loss is None or self.judged == self.output:
            return ""
        return contained(self.loss_kind)

    # The graph

    def node(self, index: int) -> Node:
        """The node at this position."""
        return self._builder[index]

    @property
    def nodes(self) -> GraphBuilder:
        """The graph so far, to be read alone."""
        return self._builder

    def value_of(self, name: str) -> Array | None:
        """What an input of the graph was given, by its name; None where there is no such input."""
        return self._arrays.get(name)

    def layer(self, name: str) -> Layer:
        """The layer of this name.

        Raises:
            ArgumentError: there is none; the message names those that are near.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        text = _unknown(name, [layer.name for layer in self.layers])
        raise ArgumentError(text, argument="layer", value=name)

    def layer_of(self, index: int) -> Layer | None:
        """The layer that added a node; None for the preparation of the images and the loss."""
        return next((layer for layer in self.layers if index in layer.nodes), None)

    @property
    def forward(self) -> int:
        """How many nodes compute values; those from here on compute gradients."""
        return self._forward

    @property
    def size(self) -> int:
        """How many nodes there are."""
        return len(self._builder)

    @property
    def flow_nodes(self) -> Mapping[int, int]:
        """For each value the position of its gradient, of all flows that were asked for."""
        return {k: v for flow in self._flows.values() for k, v in flow.nodes.items()}

    def readers(self, index: int) -> tuple[int, ...]:
        """Positions of the forward nodes that read a value."""
        return tuple(i for i in range(self._forward) if index in self._builder[i].inputs)

    # Values

    def value(self, index: int) -> Array:
        """The value of a node, ``(N, ...)`` or ``(...)`` where it has no image axis."""
        node = self._builder[index]
        if node.op == "input":
            return self._arrays[node.attrs.name]
        if index not in self._values:
            self.compute(range(self._forward) if index < self._forward else [index])
        return self._values[index]

    def flow(self, of: str | int = "loss") -> Flow:
        """The gradients of the loss, or of a class's result before softmax.

        Raises:
            ArgumentError: there are no labels and so no loss, or no such class.
        """
        if of not in self._flows:
            self._flows[of] = self._differentiate(of)
        return self._flows[of]

    def gradient(self, index: int, of: str | int = "loss") -> Array:
        """The gradient by a value, of its shape; zeros where none flows.

        Args:
            index: position of the value.
            of: as for `flow`.
        """
        found = self.flow(of).nodes.get(index)
        if found is None:
            return np.zeros_like(self.value(index))
        return self.value(found)

    def gradient_by(self, index: int, classes: Sequence[int]) -> Array:
        """The gradient of each image's own class by one value alone, without all others.

        Args:
            index: position of the value.
            classes: for each image the class whose result before softmax is differentiated.
        """
        seeds = self._seeds(classes)
        found = differentiate(self._builder, seeds, [index]).get(index)
        return np.zeros_like(self.value(index)) if found is None else self.value(found)

    def _seeds(self, classes: Sequence[Any]) -> dict[int, int]:
        """The cotangent of the result before softmax: 1 for each image's class."""
        spec = self._builder.spec(self.logits)
        for each in classes:
            if not isinstance(each, int) or not 0 <= each < spec.size:
                text = f"a class must lie in 0 … {spec.size - 1}; got {each!r}"
                raise ArgumentError(text, argument="of", value=each)
        name = f"seed:{','.join(map(str, dict.fromkeys(classes)))}"
        if len(set(classes)) > 1:
            name = f"seeds:{','.join(map(str, classes))}"
        seed = np.zeros((self.count, spec.size), np.float32)
        seed[range(self.count), list(classes)] = 1
        self._arrays[name] = seed.reshape(self.count, *spec.shape)
        return {self.logits: self._builder.input("dataset", name, spec.shape)}

    def _differentiate(self, of: str | int) -> Flow:
        b = self._builder
        floats = [i for i in range(self._forward) if b.spec(i).dtype.startswith("float")]
        if of == "loss":
            if self.loss is None:
                text = "a gradient of the loss needs a label; got none"
                raise ArgumentError(text, argument="label")
            inverse = b.input("scalar", "inverse_batch", ())
            self._arrays["inverse_batch"] = np.array(1.0 / self.batch, np.float32)
            seed = b.add("broadcast", inverse, attrs=Broadcast((), True, False))
            seeds = {self.loss: seed}
        else:
            seeds = self._seeds([of] * self.count)
        before = len(b)
        nodes = differentiate(b, seeds, floats)
        self.compute(range(before - 1, len(b)))
        return Flow(of, nodes)

    def compute(self, wanted: Sequence[int]) -> None:
        """Compute the values of nodes at once, and no others; `value` has them from then on."""
        outputs = [
            (str(i), i) for i in wanted if self._builder[i].op != "input" and i not in self._values
        ]
        if not outputs:
            return
        graph = self._builder.graph(outputs)
        names = {node.attrs.name for _, node in graph.inputs()}
        arrays = {name: array for name, array in self._arrays.items() if name in names}
        for name, array in evaluate(graph, arrays, self.count).items():
            array.flags.writeable = False
            self._values[int(name)] = array

    # Terms

    def operands(self, index: int) -> list[Array]:
        """The values that a node takes."""
        return [self.value(source) for source in self._builder[index].inputs]

    def terms(self, index: int, element: Index) -> Term:
        """What one element of a node's value is made of.

        Args:
            index: position of the node; not an input.
            element: where, the image first if the value has an image axis.
        """
        node = self._builder[index]

        def read(asked: Element) -> Any:
            return self.value(node.inputs[asked.operand])[asked.index]

        specs = tuple(self._builder.spec(source) for source in node.inputs)
        asked = Asked(node.attrs, specs, node.spec, element, self.count, read)
        return operation(node.op).terms_of(asked)


def _layers(trace: Trace, parameters: Mapping[str, int]) -> tuple[Layer, ...]:
    uses: dict[str, int] = {}
    layers = []
    for call in trace.calls:
        nodes = tuple(i for i in call.nodes if trace.builder[i].op != "input")
        if call.inner and not nodes:
            continue
        use = uses.get(call.path, 0)
        uses[call.path] = use + 1
        kinds = [(i, operation(trace.builder[i].op)) for i in nodes]
        roots = [i for i, kind in kinds if not (kind.pointwise or kind.view)]
        own = {
            name.rpartition(".")[2]: place
            for name, place in parameters.items()
            if trace.owners[name] is call.module
        }
        layers.append(
            Layer(
                call.path,
                use,
                call.module,
                call.sources,
                nodes,
                call.result,
                roots[-1] if roots else None,
                own,
            )
        )
    return tuple(layers)


def _unknown(name: str, names: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or list(names[:8])
    return f"no layer is called {shown(name)}; there are {len(names)}, near it: {', '.join(near)}"

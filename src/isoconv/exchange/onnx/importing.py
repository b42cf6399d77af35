"""Networks out of ONNX files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np

from isoconv.checks import check_flag, check_path, check_text, refusal
from isoconv.errors import ArgumentError, CheckpointError, IsoconvError, as_given, turned
from isoconv.exchange.onnx.building import Building, Fixed, Given, NodeError, Use, Value
from isoconv.exchange.onnx.converting import converter_for
from isoconv.exchange.onnx.ends import (
    batch_of,
    channels_last_in,
    for_batch,
    image_of,
    needed_for,
    result_of,
)
from isoconv.exchange.onnx.folding import folded, is_folded
from isoconv.exchange.onnx.kinds import kinds_given
from isoconv.exchange.onnx.layouts import Layout
from isoconv.exchange.onnx.reader import Node, OnnxFile, open_onnx, refused
from isoconv.exchange.onnx.sharing import apart, tied
from isoconv.exchange.onnx.writing import PREPROCESSING, RECORD
from isoconv.exchange.preparing import prepared, prepared_as_said
from isoconv.exchange.published import classes_as_imagenet
from isoconv.graph.operation import Array
from isoconv.nn import Apply, Network, Sigmoid, Softmax, trace_model
from isoconv.nn.functional import multiply
from isoconv.nn.held import put_weights
from isoconv.nn.images import warn_outside
from isoconv.nn.plain import parse
from isoconv.nn.record import Facts, read_record
from isoconv.nn.storage import check_names
from isoconv.printable import printable
from isoconv.wording import either

__public__ = {"isoconv.exchange": ["from_onnx"]}

_FAMILIES = (
    "activations", "arithmetic", "composed", "convolution", "movement", "normalization",
    "pooling", "quantization", "ranking", "reductions", "resizing",
)  # fmt: skip
for _family in _FAMILIES:
    # Each enters its operators into the table.
    import_module(f"isoconv.exchange.onnx.{_family}")


def from_onnx(
    path: str | Path,
    *,
    input_shape: Sequence[int] | None = None,
    output: str | None = None,
    normalise: str | None = None,
    class_names: Sequence[str] | None = None,
    fold_batch_norm: bool = False,
) -> Network:
    """The network in an ONNX file, built, with its weights.

    It computes for each image what the graph computes for a batch of one. Feature maps have their
    channels last, as all have here; weights are put in that order once, now. Layers have the names
    of the file: of the initializer, ``conv1.weight``, without its last word, or of the node.

    Args:
        path: of the file. Nothing of it is executed. Its external data must lie in its folder.
        input_shape: of one image, ``(H, W, C)``, where the file leaves sides free.
        output: name of the result that the network gives, where there are several.
        normalise: how pictures are prepared, since no ONNX file says it: ``"imagenet"``,
            ``"half"``, ``"unit"`` or ``"none"`` (docs/onnx.md); None for arrays that are given as
            the graph takes them.
        class_names: of the results; None for those that the file says, if it was written here.
        fold_batch_norm: make batch normalisation part of the convolution before it. That saves
            work and changes bits, and training no longer knows of it.

    Returns:
        A `Network`: it predicts, trains, explains, and is stored as every model is. Its ``finish``
        is ``"none"``: ``predict`` gives what the graph gives.

    Raises:
        CheckpointError: the file cannot be read, or holds what cannot be a layer; the message
            names all of it.
        ArgumentError: an input shape is needed, or an output must be chosen.
        NotEnoughMemoryError: there is not enough memory for it.

    Example:
        >>> from isoconv.exchange import from_onnx
        >>> from_onnx("no.onnx")
        Traceback (most recent call last):
        isoconv.errors.CheckpointError: no.onnx cannot be read as an ONNX network: No such file or \
directory
    """
    if output is not None:
        check_text("output", output)
    file = needed_for(open_onnx(check_path("path", path)), output)
    network = _network(file, input_shape, output, check_flag("fold_batch_norm", fold_batch_norm))
    if class_names is not None:
        with as_given(class_names=class_names):
            network.class_names = class_names
    if normalise is not None:
        if _said(network):
            raise _said_already(normalise)
        rule = check_text("normalise", normalise)
        prepared(network, _rule_for(file, network, rule) or rule)
    return network


def _network(
    file: OnnxFile, input_shape: Sequence[int] | None, output: str | None, fold: bool
) -> Network:
    name, layout = image_of(file, input_shape)
    facts = _record(file)
    if facts is not None and facts.input_shape != layout.shape:
        raise refused(file.path, ["the record of a model in it must be of its images"])
    normalisation = None if facts is None else facts.normalisation
    if normalisation is not None and file.metadata.get(PREPROCESSING) != "beside":
        bare = _without(file, normalisation)
        file, normalisation = (file, None) if bare is None else (bare, normalisation)
    made = converted(file, {name: layout}, fold_batch_norm=fold)
    network = finished(file, made, result_of(file, made, output), layout.shape)
    network.finish = "none"
    if facts is not None:
        network.class_names, network.trained_on = facts.class_names, facts.trained_on
        network.normalisation = normalisation
    return network


USUAL_SIDE = 224
"""Of images, where a file leaves their sides free."""


def load_onnx(path: str | Path, *, normalise: str | None = None) -> Network:
    """The network in an ONNX file as commands take it: for pictures, with results as classes.

    What the file does not say is told in a `DataWarning` each: how pictures are normalised, sides
    that it leaves free, and that 1,000 results for coloured pictures are taken for ImageNet's
    classes. Results in a row become probabilities by softmax unless the network ends in one itself;
    a map of the picture's size that does is one of the classes of pixels.

    Args:
        path: of the file.
        normalise: see `from_onnx`; None for ``"none"`` where the file takes uint8, ``"imagenet"``
            for coloured pictures otherwise, ``"unit"`` for gray ones.

    Raises:
        ArgumentError, CheckpointError, NotEnoughMemoryError: as `from_onnx`.
    """
    file = needed_for(open_onnx(check_path("path", path)), None)
    sides = usual_shape(file)
    network = _network(file, sides, None, False)
    if sides is not None:
        told = "x".join(map(str, sides))
        warn_outside(f"{printable(path)} leaves the sides of its images free: {told} is taken")
    if not _said(network):
        prepared_as_said(network, path, _rule_for(file, network, normalise))
    elif normalise is not None:
        raise _said_already(normalise)
    shape = network.input_shape or ()
    result = trace_model(network, shape, training=False).output_tensor.shape
    last = next(layer for name, layer, *_ in network.steps if name == network.output)
    if len(result) == 3 and result[:2] == shape[:2] and isinstance(last, Softmax):
        # A map that does not end in probabilities may be anything, and is left as numbers.
        network.finish = "softmax"
    if len(result) == 1 and result[0] > 1:
        network.finish = "sigmoid" if isinstance(last, Sigmoid) else "softmax"
    if not network.class_names:
        classes_as_imagenet(network, Path(path))
    return network


def usual_shape(file: OnnxFile) -> tuple[int, ...] | None:
    """The shape that images are given where a file leaves their sides free; None where not."""
    sides = file.inputs[0].sides if len(file.inputs) == 1 else None
    if sides is None or len(sides) != 4:
        return None
    last = channels_last_in(file)
    height, width, channels = (sides[axis] for axis in ((1, 2, 3) if last else (2, 3, 1)))
    known = [side if isinstance(side, int) and side > 0 else None for side in (height, width)]
    if not isinstance(channels, int) or channels < 1 or None not in known:
        return None
    return (*(side or USUAL_SIDE for side in known), channels)


def _rule_for(file: OnnxFile, network: Network, normalise: str | None) -> str | None:
    """How pictures are prepared for a file: as a person says, unless it takes bytes as they are.

    Raises:
        ArgumentError: a person says otherwise than the file.
    """
    if file.inputs[0].kind != "uint8":
        return normalise
    if normalise not in (None, "none"):
        rule = "be none, or left out: the file takes bytes, brightness from 0 to 255"
        raise refusal("normalise", rule, normalise)
    shape = network.input_shape or ()
    return "none" if len(shape) == 3 and shape[2] in (1, 3) else normalise


def _said_already(normalise: str) -> ArgumentError:
    rule = "be left out: the file itself says how pictures are prepared"
    return refusal("normalise", rule, normalise)


def _said(network: Network) -> bool:
    """Whether the file told how pictures are prepared."""
    return network.trained_on is not None or network.normalisation is not None


def _record(file: OnnxFile) -> Facts | None:
    """What the file tells of pictures and classes; None if it was not written here.

    Raises:
        CheckpointError: what it tells was edited, or makes no sense.
    """
    text = file.metadata.get(RECORD)
    if text is None:
        return None
    try:
        record = parse(text)
    except ValueError as error:
        raise refused(file.path, [f"the record of a model in it is none: {error}"]) from error
    if not isinstance(record, dict):
        raise refused(file.path, ["the record of a model in it must be one"])
    return read_record(record, str(file.path))


def _without(file: OnnxFile, normalisation: tuple[Array, Array]) -> OnnxFile | None:
    """The file without the nodes that normalise its images; None where it begins otherwise."""
    value, nodes = file.inputs[0].name, list(file.nodes)
    constants = {node.outputs[0]: node for node in nodes if node.operator == "Constant"}
    for operator, array in zip(("Mul", "Add"), normalisation, strict=True):
        reading = [node for node in nodes if value in node.inputs]
        if len(reading) != 1 or reading[0].operator != operator or reading[0].inputs[0] != value:
            return None
        (node,) = reading
        held = file.arrays.get(node.inputs[1])
        if held is None and node.inputs[1] in constants:
            held = constants[node.inputs[1]].attributes.get("value")
        if held is None or not np.array_equal(held.reshape(-1), array.reshape(-1)):
            return None
        nodes.remove(node)
        value = node.outputs[0]
    images = file.inputs[0].name
    renamed = (
        replace(node, inputs=tuple(images if name == value else name for name in node.inputs))
        for node in nodes
    )
    return replace(file, nodes=tuple(renamed))


# From nodes to layers


def converted(
    file: OnnxFile,
    inputs: Mapping[str, Layout],
    *,
    fixed: Mapping[str, Array] | None = None,
    fold_batch_norm: bool = False,
) -> Building:
    """All nodes of a file as layers.

    Args:
        file: that was read.
        inputs: how each input lies.
        fixed: inputs that are known: arrays by name.
        fold_batch_norm: see `from_onnx`.

    Raises:
        CheckpointError: some cannot be layers; the message names all.
    """
    unknown = _unknown(file)
    if unknown:
        raise refused(file.path, unknown)
    made = Building(file, inputs, fold_batch_norm=fold_batch_norm)
    made.values.update((name, Fixed(array)) for name, array in (fixed or {}).items())
    faults: list[str] = []
    for node in file.nodes:
        if any(name and name not in made.values for name in node.inputs):
            # What it reads could not be made.
            continue
        try:
            found = _made(node, made)
            missing = [name for name in node.outputs[len(found) :] if made.readers[name]]
            if missing:
                raise NodeError(f"its results {', '.join(missing)} are not known here")
        except (NodeError, IsoconvError, ValueError) as error:
            faults.append(f"{node.title}: {error}")
            continue
        except (LookupError, TypeError, ArithmeticError) as error:
            # What nobody thought of: a stranger's node is at fault all the same.
            faults.append(f"{node.title}: its inputs or settings do not fit it ({error})")
            continue
        made.values.update(zip(node.outputs, found, strict=False))
        made.kinds.update(kinds_given(node, made.kind_of))
    if faults:
        batch = batch_of(file)
        faults[:0] = [for_batch(batch)] if batch > 1 else made.split[:1]
        raise refused(file.path, faults)
    return made


_OF_RUNTIME = ("com.microsoft.QLinear", "com.microsoft.QGemm", "com.microsoft.QAttention",
               "com.microsoft.DynamicQuantize", "com.microsoft.MatMulInteger")  # fmt: skip
"""Quantised operators of ONNX Runtime alone."""


def _unknown(file: OnnxFile) -> list[str]:
    """Operators that there is no layer for, with the nodes that use them."""
    uses: dict[str, list[str]] = {}
    for node in file.nodes:
        if not is_folded(node) and converter_for(node.operator, file.opset) is None:
            uses.setdefault(node.operator, []).append(printable(node.name or node.outputs[0]))
    if not uses:
        return []
    listed = [
        f"{printable(operator)} ({len(names)}: {', '.join(names[:3])}{', …' * (len(names) > 3)})"
        for operator, names in sorted(uses.items())
    ]
    quantised = any(name.startswith(_OF_RUNTIME) for name in uses)
    others = either("give an earlier result with output=…, or export", "export")
    return [
        f"operators that there are no layers for, in version {file.opset}: {', '.join(listed)}; "
        f"{others} the network without them (docs/onnx.md lists those that there are)"
        + ("; ONNX Runtime quantises to ONNX's own with QuantFormat.QDQ" * quantised)
    ]


_VIEWS = ("Expand", "Reshape", "Squeeze", "Unsqueeze")
"""Operators whose result is the same array, where it has as many elements: weights stay weights."""


def _name_of(use: Use, array: Array) -> str:
    """The initializer that a computed array still is; "" for none."""
    given = use.inputs[0] if use.inputs and use.node.operator in _VIEWS else None
    return given.name if isinstance(given, Fixed) and given.array.size == array.size else ""


def _made(node: Node, made: Building) -> Sequence[Given]:
    use = Use(node, made)
    if all(given is None or isinstance(given, Fixed) for given in use.inputs):
        arrays = [given.array if isinstance(given, Fixed) else None for given in use.inputs]
        if node.operator == "Identity":
            # Exporters write one for each further use of an array.
            return [given for given in use.inputs if given is not None]
        known = folded(node, arrays, made.hold)
        if known is not None:
            return [Fixed(array, _name_of(use, array)) for array in known]
    convert = converter_for(node.operator, made.opset)
    if convert is None:
        raise NodeError("no layer computes it: it must work on arrays of the file alone")
    return convert(use)


# The network


def finished(file: OnnxFile, made: Building, result: Value, input_shape: Sequence[int]) -> Network:
    """The layers that a result needs, as a network with its weights.

    Raises:
        CheckpointError: the layers do not fit together.
    """
    if result.name in made.inputs:
        # Times one, which changes no bit.
        result = made.add("result", Apply(multiply, (1.0,)), [result], result.layout)
    steps = tied(made, made.needed(result))
    what = f"{file.path} cannot be read as an ONNX network"
    try:
        network = Network(tuple(steps), made.inputs, result.name)
        traced = trace_model(network, input_shape, training=True)
    except IsoconvError as error:
        raise turned(error, CheckpointError, what, path=file.path) from error
    uses = {id(layer): [own for own, each, *_ in steps if each is layer] for _, layer, *_ in steps}
    for call in traced.trace.calls:
        name = uses[id(call.module)].pop(0) if id(call.module) in uses else ""
        wanted = made.shapes.get(name, call.output)
        if wanted != call.output:
            text = f"layer {name!r} must give {wanted}; it gives {call.output}"
            raise refused(file.path, [text])
    learned = {name.rpartition(".")[0] for name in traced.parameters}
    if told := apart(made, [step for step in steps if step[0] in learned]):
        warn_outside(f"{printable(file.path)}: {told}")
    if made.split and result.sizes[:1] > (1,):
        warn_outside(f"{printable(file.path)}: {made.split[0]}")
    weights = {name: made.weights[name] for name in traced.trace.shapes if name in made.weights}
    values = check_names(traced.trace.shapes, weights)
    put_weights(network, traced.trace, traced.input_shape, values)
    return network

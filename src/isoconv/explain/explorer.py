"""What stands behind an explorer's page: a model, the image that is shown, and what a page asks.

Whatever a page sends comes from a browser and is checked: names and numbers are looked up in what
is there, pictures are read as pictures from strangers are, and nothing is a path.
"""

from __future__ import annotations

import base64
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from isoconv.errors import ArgumentError, DataFileError, DataWarning, as_given
from isoconv.explain.explanation import part_as_dict
from isoconv.explain.given import pictures
from isoconv.explain.losses import usual_loss
from isoconv.explain.network import Network
from isoconv.explain.numbers import explain_in
from isoconv.explain.parts import part_of
from isoconv.explain.protocol import Scene
from isoconv.explain.saliency import occluded
from isoconv.explain.update import Start
from isoconv.graph.operation import Array
from isoconv.nn import Module
from isoconv.printable import printable
from isoconv.train.losses import LOSSES, Loss, LossName

MOST_BYTES = 20 * 2**20
"""Of a picture file that a page sends."""


class StaleSceneError(ArgumentError):
    """A question about a scene that is no longer shown; its page is to ask what is shown now."""


class Explorer:
    """A model and one image, shown by a page; threads may share it.

    Args:
        model: a built model.
        image: what is shown first, as for `isoconv.explain`; None for a picture of grey.
        label: its class, by number; None if it is not known.
        title: what the page is called.
        name: what the image is called.
        more: further entries of every description.
        loss: what the model was trained to make small; None for what its finish says.
        start: what the optimizer's next step starts from, for the update of a weight; None where
            that is not known.
        notes: what is to be said beside that step, a line each.

    Attributes:
        model: as given.
        more: as given; what is put in here stands in the next description.
        start: as given.
        notes: as given.
        number: of the image among those that a page may choose from; None for another one.
        scene: what is shown now.
        serial: number of the scene, which every change raises.
        abilities: what `ask` is able to do beside the description.

    Example:
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(2, 3), nn.Flatten(), nn.Linear(3)).build((5, 5, 1))
        >>> explorer = Explorer(model, np.ones((5, 5, 1), np.float32))
        >>> explorer.ask("label", {"label": 2})["image"]["label"]
        2
    """

    def __init__(
        self,
        model: Module,
        image: Any = None,
        label: int | None = None,
        *,
        title: str = "",
        name: str = "",
        more: Mapping[str, Any] | None = None,
        loss: Loss | None = None,
        start: Start | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.model = model
        self.title = title
        self.serial = 0
        self.number: int | None = None
        self.more = dict(more or {})
        self.start = start
        self._loss = loss
        self._class_number: int | None = None
        self.notes: Sequence[str] = tuple(notes)
        self._lock = threading.RLock()
        self._actions: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "label": self._label,
            "of": self._of,
            "draw": self._draw,
            "explain": self._explain,
            "terms": self._terms,
            "occlusion": self._occlusion,
        }
        self.scene: Scene
        self._before: Scene | None = None
        self._read: tuple[str, ...] = ()
        self._said: tuple[str, ...] = ()
        images, read = (self._grey(), []) if image is None else pictures(model, image)
        if len(images) != 1:
            text = f"an explorer shows one image; got {len(images)}"
            raise ArgumentError(text, argument="image", value=image)
        names = {"images": "image", "labels": "label", "targets": "label"}
        with as_given(names, image=image, label=label):
            self._put(images, label, name or ("a grey picture" if image is None else ""), read=read)

    @property
    def abilities(self) -> list[str]:
        """What a page may ask for, in the order of the alphabet."""
        return sorted([*self._actions, "show"])

    def add_action(self, what: str, action: Callable[[Mapping[str, Any]], Any]) -> None:
        """Let pages ask for something more; a result of None stands for the new description."""
        self._actions[what] = action

    # What a page asks

    def description(self) -> dict[str, Any]:
        """The description of the scene, its number and what may be asked."""
        with self._lock:
            told = {**self.scene.description(), **self.more}
            told["image"]["number"] = self.number
            told["image"]["notes"] = list(self._said)
            return {**told, "scene": self.serial, "abilities": self.abilities}

    def array(self, scene: int, index: int) -> bytes:
        """A node's value in a scene.

        Raises:
            ArgumentError: the scene is no longer shown, or has no such node.
        """
        with self._lock:
            # A page may still ask for numbers of the scene before, while it learns of another one.
            shown = self.scene if scene == self.serial else self._before
            if scene not in (self.serial, self.serial - 1) or shown is None:
                raise self._stale(scene)
            return shown.array(index)

    def ask(self, what: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Do what a page asks for; see docs/explorer.md.

        Raises:
            StaleSceneError: the ``scene`` among the arguments is no longer shown.
            ArgumentError: there is no such thing, or an argument that is none.
        """
        action = self._actions.get(what) if isinstance(what, str) else None
        if action is None:
            raise ArgumentError(f"a page may ask for {', '.join(self.abilities)}; got {what!r}")
        if not isinstance(arguments, Mapping):
            raise ArgumentError(f"what a page asks has named arguments; got {arguments!r:.80}")
        with self._lock:
            scene = arguments.get("scene", self.serial)
            if scene != self.serial:
                raise self._stale(scene)
            found = action(arguments)
            return self.description() if found is None else found

    def _stale(self, scene: Any) -> StaleSceneError:
        return StaleSceneError(
            f"scene {scene!r:.20} is no longer shown; now it is {self.serial}: another page has "
            "changed the picture, or what is asked of it"
        )

    def show_file(self, content: bytes, name: str) -> dict[str, Any]:
        """Show a picture of which a page sends the content; its class is not known.

        Raises:
            ArgumentError: it is too large.
            DataFileError: it is no picture, or none that the model reads.
        """
        if len(content) > MOST_BYTES:
            raise ArgumentError(
                f"a picture may have {MOST_BYTES:,} bytes; {name!r:.80} has {len(content):,}"
            )
        with tempfile.TemporaryDirectory(prefix="isoconv-") as folder:
            file = Path(folder) / "picture"
            file.write_bytes(content)
            try:
                images, read = pictures(self.model, file)
            except DataFileError as error:
                # A person knows the picture by the name it had, not by where it lay meanwhile.
                where = printable(name) or "the picture"
                raise DataFileError(error.reason).within(where, path=name) from None
        return self.show(images, None, name, read=read)

    def show(
        self,
        images: Array,
        label: int | None,
        name: str,
        number: int | None = None,
        *,
        read: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Show another image, ``(1, H, W, C)``.

        Args:
            images: the image.
            label: its class.
            name: what it is called.
            number: the one that a page knows it by.
            read: what is to be said of how it was read.
        """
        with self._lock:
            self._put(images, label, name, read=read)
            self.number = number
            return self.description()

    # Scenes

    def _put(
        self,
        images: Array,
        label: int | None,
        name: str,
        of: str | int | None = None,
        *,
        read: Sequence[str] = (),
    ) -> None:
        """Show an image in the model; what is shown stays if that fails."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            self._show(images, label, name, of)
        # Who looks at the page does not see the terminal.
        self._read = tuple(read)
        said = [*read, *(str(each.message) for each in caught)]
        kind = self.scene.network.loss_kind
        if label is not None and not LOSSES[kind].by_class:
            said.append(f"the loss is {kind}, whose target here is 1 for the class and 0 elsewhere")
        self._said = tuple(dict.fromkeys(said))

    def _show(self, images: Array, label: int | None, name: str, of: str | int | None) -> None:
        kind = None if self._loss is None else self._loss.name
        smoothing = 0.0 if self._loss is None else self._loss.label_smoothing
        targets = None if label is None else self._targets(images, label, kind)
        network = Network(
            self.model, images, targets, loss=kind, label_smoothing=smoothing,
            class_weights=() if self._loss is None else self._loss.class_weights,
        )  # fmt: skip
        scene = Scene(network, title=self.title, image_name=name, of=of, label=label)
        network.flow(scene.of)
        self._class_number = label
        self._before = self._before if self.serial == 0 else self.scene
        self.scene = scene
        self.serial += 1

    def _targets(self, images: Array, label: int, kind: LossName | None) -> Any:
        """A class as the loss takes it: its number, or 1 in its place and 0 elsewhere."""
        if LOSSES[kind or usual_loss(self.model)].by_class:
            return [label]
        plain = Network(self.model, images, loss=kind)
        shape = plain.node(plain.output).spec.shape
        if len(shape) != 1:
            raise ArgumentError(
                f"a class is no target of loss {plain.loss_kind!r} for results of shape {shape}"
            )
        targets = np.zeros((1, *shape), np.float32)
        if shape == (1,):
            targets[0, 0] = label
        else:
            targets[0, label] = 1
        return targets

    def again(self, label: int | None, of: str | int | None = None) -> None:
        """The same image once more: with another label, by other weights."""
        self._put(self.scene.network.images, label, self.scene.image_name, of, read=self._read)

    def change_model(self, model: Module) -> None:
        """Show the same image in another model of the same architecture."""
        before, self.model = self.model, model
        try:
            self.again(self.label, self.scene.of)
        except BaseException:
            self.model = before
            raise

    @property
    def label(self) -> int | None:
        """The class of the image, or None."""
        return self._class_number

    def _grey(self) -> Array:
        shape, trained = self.model.input_shape, self.model.trained_on
        if shape is None:
            raise ArgumentError("only a built or trained model is shown: call model.build(shape)")
        if trained is None:
            return np.zeros((1, *shape), np.float32)
        middle = (trained.low + trained.high) / 2
        return np.full((1, *shape), middle, trained.dtype)

    # Actions

    def _label(self, arguments: Mapping[str, Any]) -> None:
        label = arguments.get("label")
        self.again(None if label is None else self._class(label))

    def _of(self, arguments: Mapping[str, Any]) -> None:
        of = arguments.get("of")
        if of == "loss" and self.label is None:
            raise ArgumentError("the gradient of the loss needs the image's class: choose one")
        self.again(self.label, "loss" if of == "loss" else self._class(of))

    def _class(self, number: Any) -> int:
        classes = self.scene.network.node(self.scene.network.logits).spec.size
        if not is_below(number, classes):
            raise ArgumentError(f"a class lies in 0 … {classes - 1}; got {number!r:.80}")
        return number

    def _draw(self, arguments: Mapping[str, Any]) -> None:
        shape = self.scene.network.images.shape[1:]
        try:
            pixels = base64.b64decode(str(arguments.get("pixels", "")), validate=True)
        except ValueError:
            raise ArgumentError("a drawing is sent as base64 of its pixels") from None
        if len(pixels) != int(np.prod(shape)):
            raise ArgumentError(
                f"a drawing has a byte for each of {shape}; got {len(pixels):,} bytes"
            )
        drawn = np.frombuffer(pixels, np.uint8).reshape(1, *shape)
        trained = self.model.trained_on
        if trained is not None and trained.dtype == "uint8":
            images: Array = drawn.copy()
        else:
            low, high = (0.0, 1.0) if trained is None else (trained.low, trained.high)
            images = (low + drawn.astype(np.float32) / 255 * (high - low)).astype(np.float32)
        self.show(images, None, "a drawing")

    def _explain(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        layer, place = arguments.get("layer"), arguments.get("place", [])
        gradient = arguments.get("gradient")
        if not isinstance(layer, str) or not isinstance(place, list) or len(place) > 8:
            raise ArgumentError("an explanation needs a layer's name and a place")
        if gradient is not None and not isinstance(gradient, str):
            raise ArgumentError(f"gradient must be a name; got {gradient!r:.80}")
        # What is to be said of a step is said where there is one: beside a gradient of the loss.
        steps = gradient not in (None, "value", "input") and self.scene.of == "loss"
        found = explain_in(
            self.scene.network, (layer, *place), gradient=gradient, of=self.scene.of,
            start=self.start, notes=self.notes if steps else (),
        )  # fmt: skip
        return {**found.to_dict(), "written": found.to_text()}

    def _occlusion(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Bytes of float32 as base64: how far the class falls where a patch is covered."""
        target = arguments.get("target")
        network = self.scene.network
        if target is None:
            # A loss speaks of the class that the picture is of.
            target = self.label if self.scene.of == "loss" else self.scene.of
        found = occluded(network, self._class(target))
        told = "; ".join(f"{name} {value}" for name, value in found.settings.items())
        return {
            "map": base64.b64encode(np.ascontiguousarray(found.map, "<f4").tobytes()).decode(),
            "shape": list(found.map.shape),
            "target": found.target,
            "note": "; ".join([told, *found.notes]),
        }

    def _terms(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        index, place = arguments.get("node"), arguments.get("place")
        network = self.scene.network
        if not is_below(index, network.size):
            raise ArgumentError(f"a node lies in 0 … {network.size - 1}; got {index!r:.80}")
        node = network.node(index)
        if node.op == "input":
            raise ArgumentError(f"node {index} is given, not computed")
        sides = node.spec.shape
        inside = (
            isinstance(place, list)
            and len(place) == len(sides)
            and all(is_below(at, side) for at, side in zip(place, sides, strict=True))
        )
        if not inside or not isinstance(place, list):
            raise ArgumentError(f"a place in node {index} lies inside {sides}; got {place!r:.80}")
        element = (*((0,) if node.spec.batched else ()), *place)
        return part_as_dict(part_of(network, index, element))


def is_below(number: Any, below: int) -> TypeGuard[int]:
    """Whether what a page sends is a whole number from 0 to below this one."""
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < below

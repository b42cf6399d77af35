"""What a model knows beside its weights: the images it takes, and what its results mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isoconv.checks import check_array, check_choice, check_kind, check_text, refusal
from isoconv.graph.operation import Array
from isoconv.nn.record import FINISHES, Facts, TrainedOn
from isoconv.nn.snapshot import changed_together, note_change
from isoconv.run.immutable import immutable_copy

_OF_TRAINING = ("_normalisation", "_finish", "_class_names", "_trained_on", "_minimised")


class Described:
    """The facts of a model, which training leaves with it and files carry along.

    They stand in attributes of the model's own, so that copies and predictions see them.
    """

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """The shape that ``build`` was given, or None."""
        shape: tuple[int, ...] | None = self.__dict__.get("_input_shape")
        return shape

    @property
    def normalisation(self) -> tuple[Array, Array] | None:
        """Scale and offset per channel, ``x * scale + offset``, that come before the model."""
        found: tuple[Array, Array] | None = self.__dict__.get("_normalisation")
        return found

    @normalisation.setter
    def normalisation(self, value: tuple[Array, Array] | None) -> None:
        if value is not None:
            if not isinstance(value, (tuple, list)) or len(value) != 2:
                raise refusal("normalisation", "be a pair (scale, offset) or None", value)
            scale, offset = (
                immutable_copy(check_array(name, array).astype(np.float32))
                for name, array in zip(("scale", "offset"), value, strict=True)
            )
            value = scale, offset
        self.__dict__["_normalisation"] = value
        note_change()

    @property
    def finish(self) -> str:
        """What ``predict`` puts behind the model's own result."""
        return str(self.__dict__.get("_finish", "softmax"))

    @finish.setter
    def finish(self, value: str) -> None:
        self.__dict__["_finish"] = check_choice("finish", value, FINISHES)
        note_change()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the results; empty when nobody named them."""
        found: tuple[str, ...] = self.__dict__.get("_class_names", ())
        return found

    @class_names.setter
    def class_names(self, value: Sequence[str]) -> None:
        if not isinstance(value, (tuple, list)):
            raise refusal("class_names", "be a list of names", value)
        self.__dict__["_class_names"] = tuple(check_text("class_names", name) for name in value)
        note_change()

    @property
    def trained_on(self) -> TrainedOn | None:
        """What the images were like that the model was trained on; None before."""
        found: TrainedOn | None = self.__dict__.get("_trained_on")
        return found

    @trained_on.setter
    def trained_on(self, value: TrainedOn | None) -> None:
        if value is not None and not isinstance(value, TrainedOn):
            raise refusal("trained_on", "be a TrainedOn or None", value)
        self.__dict__["_trained_on"] = value
        note_change()

    def take_facts(self, facts: Facts) -> None:
        """Be what a record says, the weights aside."""
        check_kind("facts", facts, Facts, "a record of Facts")
        with changed_together():
            self.normalisation = facts.normalisation
            self.finish = facts.finish
            self.class_names = facts.class_names
            self.trained_on = facts.trained_on

    def forget_training(self) -> None:
        """Know nothing of images and classes, as before any training."""
        with changed_together():
            for name in _OF_TRAINING:
                self.__dict__.pop(name, None)

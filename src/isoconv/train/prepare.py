"""Model, data and settings put together and checked, before the first kernel is compiled."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from isoconv.arithmetic import ARITHMETIC_VERSION
from isoconv.data import Dataset, normalisation, table
from isoconv.errors import ShapeError
from isoconv.graph.ir import DType
from isoconv.nn import trace_model
from isoconv.nn.initial import check_memory
from isoconv.run.training import StepGraph
from isoconv.train.callbacks import EarlyStopping
from isoconv.train.checkpoint import Checkpoint
from isoconv.train.metrics import Data, as_dataset, check_images
from isoconv.train.receipt import FORMAT
from isoconv.train.session import Plan
from isoconv.train.settings import to_plain, versions
from isoconv.train.step import Normalisation, Preparation, build_step, targets_for
from isoconv.train.structure import layers, step_digest

if TYPE_CHECKING:
    from isoconv.train.trainer import Trainer

__all__ = ["FirstWeights", "Prepared"]

FirstWeights = Literal["seed", "given"]
"""Where the first weights come from: drawn from the seed, or the model had them."""


class Prepared:
    """Model, data and settings put together and checked."""

    def __init__(self, trainer: Trainer, train: Data, validation: Data | None) -> None:
        self.trainer = trainer
        self.train = as_dataset(train, "training data")
        self.validation = None if validation is None else as_dataset(validation, "validation data")
        dtype: DType = "uint8" if self.train.images.dtype == np.uint8 else "float32"
        constants = Normalisation(*normalisation(self.train)) if trainer.normalise else None
        self.preparation = Preparation(
            self.train.image_shape, dtype, constants, trainer.augmentation
        )
        self.first_weights = self._build_model()
        self.step: StepGraph = build_step(
            trainer.model, self.preparation, trainer.loss, trainer.optimizer, trainer.clip_norm
        )
        self._output = self._output_shape()
        self.labels = targets_for(self.train, trainer.loss, self._output)
        if self.validation is not None:
            check_images(self.validation, self.preparation)
            targets_for(self.validation, trainer.loss, self._output)

    def _build_model(self) -> FirstWeights:
        """See that the model has weights; returns where they come from."""
        model, shape = self.trainer.model, self.train.image_shape
        if model.input_shape is None:
            # The model's parameters, those that are trained, a gradient, the optimizer's vectors.
            vectors = 3 + len(self.trainer.optimizer.slots)
            check_memory(trace_model(model, shape, training=True), vectors)
            model.build(shape, self.trainer.seed)
            return "seed"
        if model.input_shape != shape:
            raise ShapeError(
                f"the model was built for images of shape {model.input_shape}; "
                f"{self.train.name} has {shape}"
            )
        fresh = copy.deepcopy(model).build(shape, self.trainer.seed)
        return "seed" if fresh.digest() == model.digest() else "given"

    def _output_shape(self) -> tuple[int, ...]:
        traced = trace_model(self.trainer.model, self.train.image_shape, training=True)
        return traced.output_tensor.shape

    def describe(
        self, epochs: int, stopping: EarlyStopping | None, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The content of run.json at the start."""
        model = self.trainer.model
        constants = self.preparation.normalisation
        data = {"train": _describe_data(self.train)}
        if self.validation is not None:
            data["validation"] = _describe_data(self.validation)
        return {
            "settings": self.trainer.settings(),
            "epochs": epochs,
            "early_stopping": to_plain(stopping),
            "data": data,
            "facts": to_plain(facts),
            "keep_checkpoints": self.trainer.keep_checkpoints,
            "learning_rate_hex": float(self.trainer.optimizer.learning_rate).hex(),
            "model": {
                "text": repr(model),
                "input_shape": list(self.train.image_shape),
                "parameters": {name: list(shape) for name, shape in self.step.parameters.items()},
                "states": {name: list(shape) for name, shape in self.step.states.items()},
                "first_weights_sha256": model.digest(),
            },
            "normalisation": None
            if constants is None
            else {
                "scale": [float(value).hex() for value in constants.scale],
                "offset": [float(value).hex() for value in constants.offset],
            },
            "versions": versions(),
        }

    def receipt_head(self, described: Mapping[str, Any]) -> dict[str, Any]:
        """The receipt without its epochs: nothing in it depends on the machine.

        Args:
            described: from `describe`.
        """
        model = described["model"]
        name = described["facts"].get("model")
        return {
            "format": FORMAT,
            "isoconv": described["versions"]["isoconv"],
            "arithmetic": ARITHMETIC_VERSION,
            "model": {
                "name": name if isinstance(name, str) else None,
                "layers": layers(self.trainer.model),
                "input_shape": model["input_shape"],
                "output_shape": list(self._output),
                "parameters": model["parameters"],
                "states": model["states"],
                "graph_sha256": step_digest(self.step),
            },
            "settings": {
                **described["settings"],
                "epochs": described["epochs"],
                "early_stopping": described["early_stopping"],
            },
            "data": {
                part: {"samples": found["samples"], "sha256": found["sha256"]}
                for part, found in described["data"].items()
            },
            "normalisation": described["normalisation"],
            "start": self.first_weights,
        }

    @property
    def data_names(self) -> dict[str, str]:
        """What the data are called here; a path, perhaps."""
        names = {"train": self.train.name}
        return names if self.validation is None else {**names, "validation": self.validation.name}

    def start(self) -> Checkpoint:
        """Before the first step."""
        step = self.step
        weights = self.trainer.model.weights
        zeros = {name: np.zeros(shape, np.float32) for name, shape in step.parameters.items()}
        return Checkpoint(
            epoch=0,
            step=0,
            parameters={name: weights[name].astype(np.float32) for name in step.parameters},
            states={name: weights[name].astype(np.float32) for name in step.states},
            slots={slot: dict(zeros) for slot in step.slots},
        )

    def plan(self, epochs: int, stopping: EarlyStopping | None) -> Plan:
        """What the loop is given."""
        trainer = self.trainer
        arrays = {"images": self.train.images, "labels": self.labels}
        if trainer.augmentation is not None and self.preparation.augments:
            height, width, _ = self.train.image_shape
            samples = np.arange(len(self.train))
            arrays["augmentation"] = table(
                trainer.augmentation, trainer.seed, 0, samples, height, width
            )
        return Plan(
            step=self.step,
            arrays=arrays,
            image_shape=self.train.image_shape,
            validation=self.validation,
            optimizer=trainer.optimizer,
            schedule=trainer.schedule,
            augmentation=trainer.augmentation,
            batch_size=trainer.batch_size,
            seed=trainer.seed,
            epochs=epochs,
            early_stopping=stopping,
            callbacks=trainer.callbacks,
        )

    def mark_model(self) -> None:
        """Leave with the model how its images are prepared and what its results mean."""
        model, constants = self.trainer.model, self.preparation.normalisation
        model.normalisation = None if constants is None else (constants.scale, constants.offset)
        model.finish = _FINISHES[self.trainer.loss.name]


_FINISHES = {"cross_entropy": "softmax", "bce": "sigmoid", "mse": "none"}


def _describe_data(data: Dataset) -> dict[str, Any]:
    return {
        "sha256": data.digest(),
        "samples": len(data),
        "class_names": list(data.class_names),
    }

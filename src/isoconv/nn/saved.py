"""Models in files: all that a prediction needs, read back without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoconv.checks import check_path
from isoconv.errors import ArgumentError, CheckpointError, ShapeError, in_file, turned
from isoconv.graph.operation import Array
from isoconv.nn import storage
from isoconv.nn.architecture import architecture_of, model_of, of_a_stranger
from isoconv.nn.record import Facts, read_record, with_weights
from isoconv.nn.snapshot import changed_together, whole
from isoconv.wording import either

if TYPE_CHECKING:
    from isoconv.nn.module import Module

_PARTS = ("parameter:", "state:")
_SLOT = "slot:"
_WAY_ON = (
    "; model.load_weights takes them, and isoconv.exchange.load_into where the names are PyTorch's"
)


def facts_of(model: Module) -> Facts:
    """All that a model is beside its weights.

    Raises:
        ArgumentError: the model was not built.
    """
    if model.input_shape is None:
        text = "only a built model can be saved: call model.build(input_shape)"
        raise ArgumentError(text, argument="model", value=model)
    return Facts(
        architecture=architecture_of(model),
        input_shape=model.input_shape,
        trained_on=model.trained_on,
        normalisation=model.normalisation,
        class_names=model.class_names,
        finish=model.finish,
    )


def record_of(model: Module) -> dict[str, Any]:
    """A model's whole record; see `isoconv.nn.record`."""
    return _arrays_and_record(model)[1]


def _arrays_and_record(model: Module) -> tuple[dict[str, Array], dict[str, Any]]:
    """A model's weights, and the record that belongs to them whatever other threads load."""
    with whole:
        facts, weights = facts_of(model), model.weights
    return weights, with_weights(facts.plain(), storage.digest(weights))


def save(model: Module, path: str | Path) -> None:
    """Write a model with all that a prediction needs; see ``Module.save``."""
    storage.write(check_path("path", path), *_arrays_and_record(model))


def read_model(path: str | Path, model: Module | None = None) -> Module:
    """The model in a file that isoconv wrote.

    Args:
        path: of the file.
        model: to put the weights into; None to make one of the file's record.

    Raises:
        CheckpointError: the file cannot be read, was altered, belongs to another model, or holds a
            model of a person's own class and none is given.
    """
    path = check_path("path", path)
    arrays, record = storage.read(path)
    if not record:
        raise CheckpointError(
            f"{path} has no record of its model (architecture, input shape, preparation of "
            f"images): it holds mere arrays{either(_WAY_ON, '')}",
            path=path,
        )
    with in_file(path):
        facts = read_record(record, str(path))
    weights = weights_in(arrays)
    found = storage.digest(weights)
    if found != record.get("weights_sha256"):
        raise CheckpointError(
            f"the weights in {path} were altered: their SHA-256 must be "
            f"{record.get('weights_sha256')}; it is {found}",
            path=path,
        )
    if model is None and facts.architecture is None:
        raise CheckpointError(
            f"{path} holds a model of a person's own class, which is not stored: "
            + either(
                "give a model of that class, isoconv.load(path, model=…)",
                "only a program that has this class can use it (docs/training.md)",
            ),
            path=path,
        )
    try:
        if model is None:
            model = model_of(facts.architecture, "it")
            with of_a_stranger("it"):
                model.place(facts.input_shape, weights)
            model.take_facts(facts)
        else:
            _check_same(facts, model)
            with changed_together():
                model.place(facts.input_shape, weights)
                model.take_facts(facts)
    except (CheckpointError, ShapeError) as error:
        what = f"{path} belongs to another model, or was altered"
        raise turned(error, CheckpointError, what, path=path) from error
    return model


def read_into(model: Module, path: str | Path) -> None:
    """Read a file into a model that is there; see ``Module.load``."""
    read_model(path, model)


def weights_in(arrays: dict[str, Array]) -> dict[str, Array]:
    """Parameters and states of a file of weights or of a checkpoint, by name."""
    prefixed = all(name.startswith((*_PARTS, _SLOT)) for name in arrays)
    if not prefixed or not arrays:
        return arrays
    return {
        name.partition(":")[2]: array for name, array in arrays.items() if name.startswith(_PARTS)
    }


def _check_same(facts: Facts, model: Module) -> None:
    """See that a given model is of the file's architecture, as far as both can be told."""
    given = architecture_of(model)
    if facts.architecture is not None and given is not None and given != facts.architecture:
        raise CheckpointError(
            f"the file's architecture is {_short(facts.architecture)}, the given one is "
            f"{_short(given)}"
        )


def _short(plain: Any) -> str:
    text = str(plain)
    return text if len(text) <= 600 else f"{text[:600]}…"

"""Options of the command line that come from the record of a training's settings."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from scripts.document_commands import commands
from tests.cli.command import fail

from isoconv.cli import app
from isoconv.cli.train import settings_of, train
from isoconv.train.settings import ALL, SETTINGS

TRAIN = next(command for command in commands(app) if command.name == "train")


@pytest.mark.parametrize("name", ALL)
def test_options_are_those_of_the_record(name: str) -> None:
    """Each option of a setting is one of ``isoconv train``, with its names, meaning and default."""
    known = {parameter.names: parameter for parameter in TRAIN.parameters}
    taken = inspect.signature(train).parameters
    for option in ALL[name].options_of(name):
        found = known[option.names]
        assert option.help.startswith(found.meaning)
        assert taken[option.parameter].default == option.default
        if option.usual:
            assert found.default.strip("`") == option.usual


def told(**options: Any) -> dict[str, Any]:
    """What a command is given of its options when these are given."""
    usual = {
        option.parameter: option.default
        for name, each in ALL.items()
        for option in each.options_of(name)
    }
    return {**usual, **options}


def test_nothing_said_is_nothingsettings_of() -> None:
    """Without an option every setting is as the library has it."""
    assert settings_of(told()) == {
        name: each.default for name, each in SETTINGS.items() if each.options_of(name)
    }


def test_options_make_settings() -> None:
    """Several of them make one setting, with what is usual of it where nothing is said."""
    given = settings_of(told(optimizer="sgd", nesterov=True, warmup=2.0, augment="flip", seed=3))
    assert (given["optimizer"].learning_rate, given["optimizer"].momentum) == (0.05, 0.9)
    assert given["optimizer"].nesterov
    assert given["schedule"].epochs == 2
    assert given["augmentation"].flip
    assert given["seed"] == 3
    assert settings_of(told(augment="none"))["augmentation"] is None
    assert settings_of(told(weight_decay=0.5))["optimizer"].weight_decay == 0.5
    assert settings_of(told(optimizer="adam"))["optimizer"].learning_rate == 0.002


def test_a_choice_that_there_is_not_is_told() -> None:
    """The names are those of the record."""
    told = fail("train", "fashion-sample", "--optimizer", "lion")
    assert told.startswith("--optimizer must be one of sgd, adam, adamw; got lion")

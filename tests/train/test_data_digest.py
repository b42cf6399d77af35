"""Runs whose data digest is of an earlier version are verified and gone on with; others are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.train.small import make, noise

from isoconv.data import Dataset
from isoconv.errors import CheckpointError
from isoconv.train import Callback, Run, RunFolder, verify

NAMES, OTHERS = ("a\nb", "c"), ("a", "b\nc")


class Stops(Callback):
    """Ends a run after its first epoch."""

    def on_epoch_end(self, *_: object) -> None:
        """The first epoch is over."""
        raise KeyboardInterrupt


def data(names: tuple[str, ...], seed: int = 0) -> Dataset:
    """Small images of two classes of these names."""
    return replace(noise(28, seed), class_names=names, numbered=False)


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Run]], Run]:
    """A function that does something as it was with version 1 of the digest."""
    usual = Dataset.digest

    def done(what: Callable[[], Run]) -> Run:
        with monkeypatch.context() as patch:
            patch.setattr(Dataset, "digest", lambda own, **_: usual(own, version=1))
            return what()

    return done


def written(folder: Path) -> str:
    """The digest of the training part as the receipt has it."""
    receipt = json.loads(RunFolder(folder).receipt_file.read_text())
    return str(receipt["data"]["train"]["sha256"])


def test_a_run_with_the_earlier_digest_is_verified(
    tmp_path: Path, as_before: Callable[[Callable[[], Run]], Run]
) -> None:
    """The receipt of an earlier isoconv stands, byte for byte, and its own data fit it alone."""
    as_before(lambda: make().fit(data(NAMES), data(NAMES, 1), epochs=2, out=tmp_path / "run"))
    assert written(tmp_path / "run") == data(OTHERS).digest(version=1) != data(NAMES).digest()
    assert verify(tmp_path / "run", None, data(NAMES), data(NAMES, 1)).identical
    with pytest.raises(CheckpointError, match=r"was trained on other data|its own data only"):
        verify(tmp_path / "run", None, data(OTHERS), data(OTHERS, 1))


def test_a_run_with_the_earlier_digest_is_gone_on_with(
    tmp_path: Path, as_before: Callable[[Callable[[], Run]], Run]
) -> None:
    """What it leaves is what it would have left: the digest stays the one that it began with."""
    for name, callbacks in (("whole", []), ("cut", [Stops()])):

        def fit(name: str = name, callbacks: list[Stops] = callbacks) -> Run:
            trainer = make(callbacks=callbacks)
            return trainer.fit(data(NAMES), data(NAMES, 1), epochs=2, out=tmp_path / name)

        try:
            as_before(fit)
        except KeyboardInterrupt:
            assert name == "cut"
    with pytest.raises(CheckpointError, match=r"trained on other data|as it began only"):
        make().resume(tmp_path / "cut", data(OTHERS), data(OTHERS, 1))
    make().resume(tmp_path / "cut", data(NAMES), data(NAMES, 1))
    whole, cut = (
        {**json.loads(RunFolder(tmp_path / name).receipt_file.read_text()), "machine": {}}
        for name in ("whole", "cut")
    )
    assert whole == cut


def test_a_new_run_has_the_newest_digest(tmp_path: Path) -> None:
    """Names with line ends in them go into its receipt in one way only."""
    make().fit(data(NAMES), epochs=1, out=tmp_path / "run")
    assert written(tmp_path / "run") == data(NAMES).digest()
    assert verify(tmp_path / "run", None, data(NAMES)).identical

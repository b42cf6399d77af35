"""Pieces of work on nodes: all are done, whoever dies or joins; a verification says the same."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tests.cluster.machines import SCARCE, Machines, fit, full_store
from tests.train.small import difference, make, noise

from isoconv import Cluster, cross_validate, grid_search
from isoconv.batch.inputs import gathered
from isoconv.batch.predicting import predict_into
from isoconv.cluster.mapper import Mark
from isoconv.cluster.piece_worker import digest_of
from isoconv.cores import cores
from isoconv.errors import ArgumentError, DataError, TrainingError
from isoconv.graph.operation import Array
from isoconv.train import verify
from isoconv.train.context import TrainingContext

pytestmark = pytest.mark.filterwarnings("ignore")


def squares(table: Any, folder: Path, deadly: dict[int, int]) -> Callable[..., Any]:
    """Looks a number up; some numbers end their process, the first so many times."""

    def work(piece: int, tell: Callable[[Any], None]) -> Any:
        tell(f"at {piece}")
        for death in range(deadly.get(piece, 0)):
            mark = folder / f"{piece}-{death}"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGSTOP if piece == 5 else signal.SIGKILL)
        if piece == 99:
            raise DataError("99 must not be")
        return int(table[piece]), table.flags.writeable, cores()

    return work


def apart(said: list[str]) -> list[str]:
    """What was said, but for who is slow to begin on a machine that has much else to do."""
    return [line for line in said if " not begun: " not in line]


@pytest.mark.slow
def test_pieces_whose_workers_die(machines: Machines, tmp_path: Path) -> None:
    """All are done, one of them at the third attempt; arrays are read where they lie."""
    machines.have(2)
    table, told, said = np.arange(100_000) ** 2, list[Any](), list[str]()
    with Cluster(machines.address).mapper(said.append) as mapper:
        assert mapper.size == 2
        work = squares(table, tmp_path, {3: 1, 4: 1})
        pieces = iter(range(8))
        found = dict(mapper.map(work, pieces, lambda *what: told.append(what)))
        assert found == {piece: (piece * piece, False, 1) for piece in range(8)}
        assert {what for piece, what in told} == {f"at {piece}" for piece in range(8)}
        assert len(apart(said)) == 2
        assert all("; it is done again" in line for line in apart(said))
        # A node joins while work is under way, and takes some of it.
        given = list[int]()
        with closing(mapper.map(work, range(50, 60))) as results:
            for piece, _ in results:
                if not given:
                    machines.have(3)
                given.append(piece)
        assert sorted(given) == [*range(50, 60)]
        with pytest.raises(DataError, match="99 must not be"):
            dict(mapper.map(work, [98, 99]))
        machines.have(2)
        with pytest.raises(TrainingError, match="3 workers died with 7; the last: a worker on "):
            dict(mapper.map(squares(table, tmp_path, {7: 9}), [7]))


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_piece_that_hangs(machines: Machines, tmp_path: Path) -> None:
    """It is done by another once its worker gives no sign of life; one that works on is left."""
    machines.have(2)
    table, said = np.arange(10), list[str]()
    with Cluster(machines.address, patience=120).mapper(said.append) as mapper:
        found = dict(mapper.map(squares(table, tmp_path, {5: 1}), [4, 5, 6, 8]))
        assert sorted(found) == [4, 5, 6, 8]
        (line,) = apart(said)
        assert re.fullmatch(
            r"a worker on .* that was at 5 gives no sign of life for 120 s; it is done again", line
        )

        def sleeps(seconds: int, _: Callable[[Any], None]) -> int:
            time.sleep(seconds)
            return seconds

        # Longer than patience, with nothing to say.
        assert dict(mapper.map(sleeps, [14])) == {14: 14}
    assert len(apart(said)) == 1


@pytest.mark.slow
def test_nodes_without_memory(machines: Machines) -> None:
    """In all, or in the object store and on the disk behind it: put aside by name."""

    def total(piece: Any, _: Callable[[Any], None]) -> int:
        return int(piece.sum())

    def done() -> list[str]:
        said = list[str]()
        pieces = [np.full(2**20, value) for value in range(4)]
        with Cluster(machines.address, patience=300).mapper(said.append) as mapper:
            found = sorted(result for _, result in mapper.map(total, pieces))
        assert found == [value * 2**20 for value in range(4)]
        return apart(said)

    with full_store(machines):
        (line,) = done()
    assert re.fullmatch(
        r"\S+ \(\w+\) is put aside: the object store of its node must have .*", line
    )
    machines.have(2, env_vars=SCARCE)
    died, aside = done()
    machines.have(1)
    assert re.search(r"^a worker on .* died: its node ran out of memory", died)
    assert re.fullmatch(r"(\S+ \(\w+\)) is put aside: \1 ran out of memory", aside)


def test_two_drivers_in_a_folder(tmp_path: Path) -> None:
    """Each has a mark of its own there; that of a driver that was killed goes after a day."""
    old, recent = tmp_path / ".isoconv-cluster-0", tmp_path / ".isoconv-cluster-1"
    for path in (old, recent):
        path.touch()
    os.utime(old, (0, 0))
    with Mark(tmp_path) as one:
        before = digest_of(one.path)
        with Mark(tmp_path) as two:
            assert digest_of(two.path) != before
            assert not old.exists()
        assert not two.path.exists()
        assert digest_of(one.path) == before
    assert [*tmp_path.iterdir()] == [recent]


@pytest.mark.parametrize("lie", [False, True])
def test_a_verification(
    machines: Machines, tmp_path: Path, lie: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field and word is that of one machine, of a run as it was and of one that was not."""
    machines.have(2)
    run = tmp_path / "run"
    hyper = TrainingContext.hyper

    def lied(self: TrainingContext, first: int, count: int) -> Array:
        """In the second epoch the learning rate is not what the settings say."""
        wrong = lie and first // self.per_epoch == 1
        return hyper(self, first, count) * np.float32(1.01 if wrong else 1)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingContext, "hyper", lied)
        fit(run, keep_checkpoints=True)
    given: Any = (run, None, noise(44), noise(20, 1))
    alone = verify(*given, threads=1)
    shown = StringIO()
    cluster = Cluster(machines.address)
    found = verify(*given, cluster=cluster, progress=Console(file=shown, width=200))
    assert found == alone
    assert str(found) == str(alone)
    assert found.identical != lie
    if lie:
        assert difference(found).element is not None
    assert ("otherwise; it is trained again here" in shown.getvalue()) == lie
    assert "3 epochs in 3 pieces, each from a kept checkpoint: 2 workers of a cluster" in (
        shown.getvalue()
    )
    with pytest.raises(ArgumentError, match="workers must be 1 with a cluster"):
        verify(*given, cluster=cluster, workers=2)
    with pytest.raises(ArgumentError, match="audit must be 0"):
        verify(*given, cluster=Cluster(machines.address, audit=0.5))


@pytest.mark.slow
def test_folds_and_a_table(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs and rows are those of one machine; nodes that do not see the files are put aside."""
    machines.have(2)
    cluster, said = Cluster(machines.address, patience=300), list[str]()
    trainer = make(batch_size=20, shard_size=5)
    options: Any = {"folds": 3, "epochs": 1}
    alone = cross_validate(trainer, noise(44), **options)
    monkeypatch.chdir(tmp_path)
    found = cross_validate(trainer, noise(44), out="folds", cluster=cluster, **options)
    assert [fold.weights_sha256 for fold in found.folds] == [
        fold.weights_sha256 for fold in alone.folds
    ]
    assert found.mean == alone.mean
    assert not [*Path("folds").glob(".iso*")]
    over: Any = {"epochs": [1, 2]}
    one = grid_search(trainer, noise(44), over, 2, out="one")
    two = grid_search(trainer, noise(44), over, 2, out="two", cluster=cluster)
    assert str(one) == str(two)
    receipts = [sorted(Path(out).rglob("receipt.json")) for out in ("one", "two")]
    digests = [[json.loads(path.read_text())["digest"] for path in paths] for paths in receipts]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 4
    with pytest.raises(ArgumentError, match="workers must be 1 with a cluster"):
        grid_search(trainer, noise(44), over, 2, cluster=cluster, workers=2)
    with pytest.raises(ArgumentError, match="cluster must be None where the trainer has an exec"):
        cross_validate(make(executor=cluster), noise(44), cluster=cluster, **options)

    model = fit().model
    for number, image in enumerate(noise(12, 5).images):
        Image.fromarray(image[:, :, 0]).save(f"{number:02}.png")
    names = [f"{number:02}.png" for number in range(12)]
    for out, by in (("one.csv", None), ("two.csv", cluster)):
        written = predict_into(Path(out), model, ("a", "b"), gathered(names), cluster=by)
        assert (written.rows, written.lost) == (12, 0)
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()

    def other(_: Path) -> str:
        return "0" * 64

    said.clear()
    monkeypatch.setattr("isoconv.cluster.mapper.digest_of", other)
    with (
        cluster.mapper(said.append, tmp_path, [tmp_path / "00.png"]) as mapper,
        pytest.raises(TrainingError, match=r"must see .*00\.png as the driver does, on storage"),
    ):
        dict(mapper.map(squares([0], tmp_path, {}), [0]))
    assert len([line for line in said if " is put aside: " in line]) == 2

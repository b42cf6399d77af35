"""Packed data sets on a cluster: who sees the file reads it there, others get a copy."""

from __future__ import annotations

import re
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.cluster.machines import STORE, Machines
from tests.cluster.pretended import Pretended
from tests.train.small import make

from isoconv import Cluster, cross_validate, nn
from isoconv.cluster.executor import ClusterExecutor
from isoconv.cluster.material import PackPlace, SharedRows, opened, unseen
from isoconv.cluster.worker import Worker
from isoconv.data import load, pack
from isoconv.data.packed import open_pack
from isoconv.errors import DataFileError, NotEnoughMemoryError, TrainingError
from isoconv.train import Run, verify

SMALL = 40
LARGE = 1000
"""Images of 100,000 bytes: more than an object store of these nodes holds."""


def packed(folder: Path, count: int, name: str = "images.pack") -> Path:
    """Two classes of pictures without a meaning."""
    draw = np.random.default_rng(count)
    images = draw.integers(0, 256, (count, 250, 400, 1), np.uint8)
    pack((images, [*"ab"] * (count // 2)), folder / name)
    return folder / name


def network() -> nn.Sequential:
    """Which looks at every fiftieth row and column."""
    return nn.Sequential(nn.Conv2d(2, 5, stride=50), nn.ReLU(), nn.Flatten(), nn.Linear(2))


def fit(path: Path, out: Path | None = None, epochs: int = 2, **settings: Any) -> Run:
    """A training that reads the file."""
    own: dict[str, Any] = {"batch_size": 20, "shard_size": 5, "threads": 1, "augmentation": None}
    trainer = make(network(), **{**own, **settings})
    return trainer.fit(load(path), epochs=epochs, out=out)


def never(*_: Any) -> bool:
    """Nobody dies."""
    return False


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_pack_that_no_store_holds(machines: Machines, tmp_path: Path) -> None:
    """It is read where it lies, and ends in the bits of one machine; nothing is copied."""
    machines.have(2)
    path = packed(tmp_path, LARGE)
    assert path.stat().st_size > STORE
    said = StringIO()
    shared = fit(
        path,
        epochs=1,
        executor=Cluster(machines.address, patience=300),
        progress=Console(file=said, width=400),
    )
    assert shared.digest == fit(path, epochs=1).digest
    (facts,) = shared.description["executors"]
    assert all(each["steps"] > 0 for each in facts["workers"])
    assert "copy" not in said.getvalue()


class Blind(Worker):
    """One does not see files."""

    def about(self, packs: Any = ()) -> dict[str, Any]:
        """As ever, but for that."""
        found = {pack.path: "it is not there" for pack in packs if self.number == 2}
        return {**super().about(packs), "unseen": found}


def test_who_does_not_see_it_gets_a_copy(tmp_path: Path) -> None:
    """Which is said; the data are the same. Without room for one, the node is put aside by name."""
    path = packed(tmp_path, SMALL)
    alone = fit(path)
    for store, told in (
        (2**40, "gets a copy of what it does not see"),
        (1_000_000, "is put aside"),
    ):
        said, cluster = StringIO(), Pretended(never, 3, store)

        def connect(_: str, cluster: Pretended = cluster) -> Pretended:
            return cluster

        made = partial(ClusterExecutor, connect=connect, kind=Blind, patience=0.5)
        run = fit(path, executor=made, progress=Console(file=said, width=900))
        assert run.digest == alone.digest
        assert re.search(rf"{told}.*images\.pack \(it is not there\)", said.getvalue())
        (facts,) = run.description["executors"]
        assert (len(facts["aside"]) == 1) == (store < 2**40)
    blind = type("All", (Blind,), {"number": property(lambda _: 2, lambda _, __: None)})
    made = partial(
        ClusterExecutor, connect=lambda _: Pretended(never, 2, 1_000_000), kind=blind, patience=0.5
    )
    with pytest.raises(
        NotEnoughMemoryError, match=r"or it must see the packed file as the driver does: .*images"
    ):
        fit(path, executor=made)


class Spoiled(Worker):
    """One finds a damaged block in the second step."""

    steps = 0

    def sums(self, step: int, shards: range) -> list[Any]:
        """As ever, but for that."""
        self.steps += 1
        if self.number == 2 and self.steps > 1:
            raise DataFileError("images.pack: block 3 is damaged")
        return super().sums(step, shards)


def test_a_node_that_reads_something_else(tmp_path: Path) -> None:
    """It is put aside with the reason, and the others go on, to the same bits."""
    path = packed(tmp_path, SMALL)
    said = StringIO()
    made = partial(
        ClusterExecutor, connect=lambda _: Pretended(never, 3), kind=Spoiled, patience=0.5
    )
    run = fit(path, executor=made, progress=Console(file=said, width=400))
    assert run.digest == fit(path).digest
    (facts,) = run.description["executors"]
    assert facts["aside"] == ["images.pack: block 3 is damaged"]
    assert re.search(r"worker 2 on .* cannot go on in step 2 of epoch 1: images\.pack: block 3",
                     said.getvalue())  # fmt: skip
    every = type("All", (Spoiled,), {"number": property(lambda _: 2, lambda _, __: None)})
    made = partial(ClusterExecutor, connect=lambda _: Pretended(never, 3), kind=every, patience=0.5)
    with pytest.raises(TrainingError, match=r"all workers have died .*block 3 is damaged"):
        fit(path, executor=made)


def test_what_a_node_sees(tmp_path: Path) -> None:
    """The same path, bytes and digest; a block that is damaged is found when it is read."""
    path, other = packed(tmp_path, SMALL), packed(tmp_path, SMALL + 2, "other.pack")
    file = open_pack(path)
    here = PackPlace("images", str(path), file.size, file.sha256)
    assert unseen([here]) == {}
    for place, told in (
        (PackPlace("images", str(other), file.size, file.sha256), "must be the driver's, 4"),
        (PackPlace("images", str(tmp_path / "none"), 1, file.sha256), "cannot be opened: No such"),
    ):
        assert re.search(told, unseen([place])[place.path])
    del file
    content = bytearray(path.read_bytes())
    content[4096 + 3 * 2**20] ^= 1
    path.unlink()
    path.write_bytes(content)
    assert unseen([here]) == {}
    rows: Any = opened([here], {"images": np.arange(4, SMALL)})["images"]
    assert isinstance(rows, SharedRows)
    rows.ready()
    rows.expect(np.arange(4, 9))
    with pytest.raises(DataFileError, match=r"block 3 .* is damaged"):
        rows.expect(np.arange(30, 35))
    with path.open("ab") as end:
        end.write(b"more")
    with pytest.raises(DataFileError, match="as when it was opened"):
        rows.ready()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_folds_and_a_verification_of_a_pack(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes read it where it lies; one that does not see it is put aside before it is given any."""
    machines.have(2)
    monkeypatch.chdir(tmp_path)
    packed(tmp_path, SMALL)
    cluster, data = Cluster(machines.address, patience=300), load("images.pack")
    run = fit(Path("images.pack"), tmp_path / "run", keep_checkpoints=True)
    assert run.folder is not None
    assert verify(run.folder, None, data, cluster=cluster).identical
    options: Any = {"folds": 2, "epochs": 1}
    trainer = make(network(), batch_size=20, threads=1)
    alone = cross_validate(trainer, data, **options)
    found = cross_validate(trainer, data, out="folds", cluster=cluster, **options)
    assert [each.weights_sha256 for each in found.folds] == [
        each.weights_sha256 for each in alone.folds
    ]

    def other(path: Path) -> str:
        return "0" * 64 if path.suffix == ".pack" else ""

    monkeypatch.setattr("isoconv.cluster.mapper.digest_of", other)
    with pytest.raises(TrainingError, match=r"must see .*images\.pack as the driver does"):
        verify(run.folder, None, data, cluster=cluster)

"""A packed data set is predicted by the nodes of a cluster, each of which opens it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cluster.machines import Machines
from tests.serve.served import model_file

import isoconv as ic
from isoconv import Cluster
from isoconv.batch.inputs import gathered
from isoconv.batch.predicting import Written, predict_into

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class First:
    """Does the first part alone."""

    def map(self, work: Any, pieces: Iterable[Any], told: Any = None) -> Generator[Any, None, None]:
        """See `isoconv.run.pieces.Mapper`."""
        for piece in pieces:
            yield piece, work(piece, partial(told, piece))
            raise KeyboardInterrupt


def test_a_table_of_a_pack(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun by one process and finished by nodes it is the table of one process, byte for byte."""
    machines.have(2)
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(4).integers(0, 256, (70, 8, 8), np.uint8)
    ic.data.pack((images, [0, 1] * 35), "arrays.pack", progress=False)
    model = ic.load(model_file(tmp_path))

    def predicted(out: str, **more: Any) -> Written:
        inputs = gathered(["arrays.pack"])
        return predict_into(Path(out), model, tuple("abcd"), inputs, scale=1 / 255, **more)

    predicted("one.csv")
    with pytest.raises(KeyboardInterrupt):
        predicted("two.csv", mapper=First())
    said: list[str] = []
    cluster = Cluster(machines.address, patience=120)
    written = predicted("two.csv", cluster=cluster, told=said.append)
    assert (written.rows, written.lost) == (70, 0)
    assert said[0] == "16 of 70 pictures were predicted before: two.csv.parts"
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()

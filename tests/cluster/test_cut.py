"""A node whose network is cut in the middle of a training, and comes back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.cables import Cables, missing
from tests.left_out import NETWORKS

pytestmark = pytest.mark.slow

WORK = (sys.executable, "-m", "tests.cluster.killed", "small")
EPOCHS = ("--epochs", "12")


@pytest.fixture(scope="module")
def cables() -> Iterator[Cables]:
    """A head and three nodes, of which each test cuts one off for good.

    Tests are left out where there can be no such networks.
    """
    if why := missing():
        pytest.skip(f"{NETWORKS}{why}")
    found = Cables(3)
    yield found
    found.close()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What one machine comes to."""
    out = tmp_path_factory.mktemp("alone") / "run"
    command = [*WORK, str(out), *EPOCHS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def trained(
    cables: Cables, folder: Path, at: dict[str, Callable[[], None]]
) -> tuple[Any, list[str]]:
    """What a training on the cluster comes to, and what it says.

    Args:
        cables: the cluster.
        folder: for the run.
        at: what is done when a line is said that begins so.
    """
    command = cables.inside(1, *WORK, str(folder / "run"), *EPOCHS, "--address", cables.address)
    said: list[str] = []
    with subprocess.Popen(
        command, env=cables.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line.rstrip())
            for begin in [begin for begin in at if line.startswith(begin)]:
                at.pop(begin)()
        printed = process.stdout.read()
    assert not at, said
    # Ray tells of lost nodes there as well.
    return json.loads(printed.splitlines()[-1]), said


@pytest.mark.parametrize(
    ("machine", "cut", "mend"),
    [(4, "pull", "plug"), (3, "mute", "hear")],
    ids=["both ways", "what it sends"],
)
def test_a_node_that_is_cut_off(
    cables: Cables, alone: Any, tmp_path: Path, machine: int, cut: str, mend: str
) -> None:
    """The step goes on without it; when it is back, Ray ends on it, and the bits are the same."""
    at = {
        "epoch 2/": lambda: getattr(cables, cut)(machine),
        "epoch 6/": lambda: getattr(cables, mend)(machine),
    }
    found, said = trained(cables, tmp_path, at)
    assert found == alone
    text = "\n".join(said)
    died = re.search(r"^note: worker \d on \S+ \(\w+\) (died|gives no|is lost)", text, re.M)
    assert died, text
    assert text.index("workers run the steps: ") < text.index("epoch 2/") < died.start()
    assert died.start() < text.index("epoch 4/")

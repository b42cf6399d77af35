"""Trainings on a cluster where whatever can die is killed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.kills import Found, Story, kills


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore")
def test_some_kills(tmp_path: Path) -> None:
    """They end as on one machine; `python -m tests.cluster.kills` does more of them."""
    found = kills(8, 1, tmp_path)
    assert not found.faults
    assert found.killed >= 8
    assert found.digests > 0


@pytest.mark.parametrize("other", ["digest", "receipt", "history"])
def test_another_end_is_a_fault(tmp_path: Path, other: str) -> None:
    """Whatever differs from one machine is named."""
    alone: dict[str, Any] = {"digest": "a", "receipt": "b", "history": [{"loss": 1.0}]}
    found = Found()
    draw = random.Random(0)  # noqa: S311  # no secret
    machines: Any = None
    story = Story(machines, draw, found, tmp_path, tmp_path / "said", "small", 0, 1.0, 0.0)
    story.judge(alone, alone)
    assert (found.digests, found.faults) == (1, [])
    story.judge({**alone, other: None}, alone)
    assert found.faults == [f"small: other {other} than one machine"]

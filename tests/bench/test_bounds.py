"""What bounds the kernels of single convolutions: a table of what was measured."""

from __future__ import annotations

import re

import pytest
from bench.workloads import DIRECTIONS

from bench import __main__ as command
from isoconv.compile.target import host_target

# ruff: noqa: RUF001 - sizes are written with ×
NAME = r"ResNet-20 3×3, 64 → 64, 8² \[32\]"
ROW = re.compile(rf"\| {NAME}, ([a-z ]+) \| \d+ × \d+ × \d+ \| [a-zA-Z ]+ \| \d+% \| (\d+)% \|")
HEAD = ["| layer | tile | bound by | of peak | of bound |", "| --- | --- | --- | --- | --- |"]


@pytest.mark.slow
def test_each_direction_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """With the tile, what bounds it, and how near it comes."""
    assert command.main(["bounds", "--quick", "--threads", "1", "--only", "64 → 64, 8²"]) == 0
    core, *head, forward, by_input, by_weight = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        rf"{host_target().name}: [\d.]+ FMAs and [\d.]+ loads a cycle \(.+\); "
        r"\d+ GFLOP/s at best on 1 thread",
        core,
    )
    assert head == HEAD
    found = [ROW.fullmatch(row) for row in (forward, by_input, by_weight)]
    assert [each and each[1] for each in found] == [*DIRECTIONS]
    assert all(each and 0 < int(each[2]) < 150 for each in found)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--only", "no such layer"], "no layer is called no such layer"),
        (["--targets", "elsewhere"], "target must be one of"),
    ],
)
def test_wrong_names(capsys: pytest.CaptureFixture[str], options: list[str], told: str) -> None:
    """Are told, and nothing is measured."""
    assert command.main(["bounds", *options]) == 2
    assert told in capsys.readouterr().err

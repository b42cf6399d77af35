"""Thousands of spoiled files: each is read, or refused with an error that says what is wrong."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.fuzz.__main__ import all_seeds
from tests.fuzz.known import KNOWN
from tests.fuzz.mutate import KINDS, SHARES, Mutant, kind_of, mutant
from tests.fuzz.mutate_archives import any_npz
from tests.fuzz.planted import FAULTS
from tests.fuzz.readers import READERS, readers_of
from tests.fuzz.seeds import Seed, data_seeds

from isoconv.errors import IsoconvError
from isoconv.train import Receipt
from isoconv.train.stored import check_files

ROOT = Path(__file__).resolve().parents[2]
COUNTS = [600, pytest.param(10_000, marks=pytest.mark.exhaustive)]
"""Mutants of all kinds together."""
EXTRAS = ("avif", "heic", "webp")
"""Kinds that not every Pillow reads."""


def run_fuzzer(out: Path, *options: str) -> tuple[dict[str, Any], str]:
    """Run the fuzzer in a process without threads; gives what it found and what it said."""
    file = out / "found.json"
    command = [sys.executable, "-m", "tests.fuzz", "--json", str(file), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert file.exists(), done.stderr
    found = json.loads(file.read_text())
    assert done.returncode == bool(found["faults"]), done.stderr
    return found, done.stdout


@pytest.fixture(scope="module", params=COUNTS)
def found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, dict[str, Any], str]:
    """So many mutants, and what comes of those of the kinds whose tests are to be run."""
    asked = {
        vars(item)["callspec"].params["kind"]
        for item in request.session.items
        if item.fspath == request.node.fspath and "kind" in getattr(item, "fixturenames", ())
    }
    share = [SHARES[kind] for kind in asked]
    count = request.param * sum(share) // 100
    out = tmp_path_factory.mktemp("fuzz")
    words = ("--count", str(count), "--only", ",".join(sorted(asked)))
    return (request.param, *run_fuzzer(out, *words))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_file_does_harm(kind: str, found: tuple[int, dict[str, Any], str]) -> None:
    """A spoiled file is read or refused: no other error, hang, crash, output or doing besides."""
    count, result, said = found
    if kind in EXTRAS and not any(seed.kind == kind for seed in data_seeds()):
        pytest.skip(f"{kind} pictures are not read here")
    assert result["cases"].get(kind, 0) == count * SHARES[kind] // 100
    faults = {fault["what"]: fault for fault in result["faults"] if fault["kind"] == kind}
    known = {what for of, what in KNOWN if of == kind}
    new = [fault for what, fault in faults.items() if what not in known]
    told = "\n".join(
        f"python -m tests.fuzz --again {fault['number']}: {fault['what']}\n{fault['text']}"
        for fault in new
    )
    assert not new, f"{told}\n{said}"
    assert known <= set(faults), "a fault that is known was mended: strike it from known.py"


@pytest.mark.slow
def test_planted_faults_are_found(tmp_path: Path) -> None:
    """Readers that raise, hang, crash, take memory, write or warn are each found; good ones not."""
    options = ("--planted", "--count", str(len(FAULTS)), "--seconds", "0.5")
    result, _ = run_fuzzer(tmp_path, *options)
    seen = {fault["number"]: fault["what"] for fault in result["faults"]}
    wanted = {number: what for number, (_, what) in enumerate(FAULTS.values()) if what}
    assert seen == wanted
    assert sum(result["cases"].values()) == len(FAULTS)


@pytest.mark.slow
def test_a_fault_is_kept_with_its_command(tmp_path: Path) -> None:
    """A mutant with a fault is saved beside the command that reads it again."""
    kept = tmp_path / "kept"
    run_fuzzer(tmp_path, "--planted", "--count", "1", "--keep", str(kept))
    (fault,) = kept.iterdir()
    assert "tests.fuzz --seed 0 --again 0" in (fault / "0" / "command.txt").read_text()
    assert "KeyError" in (fault / "0" / "fault.txt").read_text()
    assert (fault / "0" / "files" / "text").exists()


def some_seeds() -> Sequence[Seed]:
    """Seeds that need no training, and text in place of a run."""
    record = json.dumps({"epochs": [{"epoch": 0, "loss": 0.5}], "final": None}).encode()
    return [*data_seeds(), Seed("run", "made", {"run.json": record})]


def test_a_mutant_is_a_function_of_its_numbers() -> None:
    """One seed and one number give one mutant; other numbers and other seeds give others."""
    first, again = some_seeds(), some_seeds()
    kinds = {seed.kind for seed in first}
    numbers = [number for number in range(300) if kind_of(number) in kinds]
    made = [mutant(0, number, first) for number in numbers]
    assert [mutant(0, number, again) for number in numbers] == made
    assert [mutant(1, number, first) for number in numbers] != made
    assert (
        len({str(sorted(each.files.items()) if each else each) for each in made})
        > len(numbers) * 0.9
    )


@pytest.mark.slow
def test_seeds_are_read_to_their_end(tmp_path: Path) -> None:
    """Each reader reads a seed that is not spoiled, and the runs among them are as they were."""
    unread = {reader for kind in KINDS for reader in readers_of(kind, 0)}
    for place, seed in enumerate(all_seeds()):
        folder = tmp_path / str(place)
        folder.mkdir()
        path = Mutant(-1, seed, seed.files, "").write(folder)
        for reader in readers_of(seed.kind, 0):
            with suppress(IsoconvError):
                reader(path)
                unread.discard(reader)
        if seed.kind in ("run", "receipt", "checkpoint"):
            assert check_files(Receipt.read(path)).difference is None
    # A folder that holds a run refuses another one, and data are told only when they are asked for.
    assert {reader.__name__ for reader in unread} <= {"_opened", "_of_run"}


def test_every_kind_has_its_share_and_readers() -> None:
    """Of a hundred mutants in a row each kind has its share, and each kind is read."""
    drawn = [kind_of(number) for number in range(100)]
    assert {kind: drawn.count(kind) for kind in KINDS} == dict(SHARES)
    assert sum(SHARES.values()) == 100
    assert set(READERS) == set(KINDS)


def test_mutants_of_archives_stay_archives() -> None:
    """Most mutants of an .npz file still begin as a zip file does, so that its inside is read."""
    (seed, *_) = (seed for seed in data_seeds() if seed.kind == "npz")
    draw = random.Random(0)  # noqa: S311  # no secret
    made = [any_npz(draw, seed.files["data.npz"]) for _ in range(200)]
    assert sum(content[:2] == b"PK" for content in made) > 150
    assert len(set(made)) > 150

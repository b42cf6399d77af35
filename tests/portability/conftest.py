"""Runs cases in processes of their own, and keeps the digests that they are to have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("worker.py")
GOLDEN = Path(__file__).with_name("golden.json")
PATIENCE = 1800  # seconds

Line = dict[str, Any]
Worker = Callable[..., Line]


def pytest_addoption(parser: pytest.Parser) -> None:
    """``pytest tests/portability --update-golden`` writes the digests anew."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write tests/portability/golden.json anew, after ARITHMETIC_VERSION was raised",
    )


@pytest.fixture(scope="session")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables of a worker; its kernels go into a folder of these tests."""
    kept = dict(os.environ)
    for name in ("GLIBC_TUNABLES", "NPY_DISABLE_CPU_FEATURES"):
        kept.pop(name, None)
    kept["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    return kept


@pytest.fixture(scope="session")
def command() -> Callable[..., list[str]]:
    """The command line of a case."""

    def of(case: str, *options: object) -> list[str]:
        return [sys.executable, str(WORKER), case, *map(str, options)]

    return of


@pytest.fixture(scope="session")
def served(
    surroundings: dict[str, str], command: Callable[..., list[str]]
) -> Iterator[Callable[..., Line]]:
    """Runs a case in a process that was forked behind the imports, which take most of the time."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command("--serve"), env=surroundings, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        ) as process,
    ):  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        words, said = process.stdin, process.stdout

        def run(*options: object) -> Line:
            words.write(json.dumps([*map(str, options)]) + "\n")
            words.flush()
            first = said.readline()
            # The line of the case is missing where it failed.
            ended = said.readline() if first.startswith("{") else first
            if ended != "0\n":
                errors.seek(0)
                pytest.fail(f"{options} ended with {ended}{errors.read()}")
            line: Line = json.loads(first)
            return line

        yield run
        words.close()


@pytest.fixture(scope="session")
def worker(
    surroundings: dict[str, str],
    command: Callable[..., list[str]],
    served: Callable[..., Line],
) -> Worker:
    """Runs a case with options; gives back the line that it prints."""

    def run(case: str, *options: object, env: Mapping[str, str] | None = None) -> Line:
        if env is None:
            return served(case, *options)
        done = subprocess.run(
            command(case, *options),
            env={**surroundings, **env},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{case} {options} failed:\n{done.stderr}"
        line: Line = json.loads(done.stdout)
        return line

    return run


@pytest.fixture(scope="session")
def baseline(worker: Worker) -> Callable[[str], Line]:
    """A case with no options, run once."""
    return cache(worker)


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Callable[[str, Line], None]:
    """Compares a line with the golden digests, or writes them."""
    update = request.config.getoption("--update-golden", default=False)

    def compare(case: str, line: Line) -> None:
        known = json.loads(GOLDEN.read_text("utf-8"))
        version, found = line["arithmetic"], line["result"]
        if known["arithmetic"] == version and known["results"].get(case) == found:
            return
        if update:
            _rewrite(known, case, version, found)
            return
        assert version == known["arithmetic"], (
            f"golden.json holds the digests of arithmetic {known['arithmetic']}, the library says "
            f"{version}: run pytest tests/portability --update-golden"
        )
        assert found == known["results"].get(case), (
            f"{case} gives other bits than arithmetic {version} did. If an order was meant to "
            "change: raise ARITHMETIC_VERSION, describe the change in docs/arithmetic.md, and run "
            "pytest tests/portability --update-golden"
        )

    return compare


def _rewrite(known: dict[str, Any], case: str, version: int, found: Mapping[str, str]) -> None:
    """A new version begins with no digests; a digest of the same version is never replaced."""
    results = known["results"] if known["arithmetic"] == version else {}
    assert case not in results, (
        f"{case} gives other bits than before under the same arithmetic {version}: raise "
        "ARITHMETIC_VERSION first (or, where the test's own case has changed, delete its entry)"
    )
    content = {"arithmetic": version, "results": {**results, case: found}}
    GOLDEN.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")

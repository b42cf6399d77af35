"""One digest on every row of the table in docs/portability.md; each run is its own process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from isoconv.compile.target import TARGETS, host_target, target_named
from isoconv.errors import ArgumentError

TRAININGS = ("small", "resnet20")
THREADS = (1, 2, 3, 4, 7, 20)
ALSO = ("small", pytest.param("resnet20", marks=pytest.mark.exhaustive))
"""A small training, whose kernels are of all kinds; and in the exhaustive tests a long one."""
CASES = (
    *TRAININGS, "winograd", "fractional",
    *("predict-small", "predict-resnet20", "predict-winograd", "predict-fractional"),
)  # fmt: skip

# The table in the document is made of the parameters below: each test has its cases among them.

Line = dict[str, Any]
Worker = Callable[..., Line]
Baseline = Callable[[str], Line]


@pytest.mark.parametrize("case", CASES)
def test_golden_digests(baseline: Baseline, golden: Callable[[str, Line], None], case: str) -> None:
    """The digests are those that this version of the arithmetic has always had."""
    golden(case, baseline(case))


@pytest.mark.parametrize(
    ("case", "threads"),
    [
        *(("small", threads) for threads in THREADS),
        *(
            pytest.param("resnet20", threads, marks=[pytest.mark.exhaustive] * (threads % 2 == 0))
            for threads in THREADS
        ),
        ("winograd", 7),
        ("fractional", 7),
    ],
)
def test_threads(worker: Worker, baseline: Baseline, case: str, threads: int) -> None:
    """Threads change no bit, also when there are more of them than shards (7 and 3)."""
    line = worker(case, "--threads", threads)
    assert line["threads"] == [threads]
    assert line["result"] == baseline(case)["result"]


def skip_unless_it_runs(target: str) -> None:
    """A processor cannot run every instruction set; on x86-64 with AVX-512 none is left out."""
    try:
        target_named(target)
    except ArgumentError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "target"),
    [
        # The kernels of resnet20 take long to compile; those of the others are of all kinds.
        pytest.param(case, target, marks=[pytest.mark.exhaustive] * (case == "resnet20"))
        for case in (*TRAININGS, "winograd", "fractional", "predict-small")
        for target in TARGETS
    ],
)
def test_instruction_sets(worker: Worker, baseline: Baseline, case: str, target: str) -> None:
    """Vector width and whether there is a fused multiply-add change no bit."""
    skip_unless_it_runs(target)
    line = worker(case, "--target", target)
    assert line["targets"] == [target]
    assert line["result"] == baseline(case)["result"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "option"),
    [
        ("small", "--tiles=one"),
        ("small", "--tiles=narrow"),
        ("small", "--tiles=large"),
        ("small", "--no-fusion"),
        pytest.param("resnet20", "--tiles=narrow", marks=pytest.mark.exhaustive),
        pytest.param("resnet20", "--no-fusion", marks=pytest.mark.exhaustive),
        ("winograd", "--tiles=narrow"),
        ("winograd", "--no-fusion"),
        ("fractional", "--no-fusion"),
    ],
)
def test_schedules(worker: Worker, baseline: Baseline, case: str, option: str) -> None:
    """Other register tiles, or a kernel for every operation: other kernels, the same bits."""
    line = worker(case, option)
    assert line["kernels"] != baseline(case)["kernels"], "the option changed no kernel"
    assert line["result"] == baseline(case)["result"]


@pytest.mark.parametrize("case", ALSO)
def test_cutting_into_calls(worker: Worker, baseline: Baseline, case: str) -> None:
    """It does not matter whether a native call takes one step or several."""
    line = worker(case, "--short-calls")
    assert line["calls"] == line["steps"]
    assert line["result"] == baseline(case)["result"]
    if baseline(case)["calls"] == baseline(case)["steps"]:
        pytest.skip("the machine is so slow that each step has a call of its own anyway")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["small"])
def test_cache(worker: Worker, baseline: Baseline, tmp_path: Any, case: str) -> None:
    """Kernels just compiled, from the cache, and compiled anew where the cache is damaged."""
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    expected = baseline(case)["result"]
    cold = worker(case, env=env)
    assert cold["compiled"] == cold["used"] > 0
    warm = worker(case, env=env)
    assert warm["compiled"] == 0
    files = sorted(tmp_path.rglob("*.kernel"))
    for path in files[::5]:
        content = bytearray(path.read_bytes())
        content[-1 - len(content) // 2] ^= 1
        path.write_bytes(content)
    damaged = worker(case, env=env)
    assert damaged["compiled"] == len(files[::5])
    assert cold["result"] == warm["result"] == damaged["result"] == expected


@pytest.mark.slow
@pytest.mark.parametrize("case", ["small"])
@pytest.mark.parametrize(
    "env",
    [
        {
            "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
            "LANG": "C", "LC_ALL": "C", "TZ": "Asia/Kolkata", "PYTHONHASHSEED": "0",
        },
        {
            "OMP_NUM_THREADS": "7", "OMP_DYNAMIC": "true", "OMP_SCHEDULE": "dynamic",
            "LANG": "tr_TR.UTF-8", "LC_ALL": "C.UTF-8", "LC_NUMERIC": "de_DE.UTF-8",
            "TZ": "America/St_Johns", "PYTHONHASHSEED": "4294967295",
        },
    ],
    ids=lambda env: " ".join(f"{name}={value}" for name, value in env.items()),
)  # fmt: skip
def test_environment_variables(
    worker: Worker, baseline: Baseline, case: str, env: dict[str, str]
) -> None:
    """OpenMP's settings, locale, time zone and hash seed change no bit."""
    assert worker(case, env=env)["result"] == baseline(case)["result"]


@pytest.mark.parametrize("case", ALSO)
def test_other_numpy(worker: Worker, baseline: Baseline, case: str) -> None:
    """NumPy without its kernels for this CPU gives other exponentials; isoconv asks it for none."""
    core: Any = sys.modules["numpy._core._multiarray_umath"]
    features = [name for name in core.__cpu_dispatch__ if core.__cpu_features__[name]]
    line = worker(case, env={"NPY_DISABLE_CPU_FEATURES": " ".join(features)})
    assert line["result"] == baseline(case)["result"]
    if line["numpy"] == baseline(case)["numpy"]:
        pytest.skip(f"NumPy {np.__version__} computes alike here with and without {features}")


@pytest.mark.parametrize("case", ALSO)
def test_other_libm(worker: Worker, baseline: Baseline, case: str) -> None:
    """A C library without FMA gives another sine; isoconv asks it for none."""
    if host_target().name == "neon":
        pytest.skip("glibc has one libm on ARM")
    line = worker(case, env={"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4"})
    assert line["result"] == baseline(case)["result"]
    if line["libm"] == baseline(case)["libm"]:
        pytest.skip("the C library computes alike here with and without FMA")


@pytest.mark.parametrize("case", [*ALSO, "predict-small"])
def test_flush_to_zero(worker: Worker, baseline: Baseline, case: str) -> None:
    """Subnormal numbers count though another library has switched them off; it stays so for it."""
    line = worker(case, "--float-environment", "flush", "--threads", 3)
    assert line["result"] == baseline(case)["result"]


@pytest.mark.parametrize("case", ["predict-small"])
def test_other_rounding(worker: Worker, baseline: Baseline, case: str) -> None:
    """Kernels round to nearest though the caller rounds upward."""
    line = worker(case, "--float-environment", "upward", "--threads", 3)
    assert line["result"] == baseline(case)["result"]


@pytest.mark.parametrize(
    ("case", "threads"),
    [
        *(("predict-small", threads) for threads in (1, 2, 3, 7)),
        ("predict-resnet20", 3),
        ("predict-winograd", 3),
        ("predict-fractional", 3),
    ],
)
def test_predictions(worker: Worker, baseline: Baseline, case: str, threads: int) -> None:
    """An image has one result: alone or in a batch of 2, 7, 32 or 1000, in shards of 3, 7 or 32."""
    line = worker(case, "--threads", threads)
    assert line["threads"] == [threads]
    assert all("differs" not in found for found in line["result"].values()), line["result"]
    assert line["result"] == baseline(case)["result"]

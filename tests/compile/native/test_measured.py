"""Units that are measured: what CPUs are made of, kept for the next process, and never trusted."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from tests.compile.places import targets

from isoconv.compile.cpus import core_of
from isoconv.compile.native import measured
from isoconv.compile.native.cache import KernelCache
from isoconv.compile.native.measured import Units, forget, measure_units, measured_units
from isoconv.compile.target import Target, host_target

FUSED = [target for target in targets() if target.fma]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where measurements are kept, for this test."""
    place = tmp_path / "units"
    monkeypatch.setattr(measured, "default_folder", lambda: place)
    return place


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Units]:
    """What measuring finds, one after the other, in place of the machine's."""
    found = [Units(1, 2, 4), Units(2, 3, 5), Units(4, 1, 6)]
    monkeypatch.setattr(measured, "measure_units", lambda _: found.pop(0))
    return found


@pytest.mark.parametrize("target", FUSED)
def test_what_is_measured_is_in_the_table(target: Target) -> None:
    """On a CPU that the table has; a core that is shared with others may be slow several times."""
    import llvmlite.binding as llvm

    known = core_of(llvm.get_host_cpu_name(), target.vector_bytes)
    for _ in range(5):
        units = measure_units(target)
        assert units.fmas in (1, 2, 4)
        assert units.loads in (1, 2, 3, 4)
        assert 2 <= units.latency <= 12
        if known is None or units == (known.fmas, known.loads, known.latency):
            return
    pytest.fail(f"measured {units}; the table has {known}")


def test_it_is_kept(folder: Path, answers: list[Units]) -> None:
    """Measured once, and read again; for this user alone."""
    target = FUSED[0]
    assert measured_units(target) == measured_units(target) == Units(1, 2, 4)
    assert len(answers) == 2
    (file,) = folder.iterdir()
    for path in (folder, file):
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def test_another_cpu_is_another(
    folder: Path, answers: list[Units], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, its vectors, or by what the system tells of it."""
    target = FUSED[0]
    assert measured_units(target) == Units(1, 2, 4)
    assert measured_units(replace(target, vector_bytes=8)) == Units(2, 3, 5)
    monkeypatch.setattr(measured, "_processor", lambda: "model name: another one")
    assert measured_units(target) == Units(4, 1, 6)
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("keep", [b"", b"{", b"isoconv-kernel-2 " + b"0" * 64 + b"\n[1, 2, 4]"])
def test_a_damaged_file_is_measured_again(folder: Path, answers: list[Units], keep: bytes) -> None:
    """And mended."""
    target = FUSED[0]
    measured_units(target)
    (file,) = folder.iterdir()
    file.write_bytes(keep)
    assert measured_units(target) == measured_units(target) == Units(2, 3, 5)
    assert len(answers) == 1


@pytest.mark.parametrize(
    "content", [b"[1, 2]", b"[3, 2, 4]", b"[1, 9, 4]", b"[1, 2, 400]", b'{"a": 1}', b"[[], 1, 2]"]
)
def test_what_no_cpu_has_is_measured_again(
    folder: Path, answers: list[Units], content: bytes
) -> None:
    """Even where its digest is right."""
    target = FUSED[0]
    KernelCache(folder).put(measured._key(target), content)
    assert measured_units(target) == Units(1, 2, 4)


def test_nothing_is_kept_where_nothing_can_be(
    tmp_path: Path, answers: list[Units], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process measures for itself, and nobody hears of it."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(measured, "default_folder", lambda: file / "units")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(file))
    assert measured_units(FUSED[0]) == Units(1, 2, 4)
    assert measured_units(FUSED[0]) == Units(2, 3, 5)
    assert not file.read_bytes()


def test_without_a_home_folder(answers: list[Units], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process measures for itself."""
    monkeypatch.setattr(measured, "default_folder", lambda: None)
    assert measured_units(FUSED[0]) == Units(1, 2, 4)
    assert measured_units(FUSED[0]) == Units(2, 3, 5)
    forget()


def test_it_can_be_forgotten(folder: Path, answers: list[Units]) -> None:
    """By a person who does not believe it."""
    forget()
    assert not folder.exists()
    measured_units(FUSED[0])
    forget()
    assert measured_units(FUSED[0]) == Units(2, 3, 5)


def test_the_nearest_of_what_is_possible() -> None:
    """Noise that is less than half of the way to the next one changes nothing."""
    for found, wanted in ((0.9, 1), (1.1, 1), (1.9, 2), (2.3, 2), (3.7, 4), (0.1, 1), (40.0, 4)):
        assert measured._nearest(found, (1, 2, 4)) == wanted


def test_the_host_says_where_its_figures_are_from() -> None:
    """In the table, measured, or usual."""
    assert host_target().core.origin.split(":")[0] in ("table", "measured", "usual")

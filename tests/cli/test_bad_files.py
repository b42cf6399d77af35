"""Messy folders: bad files are told all at once, left out where that is asked for, and named."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import call, digest_of, fail, succeed
from tests.cli.terminal import on_a_terminal, plain
from tests.data.spoiled import bad_files, fill, picture, spoil

from isoconv.data import load
from isoconv.errors import DataFileError
from isoconv.train.files import canonical_json
from isoconv.train.receipt import receipt_digest

QUICK = ("--model", "lenet5", "--epochs", 1, "--batch-size", 8, "--size", 24, "--no-report")


def listed(run: Path) -> list[tuple[str, ...]]:
    """What skipped.csv of a run says: paths and reasons."""
    with (run / "skipped.csv").open(newline="", errors="surrogateescape") as file:
        return [(row["path"], row["reason"]) for row in csv.DictReader(file)]


def contents(run: Path) -> list[dict[str, Any]]:
    """run.json and receipt.json."""
    return [json.loads((run / name).read_text()) for name in ("run.json", "receipt.json")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], Path, str]:
    """A folder with a bad file of each kind and classes of different sizes, and a run on it."""
    place = tmp_path_factory.mktemp("place")
    folder = place / "Ann's photos"
    fill(folder, "png jpg", 20)
    for number in range(9):
        (folder / "dog" / f"{number}.jpg").unlink()
    (folder / "dog" / "notes.txt").write_text("not a picture")
    bad = sorted(bad_files(folder))
    said = succeed("train", folder, *QUICK, "--skip-bad", "--out", place / "run")
    return folder, bad, place / "run", said


@pytest.fixture
def messy(trained: tuple[Path, list[str], Path, str], tmp_path: Path) -> Path:
    """A copy of the pictures elsewhere, to change."""
    return shutil.copytree(trained[0], tmp_path / "moved")


def test_without_the_option_all_are_told(trained: tuple[Path, list[str], Path, str]) -> None:
    """Each bad file with its reason, what was left alone besides, and the option that goes on."""
    folder, bad, *_ = trained
    result = call("train", folder, *QUICK)
    assert result.exit_code == 2
    notes, error = result.stderr.split("error: ")
    assert notes == "note: skipped: 1 .txt\n"
    lines = error.splitlines()
    assert lines[0] == f"{folder}: {len(bad)} of {71 + len(bad)} files cannot be read:"
    assert lines[-1] == "--skip-bad goes on without them"
    assert len(lines) == len(bad) + 2
    assert "skip_bad" not in error
    assert "\u202e" not in error


def test_training_goes_on_without_them(trained: tuple[Path, list[str], Path, str]) -> None:
    """They are named before the training with their reasons, and in what the run leaves."""
    folder, bad, run, said = trained
    for path in bad:
        shown = path.replace("\u202e\n", r"\u202e\n")
        assert f"note: skipped {shown}: " in said
        assert str(folder / path) not in said
    names = ", ".join(bad).replace("\u202e\n", r"\u202e\n")
    assert f"warning: {len(bad)} of 78 files were skipped: {names}\n" in said
    assert [path for path, _ in listed(run)] == bad
    assert all(reason for _, reason in listed(run))
    for content in contents(run):
        assert content["skipped"] == bad
        assert "not a whole image" not in json.dumps(content)


def test_the_run_is_that_of_the_good_files(
    trained: tuple[Path, list[str], Path, str], messy: Path, tmp_path: Path
) -> None:
    """The bits are those of a folder that never had the bad files; its receipt names none."""
    _, bad, run, said = trained
    for path in bad:
        (messy / path).unlink()
    clean = succeed("train", messy, *QUICK, "--skip-bad", "--out", tmp_path / "run")
    assert digest_of(clean) == digest_of(said)
    assert "were skipped" not in clean
    assert not (tmp_path / "run" / "skipped.csv").exists()
    for content, other in zip(contents(tmp_path / "run"), contents(run), strict=True):
        assert "skipped" not in content
        assert content["data"] == other["data"]
        assert content["samples_sha256"] == other["samples_sha256"]
    found = call("diff", run, tmp_path / "run")
    assert found.exit_code == 0
    assert "skipped" in found.output


def test_the_receipt_is_the_same_whatever_the_reasons(
    trained: tuple[Path, list[str], Path, str], messy: Path, tmp_path: Path
) -> None:
    """Files that are bad in another way give the same receipt, but for what is the machine's."""
    _, bad, run, _ = trained
    for path in bad:
        (messy / path).write_bytes(b"something else")
    succeed("train", messy, *QUICK, "--skip-bad", "--out", tmp_path / "run")
    assert contents(tmp_path / "run")[1]["digest"] == contents(run)[1]["digest"]
    assert listed(tmp_path / "run") != listed(run)


def test_later_commands_leave_out_the_same(trained: tuple[Path, list[str], Path, str]) -> None:
    """resume, verify and evaluate go without them, and say so, without being told."""
    folder, bad, run, said = trained
    left_out = f"{len(bad)} files are left out as when {run} began"
    resumed = succeed("resume", run, "--no-report")
    assert left_out in resumed
    assert digest_of(resumed) == digest_of(said)
    verified = succeed("verify", run)
    assert left_out in verified
    assert f"identical: {run}" in verified
    measured = succeed("evaluate", run, folder)
    assert measured.count("note: skipped cat/") == 3
    assert "test part" in measured


@pytest.mark.parametrize("missing", [False, True])
def test_mended_files_change_nothing(
    trained: tuple[Path, list[str], Path, str], messy: Path, tmp_path: Path, missing: bool
) -> None:
    """A file that can be read by now, or is gone, is left out as before; the receipt says so."""
    _, bad, run, said = trained
    run = shutil.copytree(run, tmp_path / "run")
    if missing:
        (messy / bad[0]).unlink()
    else:
        picture(messy / bad[0], seed=5)
    resumed = succeed("resume", run, "--data", messy, "--no-report")
    assert digest_of(resumed) == digest_of(said)
    verified = succeed("verify", run, "--data", messy)
    assert "no difference found" in verified
    assert "receipt.json (isoconv, machine, model.name, skipped)" in verified
    measured = succeed("evaluate", run, messy)
    part = measured[measured.index("measured: ") :].splitlines()
    wanted = succeed("evaluate", run, trained[0])
    assert part == wanted[wanted.index("measured: ") :].splitlines()
    assert ("though they can be read here: cat/empty.png" in measured) == (not missing)
    for content in contents(run):
        assert content["skipped"] == bad


@pytest.mark.slow
def test_a_file_of_the_run_that_is_bad_now_is_an_error(
    trained: tuple[Path, list[str], Path, str], messy: Path
) -> None:
    """What was learned from must be there; a new bad file is none of the run's."""
    _, bad, run, _ = trained
    (messy / "cat" / "new.png").write_bytes(b"")
    for command in ("resume", "verify"):
        said = succeed(command, run, "--data", messy)
        assert (
            "1 file that cannot be read is none of the run's and is left alone: cat/new.png" in said
        )
    # Whether the receipt was to name it as well, nothing tells.
    assert "no difference found" in said
    assert "receipt.json (isoconv, machine, model.name, skipped)" in said
    said = fail("evaluate", run, messy)
    assert f"{len(bad) + 1} of {71 + len(bad) + 1} files cannot be read" in said
    assert said.rstrip().endswith("--skip-bad goes on without them")
    assert "skipped cat/new.png" in succeed("evaluate", run, messy, "--skip-bad")
    spoil(messy / "dog" / "11.png")
    for command in ("resume", "verify"):
        said = fail(command, run, "--data", messy)
        assert f"1 of 71 files cannot be read; {run} was trained on them:" in said
        assert "\n  dog/11.png: not a whole image" in said


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """Odd bytes in names of files and classes: run.json and receipt.json are UTF-8 all the same."""
    folder = tmp_path / "pets"
    fill(folder, "png", 12)
    odd = os.fsdecode(b"ca\xff")
    (folder / "cat").rename(folder / odd)
    (folder / odd / os.fsdecode(b"\xfe.png")).write_bytes(b"no picture")
    run = tmp_path / "run"
    succeed("train", folder, *QUICK, "--skip-bad", "--out", run)
    for name in ("run.json", "receipt.json", "checkpoints/last.json", "metrics.jsonl"):
        (run / name).read_bytes().decode("utf-8")
    for content in contents(run):
        assert content["skipped"] == [f"{odd}/{os.fsdecode(bytes([254]))}.png"]
        assert content["record"]["class_names"] == [odd, "dog"]
    assert "identical" in succeed("verify", run)


def test_a_list_that_was_taken_out_is_not_vouched_for(
    trained: tuple[Path, list[str], Path, str], tmp_path: Path
) -> None:
    """Removed everywhere, with a digest made anew: what cannot be read now is not covered."""
    folder, bad, run, _ = trained
    run = shutil.copytree(run, tmp_path / "run")
    (run / "skipped.csv").unlink()
    for name in ("run.json", "receipt.json"):
        content = json.loads((run / name).read_text())
        del content["skipped"]
        if name == "receipt.json":
            content["digest"] = receipt_digest(content)
        (run / name).write_bytes(canonical_json(content))
    said = succeed("verify", run, "--data", folder)
    assert f"{len(bad)} files that cannot be read are none of the run's" in said
    assert "no difference found" in said
    assert "receipt.json (isoconv, machine, model.name, skipped)" in said


@pytest.mark.slow
def test_a_class_that_came_later_is_left_alone(tmp_path: Path) -> None:
    """With pictures, without any, with none that can be read, or shut: the run is the same."""
    folder = tmp_path / "pets"
    fill(folder, "png", 12)
    succeed("train", folder, *QUICK, "--out", tmp_path / "run")
    picture(folder / "bird" / "1.png")
    (folder / "cow").mkdir()
    (folder / "eel").mkdir()
    (folder / "eel" / "1.png").write_bytes(b"no picture")
    left = f"3 folders of {folder} are no class of the run and are left alone: 'bird', 'cow', 'eel'"
    for command in ("resume", "verify"):
        said = succeed(command, tmp_path / "run")
        assert f"note: {left}\n" in said.replace("\n  ", " ")
    assert "identical: " in said
    with pytest.raises(DataFileError):
        load(folder, "all", skip_bad=True)


def test_without_its_list_of_samples_a_run_goes_on(
    trained: tuple[Path, list[str], Path, str], tmp_path: Path
) -> None:
    """Where samples.csv is gone the parts are made again, without the bad files."""
    folder, _, run, said = trained
    run = shutil.copytree(run, tmp_path / "run")
    (run / "samples.csv").unlink()
    resumed = succeed("resume", run, "--no-report")
    assert digest_of(resumed) == digest_of(said)
    assert "no difference found" in succeed("verify", run, "--data", folder)


def test_a_class_of_bad_files_alone(messy: Path, tmp_path: Path) -> None:
    """A class that has nothing left is an error that says so, and no run is left behind."""
    (messy / "newt").mkdir()
    (messy / "newt" / "a.png").write_bytes(b"")
    said = fail("train", messy, *QUICK, "--skip-bad", "--out", tmp_path / "run")
    assert "every class needs a picture that can be read; none is left of 'newt'" in said
    assert not (tmp_path / "run").exists()


def test_who_is_refused_after_reading_is_told_what_was_left_out(tmp_path: Path) -> None:
    """One class alone is refused, with the notes on its folder."""
    for number in range(4):
        picture(tmp_path / "pets" / "cat" / f"{number}.png")
    (tmp_path / "pets" / "cat" / "x.txt").write_text("x")
    result = call("train", tmp_path / "pets", *QUICK)
    assert result.exit_code == 2
    assert "note: skipped: 1 .txt\n" in result.stderr
    assert "there must be two classes or more" in result.stderr


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 60 bad files."""
    folder = tmp_path_factory.mktemp("many") / "pets"
    fill(folder, "png", 12)
    for number in range(60):
        (folder / "cat" / f"bad {number:02}.png").write_bytes(b"")
    return folder


@pytest.mark.slow
def test_of_many_a_terminal_shows_fifty(many: Path) -> None:
    """On a terminal 50 and how to get all; elsewhere all."""
    for columns in (80, 40):
        code, sent = on_a_terminal("train", many, *QUICK, columns=columns, shown="stderr")
        lines = plain(sent).splitlines()
        assert code == 2
        assert lines[0] == f"error: {many}: 60 of 84 files cannot be read:"
        assert lines[1] == "  60 files: empty (0 bytes)"
        assert lines[51] == f"    {many}/cat/bad 49.png"
        assert lines[52:] == [
            "  and 10 more (2> FILE takes all into a file)",
            "--skip-bad goes on without them",
        ]
    elsewhere = fail("train", many, *QUICK).splitlines()
    assert elsewhere[61] == f"    {many}/cat/bad 59.png"
    assert elsewhere[62:] == ["--skip-bad goes on without them"]


def test_of_many_that_are_skipped_twenty_are_told(many: Path, tmp_path: Path) -> None:
    """The first 20, how many more, and where all of them stand."""
    said = succeed("train", many, *QUICK, "--skip-bad", "--out", tmp_path / "run")
    notes = [line for line in said.splitlines() if line.startswith("note: skipped")]
    assert len(notes) == 21
    file = tmp_path / "run" / "skipped.csv"
    assert notes[20] == f"note: skipped 40 more files; all of them, with the reasons: {file}"
    assert [path for path, _ in listed(tmp_path / "run")] == [
        f"cat/bad {number:02}.png" for number in range(60)
    ]
    assert "60 of 84 files were skipped: cat/bad 00.png" in said
    assert "… (60 in all)" in said

"""Shells complete commands, options, names of models and data, and run folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.command import call, succeed
from typer.testing import CliRunner

from isoconv.cli import app

SHELL = shutil.which("bash")
needs_bash = pytest.mark.skipif(SHELL is None, reason="needs bash")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders, data and other files; `isoconv` is a command there, its script `script`."""
    tmp_path = tmp_path_factory.mktemp("complete")
    for run in ("runs/first", "runs/second", "elsewhere/runs/third"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "run.json").write_text("{}")
    (tmp_path / "runs" / "no run").mkdir()
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets.npz").touch()
    (tmp_path / "my photos" / "cat").mkdir(parents=True)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "model.safetensors").touch()
    command = tmp_path / "bin" / "isoconv"
    command.parent.mkdir()
    command.write_text(
        f"#!{sys.executable}\nfrom isoconv.cli import main\nmain()\n", encoding="utf-8"
    )
    command.chmod(0o755)
    (tmp_path / "script").write_text(bash(tmp_path, "isoconv --show-completion bash").stdout)
    return tmp_path


def bash(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a real bash."""
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(SHELL), "--norc", "-c", *words],
        capture_output=True, text=True, cwd=place, env={**os.environ, "PATH": path}, check=True,
    )  # fmt: skip


def completed(place: Path, line: str) -> list[str]:
    """What bash offers behind a line, by the script that isoconv gives it."""
    program = (
        "source ./script\n"
        'read -ra COMP_WORDS <<< "$1"\n'
        '[[ $1 == *" " ]] && COMP_WORDS+=("")\n'
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
        "complete -p isoconv >&2\n"
        "_isoconv_completion isoconv\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = bash(place, program, "bash", line)
    assert "complete -o default -F _isoconv_completion isoconv" in done.stderr
    return done.stdout.split("\n")[:-1]


OFFERED = [
    ("isoconv ver", ["verify"]),
    ("isoconv train --model len", ["lenet5"]),
    ("isoconv train --mod", ["--model"]),
    ("isoconv train fashion-s", ["fashion-sample"]),
    ("isoconv train pet", ["pets", "pets.npz"]),
    ("isoconv resume r", ["runs/first", "runs/second"]),
    ("isoconv resume runs/s", ["runs/second"]),
    ("isoconv diff runs/first elsewhere/r", ["elsewhere/runs/third"]),
    ("isoconv evaluate mod", ["model.safetensors"]),
    ("isoconv evaluate runs/first p", ["pets", "pets.npz"]),
    ("isoconv summary --model mobilenetv2", ["mobilenetv2", "mobilenetv2_100.ra_in1k"]),
    ("isoconv resume ./ru", ["./runs/first", "./runs/second"]),
    ("isoconv summary --model runs/f", ["runs/first"]),
    ("isoconv data fetch cif", ["cifar10", "cifar100"]),
    ("isoconv verify runs/first --target av", ["avx512", "avx2"]),
    ("isoconv evaluate runs/first pets --split t", ["train", "test"]),
    # Then bash goes on with names of files, as it does everywhere.
    ("isoconv resume not", [""]),
    # So it does where a name has blanks, which it knows to quote.
    ("isoconv train my", [""]),
]


@pytest.mark.parametrize(("line", "wanted"), OFFERED)
def test_what_is_offered(
    place: Path, monkeypatch: pytest.MonkeyPatch, line: str, wanted: list[str]
) -> None:
    """What can stand there, and nothing else, is what a shell is told that asks."""
    words = line.split(" ")
    asked = {
        "_ISOCONV_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    monkeypatch.chdir(place)
    told = CliRunner().invoke(app, [], prog_name="isoconv", env=asked)
    assert told.output.splitlines() == wanted


@needs_bash
@pytest.mark.parametrize(("line", "wanted"), [OFFERED[0], *OFFERED[4:6], *OFFERED[-2:]])
def test_bash(place: Path, line: str, wanted: list[str]) -> None:
    """A real bash offers just that by the script that it is given."""
    assert completed(place, line) == wanted


def test_scripts_for_shells() -> None:
    """A shell that is not known is an error like others, not the code of a difference."""
    result = call("--show-completion")
    assert result.exit_code in (0, 2)
    assert ("isoconv" in result.output) or ("not supported" in result.output)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_shell_that_is_named(
    shell: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It gets its own script, whichever one is at hand; one that is not known is refused."""
    sign = {
        "bash": "complete -o default", "zsh": "#compdef isoconv",
        "fish": "complete --command isoconv", "powershell": "Register-ArgumentCompleter",
    }  # fmt: skip
    said = [call("--show-completion", shell), call(f"--show-completion={shell}")]
    assert all(each.exit_code == 0 and sign[shell] in each.stdout for each in said)
    assert said[0].stdout.count("\n") >= 1
    result = call("--show-completion", "tcsh")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "one of bash, zsh, fish, powershell, pwsh, or nothing" in result.stderr
    if shell in ("bash", "zsh", "fish"):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert str(tmp_path) in succeed("--install-completion", shell)
        written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
        assert any(sign[shell] in content for content in written)


def test_help_tells_of_it() -> None:
    """Both options stand in the help."""
    text = call("--help").output
    assert "--install-completion" in text
    assert "--show-completion" in text

"""Inner loops handed to LLVM's machine-code analyser, and what it says of them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import llvmlite.binding as llvm
import pytest
from bench.workloads import DIRECTIONS
from tests.left_out import ANALYSER

from bench import __main__ as command
from bench import mca
from isoconv.compile.contraction.tiles import Tile
from isoconv.compile.native.build import emit_text
from isoconv.compile.target import target_elsewhere

needs_mca = pytest.mark.skipif(
    shutil.which("llvm-mca") is None, reason=f"{ANALYSER}there is no llvm-mca"
)

X86 = """
kernel:
\tmovq\t(%rdi), %rax
.LBB0_1:
\tvmovaps\t(%rax), %zmm2
\tvfmadd231ps\t(%rcx){1to16}, %zmm2, %zmm0 # zmm0 = (zmm2 * mem) + zmm0
\tvfmadd231ps\t4(%rcx){1to16}, %zmm2, %zmm1
\tincq\t%rax
\tjne\t.LBB0_1
.LBB0_2:
\tvfmadd231ps\t(%rcx){1to16}, %zmm2, %zmm0
\tvfmadd231ps\t(%rcx){1to16}, %zmm2, %zmm0
\tvfmadd231ps\t(%rcx){1to16}, %zmm2, %zmm0
\tjne\t.LBB0_2
\tjmp\t.LBB0_1
"""
SPILLED = re.compile(r"\(%rsp.*mm\d|mm\d.*\(%rsp|\tq\d.*\[sp")
"""A vector on its way to the stack or from it."""
ARM = """
.LBB0_4:                                // =>This Inner Loop Header
\tldp\tq1, q2, [x8, #-16]
\tfmla\tv16.4s, v1.4s, v3.s[0]
\tfmla\tv17.4s, v2.4s, v3.s[0]
\tsubs\tx9, x9, #1
\tb.ne\t.LBB0_4
"""


def test_the_loop_with_all_chains() -> None:
    """Not the one with the most FMAs, which are of fewer chains; and nothing from before it."""
    loop = mca.inner_loop(X86, 2)
    assert (loop.fmas, loop.chains) == (2, 2)
    assert loop.lines[0].split() == ["vmovaps", "(%rax),", "%zmm2"]
    assert loop.lines[-1].split() == ["jne", ".LBB0_1"]
    assert not any("#" in line for line in loop.lines)
    with pytest.raises(ValueError, match="holds whole steps of 3 chains"):
        mca.inner_loop(X86, 3)


def test_arms_syntax() -> None:
    """An FMA adds to its first operand; a number is no comment."""
    loop = mca.inner_loop(ARM, 2)
    assert (loop.fmas, loop.chains) == (2, 2)
    assert loop.lines[0].endswith("[x8, #-16]")


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("size", ["64 → 64, 8²", "256 → 256, 14²", "1×1, 256 → 1024, 14²"])  # noqa: RUF001
@pytest.mark.parametrize("cpu", ["sapphirerapids", "znver3", "neoverse-v1"])
def test_inner_loops_hold_whole_steps(cpu: str, size: str, direction: str) -> None:
    """As many chains as the tile has, and their sums stay in registers."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = target_elsewhere(mca.CPUS[cpu][0], cpu)
    (layer,) = (layer for layer in mca.WORK if size in layer.name)
    call = mca.largest_call(layer, direction, target)
    assert call.schedule is not None
    tile = call.schedule.tile  # type: ignore[attr-defined]
    assert isinstance(tile, Tile)
    chains = tile.rows * tile.columns * tile.vectors
    loop = mca.inner_loop(emit_text(call.kernel, target, "kernel"), chains)
    spilled = [line for line in loop.lines if SPILLED.search(line)]
    # On Arm LLVM moves one sum of 28 to the stack and back in one of these loops.
    assert len(spilled) <= (2 if target.name == "neon" else 0)


@needs_mca
def test_two_units_and_two_loads(capfd: pytest.CaptureFixture[str]) -> None:
    """The analyser's least is the model's bound, on a server with two units of 512 bits."""
    words = ["mca", "--cpus", "sapphirerapids", "--only", "ResNet-20 3×3, 16 → 16"]  # noqa: RUF001
    assert command.main(words) == 0
    title, *rows = capfd.readouterr().out.splitlines()
    assert title == "sapphirerapids: avx512, Golden Cove, server; units of icelake-server"
    assert len(rows) == len(DIRECTIONS)
    for row, cycles in zip(rows, (11.5, 11.5, 12.5), strict=True):
        assert f"model {cycles} (loads); llvm-mca {cycles} at least" in row


def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The analyser, a CPU, a layer."""
    assert command.main(["mca", "--llvm-mca", str(tmp_path / "no")]) == 2
    assert "LLVM's machine-code analyser must be installed" in capsys.readouterr().err
    monkeypatch.setattr(mca, "find_tool", lambda _: "llvm-mca")
    assert command.main(["mca", "--cpus", "z80"]) == 2
    assert "no CPU is called z80; there are sapphirerapids" in capsys.readouterr().err
    assert command.main(["mca", "--only", "AlexNet"]) == 2
    assert "no layer is called AlexNet" in capsys.readouterr().err


@needs_mca
def test_a_cpu_that_the_analyser_does_not_know() -> None:
    """An older one, say."""
    loop = mca.inner_loop(X86, 2)
    with pytest.raises(ValueError, match="does not take the code for z80"):
        mca.analyse(loop, "x86_64-unknown-linux-gnu", "z80", mca.find_tool("llvm-mca"))

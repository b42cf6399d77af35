"""What LLVM's machine-code analyser says of the inner loops of contractions, beside the cost model.

``llvm-mca`` follows instructions through a model of a CPU's units and front end, all data being in
the first cache. So it is a witness for CPUs that are not at hand: each layer's kernel is lowered
and emitted for the CPU with the tile that the cost model chooses there, and its innermost loop is
handed to the analyser.
"""

# ruff: noqa: RUF001 - sizes are written with ×
from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import llvmlite.binding as llvm

from bench.libraries import isoconv_operations
from bench.workloads import DIRECTIONS, LAYERS, Layer
from isoconv.compile.calls import Call
from isoconv.compile.contraction.tiles import Tile, step_limits
from isoconv.compile.layout import Buffer, dense_placement
from isoconv.compile.lower.driver import lower
from isoconv.compile.native.build import emit_text
from isoconv.compile.target import Target, target_elsewhere
from isoconv.graph.builder import GraphBuilder
from isoconv.graph.ir import Graph
from isoconv.ops.conv import ConvGradInput
from isoconv.ops.geometry import ConvGeometry

CPUS = {
    "sapphirerapids": ("avx512", "icelake-server", 1),
    "icelake-server": ("avx512", "icelake-server", 1),
    "skylake-avx512": ("avx512", "icelake-server", 1),
    "znver4": ("avx512", "znver4", 2),
    "znver3": ("avx2", "znver3", 1),
    "alderlake": ("avx2", "alderlake", 1),
    "haswell": ("avx2", "haswell", 1),
    "neoverse-v1": ("neon", "neoverse-v1", 1),
    "neoverse-n2": ("neon", "neoverse-n2", 1),
}
"""CPU → (target, whose units the analyser takes, of its cycles in one of the CPU's).

LLVM's models are right for 256 bits and wrong for 512: servers since Ice Lake get the one unit of
their client CPUs, loads take a port of the FMAs on Skylake's, and on Zen 4 broadcasts take a unit
of the FMAs, with which nothing could reach two thirds of what was measured there. So 512-bit code
is handed over with registers of 256 bits: on Ice Lake's two FMAs and two loads a cycle, which
servers have of 512 bits; and on Zen 4, where each half takes its turn.
"""

_3, _1 = (3, 3), (1, 1)
_RESNET20 = (
    Layer("ResNet-20 3×3, 16 → 16, 32²", 32, (32, 32), 16, 16, _3, 1, 1),
    Layer("ResNet-20 3×3/2, 16 → 32, 32²", 32, (32, 32), 16, 32, _3, 2, 1),
    Layer("ResNet-20 3×3, 32 → 32, 16²", 32, (16, 16), 32, 32, _3, 1, 1),
    Layer("ResNet-20 3×3, 64 → 64, 8²", 32, (8, 8), 64, 64, _3, 1, 1),
)
WORK = tuple(layer for layer in LAYERS if layer.groups == 1) + _RESNET20

_LABEL = re.compile(r"^(\.?L\w+):")
_FMA = re.compile(r"^\s*(?:vfn?madd\w+ps|fmla)\s")
_COMMENT = re.compile(r"(?:#\s|//).*")  # a number that is no address has no room behind its #
_ITERATIONS = 200
_VERSIONS = ("", "-22", "-21", "-20", "-19", "-18", "-17", "-16", "-15", "-14")


@dataclass(frozen=True)
class Loop:
    """An innermost loop in assembly language.

    Attributes:
        lines: instructions, with the jump back.
        fmas: among them.
        chains: different registers that its FMAs write, no fewer than there are chains.
    """

    lines: tuple[str, ...]
    fmas: int
    chains: int


def find_tool(wanted: str | None = None) -> str:
    """The analyser's path.

    Args:
        wanted: a path or name; None for the newest that is found.

    Raises:
        FileNotFoundError: there is none.
    """
    names = [wanted] if wanted else [f"llvm-mca{version}" for version in _VERSIONS[1:]]
    names += [] if wanted else ["llvm-mca"]
    for name in names:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(
        f"LLVM's machine-code analyser must be installed, as Debian's package llvm-19 has it; "
        f"looked for {', '.join(names)}"
    )


def inner_loop(assembly: str, chains: int) -> Loop:
    """The innermost loop that holds whole steps of so many chains; the longest of several.

    Args:
        assembly: of a kernel.
        chains: of its tile: positions × vectors.

    Raises:
        ValueError: there is none.
    """
    best = Loop((), 0, 0)
    lines: list[str] = []
    label = ""
    for line in assembly.splitlines():
        text = _COMMENT.sub("", line).rstrip()
        if found := _LABEL.match(text):
            label, lines = found[1], []
        elif text.strip() and not text.strip().startswith("."):
            lines.append(text)
            if label and re.search(rf"\s{re.escape(label)}$", text):
                loop = _loop(lines)
                whole = loop.chains >= chains and loop.fmas % chains == 0
                if whole and loop.fmas > best.fmas:
                    best = loop
    if not best.lines:
        raise ValueError(f"no loop of the kernel holds whole steps of {chains} chains")
    return best


def _loop(lines: list[str]) -> Loop:
    fmas = [line for line in lines if _FMA.match(line)]
    return Loop(tuple(lines), len(fmas), len({_written(line) for line in fmas}))


def _written(line: str) -> str:
    """The register that an FMA writes: the first operand of Arm's syntax, the last of AT&T's."""
    operands = line.split(None, 1)[1]
    if line.split(maxsplit=1)[0] == "fmla":
        return operands.split(",")[0].strip()
    return operands.rsplit(",", 1)[-1].strip()


class Analysis(NamedTuple):
    """What the analyser says of one turn of a loop.

    Attributes:
        least: cycles, if every instruction found the unit that suits the whole loop best.
        simulated: cycles as it plays them, each instruction taking the next unit that is free.
        unit: that is taken the most.
    """

    least: float
    simulated: float
    unit: str


def analyse(loop: Loop, triple: str, cpu: str, tool: str) -> Analysis:
    """Let the analyser go through a loop.

    Args:
        loop: of a kernel.
        triple: LLVM's name of the architecture and system that it was made for.
        cpu: whose units.
        tool: the analyser's path.

    Raises:
        ValueError: the analyser cannot read the loop, or does not know the CPU.
    """
    # The jump goes nowhere, and is one instruction of the loop all the same.
    text = "again:\n" + "\n".join((*loop.lines[:-1], re.sub(r"\S+$", "again", loop.lines[-1])))
    text = text.replace("zmm", "ymm").replace("{1to16}", "{1to8}")
    done = subprocess.run(
        [tool, f"-mtriple={triple}", f"-mcpu={cpu}", f"-iterations={_ITERATIONS}", "-json"],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode or "not a recognized processor" in done.stderr or not done.stdout.strip():
        said = (done.stderr.strip() or "no word").splitlines()[0]
        raise ValueError(f"{tool} does not take the code for {cpu}: {said}")
    found: dict[str, Any] = json.loads(done.stdout)
    (region,) = found["CodeRegions"]
    summary = region["SummaryView"]
    pressures = region["ResourcePressureView"]["ResourcePressureInfo"]
    # Those of the whole loop stand behind those of its instructions.
    whole = max(each["InstructionIndex"] for each in pressures)
    taken = {
        each["ResourceIndex"]: each["ResourceUsage"]
        for each in pressures
        if each["InstructionIndex"] == whole
    }
    return Analysis(
        summary["BlockRThroughput"],
        summary["TotalCycles"] / summary["Iterations"],
        found["TargetInfo"]["Resources"][max(taken, key=taken.__getitem__)],
    )


def layers(only: tuple[str, ...]) -> list[Layer]:
    """Those of `WORK` whose names have one of these in them; all if there are none.

    Raises:
        ValueError: no layer is called so.
    """
    found = [layer for layer in WORK if not only or any(word in layer.name for word in only)]
    if not found:
        raise ValueError(f"no layer is called {', '.join(only)}")
    return found


def graph_of(layer: Layer, direction: str) -> Graph:
    """A convolution in one direction, on what a layer before has left."""
    rank = len(layer.kernel)
    pairs = ((layer.padding, layer.padding),) * rank
    geometry = ConvGeometry(layer.kernel, (layer.stride,) * rank, pairs, (1,) * rank)
    b = GraphBuilder()
    with b.layer("bring"):
        x, dy = (b.copy(b.input("dataset", name, layer.arrays[name][1:])) for name in ("x", "dy"))
    w = b.input("parameter", "w", layer.arrays["w"])
    with b.layer(isoconv_operations.WORK):
        if direction == "forward":
            result = b.add("conv", x, w, attrs=geometry)
        elif direction == "gradient by input":
            result = b.add("conv_grad_input", dy, w, attrs=ConvGradInput(geometry, layer.sides))
        else:
            result = b.add("conv_grad_weight", x, dy, attrs=geometry)
    return b.graph([("result", result)])


def largest_call(layer: Layer, direction: str, target: Target) -> Call:
    """The kernel call with the most arithmetic."""
    graph = graph_of(layer, direction)
    inputs = {
        node.attrs.name: dense_placement(
            Buffer(
                "dataset" if node.spec.batched else "parameter",
                node.attrs.name,
                node.spec.size * node.spec.itemsize,
            ),
            node.spec,
        )
        for _, node in graph.inputs()
    }
    outputs = {
        name: dense_placement(
            Buffer("output", name, graph[index].spec.size * graph[index].spec.itemsize),
            graph[index].spec,
        )
        for name, index in graph.outputs
    }
    calls = lower(graph, target, capacity=layer.batch, inputs=inputs, outputs=outputs).shard
    return max((call for call in calls if call.schedule), key=lambda call: call.flops(layer.batch))


def report(cpus: list[str], only: tuple[str, ...], tool: str) -> Iterator[str]:
    """Lines of a table, layer by layer for each CPU.

    Args:
        cpus: of `CPUS`.
        only: parts of the names of layers; none for all.
        tool: the analyser's path.

    Raises:
        ValueError: there is no such CPU or layer, or the analyser does not know the CPU.
    """
    if unknown := [cpu for cpu in cpus if cpu not in CPUS]:
        raise ValueError(f"no CPU is called {', '.join(unknown)}; there are {', '.join(CPUS)}")
    wanted = layers(only)
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    for cpu in cpus:
        name, units, halves = CPUS[cpu]
        target = target_elsewhere(name, cpu)
        yield f"{cpu}: {name}, {target.core.origin.removeprefix('table: ')}; units of {units}"
        for layer in wanted:
            for direction in DIRECTIONS:
                yield _row(layer, direction, target, units, halves, tool)


def _row(layer: Layer, direction: str, target: Target, units: str, halves: int, tool: str) -> str:
    call = largest_call(layer, direction, target)
    tile: Tile = call.schedule.tile  # type: ignore[union-attr]
    positions = tile.rows * tile.columns
    limits = step_limits(target, positions, tile.vectors)._asdict()
    bound = max(limits, key=limits.__getitem__)
    place = f"  {layer.name}, {direction}: {tile.rows}×{tile.columns} positions × {tile.vectors}"
    loop = inner_loop(emit_text(call.kernel, target, "kernel"), positions * tile.vectors)
    found = analyse(loop, target.triple, units, tool)
    cycles = halves * positions * tile.vectors / loop.fmas  # of a step, for one of a turn
    return (
        f"{place}: model {limits[bound]:.1f} ({bound}); "
        f"llvm-mca {cycles * found.least:.1f} at least, "
        f"{cycles * found.simulated:.1f} simulated ({found.unit.strip(' .')})"
    )

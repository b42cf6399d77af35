"""The roofline: each kernel's speed beside what the machine could do.

Williams, Waterman and Patterson 2009, "Roofline: an insightful visual performance model for
multicore architectures". A kernel that does I FLOP for each byte it moves cannot be faster than
``min(peak, I · bandwidth)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isoconv.printable import shortened
from isoconv.report.style import (
    GRID,
    INK,
    MUTED,
    TRAIN,
    VALIDATION,
    WRONG,
    make_figure,
    panel,
    save,
    title,
)
from isoconv.run.ceilings import Ceilings
from isoconv.run.profile import KernelTime, Profile

WIDTH, HEIGHT = 8.4, 5.6
OTHERS = "pointwise and sums"
OTHER = "#8a97a3"
COLOURS = {
    "forward": TRAIN,
    "gradient by input": VALIDATION,
    "gradient by weight": WRONG,
}
NAMED = 6
"""So many of the kernels that take the most time are named in the picture."""
LEAST = 0.0005
"""Share of the time from which on a kernel is drawn."""


def draw_roofline(profile: Profile, ceilings: Ceilings, heading: str, path: Path) -> bytes:
    """Draw a profile under its machine's roof.

    Args:
        profile: of a batch.
        ceilings: of the machine, for as many threads.
        heading: of the picture.
        path: of the PNG file.

    Returns:
        The file's content.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    rows = [
        row
        for row in profile.rows
        if row.flops and row.bytes and row.seconds >= LEAST * profile.seconds
    ]
    figure = make_figure(WIDTH, HEIGHT)
    threads = f"{profile.threads} thread{'' if profile.threads == 1 else 's'}"
    note = (
        f"{profile.images} images in {_time(profile.seconds)} on {threads}; "
        "a dot's area is the kernel's share of the time"
    )
    title(figure, heading, note)
    axes = panel(figure, 0.85, 0.62, WIDTH - 1.1, HEIGHT - 1.4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high, bottom, top = _limits(rows, ceilings)
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, top)
    axes.grid(True, which="major", color=GRID, linewidth=0.8)
    axes.minorticks_off()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("FLOP for each byte of operands", color=INK, size=10)
    axes.set_ylabel("GFLOP/s", color=INK, size=10)
    _draw_roofs(axes, ceilings, low, high)
    _draw_rows(axes, rows)
    return save(figure, path)


def _limits(rows: Sequence[KernelTime], ceilings: Ceilings) -> tuple[float, float, float, float]:
    ridge = ceilings.gflops / ceilings.memory
    intensities = [row.intensity for row in rows] or [ridge]
    speeds = [row.gflops for row in rows] or [ceilings.gflops]
    low = min(*intensities, 0.05) / 1.6
    high = max(*intensities, 4 * ridge) * 1.8
    bottom = max(min(speeds) / 2, ceilings.gflops / 1e4)
    top = max(ceilings.gflops, *speeds) * 2
    return low, high, min(bottom, ceilings.gflops / 50), top


def _draw_roofs(axes: Any, ceilings: Ceilings, low: float, high: float) -> None:
    """The flat roof and the two slopes, each with its number."""
    peak = ceilings.gflops
    slopes = (("memory", ceilings.memory, "-"), ("caches of the cores", ceilings.cache, "--"))
    outer = max(ceilings.memory, ceilings.cache)
    axes.plot((peak / outer, high), (peak, peak), color=INK, linewidth=1.6, zorder=2)
    axes.annotate(
        f"{peak:,.0f} GFLOP/s, fused multiply-adds", (high, peak), (-4, 10),
        textcoords="offset points", ha="right", color=INK, size=9,
    )  # fmt: skip
    bottom = axes.get_ylim()[0]
    for name, bandwidth, dashes in slopes:
        axes.plot(
            (low, peak / bandwidth), (low * bandwidth, peak),
            color=INK if dashes == "-" else MUTED, linewidth=1.6 if dashes == "-" else 1.2,
            linestyle=dashes, zorder=2,
        )  # fmt: skip
        # Along the slope, near its visible lower end.
        start = max(low, bottom / bandwidth) * 1.15
        axes.annotate(
            f"{bandwidth:,.0f} GB/s, {name}", (start, start * bandwidth), (0, 6),
            textcoords="offset points", rotation=_angle(axes), rotation_mode="anchor",
            color=INK if dashes == "-" else MUTED, size=9,
        )  # fmt: skip


def _angle(axes: Any) -> float:
    """Degrees at which a line of slope one appears on these logarithmic axes."""
    from math import atan2, degrees, log10

    box = axes.get_window_extent()
    (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    across = box.width / log10(high / low)
    up = box.height / log10(top / bottom)
    return degrees(atan2(up, across))


def _draw_rows(axes: Any, rows: Sequence[KernelTime]) -> None:
    total = sum(row.seconds for row in rows) or 1.0
    names = (*COLOURS, OTHERS)
    present = {row.kernel if row.kernel in COLOURS else OTHERS for row in rows}
    for name in names:
        if name in present:
            axes.scatter([], [], color=COLOURS.get(name, OTHER), alpha=0.65, s=45, label=name)
    for row in sorted(rows, key=lambda row: -row.seconds):
        axes.scatter(
            row.intensity, row.gflops, s=18 + 2400 * row.seconds / total,
            color=COLOURS.get(row.kernel, OTHER), alpha=0.65, edgecolors="white", linewidths=0.7,
            zorder=3,
        )  # fmt: skip
    _name_longest(axes, rows)
    if rows:
        axes.legend(loc="lower right", frameon=True, fontsize=9, facecolor="white",
                    edgecolor=GRID, labelcolor=INK)  # fmt: skip


def _name_longest(axes: Any, rows: Sequence[KernelTime]) -> None:
    """Names beside the kernels that take the most time, where there is room."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.5, foreground="white")]
    taken: list[tuple[float, float]] = []
    named = 0
    for row in sorted(rows, key=lambda row: -row.seconds):
        if named == NAMED or not row.layer:
            continue
        x, y = axes.transData.transform((row.intensity, row.gflops))
        if any(abs(x - a) < 110 and abs(y - b) < 26 for a, b in taken):
            continue
        taken.append((x, y))
        named += 1
        axes.annotate(
            shortened(row.layer, 18), (row.intensity, row.gflops), (0, -12),
            textcoords="offset points", ha="center", va="top", color=INK, size=8, zorder=4,
            parse_math=False, path_effects=halo,
        )  # fmt: skip


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.2f} ms"

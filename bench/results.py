"""What a run leaves: JSON with machine, versions, ceilings and rows."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.crew import Crew, Setting, Side
from bench.timing import ROOT
from isoconv.compile.target import host_target
from isoconv.run.ceilings import Ceilings, measure_ceilings

__all__ = [
    "FOLDER",
    "SCHEMA",
    "ceilings_of",
    "check",
    "geometric_mean",
    "machine",
    "merged",
    "read",
    "row_of",
    "told",
    "write",
]

FOLDER = ROOT / "bench" / "results"
SCHEMA = 1

TOP = ("schema", "what", "machine", "versions", "ceilings", "setting", "rows", "notes")
ROW = ("work", "unit", "values", "spread", "best_other", "ratio", "goal")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    target = host_target()
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "target": target.name,
        "tuned_for": target.cpu,
        "python": platform.python_version(),
        "llvmlite": version("llvmlite"),
        "numpy": version("numpy"),
    }


def row_of(work: str, sides: dict[str, Side], goal: float | None, **facts: Any) -> dict[str, Any]:
    """A row of times, isoconv's and the others'.

    Args:
        work: what was done.
        sides: by name, isoconv among them.
        goal: ratio to reach.
        facts: what else belongs to the row.
    """
    others = {name: side.timing.median for name, side in sides.items() if name != "isoconv"}
    best = min(others, key=lambda name: others[name]) if others else None
    ours = sides["isoconv"].timing.median
    return {
        "work": work,
        "unit": "ms",
        "values": {name: round(side.timing.median * 1e3, 4) for name, side in sides.items()},
        "spread": {name: round(side.timing.spread, 3) for name, side in sides.items()},
        "samples": {name: len(side.timing.seconds) for name, side in sides.items()},
        "difference": {name: float(f"{side.difference:.1e}") for name, side in sides.items()},
        "best_other": best,
        "ratio": None if best is None else round(others[best] / ours, 3),
        "goal": goal,
        "facts": {name: side.timing.facts for name, side in sides.items()},
        **facts,
    }


def geometric_mean(values: list[float]) -> float | None:
    """The mean of ratios; None of no values."""
    return round(statistics.geometric_mean(values), 3) if values else None


def ceilings_of(setting: Setting, before: Ceilings | None = None) -> Ceilings:
    """Measured with the run's threads; the better of now and before."""
    now = measure_ceilings(setting.threads, seconds=0.1 if setting.quick else 1.0)
    return now if before is None else now.better(before)


def told(row: dict[str, Any]) -> str:
    """A row as a line."""
    values = ", ".join(f"{name} {value:g}" for name, value in row["values"].items())
    ratio = "" if row["ratio"] is None else f"; ratio {row['ratio']:.2f}"
    return f"{row['work']}: {values} {row['unit']}{ratio}"


def write(
    what: str,
    rows: list[dict[str, Any]],
    crew: Crew,
    ceilings: Ceilings,
    folder: Path = FOLDER,
    *,
    complete: bool = True,
) -> Path:
    """Write a run's file, whole or not at all, and return its path.

    Rows that are not all of a measurement only replace those in the file that is there; each says
    in ``measured`` when that was, and what of the run differs from the file's own.
    """
    folder.mkdir(exist_ok=True)
    path = folder / f"{what}{'-quick' if crew.setting.quick else ''}.json"
    content = {
        "schema": SCHEMA,
        "what": what,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": dict(sorted(crew.versions.items())),
        "ceilings": {name: round(value, 1) for name, value in asdict(ceilings).items()},
        "setting": {
            "threads": crew.setting.threads,
            "quick": crew.setting.quick,
            **asdict(crew.setting.pace),
        },
        "rows": rows,
        "notes": list(dict.fromkeys(crew.notes)),
    }
    if not complete and path.exists():
        content = merged(json.loads(path.read_text()), content)
    check(content)
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    beside.replace(path)
    return path


def merged(stored: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """A file's content with the rows of a new run in place of those of the same work.

    Raises:
        ValueError: the file is not complete.
    """
    check(stored)
    rows = {row["work"]: row for row in new["rows"]}
    if all(row["work"] in rows for row in stored["rows"]):
        return new
    about = {
        key: new[key]
        for key in ("when", "machine", "versions", "ceilings", "setting")
        if new[key] != stored.get(key)
    }
    rows = {work: {**row, "measured": about} for work, row in rows.items()}
    kept = [rows.pop(row["work"], row) for row in stored["rows"]]
    # Notes about work that was measured anew are no longer true.
    names = [row["work"].rsplit(" [", 1)[0] for row in new["rows"]]
    notes = [note for note in stored["notes"] if not any(name in note for name in names)]
    notes = list(dict.fromkeys([*notes, *new["notes"]]))
    return {**stored, "rows": [*kept, *rows.values()], "notes": notes}


def check(content: dict[str, Any]) -> None:
    """Whether a file's content is complete.

    Raises:
        ValueError: a part is missing, or a row's best is not among its values.
    """
    missing = [key for key in TOP if key not in content]
    if missing:
        raise ValueError(f"results lack {', '.join(missing)}")
    if content["schema"] != SCHEMA:
        raise ValueError(f"results have schema {content['schema']!r}, not {SCHEMA}")
    for row in content["rows"]:
        missing = [key for key in ROW if key not in row]
        if missing:
            raise ValueError(f"row {row.get('work')!r} lacks {', '.join(missing)}")
        if row["best_other"] is not None and row["best_other"] not in row["values"]:
            raise ValueError(f"row {row['work']!r}: {row['best_other']!r} has no value")


def read(folder: Path = FOLDER, *, quick: bool = False) -> dict[str, dict[str, Any]]:
    """All files of a folder by what they measured; those of quick runs only when asked for.

    Raises:
        ValueError: a file is not complete.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        check(content)
        if bool(content["setting"]["quick"]) == quick:
            found[content["what"]] = content
    return found

"""``python -m bench [steps|fashion-mnist]``: measure beside PyTorch and store the table.

The peers live in an environment of their own (``bench/.peers``), which `make bench` makes.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.timing import ROOT, Worker, alternate
from bench.workloads import STEPS, Step
from isoconv.compile.target import host_target

PEERS = ROOT / "bench" / ".peers" / "bin" / "python"
RESULTS = ROOT / "bench" / "results"
LAYOUTS = ("channels_last", "contiguous_format")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": len(names),
        "target": host_target().name,
        "tuned for": host_target().cpu,
        "python": platform.python_version(),
        "isoconv": version("isoconv"),
        "llvmlite": version("llvmlite"),
    }


def measure_step(step: Step, threads: int) -> dict[str, Any]:
    """One training step of isoconv beside PyTorch in both layouts."""
    folder = tempfile.TemporaryDirectory()
    weights = str(Path(folder.name) / "weights.npz")
    request = {**asdict(step), "threads": threads, "weights": weights}
    workers = {"isoconv": Worker(sys.executable, "bench.isoconv_worker", request)}
    for layout in LAYOUTS:
        workers[f"torch {layout}"] = Worker(
            str(PEERS), "bench.torch_worker", {**request, "layout": layout}
        )
    timings = alternate(workers)
    for worker in workers.values():
        worker.close()
    folder.cleanup()
    losses = {name: t.facts["first_loss"] for name, t in timings.items()}
    if max(losses.values()) - min(losses.values()) > 1e-4 * abs(losses["isoconv"]):
        raise RuntimeError(f"the libraries do not compute the same: first losses {losses}")
    ours = timings["isoconv"].median
    best = min(t.median for name, t in timings.items() if name != "isoconv")
    return {
        "work": f"training step, {step.name} [{step.batch}]",
        "threads": threads,
        "ratio": round(best / ours, 3),
        "milliseconds": {name: round(t.median * 1e3, 3) for name, t in timings.items()},
        "spread": {name: round(t.spread, 3) for name, t in timings.items()},
        "facts": {name: t.facts for name, t in timings.items()},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| work | isoconv | PyTorch, the better layout | ratio | peak memory, MiB |",
             "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for row in rows:
        times = row["milliseconds"]
        best = min((name for name in times if name != "isoconv"), key=lambda name: times[name])
        memory = [row["facts"][name]["peak_mib"] for name in ("isoconv", best)]
        lines.append(
            f"| {row['work']} | {times['isoconv']:.1f} ms | {times[best]:.1f} ms ({best}) "
            f"| {row['ratio']:.2f} | {memory[0]:.0f} : {memory[1]:.0f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", default="steps", choices=("steps", "fashion-mnist"))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if not PEERS.exists():
        print("the peers' environment is missing: run `make bench`", file=sys.stderr)
        return 2
    if options.what == "fashion-mnist":
        from bench.fashion_mnist import measure

        rows = [measure(str(PEERS), options.threads)]
    else:
        rows = [measure_step(step, options.threads) for step in STEPS]
        print(table(rows))
    RESULTS.mkdir(exist_ok=True)
    content = json.dumps({"machine": machine(), "rows": rows}, indent=2)
    (RESULTS / f"{options.what}.json").write_text(content + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The results as Markdown: a summary by kind of work, then every row as it was measured."""

# ruff: noqa: RUF001 - sizes are written with ×
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.results import geometric_mean
from bench.small import page
from isoconv.memory import readable

__all__ = ["BEGIN", "END", "brief", "markdown", "update"]

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"

TITLES = {
    "layers": "Convolution layers",
    "pointwise": "Pooling, normalisation, ReLU + add",
    "steps": "Training steps",
    "fashion-mnist": "Fashion-MNIST from process start",
    "small": "Accuracy on small data sets, nothing chosen",
    "predict": "Predictions at 224×224",
    "imported": "Predictions of networks in ONNX files",
    "memory": "Peak resident memory",
    "packed": "Packed data sets beside memory",
    "cluster": "Workers of a cluster beside threads",
    "scaling": "From one thread to two",
    "order": "The exact order beside a free one",
    "startup": "Start-up",
}
"""What was measured, in the order of the page."""

BRIEF = ("steps", "fashion-mnist")
"""What a reader of the project's first page wants to know."""

MORE: dict[str, dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "order": {"bits changed": lambda row: f"{max(row['changed'].values()):.0%}"},
    "cluster": {
        "more per step": lambda row: f"{row['overhead_ms']:.1f} ms",
        "moved per worker": lambda row: readable(row["bytes_per_worker"]),
        "by a ring": lambda row: readable(row["ring_bytes_per_worker"]),
    },
}
"""Columns behind the goal, of what has facts of its own."""

LEAST_LAYER, MEAN_LAYERS, PEAK_SHARE = 0.9, 1.1, 0.8

Content = Mapping[str, Any]


def markdown(results: Mapping[str, Content]) -> str:
    """All tables.

    Args:
        results: contents of result files by what they measured.
    """
    present = [what for what in TITLES if what in results]
    if not present:
        return "No results are stored."
    lines = ["### Summary", "",
             "| work | goal | measured | reached |", "| --- | --- | --- | --- |"]  # fmt: skip
    for what in present:
        lines += [f"| {' | '.join(cells)} |" for cells in _summary(what, results[what])]
    for what in present:
        lines += ["", f"### {TITLES[what]}", "", *_about(results[what]), "",
                  *_rows(what, results[what])]  # fmt: skip
    return "\n".join(lines)


def brief(results: Mapping[str, Content]) -> str:
    """One table of whole trainings and their steps, each beside the fastest other library."""
    lines = ["| work [batch] | isoconv | fastest other | ratio |", "| --- | ---: | ---: | ---: |"]
    for what in BRIEF:
        lines += [_beside(row) for row in results[what]["rows"]] if what in results else []
    return "\n".join(lines)


def update(page: Path, tables: str) -> None:
    """Put tables between a page's two markers.

    Raises:
        ValueError: the page has no markers.
    """
    text = page.read_text()
    head, found, rest = text.partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{page.name} lacks the lines {BEGIN} and {END}")
    page.write_text(f"{head}{BEGIN}\n\n{tables}\n\n{END}{tail}")


# The summary ------------------------------------------------------------------------------------


def _summary(what: str, content: Content) -> list[tuple[str, str, str, str]]:
    rows = content["rows"]
    if what == "layers":
        return _layer_summary(content)
    if what in ("memory", "steps", "fashion-mnist"):
        return [_one(row) for row in rows]
    if what == "startup":
        return [
            (row["work"], f"≤ {row['most']:g} s", f"{row['values']['isoconv']:.2f} s",
             _reached(row["values"]["isoconv"] <= row["most"]))
            for row in rows
            if row["most"] is not None
        ]  # fmt: skip
    with_ratio = [row for row in rows if row["ratio"] is not None]
    if not with_ratio:
        return [(TITLES[what], "", "nothing to compare with", "")]
    goal = min(row["goal"] for row in with_ratio)
    least = min(with_ratio, key=lambda row: row["ratio"])
    mean = geometric_mean([row["ratio"] for row in with_ratio])
    hits = sum(row["ratio"] >= row["goal"] for row in with_ratio)
    measured = (
        f"{hits} of {len(with_ratio)} rows; geometric mean {mean:.2f}, "
        f"least {least['ratio']:.2f} ({least['work']})"
    )
    return [(TITLES[what], f"≥ {goal:g} each", measured, _reached(hits == len(with_ratio)))]


def _one(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    if row["ratio"] is None:
        return row["work"], f"≥ {row['goal']:g}", "nothing to compare with", ""
    beside = f"{row['ratio']:.2f} beside {row['best_other']}"
    return row["work"], f"≥ {row['goal']:g}", beside, _reached(row["ratio"] >= row["goal"])


def _layer_summary(content: Content) -> list[tuple[str, str, str, str]]:
    found: list[tuple[str, str, str, str]] = []
    rows = [row for row in content["rows"] if row["ratio"] is not None]
    if rows:
        mean = geometric_mean([row["ratio"] for row in rows]) or 0.0
        least = min(rows, key=lambda row: row["ratio"])
        low = sum(row["ratio"] < LEAST_LAYER for row in rows)
        found += [
            ("Convolution layers, geometric mean", f"≥ {MEAN_LAYERS}", f"{mean:.2f}",
             _reached(mean >= MEAN_LAYERS)),
            ("Convolution layers, each", f"≥ {LEAST_LAYER}",
             f"{len(rows) - low} of {len(rows)} rows; least {least['ratio']:.2f} "
             f"({least['work']})", _reached(low == 0)),
        ]  # fmt: skip
    shares = [_share(content, row) for row in content["rows"] if row.get("large")]
    if shares:
        high = sum(share >= PEAK_SHARE for share in shares)
        found.append((
            "Large 3×3 layers, share of the FMA peak", f"≥ {PEAK_SHARE:.0%}",
            f"{high} of {len(shares)} rows; from {min(shares):.0%} to {max(shares):.0%}",
            _reached(high == len(shares)),
        ))  # fmt: skip
    return found


def _reached(yes: bool) -> str:
    return "yes" if yes else "no"


# The rows ---------------------------------------------------------------------------------------


def _about(content: Content) -> list[str]:
    machine, ceilings, setting = content["machine"], content["ceilings"], content["setting"]
    versions = ", ".join(f"{name} {value}" for name, value in content["versions"].items())
    versions = f" {versions}." if versions else ""
    threads = f"{setting['threads']} thread{'' if setting['threads'] == 1 else 's'}"
    lines = [
        f"{machine['cpu']} ({machine['target']}, {machine['cores']} cores), {threads}; measured "
        f"at best {ceilings['gflops']:g} GFLOP/s, {ceilings['memory']:g} GB/s from memory"
        f"{_meetings(content['rows'])}.{versions}"
    ]
    apart = [_apart(row["work"], row["measured"]) for row in content["rows"] if "measured" in row]
    if apart:
        lines.append(f"Measured at another time: {'; '.join(apart)}.")
    if setting["quick"]:
        lines.append("A quick run: it shows that all works, not how fast.")
    if content["notes"]:
        lines += ["", *(f"- {note}" for note in content["notes"])]
    return lines


def _meetings(rows: Sequence[Mapping[str, Any]]) -> str:
    """How long the threads took to meet, before or after any row."""
    found = [time for row in rows for time in row.get("meeting_ns", ())]
    return f"; threads met in {min(found)} to {max(found)} ns" if found else ""


def _apart(work: str, measured: Mapping[str, Any]) -> str:
    """When a row was measured, and on what if that is not what the others were measured on."""
    text = f"{work} on {measured['when'][:10]}"
    if "machine" in measured:
        machine = measured["machine"]
        text += f" ({machine['cpu']}, {machine['target']}, {machine['cores']} cores)"
    return text


def _rows(what: str, content: Content) -> list[str]:
    rows = content["rows"]
    if what == "layers":
        return _layer_rows(content)
    if what == "small":
        return page.rows(content)
    if what == "startup":
        lines = ["| work | isoconv | goal |", "| --- | ---: | ---: |"]
        for row in rows:
            goal = "" if row["most"] is None else f"≤ {row['most']:g} s"
            lines.append(f"| {row['work']} | {_value(row, 'isoconv')} | {goal} |")
        return lines
    names = list(dict.fromkeys(name for row in rows for name in row["values"]))
    more = MORE.get(what, {})
    heads = ["work", *names, "ratio", "goal", *more]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    for row in rows:
        cells = [row["work"], *(_value(row, name) for name in names), _ratio(row),
                 f"≥ {row['goal']:g}", *(text(row) for text in more.values())]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _layer_rows(content: Content) -> list[str]:
    lines = [
        "| layer [images], direction | isoconv | best other | ratio | GFLOP/s | of peak |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    return lines + [
        f"{_beside(row)} {row['gflops']:.0f} | {_share(content, row):.0%} |"
        for row in content["rows"]
    ]


def _share(content: Content, row: Mapping[str, Any]) -> float:
    """Of the FMA peak as it was measured with the row."""
    ceilings = row.get("measured", {}).get("ceilings", content["ceilings"])
    return float(row["gflops"] / ceilings["gflops"])


def _value(row: Mapping[str, Any], name: str) -> str:
    """A value with its spread: the distance of the quartiles as a share of the median."""
    if name not in row["values"]:
        return ""
    value, unit = row["values"][name], row["unit"]
    digits = max(0, 2 - max(0, len(str(int(value))) - 1))
    spread = row["spread"].get(name)
    text = f"{value:.{digits}f} {unit}"
    return text if spread is None else f"{text} ±{spread / 2:.0%}"


def _beside(row: Mapping[str, Any]) -> str:
    """A row of the table with the fastest other library alone, and its name."""
    best = row["best_other"]
    other = "" if best is None else f"{_value(row, best)} ({best})"
    return f"| {row['work']} | {_value(row, 'isoconv')} | {other} | {_ratio(row)} |"


def _ratio(row: Mapping[str, Any]) -> str:
    if row["ratio"] is None:
        return ""
    text = f"{row['ratio']:.2f}"
    return f"**{text}**" if row["goal"] is not None and row["ratio"] >= row["goal"] else text

"""The benchmark's results and the page made of them."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from bench.results import check, merged
from bench.table import BEGIN, END, brief, markdown, update

ROW = {
    "work": "tiny [64]",
    "unit": "ms",
    "values": {"isoconv": 1.5, "torch channels last": 9.0, "jax": 12.0},
    "spread": {"isoconv": 0.02, "torch channels last": 0.04, "jax": 0.1},
    "best_other": "torch channels last",
    "ratio": 6.0,
    "goal": 4.0,
}
CONTENT: dict[str, Any] = {
    "schema": 1,
    "what": "steps",
    "machine": {"cpu": "a processor", "cores": 2, "target": "avx512"},
    "versions": {"isoconv": "0.1.0", "torch": "2.13.0"},
    "ceilings": {"threads": 2, "gflops": 400.0, "memory": 20.0, "cache": 100.0},
    "setting": {"threads": 2, "quick": False},
    "rows": [ROW, {**ROW, "work": "lenet [128]", "ratio": 1.2, "goal": 1.5}],
    "notes": ["openvino is left out: not there"],
}


def layers() -> dict[str, Any]:
    """Results of two layers, one of them slow."""
    row = {**ROW, "goal": 1.1, "ratio": 1.25, "gflops": 340.0, "large": True}
    slow = {**row, "work": "slow [1]", "ratio": 0.8, "gflops": 100.0}
    return {**CONTENT, "what": "layers", "rows": [row, slow]}


def test_complete_results_pass() -> None:
    """Results with every part are accepted."""
    check(CONTENT)


@pytest.mark.parametrize("part", ["machine", "ceilings", "rows", "notes"])
def test_missing_part(part: str) -> None:
    """A missing part is named."""
    content = {key: value for key, value in CONTENT.items() if key != part}
    with pytest.raises(ValueError, match=f"results lack {part}"):
        check(content)


def test_wrong_rows() -> None:
    """A row without a ratio, or whose best library has no value, is named."""
    content = deepcopy(CONTENT)
    del content["rows"][0]["ratio"]
    with pytest.raises(ValueError, match=r"'tiny \[64\]' lacks ratio"):
        check(content)
    content = deepcopy(CONTENT)
    content["rows"][0]["best_other"] = "nobody"
    with pytest.raises(ValueError, match="'nobody' has no value"):
        check(content)


def test_other_schema() -> None:
    """Results of another schema are refused."""
    with pytest.raises(ValueError, match="schema 7, not 1"):
        check({**CONTENT, "schema": 7})


def test_rows_and_goals() -> None:
    """Each row has its values, and whether it reaches its goal stands as it is."""
    text = markdown({"steps": CONTENT})
    assert "| tiny [64] | ≥ 4 | 6.00 beside torch channels last | yes |" in text
    assert "| lenet [128] | ≥ 1.5 | 1.20 beside torch channels last | no |" in text
    assert "| tiny [64] | 1.50 ms ±1% | 9.00 ms ±2% | 12.0 ms ±5% | **6.00** | ≥ 4 |" in text
    assert "| lenet [128] | 1.50 ms ±1% | 9.00 ms ±2% | 12.0 ms ±5% | 1.20 | ≥ 1.5 |" in text
    assert "- openvino is left out: not there" in text


def test_layers_have_a_mean_and_a_least() -> None:
    """The geometric mean, the slowest layer and the share of the peak are summed up."""
    text = markdown({"layers": layers()})
    assert "| Convolution layers, geometric mean | ≥ 1.1 | 1.00 | no |" in text
    assert "| Convolution layers, each | ≥ 0.9 | 1 of 2 rows; least 0.80 (slow [1]) | no |" in text
    assert "1 of 2 rows; from 25% to 85%" in text


def test_without_peers() -> None:
    """Rows with nothing to compare with are shown without a ratio."""
    row = {**ROW, "best_other": None, "ratio": None, "values": {"isoconv": 1.5}}
    text = markdown({"steps": {**CONTENT, "rows": [row]}})
    assert "nothing to compare with" in text
    assert "| tiny [64] | 1.50 ms ±1% |  | ≥ 4 |" in text


def test_how_long_threads_take_to_meet() -> None:
    """The least and the most of all rows, where they say it."""
    row = {**ROW, "meeting_ns": [35, 155]}
    text = markdown({"steps": {**CONTENT, "rows": [row, ROW, {**ROW, "meeting_ns": [34, 36]}]}})
    assert "20 GB/s from memory; threads met in 34 to 155 ns. isoconv" in text
    assert "threads met" not in markdown({"steps": CONTENT})


def test_first_page() -> None:
    """Of each training, the fastest other library alone; what is not measured is not there."""
    lines = brief({"layers": layers(), "steps": CONTENT}).splitlines()
    assert len(lines) == 2 + len(CONTENT["rows"])
    assert lines[2] == "| tiny [64] | 1.50 ms ±1% | 9.00 ms ±2% (torch channels last) | **6.00** |"


def test_page_is_updated(tmp_path: Path) -> None:
    """Only what stands between the markers changes."""
    page = tmp_path / "README.md"
    page.write_text(f"# before\n{BEGIN}\nold\n{END}\nafter\n")
    update(page, markdown({"steps": CONTENT}))
    text = page.read_text()
    assert text.startswith(f"# before\n{BEGIN}")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "tiny [64]" in text


def test_page_without_markers(tmp_path: Path) -> None:
    """A page without markers is refused and stays as it is."""
    page = tmp_path / "README.md"
    page.write_text("nothing here")
    with pytest.raises(ValueError, match="lacks the lines"):
        update(page, markdown({"steps": CONTENT}))
    assert page.read_text() == "nothing here"


def test_order_tells_how_much_changed() -> None:
    """Beside the ratio stands the share of weights that came out with other bits."""
    row = {
        **ROW, "values": {"isoconv": 1.5, "reassociated": 1.52}, "best_other": "reassociated",
        "ratio": 1.013, "goal": 0.97, "changed": {"isoconv": 0.0, "reassociated": 0.25},
    }  # fmt: skip
    text = markdown({"order": {**CONTENT, "what": "order", "rows": [row]}})
    assert "| work | isoconv | reassociated | ratio | goal | bits changed |" in text
    assert "| **1.01** | ≥ 0.97 | 25% |" in text


def test_row_measured_anew() -> None:
    """A new row replaces the one of the same work and says when it was measured and on what."""
    machine = {**CONTENT["machine"], "cpu": "another processor"}
    row = {**ROW, "ratio": 7.0}
    new = {**CONTENT, "when": "2026-03-04T05:06:07+00:00", "machine": machine, "rows": [row]}
    stored = {**CONTENT, "notes": [*CONTENT["notes"], "jax is left out of tiny: it failed"]}
    content = merged(stored, new)
    assert [(r["work"], r["ratio"]) for r in content["rows"]] == [
        ("tiny [64]", 7.0), ("lenet [128]", 1.2)
    ]  # fmt: skip
    assert content["rows"][0]["measured"] == {"when": new["when"], "machine": machine}
    assert content["machine"] == CONTENT["machine"]
    assert content["notes"] == CONTENT["notes"]
    line = "tiny [64] on 2026-03-04 (another processor, avx512, 2 cores)."
    assert f"Measured at another time: {line}" in markdown({"steps": content})


def test_further_row_and_all_rows() -> None:
    """A row that was not there is added; when all are new, nothing of the old file stays."""
    new = {**CONTENT, "when": "2026-03-04T05:06:07+00:00", "rows": [{**ROW, "work": "vgg11 [8]"}]}
    works = [row["work"] for row in merged(CONTENT, new)["rows"]]
    assert works == ["tiny [64]", "lenet [128]", "vgg11 [8]"]
    whole = {**CONTENT, "when": new["when"]}
    assert merged(CONTENT, whole) == whole


def test_share_of_the_peak_of_its_own_run() -> None:
    """A layer measured anew stands beside the peak that was measured with it."""
    content = layers()
    ceilings = {**CONTENT["ceilings"], "gflops": 200.0}
    about = {"when": "2026-03-04T05:06:07+00:00", "ceilings": ceilings}
    content["rows"][1] = {**content["rows"][1], "measured": about}
    assert "| 100 | 50% |" in markdown({"layers": content})


def test_columns_of_a_cluster() -> None:
    """What a row of a cluster has beside its times stands behind the goal."""
    row = {
        **ROW,
        "overhead_ms": 1.25,
        "bytes_per_worker": 3 << 20,
        "ring_bytes_per_worker": 2 << 20,
    }
    page = markdown({"cluster": {**CONTENT, "what": "cluster", "rows": [row]}})
    assert "| ratio | goal | more per step | moved per worker | by a ring |" in page
    assert "≥ 4 | 1.2 ms | 3.0 MiB | 2.0 MiB |" in page

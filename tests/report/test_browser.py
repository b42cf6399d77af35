"""The page in a real browser, as wide as a phone and as a desk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
from tests.report.made import dataset_of, evaluation_of, model_of, write_run

from isoconv.report import write_report

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="neither chromium nor google-chrome is here"
)

# What a window of this width shows: within a frame, for windows have a least width of their own.
MEASURE = """
<iframe id="frame" style="border: 0; width: WIDTHpx; height: 900px" srcdoc="PAGE"></iframe>
<script>
  const frame = document.getElementById('frame');
  frame.onload = () => {
    const inner = frame.contentDocument, found = {wide: [], small: []};
    found.width = inner.documentElement.scrollWidth;
    found.broken = [...inner.images].filter(image => !image.naturalWidth).length;
    for (const each of inner.body.querySelectorAll('*')) {
      const box = each.getBoundingClientRect();
      if (box.right > WIDTH + 1 && !each.closest('.scroll, pre'))
        found.wide.push(each.tagName + ' ' + each.className);
      const own = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim());
      if (!own || !box.width) continue;
      let size = parseFloat(frame.contentWindow.getComputedStyle(each).fontSize);
      const drawing = each.closest('svg');
      if (drawing) size *= drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width;
      if (size < 11.99) found.small.push(each.tagName + ' ' + size);
    }
    document.title = JSON.stringify(found);
  };
</script>
"""


def measured(page: str, width: int, folder: Path) -> dict[str, Any]:
    """What stands out to the right, what is too small to read, and pictures that do not show."""
    file = folder / "measure.html"
    page = MEASURE.replace("WIDTH", str(width)).replace("PAGE", escape(page))
    file.write_text(f"<!doctype html><meta charset=utf-8>{page}", "utf-8")
    done = subprocess.run(
        [
            str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--dump-dom", "--disable-background-networking", "--virtual-time-budget=20000",
            f"--user-data-dir={folder / 'profile'}", file.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    title = re.search(r"<title>(\{.*?\})</title>", done.stdout)
    assert title is not None, done.stderr
    found: dict[str, Any] = json.loads(unescape(title[1]))
    return found


LONG = "a class whose name goes on and on, as the folders of people do, up to eighty letters"
CASES = {
    "three": (LONG, "w" * 300, "<b>日本語のとても長いクラスの名前がここにありますよ</b>"),
    "fifteen": tuple(f"species number {number} of the wood" for number in range(15)),
    "sixty": tuple(f"species number {number} of the wood" for number in range(60)),
    "many": tuple(f"c{number}" for number in range(130)),
}


@pytest.mark.slow
@pytest.mark.parametrize("names", CASES.values(), ids=CASES)
def test_page_in_a_browser(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 400 and at 1280 pixels nothing but tables in their boxes is wider, text is 12 or more."""
    monkeypatch.setattr("isoconv.report.write.has_matplotlib", lambda: False)
    data = dataset_of(names, max(60, 2 * len(names)))
    facts = {"model": "tiny", "data": "/" + "very-long-folder/" * 20,
             "command": f"isoconv train {'x' * 300} --size 64"}  # fmt: skip
    run = write_run(tmp_path / "run", facts=facts, train=data, epochs=15)
    notes = ["a warning with a path: " + "x/" * 200 + ".jpg"]
    path = write_report(
        run, model_of(len(names)), data, evaluation_of(data.labels, len(names)), notes=notes
    )
    page = path.read_text("utf-8")
    for width in (400, 1280):
        found = measured(page, width, tmp_path)
        assert found == {"wide": [], "small": [], "width": width, "broken": 0}

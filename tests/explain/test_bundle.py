"""The page's modules as one script, and pages of one file: whole, and closed to what data hold."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.browser import Remote

from isoconv import nn
from isoconv.errors import ArgumentError
from isoconv.explain import bundle
from isoconv.explain.explorer import Explorer
from isoconv.explain.standalone import write_page, write_playground

ROOT = Path(__file__).parents[2]
HOSTILE = '</script><script>document.title = "broken out"</script><!-- <b>"&amp;\u2028'


def test_a_module_stands_behind_what_it_needs() -> None:
    """Each module once, and none before one that it imports from."""
    text = bundle.script("explorer.js", "source.js")
    order = re.findall(r"^const (isoconv_\w+) = \(\(\) => \{$", text, re.MULTILINE)
    assert len(order) == len(set(order)) > 10
    for name in (each for each in bundle.names() if each.endswith(".js")):
        if bundle.variable(name) not in order:
            continue
        at = order.index(bundle.variable(name))
        for needed in re.findall(r'from "\./([\w-]+\.js)"', bundle.source(name)):
            assert order.index(bundle.variable(needed)) < at, (name, needed)


def test_names_that_are_none() -> None:
    """Only what is in the folder is a file of it."""
    for name in ("../bundle.py", "nowhere.js", "", "/etc/passwd"):
        with pytest.raises(ArgumentError, match="has no file"):
            bundle.source(name)


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"a.js": 'import { b } from "./b.js";', "b.js": 'import { a } from "./a.js";'},
         "modules import one another: a.js → b.js → a.js"),
        ({"a.js": 'import b from "./b.js";', "b.js": ""}, "a.js: imports are named"),
        ({"a.js": "export default 3;"}, "a.js: imports are named"),
        ({"a.js": "export { x };"}, "a.js: imports are named"),
    ],
)  # fmt: skip
def test_modules_that_cannot_be_put_together(
    files: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A circle, or a form of import or export that is not taken apart, is told."""
    monkeypatch.setattr(bundle, "source", files.__getitem__)
    with pytest.raises(ArgumentError, match=re.escape(text)):
        bundle.script.__wrapped__("a.js")


def named(title: str, name: str) -> Explorer:
    """An explorer of which title and image are called so."""
    model = nn.Sequential(nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3))
    model.build((6, 6, 1), seed=5)
    image = (np.arange(36, dtype=np.float32) / 36).reshape(6, 6, 1)
    return Explorer(model, image, 1, title=title, name=name)


def test_data_cannot_break_out(tmp_path: Path, new_page: Callable[..., Remote]) -> None:
    """What a model and a picture are called is text and no more, in a file opened from disk."""
    file = tmp_path / "page.html"
    write_page(named(HOSTILE, HOSTILE), file)
    text = file.read_text("utf-8")
    assert text.count("</script>") == text.count("<script")
    assert "<!--" not in text
    page = new_page()
    page.goto(file.as_uri())
    page.locator(".cell[aria-busy=false]").wait_for()
    assert page.title().startswith("</script><script>document.title")
    assert page.locator("script").count() == text.count("<script")


def test_a_file_may_load_nothing(tmp_path: Path, browser: Remote) -> None:
    """Whatever stood in it could ask for nothing: the policy in the file forbids it."""
    file = tmp_path / "page.html"
    write_playground(file)
    context = browser.new_context()
    page = context.new_page()
    page.goto(file.as_uri())
    for directive, code in (
        ("img-src", "new Image().src = there"),
        ("connect-src", "fetch(there).catch(() => 0)"),
        ("script-src-elem", "document.head.append(Object.assign("
         "document.createElement('script'), { src: there }))"),
        ("frame-src", "document.body.append(Object.assign("
         "document.createElement('iframe'), { src: there }))"),
    ):  # fmt: skip
        refused = page.evaluate(
            "() => new Promise((done) => { const there = 'http://127.0.0.1:9/'; "
            "document.addEventListener('securitypolicyviolation', "
            f"(event) => done(event.effectiveDirective), {{ once: true }}); {code}; }})"
        )
        assert refused == directive
    context.close()


@pytest.mark.slow
def test_the_wheel_holds_the_pages(tmp_path: Path) -> None:
    """Built as it is given to others, the package has every module and style sheet."""
    found = pytest.importorskip("setuptools", reason="no wheel is built without setuptools")
    if int(found.__version__.partition(".")[0]) < 77:
        pytest.skip(f"no wheel is built with setuptools {found.__version__}: it is too old")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--wheel-dir", str(tmp_path), str(copied(tmp_path))],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name.rpartition("/")[2] for name in archive.namelist() if "/web/" in name}
    assert held == set(bundle.names())


def copied(folder: Path) -> Path:
    """What a wheel is built from, in a place of its own: building writes beside it."""
    there = folder / "source"
    there.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, there / name)
    shutil.copytree(
        ROOT / "src", there / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    return there


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    """A place that cannot be written is told, and what stood there stays."""
    file = tmp_path / "page.html"
    file.mkdir()
    with pytest.raises(ArgumentError, match="the page cannot be written to"):
        write_playground(file)
    assert file.is_dir()
    assert list(tmp_path.iterdir()) == [file]

"""The explorer in a notebook: executed by a real kernel, looked at in a real browser."""

from __future__ import annotations

import base64
import copy
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.browser import ORIGIN

import isoconv as ic
from isoconv import nn
from isoconv.errors import MissingExtraError
from isoconv.explain.widget import Frame

CODE = """
import numpy as np
import isoconv as ic
from isoconv import nn

model = nn.Sequential(nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3))
model.build((6, 6, 1), seed=5)
image = (np.arange(36, dtype=np.float32) / 36).reshape(6, 6, 1)
"""

HOLD = """
async ([code, sheet, height]) => {
  const style = document.createElement("style");
  style.textContent = sheet;
  document.head.append(style);
  const heard = [];
  const bytes = (text) => {
    const array = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    return new DataView(array.buffer);
  };
  const text = (view) => btoa(String.fromCharCode(...new Uint8Array(view.buffer)));
  const model = {
    get: () => height,
    on: (_, listener) => heard.push(listener),
    send: async (question, callbacks, buffers) => {
      const found = await window.kernel(question, (buffers ?? []).map(text));
      heard.forEach((listener) => listener(found.answer, found.buffers.map(bytes)));
    },
  };
  const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const { default: widget } = await import(address);
  window.destroy = widget.render({ model, el: document.body });
}
"""


def small() -> tuple[nn.Module, np.ndarray]:
    """The model and the image of the notebook."""
    model = nn.Sequential(nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3))
    model.build((6, 6, 1), seed=5)
    return model, (np.arange(36, dtype=np.float32) / 36).reshape(6, 6, 1)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A notebook with a frame, a live widget and an explanation, run by a kernel of its own."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    cells = [
        CODE, "ic.explore(model, image, label=1, live=False)", "ic.explore(model, image, label=1)",
        "ic.explain(model, image, at=('0', 1, 2, 0))",
    ]  # fmt: skip
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    folder = tmp_path_factory.mktemp("notebook")
    client.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return notebook


def output_of(notebook: Any, cell: int) -> dict[str, Any]:
    """What a cell shows, by MIME type."""
    (output,) = (each for each in notebook.cells[cell].outputs if each.output_type != "stream")
    return dict(output.data)


def test_a_live_widget_has_a_view(executed: Any) -> None:
    """The kernel gives the notebook a widget, and says what it is where there are none."""
    shown = output_of(executed, 2)
    assert "model_id" in shown["application/vnd.jupyter.widget-view+json"]
    text = shown["text/plain"]
    assert text.startswith("an explorer of Sequential, alive in a running notebook")
    assert "live=False" in text


def test_an_explanation_is_shown_as_html(executed: Any) -> None:
    """The number is the engine's."""
    model, image = small()
    value = ic.explain(model, image, at=("0", 1, 2, 0)).value
    assert str(value) in output_of(executed, 3)["text/html"]


@pytest.mark.slow
def test_a_saved_notebook_has_the_whole_page(executed: Any, tmp_path: Path, new_page: Any) -> None:
    """Turned into HTML, with no kernel behind it, the explorer in it works."""
    nbconvert = pytest.importorskip("nbconvert")
    executed = copy.deepcopy(executed)
    executed.cells[2].outputs = []  # what is live needs a kernel
    # The exporter's own page asks for libraries from elsewhere, which the browser here has not.
    nothing = "data:text/javascript,"
    exporter = nbconvert.HTMLExporter(
        embed_images=True, mathjax_url=nothing, widget_renderer_url=nothing, require_js_url=nothing
    )
    html, _ = exporter.from_notebook_node(executed)
    file = tmp_path / "notebook.html"
    file.write_text(html, "utf-8")
    page = new_page()
    page.goto(file.as_uri())
    frame = page.frame_locator('iframe[title="explorer"]')
    frame.locator("text=Conv2d").first.wait_for()
    model, image = small()
    from isoconv.explain.network import Network

    network = Network(model, image[None], [1])
    values = network.value(network.layers[0].result)
    best = values[tuple(np.unravel_index(int(np.argmax(values)), values.shape))]
    frame.locator(f'[data-value="{best!s}"]').first.wait_for()


def test_messages_of_a_widget_are_answered() -> None:
    """A page's questions get answers with their number, or an error in a line."""
    pytest.importorskip("anywidget")
    model, image = small()
    widget = ic.explore(model, image, label=1, live=True)
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    widget.send = lambda answer, buffers=None: sent.append((answer, buffers or []))

    def ask(**question: Any) -> tuple[dict[str, Any], list[bytes]]:
        widget._answer(widget, {"number": 7, **question}, [])
        return sent[-1]

    told, _ = ask(kind="description")
    json.dumps(told)
    assert told["answer"] == 7
    index = told["told"]["parameters"]["0.weight"]
    _, (content,) = ask(kind="array", scene=told["told"]["scene"], id=index)
    assert content == model.weights["0.weight"].tobytes()
    told, _ = ask(kind="ask", what="label", arguments={"label": 9})
    assert "a class lies in 0" in told["error"]
    told, _ = ask(kind="show", name="x")
    assert "error" in told
    told, _ = ask(kind="other")
    assert "error" in told


def test_a_frame_needs_no_widgets() -> None:
    """A page that stands alone says its size, and its HTML cannot leave its frame."""
    model, image = small()
    frame = ic.explore(model, image, live=False, title='<b>"x"</b>')
    assert isinstance(frame, Frame)
    assert re.fullmatch(r"an explorer of [\d,]+ bytes, which a notebook shows", repr(frame))
    shown = frame._repr_html_()
    assert shown.count("<iframe") == 1
    assert 'sandbox="allow-scripts"' in shown
    assert "<b>" not in shown


@pytest.mark.slow
def test_a_live_widget_in_a_browser(new_page: Any) -> None:
    """The widget's module draws from messages, as in a notebook: numbers, another label, a file."""
    pytest.importorskip("anywidget")
    model, image = small()
    widget = ic.explore(model, image, label=1, live=True)
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    widget.send = lambda answer, buffers=None: sent.append((answer, buffers or []))

    def kernel(question: dict[str, Any], buffers: list[str]) -> dict[str, Any]:
        widget._answer(widget, question, [base64.b64decode(each) for each in buffers])
        answer, found = sent.pop()
        return {"answer": answer, "buffers": [base64.b64encode(each).decode() for each in found]}

    # Here no notebook stands between: its policy is its own, and its messages are this function.
    page = new_page(bypass_csp=True)
    page.goto(f"{ORIGIN}/")
    page.expose_function("kernel", kernel)
    page.evaluate(HOLD, [widget._esm, widget._css, widget.height])
    page.locator(".cell[aria-busy=false]").wait_for()
    from isoconv.explain.network import Network

    network = Network(model, image[None], [1])
    values = network.value(network.layers[0].result)
    best = values[tuple(np.unravel_index(int(np.argmax(values)), values.shape))]
    page.locator(f'[data-value="{best!s}"]').first.wait_for()
    stream = io.BytesIO()
    Image.new("L", (6, 6), 200).save(stream, "PNG")
    page.locator('input[type="file"]').set_input_files(
        {"name": "pale.png", "mimeType": "image/png", "buffer": stream.getvalue()}
    )
    page.locator("text=pale.png").first.wait_for()
    assert widget.explorer.scene.image_name == "pale.png"
    page.evaluate("destroy()")
    assert page.locator(".isoconv").count() == 0 or not page.locator(".isoconv *").count()


def test_a_failure_of_our_own_is_answered() -> None:
    """A page that waits hears that something failed; the kernel's log has the error."""
    pytest.importorskip("anywidget")
    model, image = small()
    widget = ic.explore(model, image, live=True)
    sent: list[dict[str, Any]] = []
    widget.send = lambda answer, _: sent.append(answer)

    def failing(_: Any) -> None:
        raise ZeroDivisionError("a fault of our own")

    widget.explorer.add_action("failing", failing)
    with pytest.raises(ZeroDivisionError):
        widget._answer(widget, {"number": 3, "kind": "ask", "what": "failing"}, [])
    assert sent == [{"answer": 3, "error": "isoconv failed here; the kernel's log says how"}]


def test_without_anywidget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for, it is told what is missing; not asked for, a page takes its place and says so."""
    model, image = small()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'isoconv\[notebook\]'"):
        ic.explore(model, image, live=True)
    monkeypatch.delitem(sys.modules, "anywidget")
    monkeypatch.setattr("isoconv.explain.widget.find_spec", lambda _: None)
    shown = ic.explore(model, image)
    assert isinstance(shown, Frame)
    assert "<div>anywidget is not installed" in shown._repr_html_()

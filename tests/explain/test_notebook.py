"""The explorer in a notebook: executed by a real kernel, looked at in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isoconv as ic
from isoconv import nn
from isoconv.explain.widget import Frame

CODE = """
import numpy as np
import isoconv as ic
from isoconv import nn

model = nn.Sequential(nn.Conv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3))
model.build((6, 6, 1), seed=5)
image = (np.arange(36, dtype=np.float32) / 36).reshape(6, 6, 1)
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
    assert shown["text/plain"]


def test_an_explanation_is_shown_as_html(executed: Any) -> None:
    """The number is the engine's."""
    model, image = small()
    value = ic.explain(model, image, at=("0", 1, 2, 0)).value
    assert str(value) in output_of(executed, 3)["text/html"]


def test_a_saved_notebook_has_the_whole_page(executed: Any, tmp_path: Path, new_page: Any) -> None:
    """Turned into HTML, with no kernel behind it, the explorer in it works."""
    nbconvert = pytest.importorskip("nbconvert")
    for cell in executed.cells[2:3]:
        cell.outputs = []  # what is live needs a kernel
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

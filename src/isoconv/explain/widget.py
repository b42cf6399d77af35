"""The explorer in a notebook: the same modules as an anywidget, fed by the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from isoconv.checks import LARGEST, check_count, check_flag, check_text, shown
from isoconv.errors import ArgumentError, IsoconvError, MissingExtraError
from isoconv.explain.bundle import script, styles
from isoconv.explain.explorer import Explorer, StaleSceneError
from isoconv.explain.given import labels_of
from isoconv.explain.history import follow
from isoconv.explain.standalone import ENTRIES, SHEETS, page_of
from isoconv.explain.subject import Subject

__public__ = {"isoconv": ["explore"]}


def explore(
    model: Any,
    image: Any = None,
    label: Any = None,
    *,
    title: str = "",
    height: int = 760,
    live: bool | None = None,
) -> Any:
    """Look at a network on an image, number by number, in a notebook.

    Args:
        model: a built or trained model, a run, or the path of a run folder or saved model.
        image: as for `isoconv.explain`; None for a picture of grey, to be replaced on the page.
        label: its class, by name or number, for gradients of the loss.
        title: what the page is called; the model's class unless given.
        height: in pixels.
        live: True for a widget that the notebook's kernel answers: other pictures, other questions.
            False for a page that stands alone, with all its numbers, and stays in a notebook that
            is saved or turned into HTML. None: live where anywidget is installed.

    Returns:
        What a notebook shows.

    Raises:
        MissingExtraError: a live one without anywidget.

    Example:
        >>> import numpy as np
        >>> import isoconv as ic
        >>> from isoconv import nn
        >>> model = nn.Sequential(nn.Conv2d(2, 3), nn.Flatten(), nn.Linear(3)).build((5, 5, 1))
        >>> widget = ic.explore(model, np.ones((5, 5, 1), np.float32), label=0)
    """
    found = Subject.of(model)
    height = check_count("height", height, most=LARGEST)
    title = check_text("title", title)
    live = None if live is None else check_flag("live", live)
    labels = None if label is None else list(labels_of(found.model, label, 1, "cross_entropy"))
    if labels is not None and len(labels) != 1:
        text = f"one image is shown, so that there is one label; got {shown(label)}"
        raise ArgumentError(text, argument="label", value=label)
    number = None if labels is None else labels[0]
    name = image.name if isinstance(image, Path) else image if isinstance(image, str) else ""
    start, notes = found.start()
    explorer = Explorer(
        found.model,
        image,
        number,
        title=title,
        name=Path(name).name,
        loss=found.loss,
        start=start,
        notes=notes,
    )
    if found.folder is not None:
        follow(explorer, found.folder)
    if live is None:
        live = find_spec("anywidget") is not None
        if not live:
            note = "anywidget is not installed (isoconv[notebook]): the page answers nothing new"
            return Frame(explorer, height, [note])
    return widget_of(explorer, height) if live else Frame(explorer, height)


class Frame:
    """An explorer's page in a frame of a notebook, with all its numbers and without a kernel.

    Args:
        explorer: what is shown.
        height: of the frame, in pixels.
        notes: lines to stand below it.

    Attributes:
        page: the page, HTML.
        height: as given.
        notes: as given, and a line for each kind of number that was left out.
    """

    def __init__(self, explorer: Explorer, height: int = 760, notes: Sequence[str] = ()) -> None:
        self.page, left = page_of(explorer, framed=True)
        self.height = height
        self.notes = [*notes, *left]

    def __repr__(self) -> str:
        return f"an explorer of {len(self.page):,} bytes, which a notebook shows"

    def _repr_html_(self) -> str:
        notes = "".join(f"<div>{escape(line)}</div>" for line in self.notes)
        return (
            f'<iframe title="explorer" sandbox="allow-scripts" width="100%" height="{self.height}" '
            f'style="border:1px solid rgba(128,128,128,.35)" srcdoc="{escape(self.page)}"></iframe>'
            f"{notes}"
        )


def module() -> str:
    """The page's modules as the one module that anywidget wants."""
    return (
        f"{script(*ENTRIES)}\n"
        "function render({ model, el }) {\n"
        '  const root = document.createElement("div");\n'
        '  root.style.maxHeight = `${model.get("height")}px`;\n'
        '  root.style.overflow = "auto";\n'
        "  el.append(root);\n"
        "  const source = new isoconv_source.MessageSource(model);\n"
        "  const made = isoconv_explorer.mount(root, source, { fragment: false });\n"
        "  return () => made.destroy();\n"
        "}\n"
        "export default { render };\n"
    )


def widget_of(explorer: Explorer, tall: int = 760) -> Any:
    """A widget that shows an explorer.

    Raises:
        MissingExtraError: anywidget is not installed.
    """
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise MissingExtraError(
            "the explorer in a notebook needs anywidget: pip install 'isoconv[notebook]'"
        ) from error

    class ExplorerWidget(anywidget.AnyWidget):  # type: ignore[misc]
        """An explorer in a notebook."""

        _esm = module()
        _css = styles(*SHEETS)
        height = traitlets.Int(760).tag(sync=True)

        def __init__(self) -> None:
            super().__init__(height=tall)
            self.explorer = explorer
            self.on_msg(self._answer)

        def __repr__(self) -> str:
            # All that is left of it where there is no kernel: in a terminal, in a saved notebook.
            name = explorer.title or type(explorer.model).__name__
            return (
                f"an explorer of {name}, alive in a running notebook; live=False makes one to keep"
            )

        def _answer(self, _: Any, question: dict[str, Any], buffers: list[Any]) -> None:
            answer: dict[str, Any] = {"answer": question.get("number")}
            found: list[bytes] = []
            try:
                match question.get("kind"):
                    case "description":
                        answer["told"] = explorer.description()
                    case "array":
                        found = [explorer.array(question.get("scene", -1), question.get("id", -1))]
                    case "ask":
                        what, given = question.get("what", ""), question.get("arguments", {})
                        answer["told"] = explorer.ask(what, given)
                    case "show":
                        content = bytes(buffers[0]) if buffers else b""
                        answer["told"] = explorer.show_file(content, str(question.get("name", "")))
                    case other:
                        answer["error"] = f"a page asks for no {other!r:.80}"
            except IsoconvError as error:
                answer["error"] = str(error)
                answer["stale"] = isinstance(error, StaleSceneError)
            except Exception:
                # The page waits for an answer; how it failed stands in the notebook's log.
                self.send({**answer, "error": "isoconv failed here; the kernel's log says how"}, [])
                raise
            self.send(answer, found)

    return ExplorerWidget()

"""What tests of the explorer look at: a network that was really trained, served to a browser."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from tests.browser import Remote

import isoconv as ic
from isoconv import nn
from isoconv.data import Dataset
from isoconv.explain.explorer import Explorer
from isoconv.serve.page import application
from isoconv.train import Run

CLASSES = ("lying", "standing", "none")


def stripes(count: int, seed: int) -> Dataset:
    """Grey pictures 12 × 12 with stripes that lie, stripes that stand, or none."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.integers(0, 90, (count, 12, 12, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        first = int(rng.integers(0, 3))
        if label == 0:
            image[first::3] += 150
        elif label == 1:
            image[:, first::3] += 150
    return Dataset.from_arrays(images, labels, class_names=CLASSES, name="stripes")


def trained(folder: Path) -> Run:
    """A run of two epochs that keeps its checkpoints; every kind of layer that has a window."""
    model = nn.Sequential(
        nn.Conv2d(4, 3, padding=1), nn.BatchNorm(), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 3, dilation=2, padding=1, groups=2), nn.ReLU(), nn.AvgPool2d(2, stride=1),
        nn.Flatten(), nn.Linear(3),
    )  # fmt: skip
    trainer = ic.Trainer(model, batch_size=10, progress=False, keep_checkpoints=True)
    return trainer.fit(stripes(60, 1), stripes(12, 2), epochs=2, out=folder)


@contextmanager
def served(explorer: Explorer) -> Iterator[str]:
    """The address of an explorer's page, as `isoconv view` serves it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        app = application(explorer, explorer.title, port, "token")
        config = uvicorn.Config(app, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{port}/?token=token"
        finally:
            server.should_exit = True
            thread.join()


def settled(page: Remote) -> None:
    """Waits until the chosen number is taken apart."""
    page.locator("section.cell[aria-busy=false]").wait_for()


def go(page: Remote, layer: str, place: tuple[int, ...], tab: str, weight: str = "") -> None:
    """Goes to a number by the address."""
    where = ",".join([layer, *map(str, place)])
    text = f"#at={where}&show={tab}" + (f"&weight={weight}" if weight else "")
    page.evaluate(
        "text => { document.querySelector('section.cell').setAttribute('aria-busy', 'true'); "
        "if (decodeURI(location.hash) === text) { dispatchEvent(new Event('hashchange')); } "
        "location.hash = text; }",
        text,
    )
    settled(page)


def heading(page: Remote) -> str:
    """What stands above the chosen number's parts."""
    return str(page.locator("section.cell > h2").inner_text())


def told(page: Remote) -> np.float32:
    """The chosen number as the page writes it."""
    return number(heading(page).rpartition("= ")[2])


def number(text: str) -> np.float32:
    """A number of the page, as the float32 that it is the shortest text of."""
    found = re.search(r"-?(?:\d[\d.]*(?:e[-+]?\d+)?|Infinity)|NaN", text)
    assert found, text
    return np.float32(found[0])


def same(a: Any, b: Any) -> bool:
    """Whether two numbers are the same float32, bit for bit but for the sign of zero."""
    x, y = np.float32(a), np.float32(b)
    return bool(x == y or (np.isnan(x) and np.isnan(y)))

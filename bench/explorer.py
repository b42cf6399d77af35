"""``python -m bench.explorer``: how long a click in the explorer takes to be answered.

Of a network, each layer's maps are shown and cells of them taken apart, in a real Chromium, as
``isoconv view`` serves the page. A click's time runs from the event to the frame after the number's
terms stand on the page; the first click in a layer fetches its arrays, the others have them.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from isoconv.explain.explorer import Explorer
from isoconv.nn.models import MODELS, create

CLICK = """
([layer, place, tab]) => new Promise((done) => {
  const cell = document.querySelector("section.cell");
  const text = `#at=${[layer, ...place].join(",")}&show=${tab}`;
  const start = performance.now();
  const watch = new MutationObserver(() => {
    if (cell.getAttribute("aria-busy") === "false") {
      watch.disconnect();
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
    }
  });
  cell.setAttribute("aria-busy", "true");
  watch.observe(cell, { attributes: true, attributeFilter: ["aria-busy"] });
  // An address that is the same as before brings no event of its own.
  if (location.hash === text) {
    dispatchEvent(new Event("hashchange"));
  }
  location.hash = text;
})
"""


@contextmanager
def page_of(name: str) -> Iterator[tuple[Explorer, str]]:
    """An explorer of an untrained model on noise, and the address of its page."""
    import uvicorn

    from isoconv.serve.page import application

    shape = (32, 32, 3)
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    explorer = Explorer(create(name, 10).build(shape), image, 3, title=name)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        app = application(explorer, name, port, "token")
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.02)
            yield explorer, f"http://127.0.0.1:{port}/?token=token"
        finally:
            server.should_exit = True
            thread.join()


def measure(name: str, clicks: int) -> dict[str, list[float]]:
    """Times of clicks in milliseconds, by what was asked and whether its arrays were there."""
    from playwright.sync_api import sync_playwright

    rng = np.random.default_rng(1)
    times: dict[str, list[float]] = {}
    with page_of(name) as (explorer, address), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(address)
        page.locator("section.cell[aria-busy=false]").wait_for()
        for layer in explorer.description()["layers"]:
            tabs = ("value", "gradient", *(("kernel",) if layer["window"] else ()))
            for tab in tabs:
                for click in range(clicks):
                    place = [int(rng.integers(side)) for side in layer["shape"]]
                    taken = page.evaluate(CLICK, [layer["name"], place, tab])
                    kind = f"{tab}, {'first in a layer' if click == 0 else 'further'}"
                    times.setdefault(kind, []).append(taken)
        browser.close()
    return times


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.explorer", description=__doc__)
    parser.add_argument("--model", default="resnet20", choices=sorted(MODELS))
    parser.add_argument("--clicks", type=int, default=4, help="in each layer and tab")
    options = parser.parse_args(arguments)
    print(f"{options.model}: milliseconds from a click to its answer on the page")
    print(f"{'':32}{'clicks':>8}{'median':>8}{'95 %':>8}{'worst':>8}")
    for kind, times in measure(options.model, max(2, options.clicks)).items():
        worst = sorted(times)
        high = worst[min(len(worst) - 1, int(0.95 * len(worst)))]
        row = (statistics.median(times), high, worst[-1])
        print(f"{kind:32}{len(times):>8}" + "".join(f"{value:>8.1f}" for value in row))
    return 0


if __name__ == "__main__":
    sys.exit(main())

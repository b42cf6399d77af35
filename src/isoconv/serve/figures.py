"""What a prediction server counts, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import MutableMapping
from contextlib import AbstractContextManager
from typing import Any

from isoconv.serve.guard import App, Receive, Scope, Send

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Figures:
    """The figures of one server.

    Args:
        digest: of its model.
        most: images of a batch.

    Attributes:
        under_way: requests that are not answered yet.
        kind: content type of the text.
    """

    def __init__(self, digest: str, most: int) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        own: dict[str, Any] = {"namespace": "isoconv", "registry": CollectorRegistry()}
        self.kind = CONTENT_TYPE_LATEST
        self._registry = own["registry"]
        self.under_way = Gauge("requests_under_way", "Requests not answered yet.", **own)
        self._requests = Counter("requests", "Requests to /predict.", ["status"], **own)
        self._pictures = Counter("pictures", "Pictures and arrays.", ["outcome"], **own)
        self._seconds = Histogram(
            "request_seconds", "From a request to its answer.", buckets=SECONDS, **own
        )
        sizes = [2**power for power in range(most.bit_length()) if 2**power < most]
        self._batches = Histogram(
            "batch_images", "Images of a prediction.", buckets=[*sizes, most], **own
        )
        Info("model", "The model.", **own).info({"digest": digest})

    def batch(self, images: int) -> None:
        """A batch of so many images is predicted."""
        self._batches.observe(images)

    def pictures(self, answered: int, refused: int) -> None:
        """So many pictures of a request were answered for, and so many could not be read."""
        self._pictures.labels("answered").inc(answered)
        self._pictures.labels("refused").inc(refused)

    def timed(self) -> AbstractContextManager[Any]:
        """Takes the time of a request."""
        return self._seconds.time()

    def text(self) -> bytes:
        """All figures."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def counted(self, app: App) -> App:
        """An application whose answers to ``/predict`` are counted, refusals too."""

        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            async def sent(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    self._requests.labels(str(message["status"])).inc()
                await send(message)

            mine = scope["type"] == "http" and scope["path"] == "/predict"
            await app(scope, receive, sent if mine else send)

        return counting

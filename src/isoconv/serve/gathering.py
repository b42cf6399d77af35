"""Images of many requests gathered into batches: one prediction at a time, all cores at work on it.

A result does not depend on which other images a prediction is for (docs/arithmetic.md), so that
gathering changes no bit of any answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from isoconv.graph.operation import Array

Waiting = tuple[Array, "asyncio.Future[Array]"]


class Gathering:
    """Predicts for images that come one by one, several at a time; of one event loop.

    Args:
        predict: results ``(N, …)`` of images ``(N, …)`` of one dtype; called in a thread of its
            own, never twice at once.
        most: images of a batch.
        wait: seconds for which a batch that is not full waits for more.
        done: told the size of each batch.
    """

    def __init__(
        self,
        predict: Callable[[Array], Array],
        most: int,
        wait: float,
        done: Callable[[int], None],
    ) -> None:
        self._predict, self._most, self._wait, self._done = predict, most, wait, done
        self._waiting: deque[Waiting] = deque()
        self._more = asyncio.Event()

    async def results(self, images: Sequence[Array]) -> list[Array]:
        """The result of each image; whoever stops waiting leaves the queue."""
        loop = asyncio.get_running_loop()
        answers = [loop.create_future() for _ in images]
        self._waiting.extend(zip(images, answers, strict=True))
        self._more.set()
        try:
            return list(await asyncio.gather(*answers))
        finally:
            for answer in answers:
                answer.cancel()

    async def work(self) -> None:
        """Predict until cancelled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "isoconv-predict") as thread:
            while True:
                await self._gathered(loop)
                batch = self._batch()
                if not batch:
                    continue
                images = np.stack([image for image, _ in batch])
                self._done(len(batch))
                try:
                    results = await loop.run_in_executor(thread, self._predict, images)
                except Exception as error:  # noqa: BLE001  # it is told to each that waits for it
                    for _, answer in batch:
                        if not answer.done():
                            answer.set_exception(error)
                else:
                    for (_, answer), result in zip(batch, results, strict=True):
                        if not answer.done():
                            answer.set_result(result)

    async def _gathered(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for a first image, and then for more of them as long as that is worth it."""
        end: float | None = None
        while len(self._waiting) < self._most:
            if self._waiting and end is None:
                end = loop.time() + self._wait
            if end is not None and loop.time() >= end:
                return
            self._more.clear()
            try:
                async with asyncio.timeout_at(end):
                    await self._more.wait()
            except TimeoutError:
                return

    def _batch(self) -> list[Waiting]:
        """The images that came first, of the first one's dtype."""
        batch: list[Waiting] = []
        while self._waiting and len(batch) < self._most:
            image, answer = self._waiting[0]
            if batch and image.dtype != batch[0][0].dtype:
                break
            self._waiting.popleft()
            if not answer.done():
                batch.append((image, answer))
        return batch

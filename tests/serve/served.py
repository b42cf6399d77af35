"""A prediction server as a process of its own, and how it is asked."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isoconv import nn

__all__ = ["Server", "form", "model_file", "png", "start"]

SCALE = "1/255"
"""What brightness is multiplied with: the model was trained on nothing."""


@dataclass
class Server:
    """A process that answers, its port, and what it said when it began."""

    process: subprocess.Popen[str]
    port: int
    said: list[str]

    def ask(
        self,
        path: str = "/predict",
        body: bytes | None = None,
        kind: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, str], Any]:
        """The status, headers and document that a request is answered with."""
        given = dict(headers or {})
        if kind:
            given["Content-Type"] = kind
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        line.request("GET" if body is None else "POST", path, body, given)
        answer = line.getresponse()
        content = answer.read()
        line.close()
        sent = {name.lower(): value for name, value in answer.getheaders()}
        is_json = sent.get("content-type") == "application/json"
        return answer.status, sent, json.loads(content) if is_json else content.decode()

    def end(self) -> str:
        """Ask the process to end, wait for it, and give back what it said."""
        self.process.terminate()
        rest, _ = self.process.communicate(timeout=60)
        return rest


def start(*words: object) -> Server:
    """Start `isoconv serve` on a free port and wait until it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "isoconv", "serve", *map(str, words), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    said: list[str] = []
    port = 0
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line.strip())
        if found := re.match(r"open http://[\d.]+:(\d+)/", line):
            port = int(found[1])
        if line.startswith("Ctrl-C"):
            return Server(process, port, said)
    raise AssertionError("\n".join(said))


def model_file(folder: Path) -> Path:
    """A small classifier of gray pictures with named classes, saved."""
    model = nn.Sequential(
        nn.Conv2d(3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4)
    ).build((8, 8, 1), seed=3)
    model.class_names = ("ant", "bee", "cat", "dog")
    model.save(folder / "model.safetensors")
    return folder / "model.safetensors"


def png(seed: int, side: int = 20) -> bytes:
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def form(**files: bytes) -> tuple[bytes, str]:
    """Files as the body of a form, and its content type."""
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="p"; filename="{name}"\r\n\r\n'.encode()
        + content + b"\r\n"
        for name, content in files.items()
    ]  # fmt: skip
    return b"".join(parts) + b"--edge--\r\n", "multipart/form-data; boundary=edge"

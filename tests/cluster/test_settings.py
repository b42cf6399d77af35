"""A cluster is named, and what cannot be used is refused in words."""

from __future__ import annotations

import socket
import sys
import threading
from typing import Any

import pytest
import ray
from tests.cluster.machines import fit

from isoconv import Cluster
from isoconv.errors import ArgumentError, MissingExtraError, TrainingError


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"address": "ray://10.0.0.1:10001"}, 'address must be "auto" or host:port'),
        ({"address": ""}, "address must be"),
        ({"address": "localhost"}, "address must be"),
        ({"address": "10.0.0.1:0"}, "address must be"),
        ({"address": "10.0.0.1:65536"}, "address must be"),
        ({"cpus": 0}, "cpus must be"),
        ({"audit": 1.5}, "audit must be"),
        ({"patience": 0}, "patience must be"),
    ],
)
def test_wrong_settings_are_refused(given: Any, told: str) -> None:
    """Before anything is connected to."""
    with pytest.raises(ArgumentError, match=told) as caught:
        Cluster(**given)
    assert caught.value.argument == next(iter(given))


def test_ray_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no Ray is told what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"isoconv\[cluster\]"):
        fit(executor=Cluster())


def test_a_cluster_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, the way to one is told."""

    def found_none(**_: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    # There may be one on this machine.
    monkeypatch.setattr(ray, "init", found_none)
    for address in ("auto", "127.0.0.1:1", "no.such.host.invalid:6379"):
        told = rf"a Ray cluster must answer at '{address}': .*ray start"
        with pytest.raises(TrainingError, match=told):
            fit(executor=Cluster(address))


@pytest.mark.parametrize("says", [b"HTTP/1.0 400 Bad Request\r\n\r\n", b"220 mail", b"?"])
def test_another_service_at_the_address(says: bytes) -> None:
    """It is told within seconds, where Ray itself would ask for minutes."""

    def serve(listening: socket.socket) -> None:
        line, _ = listening.accept()
        with line:
            line.sendall(says)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        told = rf"answer at '{address}': something else than a Ray cluster listens there"
        with pytest.raises(TrainingError, match=told):
            fit(executor=Cluster(address))

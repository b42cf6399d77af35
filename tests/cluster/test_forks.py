"""A process that was forked from the driver does not keep the workers of a dead driver alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests.cluster.machines import Machines
from tests.processes import lives

pytestmark = pytest.mark.slow


def test_workers_of_a_killed_driver_end(machines: Machines, tmp_path: Path) -> None:
    """Though a child of it has all that was open, among it the socket by which it is known."""
    machines.have(2)
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(f"""
        import os, signal, time
        from functools import partial
        from isoconv.cluster.executor import ClusterExecutor
        from tests.cluster.machines import fit

        class Killed(ClusterExecutor):
            def begin_epoch(self, epoch, order, tables=None):
                super().begin_epoch(epoch, order, tables)
                found = [member.actor.about.remote() for member in self._roster.ready]
                pids = [self._connection.get(each)["pid"] for each in found]
                child = os.fork()
                if child == 0:
                    os.close(1)
                    time.sleep(120)
                    os._exit(0)
                print(*pids, child, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

        fit(executor=partial(Killed, address={machines.address!r}, patience=300))
        """)
    )
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    said = tmp_path / "said"
    with (
        said.open("w") as errors,
        subprocess.Popen(
            [sys.executable, str(program)], env=place, stdout=subprocess.PIPE, text=True,
            stderr=errors,
        ) as driver,
    ):  # fmt: skip
        assert driver.stdout is not None
        numbers = driver.stdout.readline().split()
        driver.wait()
    assert len(numbers) == 3, said.read_text()
    *workers, child = map(int, numbers)
    try:
        assert lives(child)
        end = time.monotonic() + 60
        while any(map(lives, workers)) and time.monotonic() < end:
            time.sleep(0.1)
        assert not [process for process in workers if lives(process)]
        assert lives(child)
    finally:
        os.kill(child, signal.SIGKILL)

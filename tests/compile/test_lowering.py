"""Rules of lowering: each operation's is found by a process that has loaded nothing else."""

from __future__ import annotations

import subprocess
import sys

from tests.forks import needs_fork

import isoconv.ops  # noqa: F401  (fills the table of operations)
from isoconv.graph.operation import operations

pytestmark = needs_fork

PROGRAM = """
import os, sys
from isoconv.compile.lowering import rule_of
import isoconv.ops
from isoconv.graph.operation import operations

for name in operations():
    if not os.fork():
        try:
            rule_of(name)
        except BaseException as error:
            print(name, error, flush=True)
        os._exit(0)
    os.wait()
print("all", len(operations()))
"""


def test_each_rule_is_found_alone() -> None:
    """Whatever was lowered before, or by which other family."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"all {len(operations())}\n", "")

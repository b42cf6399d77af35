"""Prints the library's dependencies, each at the version that is installed beside this Python.

    python scripts/portability_wheels.py > wheels.txt

The arm64 Python of `scripts/portability_arm64.sh` gets these, so that only the machine differs.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print a requirement a line."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for requirement in project["dependencies"]:
        name = re.split(r"[<>=!~\[; ]", requirement, maxsplit=1)[0]
        try:
            print(f"{name}=={version(name)}")
        except PackageNotFoundError:
            print(requirement)


if __name__ == "__main__":
    main()

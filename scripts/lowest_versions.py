"""Prints every dependency at the lowest version that pyproject.toml allows, those of extras too.

    python scripts/lowest_versions.py > lowest.txt
    pip install --constraint lowest.txt --editable '.[dev]'

`make test-lowest` does that in an environment of its own and runs the tests there.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print a constraint a line."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (each for requirements in lists for each in requirements):
        if re.match(rf"{project['name']}\[", requirement):
            continue  # an extra that takes in another one
        bound = re.fullmatch(r"([\w.-]+)\s*>=\s*([\w.]+)", requirement)
        if bound is None:
            sys.exit(f"a dependency is to be NAME>=VERSION and nothing more; got {requirement!r}")
        print(f"{bound[1]}=={bound[2]}")


if __name__ == "__main__":
    main()

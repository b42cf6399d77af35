"""What a verification found nothing to compare with: it is named, file by file."""

from __future__ import annotations

from isoconv.printable import printable


class NotCovered:
    """Files, and places in files, that nothing was found to compare with.

    Attributes:
        left: whether something is among them that could be compared, given what is missing here.

    Example:
        >>> free = NotCovered()
        >>> free.add("run.json", "facts", "versions")
        >>> free.add("notes.txt")
        >>> str(free)
        'not covered: run.json (facts, versions), notes.txt'
    """

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}
        self.left = False

    def leave(self, file: str, *places: str) -> None:
        """Name places of a file, or all of it, that could have been compared."""
        self.add(file, *places)
        self.left = True

    def add(self, file: str, *places: str) -> None:
        """Name places of a file, or all of it, that nothing follows from."""
        known = self._places.setdefault(file, [])
        known.extend(place for place in places if place not in known)

    def __str__(self) -> str:
        listed = [
            f"{file} ({', '.join(places)})" if places else file
            for file, places in self._places.items()
        ]
        return printable(f"not covered: {', '.join(listed)}")

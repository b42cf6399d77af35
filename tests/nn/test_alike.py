"""Documentation that functions and layers of a kind have alike."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from isoconv import nn
from isoconv.nn import functional
from isoconv.nn.alike import like


def pattern(x: int, size: int, other: int = 0) -> int:
    """A pattern.

    Args:
        x: ``(H, W, C)``, H of it.
        size: of ``(kh, kw)``, as in `conv2d`,
            in two lines.
        other: what others do not have.

    Returns:
        ``(H', W', C)``, ``H' = floor(H - D·(kh - 1))``.

    Example:
        >>> pattern(1, 2)
        3
    """
    return x + size + other


def test_what_is_lacking_is_that_of_the_other() -> None:
    """Sections that are there stay, the signature and the name too; arguments are one's own."""

    @like(pattern, rank=1)
    def one(x: int, size: int) -> int:
        """Along one axis.

        Raises:
            ValueError: never.
        """
        return x + size

    assert one.__doc__ == (
        "Along one axis.\n\n"
        "Args:\n    x: ``(L, C)``, H of it.\n    size: of ``(k)``, as in `conv1d`,\n"
        "        in two lines.\n\n"
        "Returns:\n    ``(L', C)``, ``L' = floor(L - D·(k - 1))``.\n\n"
        "Raises:\n    ValueError: never.\n\n"
        "Example:\n    >>> one(1, 2)\n    3"
    )
    assert list(inspect.signature(one).parameters) == ["x", "size"]
    assert (one.__name__, one(1, 2)) == ("one", 3)


def test_three_axes() -> None:
    """Depth comes before height and width."""

    @like(pattern, rank=3)
    def three(x: int) -> int:
        """Along three axes."""
        return x

    text = inspect.getdoc(three) or ""
    assert "``(D, H, W, C)``" in text
    assert "size" not in text
    assert "``(D', H', W', C)``, ``H' = floor(H - D·(kh - 1))``" in text


def test_python_without_documentation() -> None:
    """With -OO there is none to make out."""

    def bare() -> None:
        pass

    def other() -> None:
        pass

    assert like(other)(bare) is bare
    assert bare.__doc__ is None


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose", "MaxPool", "AdaptiveMaxPool", "Dropout"])
@pytest.mark.parametrize("rank", [1, 3])
def test_layers_name_all_their_settings(kind: str, rank: int) -> None:
    """Every setting is an argument that the documentation says, and no other is."""
    layer: Any = getattr(nn, f"{kind}{rank}d")
    text = inspect.getdoc(layer) or ""
    arguments = text.partition("Args:\n")[2].partition("\n\n")[0]
    names = [line.strip().partition(":")[0] for line in arguments.split("\n") if line[4:5] != " "]
    assert sorted(names) == sorted(inspect.signature(layer).parameters)


def test_functions_of_elements_have_an_example_of_their_own() -> None:
    """Under their own names, and with the arguments of all."""
    text = inspect.getdoc(functional.multiply) or ""
    assert ">>> multiply(" in text
    assert "add" not in text
    assert "x: a tensor, or a number" in text

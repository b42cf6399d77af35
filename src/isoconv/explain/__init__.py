"""Explanations: any number taken apart into its terms, as text, as pictures, as a page.

The package is a function too: ``isoconv.explain(model, image, at=…)``, see
`isoconv.explain.numbers.explain`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Explain(ModuleType):
    """A module that is called as the function that it is about."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from isoconv.explain.numbers import explain

        return explain(*args, **kwargs)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        """What the function says of itself, for ``help``."""
        from isoconv.explain.numbers import explain

        return explain.__doc__

    @property
    def __wrapped__(self) -> Any:
        """The function, for whoever looks at what is behind a call."""
        from isoconv.explain.numbers import explain

        return explain

    @property
    def __signature__(self) -> Any:
        import inspect

        from isoconv.explain.numbers import explain

        return inspect.signature(explain)


sys.modules[__name__].__class__ = _Explain

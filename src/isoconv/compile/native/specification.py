"""What a kernel computes and how it goes about it, as data: specifications, schedules, and both.

A specification is a frozen record of a kernel's meaning: operands, sizes, pointwise work. It says
what is true of the kernel on every machine. How a machine emits it stands elsewhere (``emitters``),
and how it is cut into tiles and chunks is a value of its own, a schedule, which the rules of
lowering choose by the target's cost model. No schedule changes a bit of what is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from isoconv.compile.target import Target


class Specification:
    """What every kind of kernel says of itself; the records of a kind derive from it.

    All that shapes a kernel is in the fields of its record: their text is part of the key under
    which its machine code is kept.

    Attributes:
        heavy: whether it is one of the large kernels, which take the longest to compile.
        waited_for: whether threads that share its work meet before the next kernel; not where
            nobody reads what it writes before a later kernel has written beside it.
        whole: whether it goes through all of its operands.
    """

    __slots__ = ()

    heavy: ClassVar[bool] = False
    waited_for: ClassVar[bool] = True
    whole: ClassVar[bool] = True

    if TYPE_CHECKING:
        # A field of each record, and no default for it.
        @property
        def buffers(self) -> int:
            """Number of pointers that the kernel takes."""

    def flops(self, images: int) -> int:  # noqa: ARG002
        """Multiplications and additions on so many images; 1 FMA = 2 FLOP.

        Products with padding that the kernel leaves out are not counted.
        """
        return 0

    @property
    def chain_length(self) -> int:
        """Products that are added up one after the other; 0 where that is not what it does."""
        return 0

    @property
    def title(self) -> str:
        """What the kernel does, in words."""
        return type(self).__name__.removesuffix("Spec").lower()

    @property
    def gradient_title(self) -> str:
        """The same where a kernel that could serve a forward pass is a gradient by the input."""
        return self.title


class Schedule:
    """How a kernel goes about its work; the frozen records of a kind derive from it."""

    __slots__ = ()

    def limits(self, spec: Specification, target: Target) -> Mapping[str, float]:  # noqa: ARG002
        """What could bound the inner loop: cycles, in those of its FMAs on full vectors.

        Args:
            spec: what the kernel computes.
            target: the machine.
        """
        return {}


@dataclass(frozen=True, slots=True)
class Scheduled(Specification):
    """A specification with the schedule chosen for it: a kernel of which there could be others.

    Attributes:
        spec: what it computes.
        schedule: how.
    """

    spec: Specification
    schedule: Schedule

    @property
    def buffers(self) -> int:
        """Number of pointers that the kernel takes."""
        return self.spec.buffers


def meaning(spec: Specification) -> Specification:
    """A kernel's specification without its schedule."""
    return spec.spec if isinstance(spec, Scheduled) else spec

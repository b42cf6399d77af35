"""Which of LLVM's passes a kernel around a register tile gains by."""

from __future__ import annotations

from typing import Protocol

from isoconv.compile.contraction.tiles import Tile
from isoconv.compile.native.emitters import Effort
from isoconv.compile.target import Target


class _Tiled(Protocol):
    """A schedule with a register tile."""

    @property
    def tile(self) -> Tile:
        """The tile."""


def effort_of_tile(schedule: _Tiled, target: Target) -> Effort:
    """The whole pipeline where the tile leaves no register for a broadcast, else none.

    Which values have to leave is then a matter of luck, and LLVM has more of it after the whole
    pipeline (AVX2, 1 × 4 × 3: 228 instead of 326 µs).
    """
    tile = schedule.tile
    held = tile.rows * tile.columns * tile.vectors + tile.vectors
    crowded = not target.memory_broadcast and held + 1 >= target.registers
    return "whole" if crowded else "plain"

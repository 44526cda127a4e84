"""One axis of a grid of tiles: pure arithmetic, the same across as down."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Edges = Literal["clip", "pad", "shift"]

Number = TypeVar("Number", int, NDArray[np.intp])


@dataclass(frozen=True)
class Axis:
    """One axis of a grid: where its tiles begin and end, and which part of each is its own.

    All numbers are pixels of the image but for those of tiles, which count from 0.

    Attributes:
        size: The image.
        tile: A tile.
        overlap: What neighbouring tiles share, at least.
        edges: What becomes of the last tiles, see `Grid`.
    """

    size: int
    tile: int
    overlap: int
    edges: Edges

    @cached_property
    def step(self) -> int:
        """The distance of neighbouring tiles, at most."""
        return self.tile - self.overlap

    @cached_property
    def count(self) -> int:
        """The number of tiles: the least that covers the image."""
        return max(1, -(-(self.size - self.overlap) // self.step))

    def start(self, number: Number) -> Number:
        """Returns where a tile begins, or each of some."""
        if self.edges == "shift":
            # Rounded down, so that no distance is more than a step; the last ends with the image.
            return number * (self.size - self.tile) // max(1, self.count - 1)
        return number * self.step

    def stop(self, number: int) -> int:
        """Returns where a tile ends, inside the image."""
        return min(self.start(number) + self.tile, self.size)

    def length(self, number: int) -> int:
        """Returns how long a tile's array is, with what lies beyond the image."""
        return self.tile if self.edges == "pad" else self.stop(number) - self.start(number)

    def core(self, number: int) -> tuple[int, int]:
        """Returns where the part of a tile begins and ends that is its own."""
        return self._seam(number), self._seam(number + 1)

    def halo(self, number: int) -> tuple[int, int]:
        """Returns how far a tile's array reaches beyond its core, before it and after it."""
        first, last = self.core(number)
        start = self.start(number)
        return first - start, start + self.length(number) - last

    def along(self, number: int) -> tuple[int, int, tuple[int, int]]:
        """Returns `start`, `length` and `halo` of a tile; remembered, as a million tiles ask."""
        known = self._known.get(number)
        if known is None:
            known = self.start(number), self.length(number), self.halo(number)
            self._known[number] = known
        return known

    @cached_property
    def _known(self) -> dict[int, tuple[int, int, tuple[int, int]]]:
        return {}

    def near(self, number: int) -> range:
        """Returns the tiles that overlap or touch a tile, and itself."""
        first, last = number, number
        while first > 0 and self.stop(first - 1) >= self.start(number):
            first -= 1
        while last < self.count - 1 and self.start(last + 1) <= self.stop(number):
            last += 1
        return range(first, last + 1)

    def bounds(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Returns where all tiles begin, and where they end inside the image."""
        starts = self.start(np.arange(self.count))
        return starts, np.minimum(starts + self.tile, self.size)

    def _seam(self, number: int) -> int:
        """Returns the middle of what a tile shares with the one before it."""
        if number == 0:
            return 0
        if number == self.count:
            return self.size
        return (self.stop(number - 1) + self.start(number)) // 2

"""Which tiles go next, together, and what becomes of those that came back: without Ray, or a clock.

A chunk is how tiles travel, nothing more. What fails in one is tried again alone. Whatever was with
a process when that died is suspect: it is halved until the tile at fault is alone, and only then
does the death count.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count, islice
from typing import NamedTuple

TARGET_SECONDS = 0.5  # a shorter chunk is mostly the way there and back
MAX_CHUNKS_PER_SECOND = 200
MAX_TILES = 4096
LEAST_SECONDS = 0.02  # a worker may well wait so long for another, at the end
GROWTH = 8  # times the longest chunk that has finished: the first tiles may be the quick ones
SMOOTHING = 0.3  # the weight of the latest chunk in what a tile is expected to take
MAX_NODE_LOSSES = 50
PAUSE_SECONDS = 1.0  # doubles with each loss of the same chunk
LONGEST_PAUSE_SECONDS = 30.0


class Loss(Enum):
    """Why a chunk did not come back."""

    PROCESS = "process"  # it died: a segfault, os._exit, a kill
    MEMORY = "memory"  # it was killed for that, which is often a neighbour's fault
    UNCLEAR = "unclear"  # with its process, or with its node
    NODE = "node"  # it has gone with its node: no tile is to blame


@dataclass(frozen=True, eq=False)
class Chunk:
    """Tiles that one task works through.

    Attributes:
        tiles: Their numbers.
        is_suspect: Whether it, or what it is a half of, was with a process that died; such a one
            goes with nothing beside it.
        losses: How often it was lost with its node.
        was_spared: Whether it was lost for what may not be its fault, and got another chance.
    """

    tiles: tuple[int, ...]
    is_suspect: bool = False
    losses: int = 0
    was_spared: bool = False


class Settled(NamedTuple):
    """What finally became of a tile.

    Attributes:
        tile: Its number.
        reason: Why it failed; None: it succeeded.
    """

    tile: int
    reason: str | None


@dataclass
class Dispatch:
    """Cuts tiles into chunks, and decides what is tried again.

    Args:
        tiles: The numbers of the pending tiles; read lazily, neighbours one after another.
        count: How many there are.
        workers: How many chunks are worked through at a time, about; may be set anew.
        retries: How often a tile that failed, or whose process died, is tried again.
        grain: So many tiles a chunk, or a multiple, but for the last ones.
        most: So many tiles a chunk, at most.
    """

    tiles: Iterable[int]
    count: int
    workers: int = 1
    retries: int = 0
    grain: int = 1
    most: int = MAX_TILES
    _fresh: Iterator[int] = field(init=False)
    _again: deque[Chunk] = field(init=False, default_factory=deque)
    _suspects: deque[Chunk] = field(init=False, default_factory=deque)
    _later: list[tuple[float, int, Chunk]] = field(init=False, default_factory=list)
    _under_way: set[Chunk] = field(init=False, default_factory=set)
    _failures: dict[int, int] = field(init=False, default_factory=dict)  # by tile
    _seconds: float | None = field(init=False, default=None)  # of a tile
    _longest: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._fresh = iter(self.tiles)
        self._numbers = count()

    # --- what goes ---

    def next(self, now: float, *, suspect: bool | None = None) -> Chunk | None:
        """Returns what goes next; None where there is nothing at present.

        Args:
            now: Seconds that never go back.
            suspect: Whether it is to be a suspect; None: either.
        """
        self._take_due(now)
        if self._suspects and suspect is not False:
            chunk = self._suspects.popleft()
        elif suspect:
            return None
        elif self._again:
            chunk = self._again.popleft()
        else:
            tiles = tuple(islice(self._fresh, self._size()))
            self.count -= len(tiles)
            if not tiles:
                self.count = 0
                return None
            chunk = Chunk(tiles)
        self._under_way.add(chunk)
        return chunk

    def kinds(self, now: float) -> list[bool]:
        """Returns whether what is to go is suspect: [True, False] where there is both."""
        self._take_due(now)
        return [True] * bool(self._suspects) + [False] * bool(self._again or self.count)

    def _take_due(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            self._queue(heapq.heappop(self._later)[2])

    def _queue(self, chunk: Chunk) -> None:
        (self._suspects if chunk.is_suspect else self._again).append(chunk)

    @property
    def waiting(self) -> int:
        """How many tiles wait to go, about."""
        again = (*self._again, *self._suspects, *(chunk for _, _, chunk in self._later))
        return self.count + sum(len(chunk.tiles) for chunk in again)

    @property
    def due(self) -> float | None:
        """When something is to go that waits now, in the seconds of `next`; None: nothing does."""
        return self._later[0][0] if self._later else None

    @property
    def is_over(self) -> bool:
        """Whether every tile is settled; known once `next` had nothing more."""
        return not (self.waiting or self._under_way)

    def _size(self) -> int:
        """Returns how many tiles the next chunk has."""
        if self._seconds is None:
            return self.grain
        target = max(TARGET_SECONDS, self.workers / MAX_CHUNKS_PER_SECOND)
        wanted = int(target / self._seconds) if self._seconds * MAX_TILES > target else MAX_TILES
        # Near the end they shrink, so that no worker waits long for another.
        share = max(-(-self.count // (2 * self.workers)), int(LEAST_SECONDS / self._seconds))
        size = min(wanted, GROWTH * self._longest, share, self.most)
        return max(self.grain, size - size % self.grain)

    # --- what came back ---

    def finished(
        self, chunk: Chunk, reasons: Mapping[int, str], seconds: float | None
    ) -> list[Settled]:
        """Takes a chunk that was worked through; returns what is settled by it.

        Args:
            chunk: What `next` returned.
            reasons: Why tiles of it failed, by number; all others succeeded.
            seconds: How long it took; None where that says nothing.
        """
        self._under_way.remove(chunk)
        if seconds is not None:
            self._learn(len(chunk.tiles), seconds)
        settled = [Settled(tile, None) for tile in chunk.tiles if tile not in reasons]
        for tile in chunk.tiles:
            if tile in reasons:
                settled += self._failed(tile, reasons[tile], is_suspect=chunk.is_suspect)
        return settled

    def lost(self, chunk: Chunk, loss: Loss, reason: str, now: float) -> list[Settled]:
        """Takes a chunk that did not come back; returns what is settled by that.

        Args:
            chunk: What `next` returned.
            loss: Why.
            reason: The same, for those who read it.
            now: As in `next`.
        """
        self._under_way.remove(chunk)
        if loss is Loss.NODE and chunk.losses < MAX_NODE_LOSSES:
            losses = chunk.losses + 1
            pause = min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2 ** (losses - 1))
            self._wait(replace(chunk, losses=losses), now + pause)
        elif len(chunk.tiles) > 1:
            middle = len(chunk.tiles) // 2
            for half in (chunk.tiles[:middle], chunk.tiles[middle:]):
                self._queue(Chunk(half, is_suspect=True))
        elif loss in (Loss.MEMORY, Loss.UNCLEAR) and not chunk.was_spared:
            self._wait(replace(chunk, is_suspect=True, was_spared=True), now + PAUSE_SECONDS)
        elif not chunk.is_suspect:
            self._queue(replace(chunk, is_suspect=True))  # it may not have been alone
        else:
            return self._failed(chunk.tiles[0], reason, is_suspect=True)
        return []

    def _failed(self, tile: int, reason: str, *, is_suspect: bool) -> list[Settled]:
        failures = self._failures.get(tile, 0) + 1
        if failures > self.retries:
            self._failures.pop(tile, None)
            return [Settled(tile, reason)]
        self._failures[tile] = failures
        self._queue(Chunk((tile,), is_suspect))
        return []

    def _wait(self, chunk: Chunk, until: float) -> None:
        heapq.heappush(self._later, (until, next(self._numbers), chunk))

    def _learn(self, tiles: int, seconds: float) -> None:
        each = max(seconds, 1e-9) / tiles
        before = each if self._seconds is None else self._seconds
        self._seconds = before + SMOOTHING * (each - before)
        self._longest = max(self._longest, tiles)

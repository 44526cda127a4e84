"""What a task does with a chunk of tiles: it reads ahead, calls the function, keeps the results."""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..imagery import Grid, Tile, kept_open, plain_environment, read
from ..ledger import reason_of
from ..mapping import TimeLimit
from .features import encode_features
from .store import ResultStore

AHEAD_BYTES = 64_000_000  # of pixels that are read and not used, at most, but for one tile
GROUP_BYTES = 1_000_000  # small tiles change threads together

Key = tuple[int, int]


@dataclass(frozen=True)
class Worker:
    """Works through chunks of an image's tiles.

    Attributes:
        function: Called as `function(pixels, tile)`.
        grid: How the image is cut.
        limit: How long a tile may take.
        store: Where results are put; None: nowhere.
    """

    function: Callable[[Any, Tile], Any]
    grid: Grid
    limit: TimeLimit
    store: ResultStore | None

    def __call__(self, keys: Sequence[Key]) -> dict[Key, str]:
        """Works through a chunk; returns the reason of each tile that failed.

        Args:
            keys: (region, tile) of each of its tiles.

        Raises:
            Exception: It failed as a whole: the image cannot be read, or the output not written.
        """
        reasons: dict[Key, str] = {}
        results: dict[Key, bytes] = {}
        with plain_environment():  # what the function does with rasterio takes less time
            for entry in read_ahead(self.grid, keys):
                key = entry.tile.region, entry.tile.number
                try:
                    result = self._result(entry)
                    if self.store is not None:
                        results[key] = encode_features(result)
                except Exception as err:  # whatever it is, it is this tile's
                    reasons[key] = reason_of(err)
        if self.store is not None:
            self.store.write_chunk(results)
        return reasons

    def _result(self, entry: Entry) -> Any:
        if entry.error is not None:
            raise entry.error
        if entry.pixels is None:
            return None
        with self.limit.applied():
            return self.function(entry.pixels, entry.tile)


class Entry(NamedTuple):
    """A tile that was read.

    Attributes:
        tile: The tile.
        pixels: Its pixels; None where it is empty, and such are skipped.
        error: Why it could not be read, or None.
    """

    tile: Tile
    pixels: Any
    error: Exception | None

    @classmethod
    def of(cls, grid: Grid, key: Key) -> Entry:
        """Reads a tile."""
        tile = grid.tile(*key)
        try:
            empty = grid.skip_empty and not tile.mask().any()
            return cls(tile, None if empty else read(tile), None)
        except Exception as err:  # a block of the file may be damaged, the next one is not
            return cls(tile, None, err)


def read_ahead(grid: Grid, keys: Sequence[Key]) -> Iterator[Entry]:
    """Yields tiles, read in a thread while those before are used.

    Args:
        grid: How the image is cut.
        keys: (region, tile) of each.

    Raises:
        InvalidImage: The image's role cannot be assumed.
    """
    if len(keys) == 1:
        yield Entry.of(grid, keys[0])
        return
    ahead = _Ahead()
    done = _reader().submit(ahead.fill, grid, keys)
    try:
        while (group := ahead.take()) is not None:
            yield from group
    finally:
        ahead.stop()
    done.result()


class _Ahead:
    """Groups of tiles between the thread that reads and the one that uses them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._groups: deque[tuple[list[Entry], int]] = deque()
        self._bytes = 0
        self._is_over = False

    def fill(self, grid: Grid, keys: Sequence[Key]) -> None:
        try:
            with kept_open(grid.info):
                group: list[Entry] = []
                size = 0
                for key in keys:
                    if self._is_over:
                        return
                    entry = Entry.of(grid, key)
                    group.append(entry)
                    size += 0 if entry.pixels is None else entry.pixels.nbytes
                    if size >= GROUP_BYTES:
                        self._put(group, size)
                        group, size = [], 0
                self._put(group, size)
        finally:
            self.stop()

    def _put(self, group: list[Entry], size: int) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_over or not self._groups or self._bytes + size <= AHEAD_BYTES
            )
            self._groups.append((group, size))
            self._bytes += size
            self._changed.notify_all()

    def take(self) -> list[Entry] | None:
        """Returns the next group; None: there is no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._groups or self._is_over)
            if not self._groups:
                return None
            group, size = self._groups.popleft()
            self._bytes -= size
            self._changed.notify_all()
            return group

    def stop(self) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()


@functools.cache
def _reader() -> ThreadPoolExecutor:
    # One a process, for good: the image stays open in it from one chunk to the next.
    return ThreadPoolExecutor(1, "raytracker-read")

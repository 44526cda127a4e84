"""The tiles of a chunk, read in a thread while those before are used."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from ..errors import InvalidImage
from ..imagery import Block, Grid, Pixels, Tile, blocks, check_unchanged, kept_open

AHEAD_BYTES = 16_000_000  # of pixels that are read and not used, at most, but for a batch
GROUP_BYTES = 1_000_000  # small tiles change threads together

Key = tuple[int, int]


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


def read_ahead(grid: Grid, keys: Sequence[Key], batch: int = 1) -> Iterator[Entry]:
    """Yields tiles, read in a thread while those before are used.

    The thread has GDAL read, and does little else: whenever the one that computes lets go of
    Python's lock, it would have to wait for one that runs Python.

    Args:
        grid: How the image is cut.
        keys: (region, tile) of each.
        batch: So many are used together: so many are read ahead, however large they are.

    Raises:
        InvalidImage: The image's role cannot be assumed.
    """
    groups = _groups(blocks(grid.tile(*key) for key in keys))
    if len(keys) == 1:
        for group in groups:
            yield from _entries(_read(grid, group))
        return
    ahead = _Ahead(grid)
    try:
        for group in groups:
            ahead.ask(group)
            while ahead.has_enough(batch):
                yield from _entries(ahead.take())
        while ahead.waits:
            yield from _entries(ahead.take())
    finally:
        ahead.stop()


class _Read(NamedTuple):
    """A block that was read.

    Attributes:
        block: The block.
        pixels: As `Block.each` takes them.
        empty: Whether each of its tiles has no valid pixel, or why that cannot be read; none:
            that is not asked.
    """

    block: Block
    pixels: Pixels
    empty: Sequence[bool | Exception] = ()


def _groups(each: Iterable[Block]) -> Iterator[list[Block]]:
    group: list[Block] = []
    size = 0
    for block in each:
        group.append(block)
        size += block.nbytes
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _read(grid: Grid, group: Sequence[Block]) -> list[_Read]:
    """Reads blocks; they are errors where the image was replaced meanwhile."""
    read = [
        _Read(block, block.read(), [_is_empty(tile) for tile in block.tiles if grid.skip_empty])
        for block in group
    ]
    try:
        check_unchanged(grid.info)
    except InvalidImage as err:
        return [_Read(block, [err] * len(block.tiles)) for block in group]
    return read


def _is_empty(tile: Tile) -> bool | Exception:
    try:
        return not tile.mask().any()
    except Exception as err:  # a block of the file may be damaged, the next one is not
        return err


def _entries(read: Iterable[_Read]) -> Iterator[Entry]:
    for block, pixels, empty in read:
        for number, own in enumerate(block.each(pixels)):
            is_empty = empty[number] if empty else False
            errors = [value for value in (own, is_empty) if isinstance(value, Exception)]
            error = errors[0] if errors else None
            yield Entry(block.tiles[number], None if error or is_empty else own, error)


class _Ahead:
    """Groups of blocks that a thread reads, in order."""

    def __init__(self, grid: Grid) -> None:
        self._groups: deque[Sequence[Block]] = deque()  # asked for, and not taken
        self._asked: SimpleQueue[Sequence[Block] | None] = SimpleQueue()
        self._read: SimpleQueue[list[_Read] | BaseException] = SimpleQueue()
        _reader().submit(_serve, grid, self._asked, self._read)

    def has_enough(self, batch: int) -> bool:
        """Whether the next group is to be taken before another is asked for."""
        tiles = [sum(len(block.tiles) for block in group) for group in self._groups]
        size = sum(block.nbytes for group in self._groups for block in group)
        return size > AHEAD_BYTES and sum(tiles[1:]) >= batch

    def ask(self, group: Sequence[Block]) -> None:
        self._groups.append(group)
        self._asked.put(group)

    @property
    def waits(self) -> bool:
        """Whether a group that was asked for is still to be taken."""
        return bool(self._groups)

    def take(self) -> list[_Read]:
        """Returns the next group that was asked for."""
        read = self._read.get()
        if isinstance(read, BaseException):
            raise read
        self._groups.popleft()
        return read

    def stop(self) -> None:
        """Has the thread read no more."""
        with suppress(Empty):
            while True:
                self._asked.get_nowait()
        self._asked.put(None)


def _serve(
    grid: Grid,
    asked: SimpleQueue[Sequence[Block] | None],
    read: SimpleQueue[list[_Read] | BaseException],
) -> None:
    try:
        with kept_open(grid.info):
            while (group := asked.get()) is not None:
                read.put(_read(grid, group))
    except BaseException as err:  # or whoever waits for it would wait for ever
        read.put(err)


@functools.cache
def _reader() -> ThreadPoolExecutor:
    # One a process, for good: the image stays open in it from one chunk to the next.
    return ThreadPoolExecutor(1, "raytracker-read")

"""The pixels of tiles."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from .info import dtype_of, nodata_of
from .reading import read_window
from .tile import Tile

# Of a block: one array of (bands, rows, columns); where it cannot be read as one, of each tile.
Pixels = NDArray[Any] | Sequence[NDArray[Any] | Exception]

TOGETHER_BYTES = 1 << 18  # of pixels that are read at once, at most, but for a tile alone
TOGETHER_TILES = 64


def read(tile: Tile, role: str | None = None) -> NDArray[Any]:
    """Returns one tile's pixels as an array of (bands, rows, columns).

    Only the blocks of the file that the tile touches are read. The image stays open in this
    thread until another is read: neighbouring tiles share blocks, and small ones most of them.
    What is padded is the band's nodata value; if it has none, the pixels before it, reflected.

    Args:
        tile: From `Grid.tile`.
        role: The role to assume instead of the one that the image was described with.

    Raises:
        InvalidImage: The image, or this part of it, cannot be read.
    """
    return _padded(read_window(tile.image, tile.window, tile.bands, role), tile)


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring tiles that are read at once: a call of GDAL takes as long as a small tile.

    Attributes:
        tiles: They fill a rectangle of the grid.
        nbytes: Bytes of all their arrays.
    """

    tiles: Sequence[Tile]
    nbytes: int

    def read(self) -> Pixels:
        """Returns the pixels of all, (bands, rows, columns); or of each, or why it has none."""
        try:
            first = self.tiles[0]
            return read_window(first.image, self._window, first.bands)
        except Exception:  # a block of the file may be damaged, the next one is not
            return [_read_or_error(tile) for tile in self.tiles]

    def each(self, pixels: Pixels) -> Sequence[NDArray[Any] | Exception]:
        """Returns the pixels of each tile, as `imagery.read` does, in memory of its own.

        Args:
            pixels: From `read`.
        """
        if not isinstance(pixels, np.ndarray):
            return pixels
        if len(self.tiles) == 1:
            return [_padded(pixels, self.tiles[0])]
        window = self._window
        top, left = window.row_off, window.col_off
        each = []
        for tile in self.tiles:
            row, column = tile.row_off - top, tile.col_off - left
            own = pixels[:, row : row + tile.height, column : column + tile.width]
            each.append(_padded(own.copy(), tile))
        return each

    @property
    def _window(self) -> Window:
        image = self.tiles[0].image
        left, top = (min(t.col_off for t in self.tiles), min(t.row_off for t in self.tiles))
        right = min(image.width, max(tile.col_off + tile.width for tile in self.tiles))
        bottom = min(image.height, max(tile.row_off + tile.height for tile in self.tiles))
        return Window(left, top, right - left, bottom - top)


def blocks(tiles: Iterable[Tile]) -> Iterator[Block]:
    """Yields all tiles in their order, as many at a time as may be read at once.

    Args:
        tiles: Of one grid; those that follow each other are best neighbours.
    """
    rest = iter(tiles)
    waiting = deque(islice(rest, TOGETHER_TILES))
    while waiting:
        pixel = _pixel_bytes(waiting[0])
        count = _filling(waiting, TOGETHER_BYTES // pixel)
        block = [waiting.popleft() for _ in range(count)]
        yield Block(block, pixel * sum(tile.width * tile.height for tile in block))
        waiting.extend(islice(rest, TOGETHER_TILES - len(waiting)))


def _filling(tiles: Iterable[Tile], pixels: int) -> int:
    """Returns how many of the first tiles fill a rectangle of the grid, with so many pixels."""
    filling, top, left, bottom, right = 1, math.inf, math.inf, 0, 0
    for count, tile in enumerate(tiles, 1):
        pixels -= tile.width * tile.height
        if pixels < 0:
            break
        top, left = min(top, tile.row), min(left, tile.column)
        bottom, right = max(bottom, tile.row), max(right, tile.column)
        if (bottom - top + 1) * (right - left + 1) == count:
            filling = count
    return filling


def _pixel_bytes(tile: Tile) -> int:
    bands = len(tile.bands or ()) or tile.image.bands
    return bands * dtype_of(tile.image, tile.bands).itemsize


def _read_or_error(tile: Tile) -> NDArray[Any] | Exception:
    try:
        return read(tile)
    except Exception as err:
        return err


def _padded(pixels: NDArray[Any], tile: Tile) -> NDArray[Any]:
    beyond = (0, 0), (0, tile.height - pixels.shape[1]), (0, tile.width - pixels.shape[2])
    if not any(map(any, beyond)):
        return pixels
    padded = np.pad(pixels, beyond, "reflect")
    for band, nodata in enumerate(nodata_of(tile.image, tile.bands)):
        if nodata is not None and _is_of(nodata, pixels.dtype):
            padded[band, pixels.shape[1] :] = padded[band, :, pixels.shape[2] :] = nodata
    return padded


def _is_of(value: float, dtype: np.dtype[Any]) -> bool:
    """Returns whether a type of pixels has a value."""
    if dtype.kind not in "iu":
        return True
    return float(value).is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max

"""How the tiles of an image are numbered: region by region, from 0."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from ..errors import InvalidLayout, LedgerError, UnknownRegion

_VARINT_BITS = 28  # more tiles than an item has room for, by far


class Layout:
    """How many tiles each region has; numbers the tiles of the image from 0, region by region.

    Args:
        runs: (regions, tiles of each of them) pairs, in order; neighbours of the same size joined.

    Raises:
        InvalidLayout: There is no region, or one without a tile.
    """

    __slots__ = ("_first_region", "_first_tile", "region_count", "runs", "tile_count")

    def __init__(self, runs: Iterable[tuple[int, int]]) -> None:
        self.runs = tuple((int(regions), int(tiles)) for regions, tiles in runs)
        self._first_region: list[int] = []
        self._first_tile: list[int] = []
        regions_before = tiles_before = 0
        for regions, tiles in self.runs:
            if regions < 1 or tiles < 1:
                raise InvalidLayout(
                    f"{regions} regions of {tiles} tiles: an image has at least one region, "
                    "and a region at least one tile"
                )
            self._first_region.append(regions_before)
            self._first_tile.append(tiles_before)
            regions_before += regions
            tiles_before += regions * tiles
        if not self.runs:
            raise InvalidLayout("an image has at least one region; got none")
        self.region_count = regions_before
        self.tile_count = tiles_before

    @classmethod
    def of(cls, regions: int | Sequence[int]) -> Layout:
        """Returns the layout of so many regions of one tile, or of regions of so many tiles each.

        Args:
            regions: The number of regions, or the number of tiles of each region.

        Raises:
            InvalidLayout: There is no region, or one without a tile.
        """
        if isinstance(regions, int):
            return cls([(regions, 1)])
        return cls((sum(1 for _ in group), tiles) for tiles, group in groupby(regions))

    def tiles(self, region: int) -> range:
        """Returns the numbers of the region's tiles.

        Raises:
            UnknownRegion: The image has no such region.
        """
        if not 0 <= region < self.region_count:
            raise UnknownRegion(
                f"region {region}: this image has regions 0 to {self.region_count - 1}"
            )
        run = bisect_right(self._first_region, region) - 1
        size = self.runs[run][1]
        first = self._first_tile[run] + (region - self._first_region[run]) * size
        return range(first, first + size)

    def tile_number(self, region: int, tile: int) -> int:
        """Returns the number, in the image, of a tile given by its number in its region.

        Raises:
            UnknownRegion: The image has no such region, or the region no such tile.
        """
        tiles = self.tiles(region)
        if not 0 <= tile < len(tiles):
            raise UnknownRegion(
                f"tile {tile} of region {region}: it has tiles 0 to {len(tiles) - 1}"
            )
        return tiles[tile]

    def locate(self, number: int) -> tuple[int, int]:
        """Returns (region, tile in the region) of a tile given by its number in the image.

        Raises:
            UnknownRegion: The image has no such tile.
        """
        if not 0 <= number < self.tile_count:
            raise UnknownRegion(f"tile {number}: this image has tiles 0 to {self.tile_count - 1}")
        run = bisect_right(self._first_tile, number) - 1
        region, tile = divmod(number - self._first_tile[run], self.runs[run][1])
        return self._first_region[run] + region, tile

    def check(self, first: int, count: int) -> None:
        """Does nothing where the image has all of so many tiles.

        Raises:
            UnknownRegion: It has not.
        """
        if first < 0 or first + count > self.tile_count:
            self.locate(first if first < 0 else first + count - 1)  # raises

    def regions(self) -> Iterator[range]:
        """Yields the tile numbers of each region, in order."""
        for (regions, size), first in zip(self.runs, self._first_tile, strict=True):
            for start in range(first, first + regions * size, size):
                yield range(start, start + size)

    def parts(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yields the regions that the tiles from `start` to before `stop` belong to.

        Yields:
            (region, first of these tiles that it has, where they stop).
        """
        run = bisect_right(self._first_tile, start) - 1
        while start < stop:
            regions, size = self.runs[run]
            first = self._first_tile[run]
            end = min(stop, first + regions * size)
            while start < end:
                region = (start - first) // size
                until = min(end, first + (region + 1) * size)
                yield self._first_region[run] + region, start, until
                start = until
            run += 1

    def encode(self) -> bytes:
        """Returns the layout as bytes: the number of runs, then each run, as LEB128 varints."""
        out = bytearray(_varint(len(self.runs)))
        for regions, tiles in self.runs:
            out += _varint(regions) + _varint(tiles)
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes) -> Layout:
        """Returns the layout that `encode` wrote.

        Raises:
            LedgerError: The bytes are not one layout, whole and alone.
        """
        layout, end = cls.decode_from(data, 0)
        if end != len(data):
            raise LedgerError(f"a layout of {end} bytes is followed by {len(data) - end} more")
        return layout

    @classmethod
    def decode_from(cls, data: bytes, at: int) -> tuple[Layout, int]:
        """Returns the layout that starts at byte `at`, and where it ends.

        Raises:
            LedgerError: There is no whole layout.
        """
        count, at = _read_varint(data, at)
        runs = []
        for _ in range(count):
            regions, at = _read_varint(data, at)
            tiles, at = _read_varint(data, at)
            runs.append((regions, tiles))
        try:
            return cls(runs), at
        except InvalidLayout as err:
            raise LedgerError(f"the layout is damaged: {err}") from err

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.runs == other.runs

    def __hash__(self) -> int:
        return hash(self.runs)

    def __repr__(self) -> str:
        return f"<Layout: {self.region_count} regions, {self.tile_count} tiles>"


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, _VARINT_BITS, 7):
        if at >= len(data):
            raise LedgerError("the layout is truncated")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return number, at
    raise LedgerError(f"the layout is damaged: a number of more than {_VARINT_BITS} bits")

"""What assembly reads: the results of the tiles that succeeded, part by part of the image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import OutputError
from ...imagery import Grid, Tile
from ...ledger import RETURNED, SUCCESS
from ..objects import ChunkObject, Key, Line, PackedArray
from ..store import ResultStore

PART_PIXELS = 4096  # across and down, about: as much as a task works on
NOWHERE = (math.nan,) * 4  # a box
MAX_PARTS = 4096  # of a large image they are larger


class Part(NamedTuple):
    """A rectangle of the grid's tiles.

    Attributes:
        rows: Its rows of the grid.
        columns: Its columns.
    """

    rows: range
    columns: range


class Kind(NamedTuple):
    """What the arrays of all tiles of a raster have in common.

    Attributes:
        dtype: numpy's name of it.
        bands: How many.
    """

    dtype: str
    bands: int


@dataclass(frozen=True)
class Source:
    """What the results of an image are assembled from; the same bytes for the same outcomes.

    Attributes:
        store: Where the tiles' results are.
        grid: How the image is cut.
        outcomes: That of each tile, in the order of their numbers.
        into: Where files go.
    """

    store: ResultStore
    grid: Grid
    outcomes: bytes
    into: ResultStore

    @cached_property
    def _size(self) -> tuple[int, int]:
        """The tiles, (across, down), of a part that no edge clips."""
        across, down = (max(1, round(PART_PIXELS / step)) for step in self.grid.step)
        while -(-self.grid.columns // across) * -(-self.grid.rows // down) > MAX_PARTS:
            across, down = 2 * across, 2 * down
        return across, down

    @cached_property
    def parts(self) -> list[Part]:
        """Returns the parts of the image that have a tile, row by row."""
        across, down = self._size
        rows, columns = self.grid.places()
        wide = -(-self.grid.columns // across)
        return [
            Part(
                range(row * down, min(self.grid.rows, (row + 1) * down)),
                range(column * across, min(self.grid.columns, (column + 1) * across)),
            )
            for row, column in (
                divmod(int(block), wide)
                for block in np.unique(rows // down * wide + columns // across)
            )
        ]

    def around(self, part: Part) -> Part:
        """Returns a part with all tiles that overlap or touch one of it."""
        down, across = self.grid.down, self.grid.across
        rows, columns = part
        return Part(
            range(down.near(rows[0])[0], down.near(rows[-1])[-1] + 1),
            range(across.near(columns[0])[0], across.near(columns[-1])[-1] + 1),
        )

    def keys(self, part: Part) -> list[Key]:
        """Returns (region, tile) of the tiles of a part that succeeded, in order."""
        found = (self.grid.key(row, column) for row in part.rows for column in part.columns)
        return sorted(key for key in found if key is not None and self._succeeded(key))

    def _succeeded(self, key: Key) -> bool:
        at = self._starts[key[0]] + key[1]
        return self.outcomes[at : at + 1] in SUCCESS + RETURNED

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(self.grid.tiles_per_region)]

    def objects_of(
        self, parts: Sequence[Part], objects: Iterable[ChunkObject]
    ) -> list[list[ChunkObject]]:
        """Returns the objects in which tiles of each of some parts may be."""
        found: list[list[ChunkObject]] = [[] for _ in parts]
        across, down = self._size
        wide = -(-self.grid.columns // across)
        near: dict[int, list[int]] = {}  # by the number of a part-sized block: the parts it meets
        for number, (rows, columns) in enumerate(parts):
            for row in range(rows.start // down, (rows.stop - 1) // down + 1):
                for column in range(columns.start // across, (columns.stop - 1) // across + 1):
                    near.setdefault(row * wide + column, []).append(number)
        for each in objects:
            bottom, right = min(each.bottom, self.grid.rows), min(each.right, self.grid.columns)
            numbers = {
                number
                for row in range(each.top // down, -(-bottom // down))
                for column in range(each.left // across, -(-right // across))
                for number in near.get(row * wide + column, ())
            }
            for number in numbers:
                if each.meets(*parts[number]):
                    found[number].append(each)
        return found

    def results(self, keys: Iterable[Key], objects: Iterable[ChunkObject]) -> Results:
        """Returns the results of some tiles.

        Of a tile that is in several objects, as when a chunk was run twice, the one with the
        fewest tiles counts, and of those the one of the least name: so the result is the same,
        whatever befell the run.

        Args:
            keys: (region, tile) of each.
            objects: In which they may be.

        Raises:
            OutputError: One is not there, or an object is none of ours.
        """
        wanted = set(keys)
        results = Results(self.store)
        for each in sorted(objects):
            if not wanted:
                break
            chunk = self.store.read_chunk(each.name)
            for key in wanted & chunk.lines.keys():
                line = chunk.lines[key]
                results.lines[key] = each.name, line
                if line.has_more:
                    with self.store.damage_told(each.name):
                        results.arrays[key] = chunk.arrays(key)
            wanted -= chunk.lines.keys()
        if wanted:
            region, tile = min(wanted)
            raise OutputError(
                f"{self.store.url}/{self.store.sink['tiles']} has no result of region {region}, "
                f"tile {tile}, which succeeded: it was removed, or the output is another one"
            )
        return results


class Results:
    """The results of some tiles, as they stand in the objects.

    Attributes:
        lines: By (region, tile): the name of the object, and the tile's line in it.
        arrays: By (region, tile): the tile's arrays by name, packed.
    """

    def __init__(self, store: ResultStore) -> None:
        self.lines: dict[Key, tuple[str, Line]] = {}
        self.arrays: dict[Key, dict[str, PackedArray]] = {}
        self._store = store

    def features(self, key: Key) -> Iterator[str]:
        """Yields the Features of a tile, as JSON.

        Raises:
            OutputError: They are none of ours.
        """
        name, line = self.lines[key]
        with self._store.damage_told(name):
            yield from line.features()

    def pixels(self, key: Key, number: int) -> list[tuple[Any, ...]]:
        """Returns where the Features of a tile lie, see `features.located`.

        Raises:
            OutputError: That is not told, or is none of ours.
        """
        name, line = self.lines[key]
        with self._store.damage_told(name):
            told = line.more.get("pixels", [])
            if not isinstance(told, list) or len(told) != number:
                raise ValueError(f"it does not say where the features of tile {key} lie")
            return [_place(each) for each in told]

    def kinds(self) -> dict[str, tuple[Kind, Key]]:
        """Returns what the rasters are, by name, and the first tile that has each.

        Raises:
            OutputError: Of one it is not the same in all tiles.
        """
        kinds: dict[str, tuple[Kind, Key]] = {}
        for key in sorted(self.arrays):
            for name, packed in self.arrays[key].items():
                found = Kind(np.dtype(packed.dtype).name, packed.shape[0]), key
                check_alike(name, kinds.setdefault(name, found), found)
        return kinds

    def array(self, name: str, tile: Tile, stride: int) -> NDArray[Any] | None:
        """Returns the array of a tile, (bands, rows, columns); None: it has none of that name.

        Raises:
            OutputError: It is none of ours.
        """
        key = tile.region, tile.number
        packed = self.arrays.get(key, {}).get(name)
        if packed is None:
            return None
        with self._store.damage_told(self.lines[key][0]):
            if packed.shape[1:] != (tile.height // stride, tile.width // stride):
                raise ValueError(f"its array {name!r} does not lie on tile {key}")
            return packed.unpacked()


def _place(told: Any) -> tuple[Any, ...]:
    """Returns where a Feature lies: box, score, group, and WKB or None.

    Raises:
        ValueError, TypeError: It is none of ours.
    """
    if told is None:
        return NOWHERE, 0.0, "", None
    box, score, group, wkb = told
    if len(box) != 4 or not isinstance(group, str):
        raise ValueError("where a feature lies is none of ours")
    return tuple(map(float, box)), float(score), group, None if wkb is None else bytes.fromhex(wkb)


def check_alike(name: str, one: tuple[Kind, Key], other: tuple[Kind, Key]) -> None:
    """Does nothing where two tiles have the same kind of array.

    Raises:
        OutputError: They have not.
    """
    if one[0] != other[0]:
        told = " and ".join(
            f"{kind.bands} bands of {kind.dtype} of tile {tile} in region {region}"
            for kind, (region, tile) in (one, other)
        )
        raise OutputError(
            f"the raster {name!r} has {told}: have the function return one kind of array, and run "
            'the image again (if_exists="restart")'
        )

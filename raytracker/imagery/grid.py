"""How an image is cut: one grid of tiles over it, blocks of whole tiles as regions."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window

from ..errors import InvalidGrid, UnknownRegion
from .axis import Axis, Edges
from .info import ImageInfo, dtype_of
from .roi import tiles_in_roi
from .tile import Halo, OsmlBounds, Tile

Size = int | Sequence[int]

_VERSION = 1
# Far above the 1.1 million tiles that an item holds, a limit that the tracker names. This one
# keeps a slip in a tile size from filling the driver's memory before the tracker sees it.
_MAX_TILES = 10_000_000


@dataclass(frozen=True, slots=True)
class _Kept:
    """The tiles that a region of interest keeps, in the order of their numbers."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    starts: NDArray[np.intp]  # where in these each region starts, and at the end their length
    blocks: NDArray[np.intp]  # of each region: its number if there were no ROI, rising
    spans: NDArray[np.intp]  # of each region: first row, last row, first column, last column

    def place(self, region: int, tile: int) -> tuple[int, int]:
        """Returns the row and the column of a tile in the grid."""
        at = self.starts[region] + tile
        return int(self.rows[at]), int(self.columns[at])

    def key(self, block: int, row: int, column: int) -> tuple[int, int] | None:
        """Returns (region, tile) of the tile at a place, in the region of that number."""
        region = int(np.searchsorted(self.blocks, block))
        if region == len(self.blocks) or self.blocks[region] != block:
            return None
        tiles = slice(*self.starts[region : region + 2])
        (here,) = np.nonzero((self.rows[tiles] == row) & (self.columns[tiles] == column))
        return (region, int(here[0])) if len(here) else None


@dataclass(frozen=True)
class Grid:
    """How an image is cut into tiles and regions; `plan` makes it.

    The tiles of the whole image lie `tile_size - tile_overlap` pixels apart. A region is a block
    of as many whole tiles as `region_size` has of these steps, so that every tile belongs to
    exactly one region. Regions are numbered row by row, and so are the tiles inside a region, both
    from 0 and without gaps. Each tile has a core, the part that is its own: each overlap is halved
    between neighbours. Cores partition the image, and are the same whatever an ROI leaves out.

    Attributes:
        info: The image.
        tile_size: (width, height) in pixels.
        tile_overlap: (width, height) in pixels.
        region_size: (width, height) in pixels.
        edges: What becomes of the tiles that don't end with the image at its right and lower
            edge. "clip": they are smaller. "pad": their arrays go on beyond the image. "shift":
            tiles lie evenly and a little closer, so that the last end with the image, as OSML's
            VariableOverlapTilingStrategy has it; one larger than the image is as large as it.
        bands: The numbers of the bands that pixels have, from 1, in their order; None: all.
        skip_empty: Whether tiles without a valid pixel are passed over.
        roi: The region of interest as WKT; None: the whole image.
        roi_crs: "image" or "lonlat": what the ROI's coordinates are.
    """

    info: ImageInfo
    tile_size: tuple[int, int]
    tile_overlap: tuple[int, int]
    region_size: tuple[int, int]
    edges: Edges = "clip"
    bands: tuple[int, ...] | None = None
    skip_empty: bool = False
    roi: str | None = None
    roi_crs: str = "image"
    _kept: _Kept | None = field(default=None, repr=False, compare=False)

    @cached_property
    def across(self) -> Axis:
        """The columns of tiles."""
        return Axis(self.info.width, self.tile_size[0], self.tile_overlap[0], self.edges)

    @cached_property
    def down(self) -> Axis:
        """The rows of tiles."""
        return Axis(self.info.height, self.tile_size[1], self.tile_overlap[1], self.edges)

    @property
    def step(self) -> tuple[int, int]:
        """The distance of neighbouring tiles, (across, down) in pixels; with "shift", at most."""
        return self.across.step, self.down.step

    @property
    def columns(self) -> int:
        """Tiles across the whole image."""
        return self.across.count

    @property
    def rows(self) -> int:
        """Tiles down the whole image."""
        return self.down.count

    @cached_property
    def block(self) -> tuple[int, int]:
        """The tiles, (across, down), of a region that neither an edge nor an ROI clips."""
        across, down = self.step
        return max(1, self.region_size[0] // across), max(1, self.region_size[1] // down)

    @cached_property
    def _blocks_across(self) -> int:
        return -(-self.columns // self.block[0])

    @property
    def region_count(self) -> int:
        """The number of regions that have a tile."""
        if self._kept is not None:
            return len(self._kept.spans)
        return self._blocks_across * -(-self.rows // self.block[1])

    @property
    def tiles_per_region(self) -> list[int]:
        """The number of tiles of each region."""
        if self._kept is not None:
            kept: list[int] = np.diff(self._kept.starts).tolist()
            return kept
        across, down = self.block
        widths = [min(across, self.columns - left) for left in range(0, self.columns, across)]
        heights = [min(down, self.rows - top) for top in range(0, self.rows, down)]
        return [height * width for height in heights for width in widths]

    @property
    def regions(self) -> list[OsmlBounds]:
        """The bounds of each region, see `region_bounds`."""
        return [self.region_bounds(region) for region in range(self.region_count)]

    def region_bounds(self, region: int) -> OsmlBounds:
        """Returns the bounds of a region's tiles in pixels: ((row, column), (width, height)).

        Those of neighbours overlap as their tiles do.

        Raises:
            UnknownRegion: The image has no such region.
        """
        return self._bounds(*self._span(region))

    def _bounds(
        self, first_row: int, last_row: int, first_column: int, last_column: int
    ) -> OsmlBounds:
        top, left = self.down.start(first_row), self.across.start(first_column)
        bottom, right = self.down.stop(last_row), self.across.stop(last_column)
        return (top, left), (right - left, bottom - top)

    def _span(self, region: int) -> tuple[int, int, int, int]:
        """Returns the first and the last row, and the first and the last column, of its tiles."""
        if not 0 <= region < self.region_count:
            raise UnknownRegion(
                f"region {region}: {self.info.url} has regions 0 to {self.region_count - 1}"
            )
        if self._kept is not None:
            first_row, last_row, first_column, last_column = self._kept.spans[region].tolist()
            return first_row, last_row, first_column, last_column
        across, down = self.block
        block_row, block_column = divmod(region, self._blocks_across)
        top, left = block_row * down, block_column * across
        return top, min(top + down, self.rows) - 1, left, min(left + across, self.columns) - 1

    def tile(self, region: int, tile: int) -> Tile:
        """Returns one tile.

        Args:
            region: The number of its region.
            tile: Its number in the region.

        Raises:
            UnknownRegion: The image has no such region, or the region no such tile.
        """
        span = first_row, last_row, first_column, last_column = self._span(region)
        across = last_column - first_column + 1
        count = across * (last_row - first_row + 1)
        if self._kept is not None:
            count = int(self._kept.starts[region + 1] - self._kept.starts[region])
        if not 0 <= tile < count:
            raise UnknownRegion(
                f"tile {tile} of region {region}: {self.info.url} has tiles 0 to {count - 1} there"
            )
        row, column = first_row + tile // across, first_column + tile % across
        if self._kept is not None:
            row, column = self._kept.place(region, tile)
        (top, height, above), (left, width, beside) = (
            self.down.along(row),
            self.across.along(column),
        )
        return Tile(
            image=self.info,
            region=region,
            number=tile,
            row=row,
            column=column,
            row_off=top,
            col_off=left,
            width=width,
            height=height,
            halo=(above, beside),
            region_bounds=self._bounds(*span),
            bands=self.bands,
        )

    def core(self, row: int, column: int) -> Window:
        """Returns the core of the tile at a place in the grid, in the image's pixels."""
        (top, bottom), (left, right) = self.down.core(row), self.across.core(column)
        return Window(left, top, right - left, bottom - top)

    def halo(self, row: int, column: int) -> Halo:
        """Returns how far the array of the tile at a place in the grid reaches beyond its core.

        Returns:
            ((above, below), (left, right)) in pixels, as `numpy.pad` has it.
        """
        return self.down.halo(row), self.across.halo(column)

    def neighbours(self, row: int, column: int) -> list[tuple[int, int]]:
        """Returns the places, as (row, column), of all tiles that overlap or touch one.

        They are those of the whole grid; `key` says which of them an ROI leaves out.
        """
        return [
            (r, c)
            for r in self.down.near(row)
            for c in self.across.near(column)
            if (r, c) != (row, column)
        ]

    def key(self, row: int, column: int) -> tuple[int, int] | None:
        """Returns (region, tile) of the tile at a place in the grid; None: it has no tile."""
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            return None
        block_row, block_column = row // self.block[1], column // self.block[0]
        block = block_row * self._blocks_across + block_column
        if self._kept is not None:
            return self._kept.key(block, row, column)
        first_row, _, first_column, last_column = self._span(block)
        across = last_column - first_column + 1
        return block, (row - first_row) * across + column - first_column

    def places(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Returns the rows and the columns of all tiles, in the order of their numbers."""
        if self._kept is not None:
            return self._kept.rows, self._kept.columns
        rows, columns = np.divmod(np.arange(self.rows * self.columns), self.columns)
        order, _ = _by_region(self, rows, columns)
        return rows[order], columns[order]

    def to_dict(self) -> dict[str, Any]:
        """Returns what defines the grid, JSON-able: equal for equal grids, and only for those."""
        return {
            "version": _VERSION,
            "size": [self.info.width, self.info.height],
            "tile_size": list(self.tile_size),
            "tile_overlap": list(self.tile_overlap),
            "region_size": list(self.region_size),
            "edges": self.edges,
            "bands": None if self.bands is None else list(self.bands),
            "skip_empty": self.skip_empty,
            "roi": self.roi,
            "roi_crs": None if self.roi is None else self.roi_crs,
        }


def plan(
    info: ImageInfo,
    tile_size: Size = 512,
    tile_overlap: Size = 0,
    region_size: Size = 2048,
    roi: str | None = None,
    roi_crs: str = "image",
    edges: Edges = "clip",
    bands: Sequence[int] | None = None,
    skip_empty: bool = False,
) -> Grid:
    """Returns how an image is cut into tiles and regions, see `Grid`.

    Args:
        info: The image, from `imagery.describe`.
        tile_size: In pixels, one number or (width, height).
        tile_overlap: In pixels, one number or (width, height); 0 to less than the tile.
        region_size: In pixels, one number or (width, height); a region has at least one tile.
        roi: A region of interest, a POLYGON or MULTIPOLYGON as WKT: only tiles that share an
            area with it are made, and regions without a tile fall away.
        roi_crs: "image": the ROI is in the image's CRS, or (column, row) in pixels if it has
            none; "lonlat": it is longitude and latitude in degrees.
        edges: "clip", "pad" or "shift": what becomes of the last tiles, see `Grid`.
        bands: The numbers of the bands that pixels have, from 1, in the order wanted; a band may
            come twice. None: all.
        skip_empty: Whether tiles without a valid pixel are passed over.

    Raises:
        InvalidGrid: A size, the overlap, the edges, the bands or the ROI is none, or doesn't fit
            the image.
        InvalidImage: No type of pixels holds the values of the bands.
    """
    tile = _pair("tile_size", tile_size, 1)
    overlap = _pair("tile_overlap", tile_overlap, 0)
    if overlap[0] >= tile[0] or overlap[1] >= tile[1]:
        raise InvalidGrid(
            f"tile_overlap {tile_overlap} is not smaller than tile_size {tile_size}: "
            "tiles would not get ahead"
        )
    if roi_crs not in ("image", "lonlat"):
        raise InvalidGrid(f'roi_crs {roi_crs!r}: it is "image" or "lonlat"')
    if edges not in get_args(Edges):
        raise InvalidGrid(f'edges {edges!r}: say "clip", "pad" or "shift"')
    region = _pair("region_size", region_size, 1)
    grid = Grid(info, tile, overlap, region, edges, _bands(info, bands), bool(skip_empty))
    if grid.columns * grid.rows > _MAX_TILES:
        raise InvalidGrid(
            f"tile_size {tile_size} and tile_overlap {tile_overlap} make "
            f"{grid.columns * grid.rows} tiles of {info.width} x {info.height} pixels, and the "
            f"most is {_MAX_TILES}: choose larger tiles"
        )
    if roi is None:
        return grid
    kept = _keep(grid, roi, roi_crs)
    return replace(grid, roi=shapely.from_wkt(roi).wkt, roi_crs=roi_crs, _kept=kept)


def _keep(grid: Grid, roi: str, roi_crs: str) -> _Kept:
    mask = tiles_in_roi(grid.info, roi, roi_crs, grid.across.bounds(), grid.down.bounds())
    rows, columns = np.nonzero(mask)  # row by row
    order, blocks = _by_region(grid, rows, columns)
    rows, columns, blocks = rows[order], columns[order], blocks[order]
    starts = np.flatnonzero(np.diff(blocks, prepend=-1))
    edges = [
        edge.reduceat(places, starts)
        for places in (rows, columns)
        for edge in (np.minimum, np.maximum)
    ]
    return _Kept(
        rows, columns, np.append(starts, len(rows)), blocks[starts], np.column_stack(edges)
    )


def _by_region(grid: Grid, rows: NDArray[Any], columns: NDArray[Any]) -> tuple[Any, Any]:
    """Returns how places, given row by row, are ordered by region, and the block of each."""
    across, down = grid.block
    blocks = rows // down * -(-grid.columns // across) + columns // across
    return np.argsort(blocks, kind="stable"), blocks


def _bands(info: ImageInfo, bands: Sequence[int] | None) -> tuple[int, ...] | None:
    if bands is None:
        dtype_of(info, None)
        return None
    try:
        numbers = tuple(operator.index(band) for band in bands)
    except TypeError:
        numbers = ()
    if not numbers:
        raise InvalidGrid(f"bands {bands!r}: give the numbers of some, such as [3, 2, 1]")
    for band in numbers:
        if not 1 <= band <= info.bands:
            raise InvalidGrid(
                f"bands {bands!r}: {info.url} has no band {band}, its bands are 1 to {info.bands}"
            )
    dtype_of(info, numbers)  # which refuses those that go together in no type
    return None if numbers == tuple(range(1, info.bands + 1)) else numbers


def _pair(name: str, size: Size, least: int) -> tuple[int, int]:
    """Returns a size, one number or two, as (width, height)."""
    try:
        numbers = size if isinstance(size, Sequence) else (size, size)
        width, height = (operator.index(number) for number in numbers)
    except (TypeError, ValueError):
        raise InvalidGrid(
            f"{name} {size!r}: give one whole number of pixels, or (width, height)"
        ) from None
    if min(width, height) < least:
        raise InvalidGrid(f"{name} {size!r}: give {least} or more pixels")
    return width, height

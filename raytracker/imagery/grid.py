"""How an image is cut: one grid of tiles over it, blocks of whole tiles as regions."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.windows import Window

from ..errors import InvalidGrid, UnknownRegion
from .info import ImageInfo
from .roi import tiles_in_roi
from .tile import OsmlBounds, Tile, to_osml

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
    spans: NDArray[np.intp]  # of each region: first row, last row, first column, last column


@dataclass(frozen=True, slots=True)
class Grid:
    """How an image is cut into tiles and regions; `plan` makes it.

    The tiles of the whole image lie `tile_size - tile_overlap` pixels apart, and are clipped at
    its right and lower edge. A region is a block of as many whole tiles as `region_size` has
    steps, so that every tile belongs to exactly one region. Regions are numbered row by row, and
    so are the tiles inside a region, both from 0 and without gaps.

    Attributes:
        info: The image.
        tile_size: (width, height) in pixels.
        tile_overlap: (width, height) in pixels.
        region_size: (width, height) in pixels.
        roi: The region of interest as WKT; None: the whole image.
        roi_crs: "image" or "lonlat": what the ROI's coordinates are.
    """

    info: ImageInfo
    tile_size: tuple[int, int]
    tile_overlap: tuple[int, int]
    region_size: tuple[int, int]
    roi: str | None = None
    roi_crs: str = "image"
    _kept: _Kept | None = field(default=None, repr=False, compare=False)

    @property
    def step(self) -> tuple[int, int]:
        """The distance of neighbouring tiles, (across, down) in pixels."""
        return (
            self.tile_size[0] - self.tile_overlap[0],
            self.tile_size[1] - self.tile_overlap[1],
        )

    @property
    def columns(self) -> int:
        """Tiles across the whole image."""
        return _count(self.info.width, self.tile_overlap[0], self.step[0])

    @property
    def rows(self) -> int:
        """Tiles down the whole image."""
        return _count(self.info.height, self.tile_overlap[1], self.step[1])

    @property
    def block(self) -> tuple[int, int]:
        """The tiles, (across, down), of a region that neither an edge nor an ROI clips."""
        across, down = self.step
        return max(1, self.region_size[0] // across), max(1, self.region_size[1] // down)

    @property
    def region_count(self) -> int:
        """The number of regions that have a tile."""
        if self._kept is not None:
            return len(self._kept.spans)
        across, down = self.block
        return -(-self.columns // across) * -(-self.rows // down)

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
        first_row, last_row, first_column, last_column = self._span(region)
        top, left = first_row * self.step[1], first_column * self.step[0]
        right = min(last_column * self.step[0] + self.tile_size[0], self.info.width)
        bottom = min(last_row * self.step[1] + self.tile_size[1], self.info.height)
        return to_osml(Window(left, top, right - left, bottom - top))

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
        block_row, block_column = divmod(region, -(-self.columns // across))
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
        first_row, last_row, first_column, last_column = self._span(region)
        if self._kept is None:
            across = last_column - first_column + 1
            count = across * (last_row - first_row + 1)
        else:
            start, stop = self._kept.starts[region : region + 2].tolist()
            count = stop - start
        if not 0 <= tile < count:
            raise UnknownRegion(
                f"tile {tile} of region {region}: {self.info.url} has tiles 0 to {count - 1} there"
            )
        if self._kept is None:
            row, column = first_row + tile // across, first_column + tile % across
        else:
            row, column = int(self._kept.rows[start + tile]), int(self._kept.columns[start + tile])
        col_off, row_off = column * self.step[0], row * self.step[1]
        return Tile(
            image=self.info,
            region=region,
            number=tile,
            row=row,
            column=column,
            col_off=col_off,
            row_off=row_off,
            width=min(self.tile_size[0], self.info.width - col_off),
            height=min(self.tile_size[1], self.info.height - row_off),
            region_bounds=self.region_bounds(region),
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns what defines the grid, JSON-able: equal for equal grids, and only for those."""
        return {
            "version": _VERSION,
            "size": [self.info.width, self.info.height],
            "tile_size": list(self.tile_size),
            "tile_overlap": list(self.tile_overlap),
            "region_size": list(self.region_size),
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
) -> Grid:
    """Returns how an image is cut into tiles and regions, see `Grid`.

    Args:
        info: The image, from `imagery.describe`.
        tile_size: In pixels, one number or (width, height). A tile larger than the image is one
            clipped tile.
        tile_overlap: In pixels, one number or (width, height); 0 to less than the tile.
        region_size: In pixels, one number or (width, height); a region has at least one tile.
        roi: A region of interest, a POLYGON or MULTIPOLYGON as WKT: only tiles that share an
            area with it are made, and regions without a tile fall away.
        roi_crs: "image": the ROI is in the image's CRS, or (column, row) in pixels if it has
            none; "lonlat": it is longitude and latitude in degrees.

    Raises:
        InvalidGrid: A size, the overlap or the ROI is none, or doesn't fit the image.
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
    grid = Grid(info, tile, overlap, _pair("region_size", region_size, 1))
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
    (width, height), (across, down) = grid.tile_size, grid.block
    lefts = np.arange(grid.columns) * grid.step[0]
    tops = np.arange(grid.rows) * grid.step[1]
    rights = np.minimum(lefts + width, grid.info.width)
    bottoms = np.minimum(tops + height, grid.info.height)
    mask = tiles_in_roi(grid.info, roi, roi_crs, (lefts, rights), (tops, bottoms))
    rows, columns = np.nonzero(mask)  # row by row
    blocks = rows // down * -(-grid.columns // across) + columns // across
    order = np.argsort(blocks, kind="stable")
    rows, columns, blocks = rows[order], columns[order], blocks[order]
    starts = np.flatnonzero(np.diff(blocks, prepend=-1))
    edges = [
        edge.reduceat(places, starts)
        for places in (rows, columns)
        for edge in (np.minimum, np.maximum)
    ]
    return _Kept(rows, columns, np.append(starts, len(rows)), np.column_stack(edges))


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


def _count(size: int, overlap: int, step: int) -> int:
    """Returns how many tiles cover one axis of an image."""
    return max(1, -(-(size - overlap) // step))

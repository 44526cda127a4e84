"""Where the tiles of an image lie, as its item says; the image itself is not opened."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from ..errors import RaytrackerError
from ..imagery import Grid, ImageInfo, plan
from ..job_table import JobItem, cut_of
from ..ledger import Layout, Outcome

MAX_CELLS = 4_000_000
NO_TILE = 255
_NAMES = ("tile_size", "tile_overlap", "region_size", "edges")
# A tile whose task returned, and said nothing of it, counts as a success.
_SHOWN = np.full(256, Outcome.SUCCESS, np.uint8)
_SHOWN[[Outcome.PENDING, Outcome.ERROR]] = Outcome.PENDING, Outcome.ERROR


class TileMap:
    """The cells of a map, row by row, each of one tile or, outside an ROI, of none.

    Where the item doesn't say how the image was cut, tiles lie side by side by their numbers.

    Args:
        layout: How the tiles are numbered.
        grid: How the image was cut; None: that is not known.
    """

    def __init__(self, layout: Layout, grid: Grid | None) -> None:
        self.layout = layout
        self.grid = grid
        self.columns = self.rows = 1
        if grid is not None:
            self.columns, self.rows = grid.columns, grid.rows
        else:
            self.columns = int(np.ceil(np.sqrt(layout.tile_count)))
            self.rows = -(-layout.tile_count // self.columns)

    @classmethod
    def of(cls, job: JobItem, layout: Layout) -> TileMap:
        """Returns the map of an item's tiles."""
        return cls(layout, _grid_of(job, layout))

    @cached_property
    def cells(self) -> Any:
        """The cell of each tile, in the order of their numbers."""
        if self.grid is None:
            return np.arange(self.layout.tile_count, dtype=np.int32)
        rows, columns = self.grid.places()
        return (rows * self.columns + columns).astype(np.int32)

    def raster(self, outcomes: bytes) -> bytes:
        """Returns the outcome of each cell, one byte each; NO_TILE where there is none.

        Args:
            outcomes: Those of all tiles, in the order of their numbers.
        """
        cells = np.full(self.rows * self.columns, NO_TILE, np.uint8)
        cells[self.cells] = _SHOWN[np.frombuffer(outcomes, np.uint8)]
        return cells.tobytes()

    def number_at(self, row: int, column: int) -> int | None:
        """Returns the number of the tile in a cell; None: there is none."""
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            return None
        if self.grid is None:
            number = row * self.columns + column
            return number if number < self.layout.tile_count else None
        key = self.grid.key(row, column)
        return None if key is None else self.layout.tile_number(*key)

    def place_of(self, number: int) -> tuple[int, int]:
        """Returns the row and column of the cell of a tile."""
        row, column = divmod(int(self.cells[number]), self.columns)
        return row, column

    def to_dict(self) -> dict[str, Any]:
        """Returns its size in cells, that of a cell in pixels, and of a region in cells.

        The last two are None where it is not known how the image was cut.
        """
        grid = self.grid
        return {
            "rows": self.rows,
            "columns": self.columns,
            "step": None if grid is None else list(grid.step),
            "block": None if grid is None else list(grid.block),
        }


def _grid_of(job: JobItem, layout: Layout) -> Grid | None:
    """Returns how an image was cut, as far as its item alone says it."""
    cut = cut_of(job) or {}
    if not job.width or not job.height or not isinstance(cut.get("tile_size"), (int, list)):
        return None
    try:
        info = ImageInfo(
            url=job.image_url or job.image_id,
            width=job.width,
            height=job.height,
            bands=1,
            dtype="uint8",
            crs=cut.get("crs"),
            transform=None if cut.get("transform") is None else tuple(cut["transform"]),
        )
        how = {name: cut[name] for name in _NAMES if cut.get(name) is not None}
        grid = plan(info, **how)
        if grid.rows * grid.columns > MAX_CELLS:
            return None
        if cut.get("roi") is not None:
            grid = plan(info, **how, roi=cut["roi"], roi_crs=cut.get("roi_crs") or "image")
        fits = grid.tiles_per_region == [len(tiles) for tiles in layout.regions()]
    except (RaytrackerError, ValueError, TypeError, ArithmeticError):  # whoever wrote it
        return None
    return grid if fits else None

"""Grids of small images, drawn by hypothesis, and what tests ask of a grid."""

from collections.abc import Sequence

import shapely
from hypothesis import strategies as st
from rasterio.windows import Window

from raytracker.imagery import Grid, ImageInfo, Tile, plan


def image(width: int, height: int) -> ImageInfo:
    return ImageInfo("/image.tif", width, height, 1, "uint8")


def tiles(grid: Grid) -> list[Tile]:
    """All tiles, in the order of their numbers."""
    return [
        grid.tile(region, tile)
        for region, count in enumerate(grid.tiles_per_region)
        for tile in range(count)
    ]


def corners(window: Window) -> tuple[int, int, int, int]:
    """Left, top, right, bottom."""
    left, top, width, height = window.flatten()
    return left, top, left + width, top + height


def square(left: float, top: float, right: float, bottom: float) -> str:
    return str(shapely.box(left, top, right, bottom).wkt)


@st.composite
def grids(draw: st.DrawFn, edges: Sequence[str] = ("clip", "pad", "shift")) -> Grid:
    """Grids of images of up to 40 x 40 pixels, with sizes that differ by axis."""
    size = st.integers(1, 20)
    tile = draw(size), draw(size)
    overlap = draw(st.integers(0, tile[0] - 1)), draw(st.integers(0, tile[1] - 1))
    side = st.integers(1, 40)
    info = image(draw(side), draw(side))
    return plan(info, tile, overlap, (draw(side), draw(side)), edges=draw(st.sampled_from(edges)))


def with_roi(grid: Grid, roi: str) -> Grid:
    """The same grid with a region of interest."""
    sizes = grid.tile_size, grid.tile_overlap, grid.region_size
    return plan(grid.info, *sizes, roi, edges=grid.edges)

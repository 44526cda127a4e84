"""What becomes of the tiles at an image's edges, and which part of a tile is its own."""

from random import Random
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from raytracker.imagery import Grid, ImageInfo, plan
from tests.support.grids import corners, grids, image, square, tiles, with_roi

PIXELS = ImageInfo("/pixels.tif", 300, 200, 1, "uint8")

# --- edges ---


@given(grids())
def test_what_becomes_of_the_last_tiles(grid: Grid) -> None:
    """Clipped, padded to their size, or moved inwards; `valid` is the part that is image."""
    for tile in tiles(grid):
        window, valid = tile.window, tile.valid
        assert (valid.width, valid.height) == (window.width, window.height)
        assert (valid.col_off, valid.row_off) == (0, 0)
        assert (window.col_off, window.row_off) == (tile.col_off, tile.row_off)
        size, image_size = (tile.width, tile.height), (grid.info.width, grid.info.height)
        if grid.edges == "pad":
            assert size == grid.tile_size
        else:
            assert size == (valid.width, valid.height)
        if grid.edges == "shift":
            assert size == tuple(map(min, grid.tile_size, image_size))


@given(grids(edges=["shift"]))
def test_tiles_that_are_moved_share_at_least_the_overlap(grid: Grid) -> None:
    """Evenly, to a pixel, and there are no more of them than of tiles that are clipped."""
    clipped = plan(grid.info, grid.tile_size, grid.tile_overlap, grid.region_size)
    assert grid.tiles_per_region == clipped.tiles_per_region
    for axis in (grid.across, grid.down):
        starts = [axis.start(number) for number in range(axis.count)]
        steps = np.diff(starts).tolist() or [1]
        assert 0 < min(steps) <= max(steps) <= max(1, axis.tile - axis.overlap)
        assert max(steps) - min(steps) <= 1


def test_tiles_are_moved_as_osml_moves_them() -> None:
    """Where it covers the image: in OSML Model Runner 2.3.0's own test."""
    grid = plan(image(25_000, 12_000), 4096, 100, edges="shift")
    assert sorted({tile.col_off for tile in tiles(grid)}) == [
        *(0, 3484, 6968, 10_452, 13_936, 17_420, 20_904)
    ]
    assert sorted({tile.row_off for tile in tiles(grid)}) == [0, 3952, 7904]


@pytest.mark.parametrize(
    ("edges", "size"), [("clip", (300, 200)), ("pad", (512, 256)), ("shift", (300, 200))]
)
def test_a_tile_larger_than_the_image(edges: Any, size: tuple[int, int]) -> None:
    """Is as large as the image, or padded; all of the image is its own."""
    (tile,) = tiles(plan(PIXELS, (512, 256), edges=edges))
    assert (tile.width, tile.height) == size
    assert tile.window == tile.valid == tile.core == Window(0, 0, 300, 200)


# --- cores and neighbours ---


@given(grids())
def test_cores_partition_the_image(grid: Grid) -> None:
    """Each pixel is some tile's own, and of one only; each core lies in its tile."""
    owners = np.zeros((grid.info.height, grid.info.width), int)
    for tile in tiles(grid):
        rows, columns = tile.core.toslices()
        owners[rows, columns] += 1
        left, top, right, bottom = corners(tile.core)
        assert tile.col_off <= left < right <= tile.col_off + tile.window.width
        assert tile.row_off <= top < bottom <= tile.row_off + tile.window.height
        (above, below), (before, after) = tile.halo
        assert (left - before, top - above) == (tile.col_off, tile.row_off)
        assert (right + after, bottom + below) == (
            tile.col_off + tile.width,
            tile.row_off + tile.height,
        )
        assert tile.core == grid.core(tile.row, tile.column)
    assert (owners == 1).all()


@given(grids())
def test_an_overlap_is_halved_between_neighbours(grid: Grid) -> None:
    """To a pixel; at the image's edges a core ends with the image."""
    for axis in (grid.across, grid.down):
        cores = [axis.core(number) for number in range(axis.count)]
        assert cores[0][0] == 0
        assert cores[-1][1] == axis.size
        for number in range(1, axis.count):
            seam = cores[number][0]
            mine, theirs = seam - axis.start(number), axis.stop(number - 1) - seam
            assert mine + theirs >= axis.overlap
            assert theirs - mine in (0, 1)


@given(grids(), st.data())
def test_a_region_of_interest_changes_no_core(grid: Grid, data: st.DataObject) -> None:
    """They are those of the whole grid, whatever it leaves out; so are neighbours."""
    whole = {(tile.row, tile.column): tile for tile in tiles(grid)}
    left, top = (data.draw(st.integers(0, axis.size - 1)) for axis in (grid.across, grid.down))
    kept = tiles(cut := with_roi(grid, square(left, top, left + 5, top + 5)))
    for tile in kept:
        place = tile.row, tile.column
        assert (tile.core, tile.halo) == (whole[place].core, whole[place].halo)
        assert cut.neighbours(*place) == grid.neighbours(*place)
    keys = {(tile.row, tile.column): (tile.region, tile.number) for tile in kept}
    assert {place: cut.key(*place) for place in whole} == {
        place: keys.get(place) for place in whole
    }


@given(grids(), st.randoms())
def test_neighbours_are_what_overlaps_or_touches(grid: Grid, rng: Random) -> None:
    """All tiles with a pixel, an edge or a corner in common; each is found by its place."""
    everywhere = tiles(grid)
    boxes = shapely.box(*np.transpose([corners(tile.window) for tile in everywhere]))
    places = [(tile.row, tile.column) for tile in everywhere]
    number = rng.randrange(len(everywhere))
    near = np.flatnonzero(shapely.intersects(boxes, boxes[number]))
    assert grid.neighbours(*places[number]) == sorted(
        places[other] for other in near if other != number
    )
    for tile in everywhere:
        assert grid.key(tile.row, tile.column) == (tile.region, tile.number)
    for place in ((-1, 0), (0, -1), (grid.rows, 0), (0, grid.columns)):
        assert grid.key(*place) is None

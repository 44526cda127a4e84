"""How an image is cut into tiles and regions."""

import json
import pickle
import time
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from raytracker.errors import InvalidGrid, UnknownRegion
from raytracker.imagery import Grid, ImageInfo, Tile, from_osml, plan, to_osml
from tests.support.grids import corners, grids, image, square, tiles, with_roi

PIXELS = ImageInfo("/pixels.tif", 300, 200, 2, "uint8")
UTM = ImageInfo(
    "/utm.tif",
    400,
    300,
    1,
    "uint8",
    crs="EPSG:32618",
    transform=(300.0, 0.0, 102000.0, 0.0, -300.0, 2827000.0),
    extents={"north": 25.56, "south": 24.7, "east": -77.76, "west": -78.96},
)
LANDSAT = (2181, 1917)
BAHAMAS = (791, 718)


@given(grids())
def test_every_pixel_is_in_a_tile_and_every_tile_in_one_region(grid: Grid) -> None:
    """Nothing is left out, nothing lies outside, no tile comes twice."""
    covered = np.zeros((grid.info.height, grid.info.width), int)
    places = set()
    for tile in tiles(grid):
        window = tile.window
        assert window.width > 0
        assert window.height > 0
        assert window.col_off + window.width <= grid.info.width
        assert window.row_off + window.height <= grid.info.height
        rows, columns = window.toslices()
        covered[rows, columns] += 1
        places.add((tile.row, tile.column))
    assert covered.all()
    assert len(places) == sum(grid.tiles_per_region) == grid.columns * grid.rows


@given(grids(edges=["clip", "pad"]))
def test_tiles_of_a_row_lie_one_step_apart_and_end_with_the_image(grid: Grid) -> None:
    """The count is the least that covers the image, with the overlap everywhere the same."""
    for size, tile, overlap, count in zip(
        (grid.info.width, grid.info.height),
        grid.tile_size,
        grid.tile_overlap,
        (grid.columns, grid.rows),
        strict=True,
    ):
        offsets = [0]  # by hand: one tile after the other, until the image is covered
        while offsets[-1] + tile < size:
            offsets.append(offsets[-1] + tile - overlap)
        assert count == len(offsets)
    assert {(t.col_off, t.row_off) for t in tiles(grid)} == {
        (column * grid.step[0], row * grid.step[1])
        for column in range(grid.columns)
        for row in range(grid.rows)
    }


@given(grids())
def test_a_region_is_a_block_of_whole_tiles(grid: Grid) -> None:
    """As many as fit into its size, row by row, regions and tiles alike."""
    across, down = (
        max(1, size // step) for size, step in zip(grid.region_size, grid.step, strict=True)
    )
    by_hand: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row in range(grid.rows):
        for column in range(grid.columns):
            by_hand.setdefault((row // down, column // across), []).append((row, column))
    assert grid.tiles_per_region == [len(by_hand[block]) for block in sorted(by_hand)]
    assert [(t.row, t.column) for t in tiles(grid)] == [
        place for block in sorted(by_hand) for place in by_hand[block]
    ]


@given(grids())
def test_a_regions_bounds_are_those_of_its_tiles(grid: Grid) -> None:
    """As OSML writes them."""
    by_region: dict[int, list[Tile]] = {}
    for tile in tiles(grid):
        by_region.setdefault(tile.region, []).append(tile)
    for region, bounds in enumerate(grid.regions):
        mine = by_region[region]
        left, top = min(t.col_off for t in mine), min(t.row_off for t in mine)
        right = max(t.col_off + t.window.width for t in mine)
        bottom = max(t.row_off + t.window.height for t in mine)
        assert bounds == ((top, left), (right - left, bottom - top))
        assert {t.region_bounds for t in mine} == {bounds}


@pytest.mark.parametrize(
    ("size", "tile", "overlap", "regions"),
    [
        # 2181 x 1917 pixels: 18 x 15 tiles, in blocks of 16 x 16
        (LANDSAT, 128, 0, [16 * 15, 2 * 15]),
        # step 96: 23 x 20 tiles, in blocks of 21 x 21
        (LANDSAT, 128, 32, [21 * 20, 2 * 20]),
        (LANDSAT, 256, 0, [8 * 8, 1 * 8]),
        # step 224: 10 x 9 tiles, in blocks of 9 x 9
        (LANDSAT, 256, 32, [9 * 9, 1 * 9]),
        (LANDSAT, 1000, 0, [2 * 2, 1 * 2]),
        # step 968: 3 x 2 tiles (1936 + 1000 > 2181, 968 + 1000 > 1917), in blocks of 2 x 2
        (LANDSAT, 1000, 32, [2 * 2, 1 * 2]),
        (BAHAMAS, 128, 0, [7 * 6]),
        (BAHAMAS, 128, 32, [8 * 8]),
        (BAHAMAS, 256, 0, [4 * 3]),
        (BAHAMAS, 256, 32, [4 * 4]),
        (BAHAMAS, 1000, 0, [1]),
        (BAHAMAS, 1000, 32, [1]),
    ],
)
def test_counts_made_by_hand(
    size: tuple[int, int], tile: int, overlap: int, regions: list[int]
) -> None:
    """The sample images, with regions of 2048 pixels."""
    assert plan(image(*size), tile, overlap).tiles_per_region == regions


def test_a_tile_larger_than_the_image_is_one_clipped_tile() -> None:
    """Also where the overlap alone is larger than the image."""
    for overlap in (0, 999):
        (tile,) = tiles(plan(image(30, 20), 1000, overlap))
        assert (tile.width, tile.height) == (30, 20)


def test_sizes_are_one_number_or_width_and_height() -> None:
    """In the order of OSML's tile_size, (width, height)."""
    grid = plan(image(100, 100), (50, 10), (10, 0), (100, 30))
    assert (grid.columns, grid.rows) == (3, 10)
    assert grid.block == (2, 3)
    assert plan(image(9, 9), np.int64(3)).tile_size == (3, 3)


# --- region of interest ---


@st.composite
def polygons(draw: st.DrawFn) -> shapely.Polygon:
    """Triangles and squares in and around an image of 40 x 40, also with corners on its pixels."""
    number = st.one_of(st.integers(-10, 50), st.floats(-10, 50, width=32))
    points = draw(st.lists(st.tuples(number, number), min_size=3, max_size=4))
    return shapely.MultiPoint(points).convex_hull


@given(grids(), polygons())
def test_a_region_of_interest_keeps_the_tiles_that_share_an_area_with_it(
    grid: Grid, roi: shapely.Polygon
) -> None:
    """Against shapely's word on every tile; regions and tiles without gaps in their numbers."""
    if roi.geom_type != "Polygon" or roi.area < 1e-3:
        return
    wanted = [
        (tile.region, (tile.row, tile.column))
        for tile in tiles(grid)
        if (box := shapely.box(*corners(tile.window))).intersects(roi) and not box.touches(roi)
    ]
    if not wanted:
        with pytest.raises(InvalidGrid, match="misses"):
            with_roi(grid, roi.wkt)
        return
    cut = with_roi(grid, roi.wkt)
    found = tiles(cut)
    assert [(tile.row, tile.column) for tile in found] == [place for _, place in wanted]
    regions = sorted({region for region, _ in wanted})
    assert [tile.region for tile in found] == [regions.index(region) for region, _ in wanted]
    assert len(cut.tiles_per_region) == len(cut.regions) == len(regions)
    for region, bounds in enumerate(cut.regions):
        mine = [tile for tile in found if tile.region == region]
        bounds_of_mine = np.array([corners(tile.window) for tile in mine])
        (row, column), (width, height) = bounds
        assert (column, row) == tuple(bounds_of_mine[:, :2].min(axis=0))
        assert (column + width, row + height) == tuple(bounds_of_mine[:, 2:].max(axis=0))


def test_an_edge_in_common_is_no_area_in_common() -> None:
    """An ROI that ends where a tile begins doesn't keep it."""
    grid = plan(PIXELS, 100, roi=square(100, 100, 200, 200))
    assert [(tile.row, tile.column) for tile in tiles(grid)] == [(1, 1)]


def test_an_roi_in_the_images_crs() -> None:
    """Metres, y upwards: the upper left 100 x 100 pixels of 300 m."""
    grid = plan(UTM, 100, roi=square(102000, 2797000, 132000, 2827000))
    assert [(tile.row, tile.column) for tile in tiles(grid)] == [(0, 0)]


def test_an_roi_in_longitude_and_latitude_keeps_the_same_tiles() -> None:
    """A small square around a tile's middle keeps that tile."""
    for tile in tiles(plan(UTM, 100)):
        longitude, latitude = tile.lonlat(tile.height / 2, tile.width / 2)
        roi = shapely.Point(longitude, latitude).buffer(0.01).wkt
        (kept,) = tiles(plan(UTM, 100, roi=roi, roi_crs="lonlat"))
        assert (kept.row, kept.column) == (tile.row, tile.column)


def test_straight_edges_in_degrees_are_curves_in_the_image() -> None:
    """A parallel cuts a row of tiles at its ends, and leaves it alone in the middle."""
    info = ImageInfo(  # far off its UTM zone's middle, where parallels bend most
        "/wide.tif",
        4000,
        100,
        1,
        "uint8",
        crs="EPSG:32618",
        transform=(500.0, 0.0, -500000.0, 0.0, -500.0, 7000000.0),
        extents={"north": 63.2, "south": 61.0, "east": -55.0, "west": -95.0},
    )
    (strip,) = tiles(plan(info, (4000, 100)))
    corner, middle = strip.lonlat(0, 0)[1], strip.lonlat(0, 2000)[1]
    assert middle > corner + 1
    roi = square(-95, (middle + corner) / 2, -55, 70)
    kept = [tile.column for tile in tiles(plan(info, 100, roi=roi, roi_crs="lonlat"))]
    assert 20 in kept
    assert 0 not in kept


def test_an_roi_around_the_world_is_the_whole_image() -> None:
    """Though most of the world has no place in the image's CRS."""
    world = square(-180, -90, 180, 90)
    assert plan(UTM, 64, roi=world, roi_crs="lonlat").tiles_per_region == (
        plan(UTM, 64).tiles_per_region
    )


@pytest.mark.parametrize(
    ("info", "roi", "roi_crs", "told"),
    [
        (PIXELS, "no WKT", "image", "not WKT.*give one such as POLYGON"),
        (PIXELS, "", "image", "not WKT"),
        (PIXELS, "POINT (5 5)", "image", "not an area: give a POLYGON"),
        (PIXELS, "POLYGON EMPTY", "image", "not an area"),
        (PIXELS, "POLYGON ((0 0, 9 9, 9 0, 0 9, 0 0))", "image", "Self-intersection"),
        (PIXELS, square(300, 0, 400, 99), "image", "misses.*columns 0 to 300"),
        (PIXELS, square(1, 1, 2, 2), "lonlat", 'no CRS.*roi_crs="image"'),
        (PIXELS, square(1, 1, 2, 2), "wgs84", '"image" or "lonlat"'),
        (UTM, square(0, 0, 9, 9), "image", "misses.*x 102000 to 222000.*EPSG:32618.*roi_crs"),
        (UTM, square(24.7, -78.9, 25.5, -78), "lonlat", "misses.*check the order"),
    ],
)
def test_a_region_of_interest_that_is_none(
    info: ImageInfo, roi: str, roi_crs: str, told: str
) -> None:
    """Refused, with the value and the cure."""
    with pytest.raises(InvalidGrid, match=told):
        plan(info, 100, roi=roi, roi_crs=roi_crs)


# --- what is refused ---


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"tile_size": 0}, "tile_size 0: give 1 or more"),
        ({"tile_size": -5}, "tile_size -5"),
        ({"tile_size": 10.5}, "tile_size 10.5: give one whole number"),
        ({"tile_size": "512"}, "tile_size '512'"),
        ({"tile_size": (1, 2, 3)}, "tile_size"),
        ({"tile_size": (512, 0)}, "tile_size"),
        ({"tile_overlap": -1}, "tile_overlap -1: give 0 or more"),
        ({"tile_size": 64, "tile_overlap": 64}, "tile_overlap 64 is not smaller than tile_size 64"),
        ({"tile_size": (64, 32), "tile_overlap": 48}, "not smaller"),
        ({"region_size": 0}, "region_size 0"),
        ({"bands": [1, 3]}, r"bands \[1, 3\]: /pixels.tif has no band 3, its bands are 1 to 2"),
        ({"bands": [0, 1]}, "has no band 0"),
        ({"bands": [-1]}, "has no band -1"),
        ({"bands": []}, r"bands \[\]: give the numbers of some, such as \[3, 2, 1\]"),
        ({"bands": 1}, "bands 1: give"),
        ({"bands": "2,1"}, "bands '2,1': give"),
        ({"bands": [1.5]}, "give the numbers"),
        ({"edges": "mirror"}, 'edges \'mirror\': say "clip", "pad" or "shift"'),
    ],
)
def test_what_is_no_cut(arguments: dict[str, Any], told: str) -> None:
    """Refused, with the name, the value and what would do."""
    with pytest.raises(InvalidGrid, match=told):
        plan(PIXELS, **arguments)


def test_more_tiles_than_anyone_wants() -> None:
    """A slip in the tile size is told before a list of them fills the memory."""
    with pytest.raises(InvalidGrid, match="40000000000 tiles .* choose larger"):
        plan(image(200_000, 200_000), 1)


@pytest.mark.parametrize("roi", [None, square(0, 0, 300, 200)])
def test_tiles_that_do_not_exist(roi: str | None) -> None:
    """Refused by their numbers."""
    grid = plan(PIXELS, 100, roi=roi)
    assert grid.tiles_per_region == [6]
    for region, tile in ((0, 6), (0, -1), (1, 0), (-1, 0)):
        with pytest.raises(UnknownRegion, match="tiles 0 to 5|regions 0 to 0"):
            grid.tile(region, tile)


# --- what is kept of it ---


def test_the_grid_as_json_is_equal_for_equal_grids_only() -> None:
    """A resume is refused by it."""

    def told(info: ImageInfo = PIXELS, **arguments: Any) -> Any:
        grid = plan(info, **{"tile_size": 64, **arguments})
        return json.loads(json.dumps(grid.to_dict()))

    roi = "POLYGON ((0 0, 90 0, 90 90, 0 0))"
    assert told() == told(tile_size=(64, 64))
    assert told() == told(bands=[1, 2])
    assert told(roi=roi) == told(roi="polygon((0.0 0.0, 90 0, 90 90, 0 0))")
    others = [
        told(),
        told(tile_size=65),
        told(tile_overlap=1),
        told(region_size=100),
        told(skip_empty=True),
        told(bands=[1]),
        told(bands=[2, 1]),
        told(edges="pad"),
        told(edges="shift"),
        told(roi=roi),
        told(roi=roi.replace("90", "91")),
        told(info=image(300, 201)),
        told(info=UTM, roi=square(-78.9, 25, -78, 25.5), roi_crs="lonlat"),
    ]
    assert all(a != b for n, a in enumerate(others) for b in others[:n])


def test_a_tile_pickles_small() -> None:
    """It travels with each task."""
    tile = plan(UTM, 100).tile(0, 3)
    data = pickle.dumps(tile)
    assert pickle.loads(data) == tile
    assert len(data) < 600


@pytest.mark.parametrize("roi", [None, shapely.Point(2e5, 2e5).buffer(2e5, 256).wkt])
def test_a_million_tiles_take_no_time(roi: str | None) -> None:
    """Planning is arithmetic, and with an ROI goes with the tiles along its edge."""
    begun = time.process_time()
    grid = plan(image(448_000, 448_000), 512, 64, roi=roi)
    counts = grid.tiles_per_region
    assert sum(counts) == 1_000_000 if roi is None else 600_000 < sum(counts) < 1_000_000
    assert grid.tile(len(counts) - 1, counts[-1] - 1).row > 800
    assert time.process_time() - begun < 2


@given(*[st.integers(0, 10**6)] * 4)
def test_osmls_bounds_and_rasterios_windows_are_the_same(
    row: int, column: int, width: int, height: int
) -> None:
    """((row, col), (w, h)) there, (col_off, row_off, width, height) here; and back."""
    bounds = ((row, column), (width, height))
    window = from_osml(bounds)
    assert window.flatten() == (column, row, width, height)
    assert to_osml(window) == bounds

"""Longitude and latitude are on a sphere: places, shapes, extents and regions of interest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import antimeridian
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod
from rasterio.warp import transform, transform_bounds
from shapely.geometry import box, shape

from raytracker.errors import InvalidImage
from raytracker.imagery import ImageInfo, Tile, describe, plan
from tests.support.images import make_image
from tests.support.worlds import (
    EASTWARD,
    NORTH,
    SOUTH,
    STRIP,
    TURNED_NORTH,
    UTM_1,
    UTM_60,
    WEB,
    WHOLE,
    WORLDS,
    image_on,
)

EARTH = Geod(ellps="WGS84")


def whole(info: ImageInfo) -> Tile:
    """All of an image as one tile."""
    return plan(info, max(info.width, info.height)).tile(0, 0)


def found(info: ImageInfo, geometry: Any) -> Any:
    """A geometry of the image's pixels on the ground."""
    placed = shape(whole(info).feature(geometry)["geometry"])
    west, south, east, north = placed.bounds
    assert -180 <= west <= east <= 180
    assert -90 <= south <= north <= 90
    assert placed.is_valid
    return placed


def square_metres(geometry: Any) -> float:
    # Edges in degrees are no geodesics: they are cut, so that they are about the same.
    return abs(EARTH.geometry_area_perimeter(shapely.segmentize(geometry, 0.2))[0])


# --- places ---


@pytest.mark.parametrize("info", WORLDS.values(), ids=WORLDS.keys())
def test_longitudes_are_within_180_degrees(info: ImageInfo) -> None:
    """In all of an image, and the same as GDAL's, but for whole turns."""
    rows, columns = np.mgrid[0 : info.height : 9j, 0 : info.width : 9j]
    tile = whole(info)
    longitudes, latitudes = tile.lonlat(rows, columns)
    assert longitudes.shape == (9, 9)
    assert np.abs(longitudes).max() <= 180
    x, y = tile.xy(rows, columns)
    expected = transform(info.crs, "EPSG:4326", x.ravel(), y.ravel())
    assert latitudes.ravel() == pytest.approx(expected[1], abs=1e-8)
    turns = (longitudes.ravel() - expected[0]) / 360
    away = np.abs(latitudes.ravel()) < 89.999
    assert np.abs(turns - np.round(turns))[away].max() < 1e-10
    one = tile.lonlat(5, 5)
    assert all(np.isscalar(value) for value in one)


def test_places_are_numbers_as_gdal_has_them() -> None:
    """Of maps on other datums, too: two libraries bring each a PROJ of its own."""
    for crs, x, y in (
        ("EPSG:27700", 4e5, 3e5),
        ("EPSG:4267", -100, 40),
        ("EPSG:3338", -2.2e6, 5e5),
    ):
        tile = whole(image_on(crs, x, y, 1e-3, 9, 9))
        (longitude,), (latitude,) = transform(crs, "EPSG:4326", [x], [y])
        assert tile.lonlat(0, 0) == pytest.approx((longitude, latitude), abs=1e-8)


def test_pixels_around_a_pole_lie_at_it() -> None:
    """Grids whose first row of pixels has the pole in its middle; but metres are no degrees."""
    info = image_on("EPSG:4326", -180.25, 90.25, 0.5, 720, 361)
    tile = whole(info)
    assert tile.lonlat(0, 360.5) == (0, 90)
    assert tile.lonlat(361, 0) == (179.75, -90)
    assert shape(tile.feature(box(0, 0, 4, 4))["geometry"]).bounds[3] == 90
    metres = image_on("EPSG:4326", 500_000, 4_000_000, 30, 100, 100)
    with pytest.raises(InvalidImage, match=r"latitude 4000000: .*is not the CRS"):
        whole(metres).lonlat(0, 0)


def test_a_crs_that_is_not_that_of_the_transform() -> None:
    """Where neighbours lie all over the earth, nothing is cut for hours."""
    turned = "+proj=ob_tran +o_proj=longlat +lon_0=-162 +o_lat_p=39.25 +o_lon_p=180 +R=6370000"
    metres = image_on(f"{turned} +to_meter=0.0174532925199433", -2e5, 2e5, 1000, 400, 400)
    with pytest.raises(InvalidImage, match="far apart on the ground"):
        whole(metres).feature(box(10, 10, 390, 390))


# --- shapes ---


@pytest.mark.parametrize("info", [UTM_60, UTM_1], ids=["UTM 60", "UTM 1"])
def test_a_square_across_180_degrees_is_cut_in_two(info: ImageInfo) -> None:
    """It is as large as it was, and no box around the world."""
    longitude, seam = whole(info).lonlat(0, 0)[0], 0
    while whole(info).lonlat(150, seam)[0] * longitude > 0:
        seam += 1
    placed = found(info, box(seam - 50, 100, seam + 50, 200))
    assert placed.geom_type == "MultiPolygon"
    west, east = sorted(placed.geoms, key=lambda part: part.bounds[0])
    assert (west.bounds[0], east.bounds[2]) == (-180, 180)
    assert west.bounds[2] < -179 < 179 < east.bounds[0]
    assert all(part.exterior.is_ccw for part in placed.geoms)
    assert square_metres(placed) == pytest.approx(1e10, rel=0.01)


@pytest.mark.parametrize(("info", "pole"), [(NORTH, 90), (SOUTH, -90)], ids=["north", "south"])
def test_a_square_around_a_pole_is_closed_over_it(info: ImageInfo, pole: float) -> None:
    """Not a ring of no area; a square with a corner at the pole has a right angle there."""
    a, _, c, _, e, f = info.coefficients
    column, row = -c / a, -f / e
    around = found(info, box(column - 100, row - 100, column + 100, row + 100))
    assert around.bounds[::2] == (-180, 180)
    assert pole in around.bounds
    assert square_metres(around) == pytest.approx(4e10, rel=0.08)  # of the map's metres
    beside = found(info, box(column, row, column + 100, row + 100))
    assert square_metres(beside) == pytest.approx(square_metres(around) / 4, rel=1e-3)
    assert beside.bounds[2] - beside.bounds[0] == pytest.approx(90)
    half = found(info, box(column - 100, row, column + 100, row + 100))
    assert square_metres(half) == pytest.approx(square_metres(around) / 2, rel=1e-3)


def test_a_square_that_just_misses_the_pole() -> None:
    """Its long edge passes by on the side where it is: half of the square is not lost."""
    for off in (0.001, 1, 20):
        placed = found(NORTH, box(400, 500 + off, 600, 600 + off))
        assert square_metres(placed) == pytest.approx(2e10, rel=0.08)
        placed = found(NORTH, box(400, 500 - off, 600, 600 - off))
        assert placed.bounds[3] == 90
        assert square_metres(placed) == pytest.approx(2e10, rel=0.08)


def test_a_ring_that_goes_back_and_forth_around_the_pole() -> None:
    """It crosses the meridian that it begins at several times."""
    star = [(681, -157), (563, -92), (498, 27), (368, -27), (314, -157), (368, -287), (498, -341)]
    column, row = 500 - 500, 500  # the pole
    around = shapely.Polygon([(x + column, y + row) for x, y in [*star, (628, -287)]])
    for turn in range(8):
        ring = np.roll(shapely.get_coordinates(around)[:-1], turn, axis=0)
        placed = found(NORTH, ring)
        assert square_metres(placed) == pytest.approx(around.area * 1e6, rel=0.08)
        assert placed.contains(shapely.Point(0, 89.99)) == around.contains(shapely.Point(500, 500))


def test_a_ring_around_the_pole_has_a_hole_there() -> None:
    """Both of its rings go all the way round."""
    placed = found(NORTH, box(400, 400, 600, 600).difference(box(480, 480, 520, 520)))
    assert not placed.contains(shapely.Point(0, 89.9))
    assert placed.contains(shapely.Point(0, 89.5))
    assert square_metres(placed) == pytest.approx(4e10 - 16e8, rel=0.08)


@pytest.mark.parametrize("info", [EASTWARD, WHOLE], ids=["0..360", "-180..180"])
def test_a_tile_of_all_the_world(info: ImageInfo) -> None:
    """Is a box, whichever meridian it begins with."""
    assert found(info, box(0, 0, 720, 360)).equals(box(-180, -90, 180, 90))
    assert found(info, box(0, 100, 720, 200)).equals(box(-180, -10, 180, 40))
    half = box(0, -90, 180, 90) if info is EASTWARD else box(-180, -90, 0, 90)
    assert found(info, box(0, 0, 360, 360)).equals(half)


def test_points_and_lines_across_180_degrees() -> None:
    """Lines are cut; a collection's parts are, each for itself."""
    points = found(STRIP, shapely.MultiPoint([(99, 5), (101, 5), (100, 5)]))
    assert [point.x for point in points.geoms] == pytest.approx([179.99, -179.99, 180])
    line = found(STRIP, shapely.LineString([(90, 0), (110, 20)]))
    assert line.geom_type == "MultiLineString"
    assert sorted(line.geoms[0].bounds + line.geoms[1].bounds) == pytest.approx(
        sorted([179.9, 10.9, 180, 11, -180, 10.8, -179.9, 10.9])
    )
    lines = found(STRIP, shapely.MultiLineString([[(0, 0), (9, 9)], [(90, 0), (110, 0)]]))
    assert len(lines.geoms) == 3
    mixed = shapely.GeometryCollection([shapely.Point(150, 0), box(90, 0, 110, 10)])
    there = found(STRIP, mixed)
    assert [part.geom_type for part in there.geoms] == ["Point", "MultiPolygon"]
    over = found(NORTH, shapely.LineString([(400, 450), (600, 550)]))
    assert EARTH.geometry_length(over) == pytest.approx(223_600, rel=0.05)
    assert over.bounds[3] > 89.99


def test_a_shape_that_ends_at_180_degrees_is_not_cut() -> None:
    """On whichever side of it."""
    assert found(STRIP, box(90, 0, 100, 10)).bounds == pytest.approx((179.9, 10.9, 180, 11))
    assert found(STRIP, box(100, 0, 110, 10)).bounds == pytest.approx((-180, 10.9, -179.9, 11))


WORLD = st.sampled_from(list(WORLDS.values()))


@st.composite
def stars(draw: st.DrawFn, info: ImageInfo) -> Any:
    """Areas of any form in an image's pixels, with a hole or none."""
    size = min(info.width, info.height) * draw(st.floats(0.05, 0.45))
    column = size + (info.width - 2 * size) * draw(st.floats(0, 1))
    row = size + (info.height - 2 * size) * draw(st.floats(0, 1))
    count = draw(st.integers(5, 12))
    angles = np.arange(count) * 2 * np.pi / count
    radii = size * np.array(draw(st.lists(st.floats(0.4, 1), min_size=count, max_size=count)))
    around = np.column_stack([radii * np.cos(angles), radii * np.sin(angles)])
    holes = [around / 4 + np.array([column, row])] if draw(st.booleans()) else []
    star = shapely.Polygon(around + np.array([column, row]), holes)
    return star.reverse() if draw(st.booleans()) else star


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_in_a_shape_is_in_it_on_the_ground(data: st.DataObject) -> None:
    """Wherever it lies, whatever it holds: the points of the image say so."""
    info = data.draw(WORLD)
    star = data.draw(stars(info))
    placed = found(info, star)
    inner = shapely.points(np.random.default_rng(7).uniform(0, (info.width, info.height), (300, 2)))
    # Edges that are straight in the image are a little bent in degrees.
    far = shapely.distance(star.boundary, inner) > 0.02 * max(info.width, info.height)
    columns, rows = shapely.get_coordinates(inner[far]).T
    on_ground = shapely.points(*whole(info).lonlat(rows, columns))
    assert np.array_equal(shapely.contains(star, inner[far]), shapely.contains(placed, on_ground))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_shapes_are_cut_as_the_package_antimeridian_cuts_them(data: st.DataObject) -> None:
    """It is another's work, of a more general kind."""
    info = data.draw(st.sampled_from([UTM_60, UTM_1, STRIP, WEB, NORTH, SOUTH, TURNED_NORTH]))
    star = data.draw(stars(info))
    star = shapely.Polygon(star.exterior)
    placed = found(info, star)
    side = max(info.width, info.height)
    tile = whole(info)
    # Counterclockwise on the ground, which that package asks for: rows run down.
    shell = shapely.orient_polygons(star, exterior_cw=True).exterior
    ring = shapely.get_coordinates(shapely.segmentize(shell, side / 500))
    longitudes, latitudes = tile.lonlat(ring[:, 1], ring[:, 0])
    if np.abs(latitudes).max() > 89.9:  # there, that package may get it wrong
        return
    theirs = antimeridian.fix_polygon(
        shapely.Polygon(np.column_stack([longitudes, latitudes])),
        fix_winding=False,
        great_circle=False,
    )
    assert placed.symmetric_difference(theirs).area < 0.05 * theirs.area


# --- extents ---


def extents(folder: Path, info: ImageInfo) -> Any:
    """What an image file of that place says."""
    assert info.transform is not None
    path = make_image(
        folder / "image.tif",
        np.zeros((1, info.height, info.width), "uint8"),
        crs=info.crs,
        transform=info.transform,
        compress="deflate",
    )
    told = describe(path).extents
    assert told is not None
    return tuple(told[name] for name in ("west", "south", "east", "north"))


@pytest.mark.parametrize("name", [name for name in WORLDS if "turned" not in name])
def test_extents_are_those_of_gdal(tmp_path: Path, name: str) -> None:
    """West is greater than east across 180 degrees; a pole that it holds is its edge."""
    info = WORLDS[name]
    assert info.crs is not None
    (a, _, c, _, e, f), (width, height) = info.coefficients, (info.width, info.height)
    if name in ("eastward", "strip", "web"):  # GDAL has no bounds for what goes on beyond 180
        expected = {
            "eastward": (-180, -90, 180, 90),
            "strip": (179, 10, -179, 11),
            "web": (178.766, 6.274, -178.539, 8.947),
        }[name]
    else:
        expected = transform_bounds(
            info.crs, "EPSG:4326", c, f + e * height, c + a * width, f, densify_pts=200
        )
    assert extents(tmp_path, info) == pytest.approx(expected, abs=2e-3)


def test_extents_of_turned_images(tmp_path: Path) -> None:
    """A pole in the box around it, and not in it, is not its edge."""
    assert extents(tmp_path, TURNED_NORTH)[::2] == (-180, 180)
    assert extents(tmp_path, TURNED_NORTH)[3] == 90
    beside = image_on("EPSG:3413", -300_000, 500_000, 1000, 500, 100, -45)
    west, _, east, north = extents(tmp_path, beside)
    assert north < 89.5
    assert west > east or east - west < 180
    assert extents(tmp_path, WORLDS["turned UTM 60"])[0] > 177
    assert extents(tmp_path, WORLDS["turned UTM 60"])[2] < -177

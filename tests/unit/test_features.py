"""What a function may return: geometries that are some, near their tile, in RFC 7946's form."""

from __future__ import annotations

import json
import timeit
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import shapely
from geojson_pydantic import FeatureCollection
from hypothesis import given
from hypothesis import strategies as st
from shapely.affinity import translate
from shapely.geometry import mapping, shape

from raytracker.errors import OutputError
from raytracker.imagery import ImageInfo, Tile, describe, plan
from raytracker.pipeline import ResultStore
from raytracker.pipeline.features import encode_features
from raytracker.pipeline.objects import TileResult
from tests.support.assembled import assembled, source_of
from tests.support.results import FEATURE
from tests.support.scenes import BAHAMAS
from tests.support.worlds import EASTWARD, NORTH, STRIP, UTM_1, UTM_60, WEB, WHOLE, WORLDS

PLAIN = ImageInfo("/plain.tif", 2000, 2000, 1, "uint8")


def middle_of(info: ImageInfo, size: int = 100) -> Tile:
    """A tile in the middle of an image."""
    grid = plan(info, size, region_size=size)
    return grid.tile(*(grid.key(grid.rows // 2, grid.columns // 2) or (0, 0)))


TILE = plan(describe(BAHAMAS), 256).tile(0, 5)
PIXEL_TILE = middle_of(PLAIN)
LONGITUDE, LATITUDE = TILE.lonlat(10, 10)
SQUARE = shapely.box(LONGITUDE, LATITUDE, LONGITUDE + 0.01, LATITUDE + 0.01)


def encoded(result: Any, tile: Tile | None = TILE) -> Any:
    """The Features of a tile, as a strict validator of others' takes them."""
    features = json.loads(encode_features(result, tile))
    told = {"type": "FeatureCollection", "features": features}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of collections of one
        FeatureCollection.model_validate(told, strict=False)
    return features


def geometry_of(result: Any, tile: Tile | None = TILE) -> Any:
    [feature] = encoded(result, tile)
    return feature["geometry"]


# --- geometries that are none ---

RING = [[LONGITUDE, LATITUDE], [LONGITUDE + 0.1, LATITUDE], [LONGITUDE, LATITUDE + 0.1]]
RING = [*RING, RING[0]]


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": None},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[]]},
        {"type": "Polygon", "coordinates": RING},
        {"type": "Polygon", "coordinates": [[RING]]},
        {"type": "Polygon", "coordinates": [RING[:3]]},
        {"type": "Polygon", "coordinates": [RING[:3], RING]},
        {"type": "Polygon", "coordinates": [RING, RING[:2]]},
        {"type": "Polygon", "coordinates": [[RING[0], RING[1], RING[0]]]},
        {"type": "Polygon", "coordinates": [[*RING[:3], RING[1]]]},
        {"type": "Polygon", "coordinates": "POLYGON"},
        {"type": "Polygon", "coordinates": {"ring": RING}},
        {"type": "MultiPolygon", "coordinates": [RING]},
        {"type": "MultiPolygon", "coordinates": [[RING], []]},
        {"type": "LineString", "coordinates": [RING[0]]},
        {"type": "LineString", "coordinates": RING[0]},
        {"type": "MultiLineString", "coordinates": RING},
        {"type": "MultiPoint", "coordinates": RING[0]},
        {"type": "MultiPoint", "coordinates": []},
        {"type": "Point", "coordinates": []},
        {"type": "Point", "coordinates": [LONGITUDE]},
        {"type": "Point", "coordinates": [LONGITUDE, LATITUDE, 1, 2]},
        {"type": "Point", "coordinates": RING},
        {"type": "Point", "coordinates": [RING[0]]},
        {"type": "Point", "coordinates": [str(LONGITUDE), str(LATITUDE)]},
        {"type": "Point", "coordinates": [True, False]},
        {"type": "Point", "coordinates": [np.True_, 1.0]},
        {"type": "Point", "coordinates": [None, LATITUDE]},
        {"type": "Point", "coordinates": [float("nan"), LATITUDE]},
        {"type": "Point", "coordinates": np.array([LONGITUDE, np.inf])},
        {"type": "Point", "coordinates": [10**400, 0]},
        {"type": "LineString", "coordinates": [RING[0], [*RING[1], 5]]},
        {"type": "Circle", "coordinates": RING[0]},
        {"type": "polygon", "coordinates": [RING]},
        {"type": "GeometryCollection"},
        {"type": "GeometryCollection", "geometries": []},
        {"type": "GeometryCollection", "geometries": [None]},
        {"type": "GeometryCollection", "geometries": [{"type": "Polygon"}]},
        shapely.Polygon(),
        shapely.Point(),
    ],
    ids=lambda geometry: str(geometry)[:60],
)
@pytest.mark.parametrize("tile", [TILE, PIXEL_TILE, None], ids=["degrees", "pixels", "anywhere"])
def test_a_geometry_that_is_none(tile: Tile | None, geometry: Any) -> None:
    """An error that names what makes right ones."""
    for result in (geometry, [{"type": "Feature", "geometry": geometry, "properties": {}}]):
        with pytest.raises(OutputError, match=r"tile\.feature"):
            encode_features(result, tile)


def test_what_tile_feature_does_not_take() -> None:
    """Told with what it takes."""
    for geometry in ({"type": "Polygon"}, [(1, 2)], 7, None, [(0, 0), (1, "a"), (2, 2)], []):
        with pytest.raises(OutputError, match=r"tile\.feature was given"):
            TILE.feature(geometry)
    for geometry in (
        shapely.Point(),
        shapely.Point(float("nan"), 1),
        [(0, 0), (9, 9), (9, np.inf)],
    ):
        for tile in (TILE, PIXEL_TILE):
            with pytest.raises(OutputError, match=r"tile\.feature was given"):
                tile.feature(geometry)


# --- geometries that lie elsewhere ---


@pytest.mark.parametrize(
    "geometry",
    [
        shapely.box(10, 100, 50, 140),  # the tile's pixels
        shapely.box(10, 10, 50, 50),
        shapely.box(0, 0, 1, 1),
        shapely.box(LATITUDE, LONGITUDE, LATITUDE + 0.01, LONGITUDE + 0.01),  # the wrong order
        shapely.box(200_000, 2_700_000, 200_500, 2_700_500),  # metres of UTM
        shapely.Point(LONGITUDE + 180, LATITUDE),
        shapely.Point(LONGITUDE, -LATITUDE),
        shapely.Point(LONGITUDE + 4, LATITUDE),
        shapely.Point(LONGITUDE, LATITUDE + 720),
        shapely.Point(LONGITUDE - 720, LATITUDE),
        shapely.Point(LONGITUDE, 90.1),
    ],
    ids=str,
)
def test_a_geometry_that_is_nowhere_near_its_tile(geometry: Any) -> None:
    """Pixels or metres taken for degrees, degrees in the wrong order, another place."""
    for result in (geometry, mapping(geometry), shapely.GeometryCollection([SQUARE, geometry])):
        with pytest.raises(OutputError, match=r"nowhere near its tile.*tile\.feature"):
            encode_features(result, TILE)


def test_pixels_are_the_images_and_not_the_tiles_where_there_is_no_crs() -> None:
    """Those of another tile are far away."""
    column, row = PIXEL_TILE.col_off, PIXEL_TILE.row_off
    there = shapely.box(column + 1, row + 1, column + 9, row + 9)
    assert shape(geometry_of(there, PIXEL_TILE)).equals(there)
    for far in (shapely.box(1, 1, 9, 9), shapely.box(LONGITUDE, LATITUDE, -78, 26)):
        with pytest.raises(OutputError, match="which as pixels is nowhere near its tile"):
            encode_features(far, PIXEL_TILE)


def test_tile_feature_takes_the_tiles_own_pixels() -> None:
    """Those of the image are another place."""
    for tile in (TILE, PIXEL_TILE):
        there = translate(shapely.box(0, 0, 9, 9), 5 * tile.width, 5 * tile.height)
        with pytest.raises(OutputError, match="count from the tile's own upper left corner"):
            tile.feature(there)
        beside = translate(shapely.box(0, 0, 9, 9), 2 * tile.width, -2 * tile.height)
        assert encode_features(tile.feature(beside), tile)


def test_what_another_tile_has_placed_is_looked_at() -> None:
    """And what somebody has changed since."""
    grid = plan(describe(BAHAMAS), 32)
    first, last = grid.tile(0, 0), grid.tile(0, grid.tiles_per_region[0] - 1)
    found = first.feature([(0, 0), (5, 0), (5, 5)])
    assert encode_features(found, first) == encode_features({**found}, first)
    with pytest.raises(OutputError, match="nowhere near"):
        encode_features(found, last)
    found["geometry"]["coordinates"] = [[[0, 0], [1, 0], [1, 1], [0, 0]]]
    with pytest.raises(OutputError, match="nowhere near"):
        encode_features(found, first)


@given(st.sampled_from(list(WORLDS.values())), st.data())
def test_what_a_tile_places_is_near_it(info: ImageInfo, data: st.DataObject) -> None:
    """Also as plain GeoJSON, on either side of 180 degrees, around poles, whole turns away."""
    grid = plan(info, data.draw(st.integers(20, 200)))
    region = data.draw(st.integers(0, grid.region_count - 1))
    tile = grid.tile(region, data.draw(st.integers(0, grid.tiles_per_region[region] - 1)))
    column, row = data.draw(st.floats(0, tile.width)), data.draw(st.floats(0, tile.height))
    box = shapely.box(column, row, column + 3, row + 3).intersection(
        shapely.box(0, 0, tile.width, tile.height)
    )
    if box.area < 0.1:
        return
    made = tile.feature(box)
    plain = json.loads(json.dumps(made))
    here = geometry_of(plain, tile)
    assert shape(here).equals(shape(made["geometry"]))
    place = shapely.Point(*tile.lonlat(row, column))
    for turn in (-360, 0, 360):
        moved = translate(place, turn)
        if abs(moved.x) <= 360:
            found = shape(geometry_of(moved, tile))
            assert -180 <= found.x <= 180
            assert found.y == place.y
            turns = (found.x - place.x) / 360
            assert turns == pytest.approx(round(turns), abs=1e-9)


# --- RFC 7946 ---


def test_exteriors_run_counterclockwise_and_holes_clockwise() -> None:
    """Also of what the function made itself; what is right is left as it is."""
    hole = shapely.box(LONGITUDE + 0.002, LATITUDE + 0.002, LONGITUDE + 0.004, LATITUDE + 0.004)
    for ring in (SQUARE.exterior.coords, SQUARE.exterior.coords[::-1]):
        for inner in (hole.exterior.coords, hole.exterior.coords[::-1]):
            polygon = shapely.Polygon(ring, [inner])
            for result in (polygon, shapely.MultiPolygon([polygon])):
                there = shape(geometry_of(mapping(result)))
                assert there.geom_type == result.geom_type
                [part] = shapely.get_parts(there)
                assert part.exterior.is_ccw
                assert not part.interiors[0].is_ccw
    right = {**json.loads(json.dumps(mapping(SQUARE))), "note": "mine"}
    assert geometry_of(right) == right
    collection = {"type": "GeometryCollection", "geometries": [mapping(SQUARE.reverse())]}
    [part] = geometry_of(collection)["geometries"]
    assert shape(part).exterior.is_ccw


def test_altitudes_stay() -> None:
    """A third number is one."""
    there = [LONGITUDE, LATITUDE, 12.5]
    assert geometry_of({"type": "Point", "coordinates": there})["coordinates"] == there
    ring = [[*place, 7.5] for place in RING][::-1]
    turned = geometry_of({"type": "Polygon", "coordinates": [ring]})
    assert {height for _, _, height in turned["coordinates"][0]} == {7.5}
    assert shape(turned).exterior.is_ccw


@pytest.mark.parametrize("info", [UTM_60, STRIP, WEB], ids=["UTM 60", "strip", "web"])
def test_what_crosses_180_degrees_is_cut(info: ImageInfo) -> None:
    """However the function wrote it: going on, as a jump, or cut already."""
    tile = plan(info, 300).tile(0, 0)
    south = float(tile.lonlat(tile.height / 2, tile.width / 2)[1])
    whole = shapely.box(179.9, south, 180.1, south + 0.1)
    for written in (whole, translate(whole, -360)):
        there = shape(geometry_of(written, tile))
        assert there.geom_type == "MultiPolygon"
        assert sorted(part.bounds[0] for part in there.geoms) == pytest.approx([-180, 179.9])
        assert there.area == pytest.approx(whole.area)
        again = shape(geometry_of(there, tile))
        assert again.equals(there)
    jump = shapely.transform(whole, lambda xy: np.where(xy > 180, xy - 360, xy))
    assert shape(geometry_of(jump, tile)).equals_exact(there, 1e-9, normalize=True)
    point = geometry_of(shapely.Point(180.05, south), tile)
    assert point["coordinates"] == pytest.approx([-179.95, south])
    high = geometry_of(shapely.MultiPoint([(180.05, south, 7), (179.95, south, 8)]), tile)
    assert [place[2] for place in high["coordinates"]] == [7, 8]
    line = geometry_of(shapely.LineString([(179.9, south), (-179.9, south)]), tile)
    assert line["type"] == "MultiLineString"


def test_what_is_as_wide_as_its_tile_is_wide() -> None:
    """In a tile of all the world no jump is one across 180 degrees."""
    wide = shapely.box(-170, -60, 170, 60)
    assert shape(geometry_of(wide, plan(WHOLE, 720).tile(0, 0))).equals(wide)
    around = shapely.box(0, -60, 360, 60)
    there = shape(geometry_of(around, plan(EASTWARD, 720).tile(0, 0)))
    assert there.equals(shapely.box(-180, -60, 180, 60))


def test_what_is_around_a_pole_is_closed_over_it() -> None:
    """A ring of longitudes is an area."""
    ring = [(longitude, 89.0) for longitude in (0, 90, 180, -90, 0)]
    tile = plan(NORTH, 1000).tile(0, 0)
    there = shape(geometry_of({"type": "Polygon", "coordinates": [ring]}, tile))
    assert there.equals(shapely.box(-180, 89, 180, 90))


def test_a_collection_is_taken_by_a_strict_reader(store: ResultStore) -> None:
    """As it is merged; no member that RFC 7946 forbids, and no id twice."""
    grid = plan(UTM_1, 100)
    keys = [(0, number) for number in range(grid.tiles_per_region[0])]
    for key in keys:
        tile = grid.tile(*key)
        outline = [(0, 0), (tile.width, 0), (tile.width, tile.height), (0, tile.height)]
        made = {**tile.feature(outline, {"when": np.datetime64("now", "ns")}), "id": 1}
        plain = {"type": "Feature", "geometry": None, "id": 2, "bbox": [], "properties": None}
        found = encode_features([made, plain, made["geometry"]], tile)
        store.write_chunk({key: TileResult((tile.row, tile.column), found)})
    count = len(assembled(source_of(store, grid, keys)))
    merged = json.loads(store.read("results.geojson"))
    assert merged.keys() == {"type", "features"}
    checked = FeatureCollection.model_validate(merged, strict=False)
    assert len(checked.features) == count == 3 * len(keys)
    assert not any("id" in feature or "bbox" in feature for feature in merged["features"])
    assert {feature["properties"].get("id") for feature in merged["features"]} == {1, 2, None}
    kinds = {feature["geometry"]["type"] for feature in merged["features"] if feature["geometry"]}
    assert kinds == {"Polygon", "MultiPolygon"}


# --- what nobody runs ---


async def coroutine() -> None: ...


async def async_generator() -> Any:
    yield FEATURE


@pytest.mark.parametrize("function", [coroutine, async_generator])
@pytest.mark.filterwarnings("error")
def test_what_is_asynchronous_is_refused(function: Callable[[], Any]) -> None:
    """By its name, and with what to write."""
    for result in (function(), [function()]):
        with pytest.raises(OutputError, match=r'returned a(n async)? .*nobody awaits: .*"def"'):
            encode_features(result, TILE)


# --- what it costs ---


def test_the_check_of_what_a_tile_placed_is_cheap() -> None:
    """Less than making it by far; so it is done whether or not results are kept."""
    ring = [(10, 20), (30, 20), (30, 40), (10, 40)]
    features = [TILE.feature(ring, {"n": n}) for n in range(200)]

    def seconds(work: Callable[[], Any]) -> float:
        return min(timeit.repeat(work, number=1, repeat=20))

    made = seconds(lambda: [TILE.feature(ring, {"n": n}) for n in range(200)])
    assert seconds(lambda: encode_features(features, TILE)) < made

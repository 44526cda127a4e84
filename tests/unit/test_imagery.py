"""Opening an image, reading a tile's pixels, placing them on the ground."""

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.warp import transform
from shapely.geometry import shape

from raytracker.errors import InvalidGrid, InvalidImage
from raytracker.imagery import describe, opening, plan, read
from tests.support.images import make_image, noting

DATA = Path(__file__).parents[2] / "examples" / "data"
BAHAMAS = DATA / "bahamas.tif"
LANDSAT = DATA / "landsat7_sf_bay.tif"


def numbers(*shape: int, dtype: str = "uint8") -> Any:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


# GDAL says so of each image that a test makes without a CRS.
pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


# --- describe ---


def test_what_is_known_of_an_image() -> None:
    """All of it from the file's header; the path is absolute, as tasks run in other folders."""
    info = describe(os.path.relpath(BAHAMAS))
    assert info.url == str(BAHAMAS)
    assert (info.width, info.height, info.bands, info.dtype) == (791, 718, 3, "uint8")
    assert info.crs == "EPSG:32618"
    assert info.crs_wkt is not None
    assert info.crs_wkt.startswith('PROJCS["WGS 84 / UTM zone 18N"')
    assert info.nodata == 0
    assert info.extents == pytest.approx(
        {"north": 25.550874, "south": 23.564991, "east": -76.574924, "west": -78.958650}
    )
    assert pickle.loads(pickle.dumps(info)) == info


def test_an_image_without_crs(tmp_path: Path) -> None:
    """Its coordinates are pixels; nobody is warned of it in each task."""
    path = make_image(tmp_path / "plain.tif", numbers(1, 30, 40))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        info = describe(path)
        read(plan(info, 16).tile(0, 4))
    assert (info.crs, info.crs_wkt, info.transform, info.extents) == (None, None, None, None)
    tile = plan(info, 16).tile(0, 4)
    assert tile.xy(1.5, 2.5) == tile.lonlat(1.5, 2.5) == (16 + 2.5, 16 + 1.5)
    assert tile.transform == Affine.translation(16, 16)
    assert read(tile).shape == (1, 14, 16)


def test_control_points_alone_are_no_crs(tmp_path: Path) -> None:
    """They place corners, not pixels."""
    points = [GroundControlPoint(row, col, col, -row) for row in (0, 9) for col in (0, 9)]
    path = make_image(tmp_path / "gcps.tif", numbers(1, 9, 9), gcps=points, crs="EPSG:4326")
    assert describe(path).crs is None


def test_a_crs_that_is_nowhere_on_earth(tmp_path: Path) -> None:
    """A local one has no longitude and latitude: as if there was none."""
    local = 'LOCAL_CS["site",UNIT["metre",1]]'
    path = make_image(tmp_path / "site.tif", numbers(1, 9, 9), crs=local, transform=Affine.scale(2))
    info = describe(path)
    assert (info.crs, info.extents) == (None, None)


@pytest.mark.parametrize(
    "crs",
    [
        "+proj=laea +lat_0=10 +lon_0=20 +datum=WGS84 +units=m",
        "+proj=utm +zone=34 +ellps=intl +towgs84=-87,-98,-121 +units=m",  # more than EPSG:23034
    ],
)
def test_a_crs_that_no_code_says_all_of(tmp_path: Path, crs: str) -> None:
    """Is kept as WKT."""
    where = Affine(1000, 0, 400_000, 0, -1000, 900_000)
    path = make_image(tmp_path / "own.tif", numbers(1, 8, 8), crs=crs, transform=where)
    info = describe(path)
    assert info.crs is not None
    with rasterio.open(path) as source:
        assert CRS.from_string(info.crs) == source.crs
        assert source.crs.to_proj4() == CRS.from_string(crs).to_proj4()


def test_an_image_with_corners_beside_the_earth(tmp_path: Path) -> None:
    """As weather satellites see it: no extents, but places where there are any."""
    crs = "+proj=geos +h=35785831 +lon_0=0 +sweep=y"
    where = Affine(100_000, 0, -5_500_000, 0, -100_000, 5_500_000)
    info = describe(
        make_image(tmp_path / "disk.tif", numbers(1, 110, 110), crs=crs, transform=where)
    )
    assert info.crs is not None
    assert info.extents is None
    tile = plan(info, 110).tile(0, 0)
    assert tile.lonlat(55, 55) == pytest.approx((0, 0), abs=1e-6)
    with pytest.raises(InvalidImage, match="no place in longitude and latitude"):
        tile.lonlat(0, 0)
    roi = "POLYGON ((1 1, 2 1, 2 2, 1 1))"
    assert plan(info, 10, roi=roi, roi_crs="lonlat").tile(0, 0).row == 5
    with pytest.raises(InvalidGrid, match="reaches too far .no place in the image's CRS"):
        plan(info, 10, roi="POLYGON ((1 1, 179 1, 2 2, 1 1))", roi_crs="lonlat")


def test_extents_of_a_rotated_image(tmp_path: Path) -> None:
    """Those of its corners, not of the box around them."""
    where = Affine.translation(500_000, 4_000_000) @ Affine.rotation(30) @ Affine.scale(100, -100)
    info = describe(
        make_image(
            tmp_path / "rotated.tif", numbers(1, 300, 300), crs="EPSG:32618", transform=where
        )
    )
    tile = plan(info).tile(0, 0)
    side = np.linspace(0, 300, 50)
    zero, full = np.zeros(50), np.full(50, 300.0)
    longitudes, latitudes = tile.lonlat(
        np.concatenate([zero, full, side, side]), np.concatenate([side, side, zero, full])
    )
    assert info.extents == pytest.approx(
        {
            "north": latitudes.max(),
            "south": latitudes.min(),
            "east": longitudes.max(),
            "west": longitudes.min(),
        },
        abs=1e-4,
    )


def test_extents_across_the_antimeridian(tmp_path: Path) -> None:
    """West is greater than east; an ROI on either side is found."""
    where = Affine(1000, 0, 500_000 + 200_000, 0, -1000, 1_000_000)  # UTM 60 reaches beyond 180
    info = describe(
        make_image(tmp_path / "fiji.tif", numbers(1, 300, 300), crs="EPSG:32660", transform=where)
    )
    assert info.extents is not None
    assert info.extents["east"] < -178 < 178 < info.extents["west"]
    world = "POLYGON ((-180 -90, 180 -90, 180 90, -180 90, -180 -90))"
    whole = plan(info, 10).tiles_per_region
    assert plan(info, 10, roi=world, roi_crs="lonlat").tiles_per_region == whole
    for longitude in (179.5, -179.5):
        roi = f"POLYGON (({longitude} 8, {longitude} 8.1, {longitude + 0.1} 8, {longitude} 8))"
        assert sum(plan(info, 10, roi=roi, roi_crs="lonlat").tiles_per_region) in range(1, 9)


def _missing(folder: Path) -> Path:
    return folder / "nowhere.tif"


def _text(folder: Path) -> Path:
    path = folder / "notes.tif"
    path.write_text("no image")
    return path


def _headless(folder: Path) -> Path:
    path = folder / "headless.tif"
    path.write_bytes(BAHAMAS.read_bytes()[:150])
    return path


def _truncated(folder: Path) -> Path:
    path = folder / "truncated.tif"
    path.write_bytes(BAHAMAS.read_bytes()[:-200_000])
    return path


def _empty(folder: Path) -> Path:
    path = folder / "empty.tif"
    path.touch()
    return path


def _folder(folder: Path) -> Path:
    return folder


@pytest.mark.parametrize("bad", [_missing, _text, _headless, _truncated, _empty, _folder])
def test_what_is_no_image(tmp_path: Path, bad: Any) -> None:
    """Told before any task runs, in one line that names it."""
    path = bad(tmp_path)
    with pytest.raises(InvalidImage) as caught:
        describe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# --- read ---


@pytest.mark.parametrize(("size", "overlap"), [(128, 0), (256, 32), (1000, 0)])
def test_a_tiles_pixels_are_those_of_its_window(size: int, overlap: int) -> None:
    """For every tile, those at the edges and wholly without data included."""
    grid = plan(describe(BAHAMAS), size, overlap)
    with rasterio.open(BAHAMAS) as source:
        whole = source.read()
    for number in range(grid.tiles_per_region[0]):
        tile = grid.tile(0, number)
        rows, columns = tile.window.toslices()
        assert np.array_equal(read(tile), whole[:, rows, columns])


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "complex64"])
def test_pixels_of_any_type(tmp_path: Path, dtype: str) -> None:
    """As they are in the file."""
    pixels = numbers(2, 20, 30, dtype=dtype)
    info = describe(make_image(tmp_path / "deep.tif", pixels))
    assert info.dtype == dtype
    tile = plan(info, 16).tile(0, 3)
    assert read(tile).dtype == dtype
    assert np.array_equal(read(tile), pixels[:, 16:20, 16:30])


def test_damage_in_the_middle_is_found_by_the_tile_that_reads_it(tmp_path: Path) -> None:
    """The others are read; the reason fits into a job item."""
    data = bytearray(BAHAMAS.read_bytes())
    with rasterio.open(BAHAMAS) as source:
        offset = int(source.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    data[offset : offset + 1000] = b"\xff" * 1000
    path = tmp_path / "holed.tif"
    path.write_bytes(data)
    grid = plan(describe(path), 512)
    with pytest.raises(InvalidImage, match=r"rows 0 to 511, columns 0 to 511 of .*cannot be read"):
        read(grid.tile(0, 0))
    assert read(grid.tile(0, 3)).any()


@pytest.mark.parametrize("threads", [None, "ALL_CPUS"])
def test_half_a_jpeg_2000_is_errors_and_no_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: str | None
) -> None:
    """GDAL loses errors of its decoder threads, whoever asked for them; what it reads is right."""
    if threads is not None:
        monkeypatch.setenv("GDAL_NUM_THREADS", threads)
    pixels = np.random.default_rng(1).integers(100, 120, (1, 1100, 1100)).astype("uint8")
    blocks = {"BLOCKXSIZE": 512, "BLOCKYSIZE": 512, "REVERSIBLE": "YES", "QUALITY": "100"}
    path = make_image(tmp_path / "half.jp2", pixels, driver="JP2OpenJPEG", **blocks)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    grid = plan(describe(path), 256, 32)
    errors = 0
    for number in range(grid.tiles_per_region[0]):
        tile = grid.tile(0, number)
        try:
            read_pixels = read(tile)
        except InvalidImage:
            errors += 1
        else:
            rows, columns = tile.window.toslices()
            assert np.array_equal(read_pixels, pixels[:, rows, columns])
    assert 0 < errors < grid.tiles_per_region[0]


def test_an_image_that_was_replaced_by_another(tmp_path: Path) -> None:
    """Its tiles are not read from where others lay."""
    path = make_image(tmp_path / "image.tif", numbers(1, 30, 40))
    tile = plan(describe(path), 16).tile(0, 0)
    make_image(path, numbers(1, 40, 30))
    with pytest.raises(InvalidImage, match="30 x 40 pixels now"):
        read(tile)


def test_an_image_stays_open_from_tile_to_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tiles share blocks of the file, which need not be read and unpacked for each."""
    opened: list[str] = []
    monkeypatch.setattr(opening, "DatasetReader", noting(opened))
    bahamas, landsat = plan(describe(BAHAMAS), 128), plan(describe(LANDSAT), 128)
    opened.clear()
    for grid, number in ((bahamas, 0), (bahamas, 1), (landsat, 0), (landsat, 1), (bahamas, 2)):
        read(grid.tile(0, number))
    assert opened == [str(BAHAMAS), str(LANDSAT), str(BAHAMAS)]


def test_aws_keys_in_the_environment_mean_nothing_to_a_local_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rasterio, left alone, makes a boto3 session for each tile then: 5 ms."""
    made: list[Any] = []
    monkeypatch.setattr(boto3, "Session", made.append)
    assert "AWS_ACCESS_KEY_ID" in os.environ
    read(plan(describe(BAHAMAS), 256).tile(0, 0))
    assert not made


def test_another_look_at_an_image_sees_what_is_there_now(tmp_path: Path) -> None:
    """Not what an earlier one left open, in a worker that lives on."""
    for value in (1, 2):
        path = make_image(tmp_path / "image.tif", np.full((1, 30, 40), value, "uint8"))
        assert (read(plan(describe(path)).tile(0, 0)) == value).all()


# --- on the ground ---


@pytest.mark.parametrize("path", [BAHAMAS, LANDSAT])
def test_pixels_to_the_ground_and_back(path: Path) -> None:
    """Rows and columns count from the tile; a whole number is a pixel's corner."""
    grid = plan(describe(path), 256, 32)
    tile = grid.tile(0, grid.tiles_per_region[0] - 1)
    rows, columns = np.random.default_rng(1).uniform(0, 100, (2, 4, 5))
    longitudes, latitudes = tile.lonlat(rows, columns)
    assert longitudes.shape == (4, 5)
    with rasterio.open(path) as source:
        x, y = transform("EPSG:4326", source.crs, longitudes.ravel(), latitudes.ravel())
        to_pixels = ~source.transform
        back = (
            to_pixels.a * np.array(x) + to_pixels.b * np.array(y) + to_pixels.c,
            to_pixels.d * np.array(x) + to_pixels.e * np.array(y) + to_pixels.f,
        )
        assert tile.transform == source.transform @ Affine.translation(tile.col_off, tile.row_off)
        assert tile.xy(0.5, 0.5) == pytest.approx(source.xy(tile.row_off, tile.col_off))
        assert tile.xy(0, 0) == pytest.approx(
            source.xy(tile.row_off, tile.col_off, offset="ul"), abs=1e-6
        )
    assert back[0] == pytest.approx(columns.ravel() + tile.col_off, abs=1e-6)
    assert back[1] == pytest.approx(rows.ravel() + tile.row_off, abs=1e-6)


def test_a_feature_needs_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are AWS keys, rasterio would make one for each, in many times the time."""
    tile = plan(describe(BAHAMAS), 512).tile(0, 0)

    def session(*_: Any, **__: Any) -> None:
        raise AssertionError("a session is made")

    monkeypatch.setattr("rasterio.session.AWSSession.__init__", session)
    assert "AWS_ACCESS_KEY_ID" in os.environ
    tile.feature([(0, 0), (9, 0), (9, 9)])


def test_a_feature_lies_where_its_pixels_do() -> None:
    """Counterclockwise around the ground, as GeoJSON wants it, whichever way the ring runs."""
    tile = plan(describe(BAHAMAS), 256).tile(0, 5)
    ring = [(10, 20), (30, 20), (30, 40), (10, 40)]
    feature = tile.feature(ring, {"kind": "field"})
    again = tile.feature([*ring[::-1], ring[-1]], {"kind": "field"})
    assert shape(feature["geometry"]).equals(shape(again["geometry"]))
    assert shape(feature["geometry"]).exterior.is_ccw
    assert shape(again["geometry"]).exterior.is_ccw
    assert feature["properties"] == {"kind": "field"}
    assert feature["geometry"]["type"] == "Polygon"
    (outer,) = np.array(feature["geometry"]["coordinates"])
    west, north = tile.lonlat(20, 10)
    assert [west, north] in outer.tolist()


def test_a_feature_of_any_geometry() -> None:
    """GeoJSON in the tile's (column, row), as rasterio's shapes come."""
    tile = plan(describe(BAHAMAS), 256).tile(0, 5)
    point = tile.feature({"type": "Point", "coordinates": (3.5, 4.5)})
    assert point["geometry"] == {"type": "Point", "coordinates": tile.lonlat(4.5, 3.5)}
    assert point["properties"] == {}
    line = tile.feature({"type": "LineString", "coordinates": [(0, 0), (5, 5)]})
    assert line["geometry"]["coordinates"][1] == tile.lonlat(5, 5)


def test_a_feature_of_an_image_without_crs(tmp_path: Path) -> None:
    """Is in the image's pixels."""
    info = describe(make_image(tmp_path / "plain.tif", numbers(1, 30, 40)))
    feature = plan(info, 16).tile(0, 4).feature({"type": "Point", "coordinates": (1, 2)})
    assert feature["geometry"]["coordinates"] == (17, 18)

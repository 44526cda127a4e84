"""The picture: a PNG whose tiles differ by outcome, of any kind of image."""

import io
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from raytracker.cli import backdrop, picture
from raytracker.cli.found import drawn_of
from raytracker.cli.picture import LOOKS, draw_map
from raytracker.cli.scale import bar_of, degrees_along, ground_of
from raytracker.errors import InvalidImage
from raytracker.imagery import Grid, describe, plan
from raytracker.ledger import Outcome

P, E, S = Outcome.PENDING, Outcome.ERROR, Outcome.SUCCESS


def write_image(path: Path, pixels: np.ndarray, **profile: object) -> str:
    bands, rows, columns = pixels.shape
    profile = {
        "crs": "EPSG:32610",
        "transform": rasterio.Affine(30, 0, 5e5, 0, -30, 4e6),
        **profile,
    }
    with rasterio.open(
        path, "w", driver="GTiff", width=columns, height=rows, count=bands, dtype=pixels.dtype,
        **profile,
    ) as file:  # fmt: skip
        file.write(pixels)
    return str(path)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has pictures be drawn with a quarter of the pixels."""
    monkeypatch.setattr(picture, "DPI", picture.DPI / 2)


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    """A grey image of 4 tiles, 2 by 2, each a region."""
    pixels = np.full((3, 200, 200), 128, np.uint8)
    return plan(describe(write_image(tmp_path / "grey.tif", pixels)), 100, 0, 100)


def drawn(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def quarters(png: bytes) -> list[np.ndarray]:
    """Returns the colours inside each of four tiles, away from their edges and numbers."""
    pixels = drawn(png)
    height, width, _ = pixels.shape
    return [
        pixels[int(y * height) :, int(x * width) :][: height // 8, : width // 8].reshape(-1, 3)
        for y in (0.30, 0.65)
        for x in (0.27, 0.68)
    ]


def test_only_what_is_no_success_has_a_tint(grid: Grid):
    """Orange for an error, grey for pending: each where its tile is. A success is the image."""
    success, error, pending, again = quarters(draw_map(grid, [S, E, P, S], title=["four"]))
    assert success.std(axis=0).max() < 1  # a grey image
    assert abs(success - success.mean()).max() < 2
    assert success.mean() == pytest.approx(again.mean(), abs=1)
    assert error.mean(0)[0] > error.mean(0)[2] + 40
    assert abs(pending.mean(0) - pending.mean()).max() < 3
    assert pending.mean() < success.mean() - 10


def test_what_returned_without_a_word_is_as_a_success(grid: Grid):
    """So it is in the counts."""
    quiet = quarters(draw_map(grid, [Outcome.RETURNED] * 4, title=[""]))
    assert all(quarter.std(axis=0).max() < 1 for quarter in quiet)


def test_outcomes_differ_without_colour(grid: Grid):
    """Errors and pending tiles are hatched, each in its way, and a success is not."""
    hatches = [hatch for *_, hatch in LOOKS.values()]
    assert len(set(hatches)) == len(hatches)
    for outcome, hatched in ((S, False), (E, True), (P, True)):
        first, *_ = quarters(draw_map(grid, [outcome] * 4, title=[""]))
        assert (first.std(axis=0).max() > 5) == hatched


def test_tiles_are_drawn_and_not_their_region(tmp_path: Path):
    """A region of four tiles of which one failed."""
    url = write_image(tmp_path / "grey.tif", np.full((3, 200, 200), 128, np.uint8))
    whole = plan(describe(url), 100)
    assert whole.region_count == 1
    success, error, *others = quarters(draw_map(whole, [S, E, S, S], title=[""]))
    assert error.std(axis=0).max() > 5
    assert all(each.std(axis=0).max() < 1 for each in (success, *others))


# --- what was found ---


def feature(grid: Grid, kind: str, corners: list[tuple[float, float]]) -> dict:
    """Returns a feature with (column, row) corners of the image as degrees."""
    ring = [grid.tile(0, 0).lonlat(row, column) for column, row in corners]
    coordinates = {"MultiPolygon": [[ring]], "LineString": ring, "Point": ring[0]}[kind]
    geometries = [{"type": kind, "coordinates": coordinates}]
    collection = {"type": "GeometryCollection", "geometries": geometries}
    return {"type": "Feature", "geometry": collection, "properties": {}}


SQUARE = [(20, 20), (80, 20), (80, 80), (20, 80), (20, 20)]
EMPTY = {"type": "Feature", "geometry": None, "properties": {}}


@pytest.mark.parametrize("kind", ["MultiPolygon", "LineString", "Point"])
def test_features_are_outlined(grid: Grid, kind: str):
    """Where they are on the ground; also those in collections."""
    found = drawn_of(grid, [feature(grid, kind, SQUARE), EMPTY])
    assert found.features == 1
    expected = np.array(SQUARE)
    if kind == "Point":
        assert np.allclose(found.points, expected[:1], atol=1e-3)
    else:
        pairs = np.stack([expected[:-1], expected[1:]], axis=1)
        assert {tuple(map(tuple, pair)) for pair in np.round(found.lines, 2) + 0.0} == {
            tuple(map(tuple, pair.astype(float))) for pair in pairs
        }
    picture = drawn(draw_map(grid, [S] * 4, title=["x"], features=[feature(grid, kind, SQUARE)]))
    yellow = (picture[:, :, :2].min(axis=-1) > picture[:, :, 2] + 100)[: int(0.85 * len(picture))]
    rows, columns = np.nonzero(yellow)
    assert len(rows) > 3
    assert rows.max() < 0.55 * len(picture)
    assert columns.max() < 0.55 * picture.shape[1]


def test_edges_on_a_tiles_border_are_no_outline(grid: Grid):
    """There the tile cut it; what crosses the border, or ends there, is drawn."""
    cut = feature(grid, "MultiPolygon", [(60, 20), (100, 20), (100, 80), (60, 80), (60, 20)])
    moved = feature(grid, "MultiPolygon", [(60, 20), (99, 20), (98.8, 80), (60, 80), (60, 20)])
    for each in (cut, moved):  # simplified by who found it
        lines = drawn_of(grid, [each]).lines
        assert len(lines) == 3
        assert not (lines[:, :, 0] > 98).all(axis=1).any()
    line = feature(grid, "LineString", [(100, 20), (100, 80)])
    assert len(drawn_of(grid, [line]).lines) == 1
    short = feature(grid, "MultiPolygon", [(95, 20), (99, 20), (99, 24), (95, 24), (95, 20)])
    assert len(drawn_of(grid, [short]).lines) == 4


def test_an_edge_on_the_antimeridian_is_no_outline(tmp_path: Path):
    """GeoJSON is cut there."""
    where = rasterio.Affine(1, 0, 100, 0, -1, 50)
    url = write_image(
        tmp_path / "pacific.tif", np.ones((1, 100, 160), np.uint8), crs="EPSG:4326", transform=where
    )
    ring = [[170, 0], [180, 0], [180, 9], [170, 9], [170, 0]]
    cut = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    assert len(drawn_of(plan(describe(url), 512), [cut]).lines) == 3


def test_no_features_are_none(grid: Grid):
    """Nor one whose place the image doesn't have."""
    assert drawn_of(grid, []).features == 0
    far = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [57, 89.9]}}
    assert draw_map(grid, [S] * 4, title=["far"], features=[far]).startswith(b"\x89PNG")


# --- the image ---


@pytest.mark.parametrize(
    "pixels",
    [
        np.arange(3 * 40 * 50, dtype=np.uint16).reshape(3, 40, 50) * 10,
        np.linspace(-1, 1, 2000, dtype=np.float32).reshape(1, 40, 50),
        np.full((1, 40, 50), np.nan, np.float32),
        np.full((2, 40, 50), 7, np.int16),
        np.zeros((4, 1, 50), np.uint8),
        np.zeros((1, 1, 1), np.uint8),
        (np.arange(2000).reshape(1, 40, 50) * (1 + 1j)).astype(np.complex64),
        np.tile(np.array([-np.inf, 0, 1e300, np.nan, np.inf]), (1, 40, 10)),
    ],
    ids=["uint16", "grey", "all NaN", "two bands", "one row", "one", "complex", "infinite"],
)
@pytest.mark.parametrize(
    ("nodata", "where"),
    [(None, {}), (0, {"crs": None, "transform": None})],
    ids=["whole", "with holes, nowhere"],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_any_kind_of_image_is_drawn(
    tmp_path: Path, pixels: np.ndarray, nodata: float | None, where: dict[str, None]
):
    """Whatever its type, bands and holes; georeferenced or not."""
    url = write_image(tmp_path / "any.tif", pixels, nodata=nodata, **where)
    whole = plan(describe(url), 20)
    png = draw_map(whole, [P] * sum(whole.tiles_per_region), title=["any"])
    assert drawn(png).shape[0] > 100


def test_a_stretch_brings_out_a_dark_image():
    """A few values of 65,536, with some bright pixels and much nodata, still fill the scale."""
    band = np.linspace(1000, 1300, 10_000).astype(np.uint16).reshape(100, 100)
    band[:, :30], band[0, 30:40] = 0, 65535
    stretched = backdrop.stretch(band, band != 0)
    assert stretched.min() == 0
    assert stretched.max() == 1
    assert stretched[:, 30:].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("nodata", [0, None])
def test_no_data_looks_like_no_data(tmp_path: Path, nodata: float | None):
    """As paper, also where the image doesn't say so: a scene askew in a frame of zeros."""
    rows, columns = np.mgrid[:200, :200]
    scene = (rows + columns > 150) & (rows + columns < 260)
    pixels = np.where(scene, 30 + rows // 20, 0).astype(np.uint8)[None]
    pixels[0, 100, 100] = 0  # a hole in the scene, which only the image itself can call one
    info = describe(write_image(tmp_path / "askew.tif", pixels, nodata=nodata))
    small = backdrop.read_small(info)
    assert small is not None
    assert small.has_empty
    paper = (small.pixels == int(255 * backdrop.NO_DATA)).all(axis=-1)
    expected = ~scene
    expected[100, 100] = nodata == 0
    assert np.array_equal(paper, expected)


def test_an_image_of_zeros_is_no_border(tmp_path: Path):
    """Nor are dark pixels in its middle."""
    for pixels in (
        np.zeros((1, 50, 50), np.uint8),
        np.pad(np.zeros((1, 9, 9), np.uint8), 20, constant_values=9)[20:21],
    ):
        small = backdrop.read_small(describe(write_image(tmp_path / "zeros.tif", pixels)))
        assert small is not None
        assert not small.has_empty


def test_what_lies_outside_of_the_roi_is_veiled(grid: Grid):
    """Only tiles have a tint."""
    roi = (
        "POLYGON((500000 4000000, 502000 4000000, 502000 3998000, 500000 3998000, 500000 4000000))"
    )
    part = plan(grid.info, 100, 0, 100, roi)
    assert part.region_count == 1
    tinted, *others = quarters(draw_map(part, [E], title=["part"]))
    [inside, *_] = quarters(draw_map(part, [S], title=["part"]))
    assert tinted.mean(0)[0] > tinted.mean(0)[2] + 40
    for other in others:
        assert other.std(axis=0).max() < 1
        assert other.mean() > inside.mean() + 40


@pytest.mark.parametrize("size", [(11_000, 200), (200, 11_000), (40, 5), (1, 3000)])
def test_a_long_strip_is_folded(tmp_path: Path, size: tuple[int, int]):
    """So that it is a picture that one can look at."""
    pixels = np.zeros((1, *size), np.uint8)
    strip = plan(describe(write_image(tmp_path / "strip.tif", pixels)), 100)
    png = draw_map(strip, [E] * sum(strip.tiles_per_region), title=["strip"])
    height, width, _ = drawn(png).shape
    assert 0.3 < height / width < 3
    assert max(height, width) < 3000


def test_many_regions_make_a_picture_of_the_worst(tmp_path: Path):
    """A million tiles in seconds; one of them that failed is still seen."""
    pixels = np.full((1, 1000, 1000), 100, np.uint8)
    many = plan(describe(write_image(tmp_path / "many.tif", pixels)), 1, 0, 10)
    assert many.region_count == 10_000
    outcomes = np.full(1_000_000, S, np.uint8)
    before = drawn(draw_map(many, bytes(outcomes), title=["many"]))
    outcomes[500_500] = E
    after = drawn(draw_map(many, bytes(outcomes), title=["many"]))
    height = int(0.85 * min(len(before), len(after)))
    rows, columns = np.nonzero((before[:height] != after[:height]).any(-1))
    assert len(rows) > 20
    assert np.ptp(rows) < 30
    assert np.ptp(columns) < 30


def test_an_image_that_would_be_read_whole_is_left_out(grid: Grid, monkeypatch: pytest.MonkeyPatch):
    """One with overviews is not."""
    monkeypatch.setattr(backdrop, "MAX_SOURCE_PIXELS", 100 * 100)
    assert backdrop.read_small(grid.info) is None
    assert draw_map(grid, [S] * 4, title=["large"]).startswith(b"\x89PNG")
    with rasterio.open(grid.info.url, "r+") as file:
        file.build_overviews([2])
    assert backdrop.read_small(grid.info) is not None


def test_the_colours_are_the_ones_that_the_image_names(tmp_path: Path):
    """Red, green and blue, in whatever order."""
    pixels = np.stack([np.full((40, 40), value, np.uint8) for value in (0, 100, 200)])
    url = write_image(tmp_path / "bgr.tif", pixels, photometric="MINISBLACK")
    with rasterio.open(url, "r+") as file:
        file.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    with rasterio.open(url) as file:
        assert backdrop.bands_of(file) == [3, 2, 1]


def test_an_image_that_has_gone_is_named(grid: Grid):
    """The picture is drawn when the job is done, and much may have happened."""
    Path(grid.info.url).unlink()
    with pytest.raises(InvalidImage, match="grey.tif"):
        draw_map(grid, [S] * 4, title=["gone"])


# --- where it lies ---


def test_degrees_stand_where_they_are(grid: Grid):
    """Of the edge that they are written along."""
    tile = grid.tile(0, 0)
    for axis in (0, 1):
        places, labels = degrees_along(grid.info, 0, 200, 200 * (axis == 0), axis, 5)
        assert len(places) >= 2
        for place, label in zip(places, labels, strict=True):
            row, column = (200, place) if axis == 0 else (place, 0)
            degrees = float(label[:-2]) * (1 if label[-1] in "EN" else -1)
            assert degrees == pytest.approx(tile.lonlat(row, column)[axis], abs=1e-4)


def test_degrees_across_the_antimeridian(tmp_path: Path):
    """They go on from east to west."""
    where = rasterio.Affine(1, 0, 175, 0, -1, 5)
    url = write_image(
        tmp_path / "fiji.tif", np.ones((1, 10, 10), np.uint8), crs="EPSG:4326", transform=where
    )
    places, labels = degrees_along(describe(url), 0, 10, 10, 0, 5)
    known = dict(zip(labels, np.round(places, 3), strict=True))
    assert known["176°E"] == 1
    assert known["180°E" if "180°E" in known else "180°W"] == 5
    assert known["178°W"] == 7


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pixels_alone_lie_nowhere(tmp_path: Path):
    """No degrees, no metres, no north."""
    url = write_image(
        tmp_path / "plain.tif", np.ones((1, 9, 9), np.uint8), crs=None, transform=None
    )
    info = describe(url)
    assert degrees_along(info, 0, 9, 9, 0, 5).places == []
    assert ground_of(info) is None


@pytest.mark.parametrize(("turned", "north"), [(0, (0, 1)), (90, (1, 0)), (180, (0, -1))])
def test_metres_and_north(tmp_path: Path, turned: float, north: tuple[float, float]):
    """Of the ground at the image's middle, in an image that is turned."""
    where = rasterio.Affine(30, 0, 5e5, 0, -30, 4e6) @ rasterio.Affine.rotation(-turned)
    url = write_image(tmp_path / "turned.tif", np.ones((1, 50, 50), np.uint8), transform=where)
    ground = ground_of(describe(url))
    assert ground is not None
    assert ground.metres == pytest.approx(30, rel=0.01)
    assert ground.north == pytest.approx(north, abs=0.03)


@pytest.mark.parametrize(
    ("metres", "room", "bar"),
    [(30, 1000, (666.67, "20 km")), (0.3, 500, (333.33, "100 m")), (1, 3, (2, "2 m"))],
)
def test_a_scale_bar_is_as_long_as_it_says(metres: float, room: float, bar: tuple[float, str]):
    """A round number, and the longest that there is room for."""
    length, name = bar_of(metres, room)
    assert (round(length, 2), name) == bar


def test_dollars_are_no_formula(grid: Grid):
    """A reason may have any characters, and any length."""
    title = ["a$b\\c{d}_e^f.tif", "x$y$" * 300, "new\nline \u5730\u56f3"]
    assert drawn(draw_map(grid, [E] * 4, title=title)).shape[1] < 2000

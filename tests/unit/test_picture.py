"""The picture: a PNG whose regions differ by outcome, of any kind of image."""

import io
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from raytracker.cli import picture
from raytracker.cli.picture import LOOKS, draw_map
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


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    """A grey image of 4 regions, 2 by 2."""
    pixels = np.full((3, 200, 200), 128, np.uint8)
    return plan(describe(write_image(tmp_path / "grey.tif", pixels)), 100, 0, 100)


def drawn(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def quarters(png: bytes) -> list[np.ndarray]:
    """Returns the mean colour inside each of four regions, away from their edges and numbers."""
    pixels = drawn(png)
    height, width, _ = pixels.shape
    return [
        pixels[int(y * height) :, int(x * width) :][: height // 8, : width // 8].mean((0, 1))
        for y in (0.22, 0.60)
        for x in (0.27, 0.68)
    ]


def test_each_outcome_has_its_tint(grid: Grid):
    """Green for success, orange for error, grey for pending: each where its region is."""
    success, error, pending, again = quarters(draw_map(grid, [S, E, P, S], title="four"))
    assert success[1] > success[0] + 15
    assert error[0] > error[2] + 40
    assert abs(pending - pending.mean()).max() < 12
    assert success == pytest.approx(again, abs=2)


def test_outcomes_differ_without_colour(grid: Grid):
    """Errors and pending regions are hatched, each in its way, and a success is not."""
    hatches = [hatch for _, _, _, hatch, _ in LOOKS.values()]
    assert len(set(hatches)) == len(hatches)
    spread = []
    for outcome in (S, E, P):
        pixels = drawn(draw_map(grid, [outcome] * 4, title=""))
        rows, columns = (slice(int(n * 0.3), int(n * 0.4)) for n in pixels.shape[:2])
        spread.append(pixels[rows, columns].std((0, 1)).max())
    assert spread[0] < 1
    assert min(spread[1:]) > 5


@pytest.mark.parametrize("kind", ["MultiPolygon", "LineString", "Point"])
def test_features_are_outlined(grid: Grid, kind: str):
    """Where they are on the ground; also those in collections."""
    corners = ((20, 20), (80, 20), (80, 80), (20, 80), (20, 20))
    ring = [grid.tile(0, 0).lonlat(y, x) for x, y in corners]
    coordinates = {"MultiPolygon": [[ring]], "LineString": ring, "Point": ring[0]}[kind]
    geometries = [{"type": kind, "coordinates": coordinates}]
    collection = {"type": "GeometryCollection", "geometries": geometries}
    features = [
        {"type": "Feature", "geometry": collection, "properties": {}},
        {"type": "Feature", "geometry": None, "properties": {}},
    ]
    without, with_ = (
        drawn(draw_map(grid, [S] * 4, title="x", features=these)) for these in ([], features)
    )
    height, width, _ = without.shape
    # The legend is below, and differs too.
    changed = (without[: int(0.85 * height)] != with_[: int(0.85 * height)]).any(-1)
    rows, columns = np.nonzero(changed)
    assert len(rows) > 10
    assert rows.max() < height / 2
    assert columns.max() < 0.55 * width


@pytest.mark.parametrize(
    "pixels",
    [
        np.arange(3 * 40 * 50, dtype=np.uint16).reshape(3, 40, 50) * 10,
        np.linspace(-1, 1, 2000, dtype=np.float32).reshape(1, 40, 50),
        np.full((1, 40, 50), np.nan, np.float32),
        np.full((2, 40, 50), 7, np.int16),
        np.zeros((4, 1, 50), np.uint8),
        (np.arange(2000).reshape(1, 40, 50) * (1 + 1j)).astype(np.complex64),
        np.tile(np.array([-np.inf, 0, 1e300, np.nan, np.inf]), (1, 40, 10)),
    ],
    ids=["uint16", "grey", "all NaN", "two bands", "one row", "complex", "infinite"],
)
@pytest.mark.parametrize("nodata", [None, 0])
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_any_kind_of_image_is_drawn(tmp_path: Path, pixels: np.ndarray, nodata: float | None):
    """Whatever its type, bands and holes; not georeferenced, too."""
    url = write_image(tmp_path / "any.tif", pixels, nodata=nodata, crs=None, transform=None)
    png = draw_map(plan(describe(url), 20), [P], title="any")
    assert drawn(png).shape[0] > 100


def test_a_stretch_brings_out_a_dark_image():
    """A few values of 65,536, with some bright pixels and much nodata, still fill the scale."""
    band = np.linspace(1000, 1300, 10_000).astype(np.uint16).reshape(100, 100)
    band[:, :30], band[0, 30:40] = 0, 65535
    stretched = picture._stretch(band, 0)
    assert stretched.min() == 0
    assert stretched.max() == 1
    assert stretched[:, 30:].mean() == pytest.approx(0.5, abs=0.02)


def test_what_lies_outside_of_the_roi_has_no_tint(grid: Grid):
    """Only regions have one."""
    roi = (
        "POLYGON((500000 4000000, 502000 4000000, 502000 3998000, 500000 3998000, 500000 4000000))"
    )
    part = plan(grid.info, 100, 0, 100, roi)
    assert part.region_count == 1
    tinted, *others = quarters(draw_map(part, [E], title="part"))
    assert tinted[0] > tinted[2] + 40
    for other in others:
        assert other == pytest.approx(other.mean(), abs=1)


def test_many_regions_are_not_numbered(tmp_path: Path):
    """Ten thousand regions make a picture in seconds."""
    pixels = np.zeros((1, 1000, 1000), np.uint8)
    many = plan(describe(write_image(tmp_path / "many.tif", pixels)), 10, 0, 10)
    assert many.region_count == 10_000
    assert draw_map(many, [S] * 9_999 + [E], title="many").startswith(b"\x89PNG")


def test_an_image_that_would_be_read_whole_is_left_out(grid: Grid, monkeypatch: pytest.MonkeyPatch):
    """One with overviews is not."""
    monkeypatch.setattr(picture, "MAX_SOURCE_PIXELS", 100 * 100)
    assert picture._read_small(grid.info) is None
    assert draw_map(grid, [S] * 4, title="large").startswith(b"\x89PNG")
    with rasterio.open(grid.info.url, "r+") as file:
        file.build_overviews([2])
    assert picture._read_small(grid.info) is not None


def test_the_colours_are_the_ones_that_the_image_names(tmp_path: Path):
    """Red, green and blue, in whatever order."""
    pixels = np.stack([np.full((40, 40), value, np.uint8) for value in (0, 100, 200)])
    url = write_image(tmp_path / "bgr.tif", pixels, photometric="MINISBLACK")
    with rasterio.open(url, "r+") as file:
        file.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    with rasterio.open(url) as file:
        assert picture._bands(file) == [3, 2, 1]


def test_an_image_that_has_gone_is_named(grid: Grid):
    """The picture is drawn when the job is done, and much may have happened."""
    Path(grid.info.url).unlink()
    with pytest.raises(InvalidImage, match="grey.tif"):
        draw_map(grid, [S] * 4, title="gone")

"""What pixels a tile gets: its bands, and what is beyond the image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytracker.imagery import describe, plan, read
from tests.support.grids import tiles
from tests.support.images import make_image

# GDAL says so of each image that a test makes without a CRS.
pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


@pytest.fixture
def pixels() -> Any:
    """Three bands of 30 x 40, no two pixels of a band alike."""
    band = np.random.default_rng(1).permutation(1200).reshape(30, 40)
    return np.stack([band, band + 2000, band + 4000]).astype("int16")


# --- bands ---


@pytest.mark.parametrize("bands", [[3, 2, 1], (2,), [1, 1, 3], np.array([2, 3])])
def test_the_bands_that_were_asked_for_in_their_order(
    tmp_path: Path, pixels: Any, bands: Any
) -> None:
    """Numbered from 1, as GDAL and rasterio have it; also where they are padded."""
    info = describe(make_image(tmp_path / "image.tif", pixels))
    wanted = pixels[np.array(bands) - 1]
    for edges in ("clip", "pad"):
        for tile in tiles(plan(info, 25, edges=edges, bands=bands)):
            rows, columns = tile.window.toslices()
            top, left = tile.valid.toslices()
            assert tile.bands == tuple(bands)
            assert read(tile).shape == (len(bands), tile.height, tile.width)
            assert np.array_equal(read(tile)[:, top, left], wanted[:, rows, columns])


# --- beyond the image ---


@pytest.mark.parametrize("nodata", [None, -9999])
@pytest.mark.parametrize("edges", ["clip", "pad", "shift"])
def test_what_lies_in_the_image_is_its_pixels(
    tmp_path: Path, pixels: Any, edges: Any, nodata: Any
) -> None:
    """Each array has its tile's size, and the image's pixels in its valid part."""
    info = describe(make_image(tmp_path / "image.tif", pixels, nodata=nodata))
    for tile in tiles(plan(info, 16, 4, edges=edges)):
        rows, columns = tile.window.toslices()
        top, left = tile.valid.toslices()
        array = read(tile)
        assert array.shape == (3, tile.height, tile.width)
        assert array.dtype == pixels.dtype
        assert np.array_equal(array[:, top, left], pixels[:, rows, columns])


def test_what_lies_beyond_is_the_image_reflected(tmp_path: Path, pixels: Any) -> None:
    """Its last pixel is the mirror, and comes once; a thin part goes back and forth."""
    info = describe(make_image(tmp_path / "image.tif", pixels))
    corner = read(plan(info, 23, edges="pad").tile(0, 3))  # 17 x 7 of 23 x 23
    assert np.array_equal(corner[:, :7, 17:], corner[:, :7, 10:16][:, :, ::-1])
    assert np.array_equal(corner[:, 7:13], corner[:, :6][:, ::-1])
    assert np.array_equal(corner[:, 13:19], corner[:, 1:7])
    strip = read(plan(info, (39, 30), edges="pad").tile(0, 1))  # one column of 39
    assert (strip == strip[:, :, :1]).all()


@pytest.mark.parametrize(("dtype", "nodata"), [("int16", -9999), ("float32", float("nan"))])
def test_what_lies_beyond_is_nodata_where_there_is_such_a_value(
    tmp_path: Path, pixels: Any, dtype: str, nodata: float
) -> None:
    """What is masked by it in the image is masked by it there."""
    path = make_image(tmp_path / "image.tif", pixels.astype(dtype), nodata=nodata)
    corner = read(plan(describe(path), 32, edges="pad").tile(0, 1))
    assert np.array_equal(corner[:, 30:], np.full((3, 2, 32), nodata, dtype), equal_nan=True)
    assert np.array_equal(corner[:, :, 8:], np.full((3, 32, 24), nodata, dtype), equal_nan=True)

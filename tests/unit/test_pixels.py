"""What pixels a tile gets: its bands, what is beyond the image, and which are valid."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from raytracker.errors import InvalidImage
from raytracker.imagery import describe, plan, read
from tests.support.grids import tiles
from tests.support.images import make_image, noting

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


# --- which are valid ---


@pytest.fixture
def valid() -> Any:
    """Which of 30 x 40 pixels are valid: all but a corner and the last column."""
    valid = np.ones((30, 40), bool)
    valid[:20, :18] = valid[:, -1] = False
    return valid


def _nodata(path: Path, pixels: Any, valid: Any) -> Path:
    pixels[:, ~valid] = -1
    pixels[0, 25, 25] = -1  # in one band only
    return make_image(path, pixels, nodata=-1)


def _nan(path: Path, pixels: Any, valid: Any) -> Path:
    return make_image(path, np.where(valid, pixels, np.nan).astype("float32"), nodata=np.nan)


def _alpha(path: Path, pixels: Any, valid: Any) -> Path:
    alpha = np.where(valid, 7, 0)  # nearly transparent is not without data
    bands = np.stack([*(pixels % 200), alpha]).astype("uint8")
    return make_image(path, bands, photometric="RGB", ALPHA="YES")


def _internal_mask(path: Path, pixels: Any, valid: Any) -> Path:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        return make_image(path, pixels, mask=valid)


def _mask_beside_it(path: Path, pixels: Any, valid: Any) -> Path:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        make_image(path, pixels, mask=valid)
    assert Path(f"{path}.msk").exists()
    return path


@pytest.mark.parametrize("edges", ["clip", "pad", "shift"])
@pytest.mark.parametrize("make", [_nodata, _nan, _alpha, _internal_mask, _mask_beside_it])
def test_a_mask_says_which_pixels_are_valid(
    tmp_path: Path, pixels: Any, valid: Any, make: Any, edges: Any
) -> None:
    """Whatever the image says it with; what lies beyond the image is not."""
    info = describe(make(tmp_path / "image.tif", pixels, valid))
    assert info.masked
    for tile in tiles(plan(info, 16, 4, edges=edges, bands=[2])):
        rows, columns = tile.window.toslices()
        top, left = tile.valid.toslices()
        wanted = np.zeros((tile.height, tile.width), bool)
        wanted[top, left] = valid[rows, columns]
        mask = tile.mask()
        assert mask.dtype == bool
        assert np.array_equal(mask, wanted)


def test_an_image_that_masks_nothing_is_not_read_for_its_mask(
    tmp_path: Path, pixels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is valid."""
    info = describe(make_image(tmp_path / "image.tif", pixels))
    assert not info.masked
    opened: list[str] = []
    monkeypatch.setattr(rasterio, "open", noting(opened))
    tile = plan(info, 32, edges="pad").tile(0, 1)
    assert tile.mask()[:30, :8].all()
    assert tile.mask().sum() == 30 * 8
    assert not opened


def test_a_mask_after_the_pixels_is_of_blocks_that_are_decoded(tmp_path: Path) -> None:
    """They are not unpacked again: what has become of the file since makes no difference."""
    noise = np.random.default_rng(1).integers(0, 9, (1, 512, 512), "uint8")
    blocks = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    path = make_image(tmp_path / "image.tif", noise, nodata=0, **blocks)
    first, *_, last = tiles(plan(describe(path), 256))
    read(first)
    path.write_bytes(bytes(path.stat().st_size))
    assert np.array_equal(first.mask(), noise[0, :256, :256] != 0)
    with pytest.raises(InvalidImage):
        last.mask()


def test_a_mask_that_cannot_be_read(tmp_path: Path, pixels: Any, valid: Any) -> None:
    """Is told as pixels are that can't."""
    path = _nodata(tmp_path / "image.tif", pixels, valid)
    tile = plan(describe(path), 64).tile(0, 0)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InvalidImage, match="rows 0 to 29, columns 0 to 39 of .* cannot be read"):
        tile.mask()

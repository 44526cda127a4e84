"""What pixels a tile gets: its bands, what is beyond the image, and which are valid."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from raytracker import imagery
from raytracker.errors import InvalidImage
from raytracker.imagery import opening, plan, read
from tests.support.grids import tiles
from tests.support.images import make_image, noting

describe = partial(imagery.describe, allow_driver=["VRT"])  # made by these tests

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


# --- bands that differ ---

TYPES = {"uint8": "Byte", "uint16": "UInt16", "int16": "Int16", "int32": "Int32", "int64": "Int64",
         "uint64": "UInt64", "float32": "Float32", "float64": "Float64",
         "complex64": "CFloat32", "complex_int16": "CInt16"}  # fmt: skip


def differing(folder: Path, *bands: tuple[str, Any, float | None]) -> Path:
    """Writes a VRT of bands: the type, the pixels and the nodata value of each."""
    parts = []
    for number, (dtype, values, nodata) in enumerate(bands, start=1):
        written = values.astype("complex64" if dtype == "complex_int16" else dtype)
        path = folder / f"{number}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", width=40, height=30, count=1, dtype=dtype
        ) as to:
            to.write(written, 1)
        none = "" if nodata is None else f"<NoDataValue>{nodata}</NoDataValue>"
        parts.append(
            f'<VRTRasterBand dataType="{TYPES[dtype]}" band="{number}">{none}<SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{number}.tif</SourceFilename>'
            "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        )
    path = folder / "bands.vrt"
    text = f'<VRTDataset rasterXSize="40" rasterYSize="30">{"".join(parts)}</VRTDataset>'
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("types", "common"),
    [
        (("uint8", "float32"), "float32"),
        (("uint8", "int16"), "int16"),
        (("uint16", "int16"), "int32"),
        (("int32", "float32"), "float64"),
        (("float32", "complex64"), "complex64"),
        (("float64", "complex64"), "complex128"),
        (("uint8", "complex_int16"), "complex64"),
        (("complex_int16", "complex_int16"), "complex64"),
        (("int64", "uint8"), "int64"),
    ],
)
def test_bands_of_several_types_become_one_that_holds_all(
    tmp_path: Path, pixels: Any, types: tuple[str, str], common: str
) -> None:
    """As the image's description says; also where tiles are padded."""
    values = [pixels[0] % 250, pixels[1] % 250 + 1]
    path = differing(
        tmp_path, *((kind, each, None) for kind, each in zip(types, values, strict=True))
    )
    info = describe(path)
    assert info.dtype == common
    for edges in ("clip", "pad"):
        for tile in tiles(plan(info, 16, edges=edges)):
            array = read(tile)
            rows, columns = tile.window.toslices()
            top, left = tile.valid.toslices()
            assert array.dtype == common
            assert array.shape == (2, tile.height, tile.width)
            assert np.array_equal(array[:, top, left], np.stack(values)[:, rows, columns])


def test_a_choice_of_bands_has_the_type_that_holds_these(tmp_path: Path, pixels: Any) -> None:
    """So a model of bytes gets bytes of an image that has heights, too."""
    byte, other = pixels[0] % 250, pixels[1] % 250
    path = differing(
        tmp_path, ("uint8", byte, None), ("uint8", other, None), ("float32", byte + 0.5, None)
    )
    info = describe(path)
    assert info.dtype == "float32"
    for bands, dtype in (([2, 1], "uint8"), ([3], "float32"), ([3, 1, 3], "float32")):
        array = read(plan(info, bands=bands).tile(0, 0))
        assert array.dtype == dtype
        assert np.array_equal(array, np.stack([byte, other, byte + 0.5])[np.array(bands) - 1])


@pytest.mark.parametrize(
    "types",
    [("int64", "float32"), ("uint64", "int64"), ("int64", "float64"), ("uint64", "complex64")],
)
def test_bands_that_no_type_holds_are_refused(
    tmp_path: Path, pixels: Any, types: tuple[str, str]
) -> None:
    """Before a task runs: large numbers would not be what they were. One of them is read."""
    path = differing(tmp_path, *((kind, pixels[0], None) for kind in types))
    info = describe(path)
    with pytest.raises(InvalidImage, match=f"bands of .*{types[0]}.* name bands that go together"):
        plan(info)
    for band, dtype in enumerate(types, start=1):
        array = read(plan(info, bands=[band]).tile(0, 0))
        assert array.dtype == dtype
        assert np.array_equal(array[0], pixels[0])


def test_nodata_of_each_band(tmp_path: Path, pixels: Any) -> None:
    """Each is padded with its own; one that has none is reflected."""
    kinds = ("int16", -1), ("float32", float("nan")), ("int16", None)
    info = describe(differing(tmp_path, *((kind, pixels[0], none) for kind, none in kinds)))
    assert info.nodata == -1
    for bands in (None, [2, 1, 3]):
        array = read(plan(info, 32, edges="pad", bands=bands).tile(0, 1))
        order = [0, 1, 2] if bands is None else [1, 0, 2]
        first, nans, reflected = (array[order.index(number)] for number in range(3))
        assert (first[30:] == -1).all()
        assert (first[:, 8:] == -1).all()
        assert np.isnan(nans[30:]).all()
        assert np.isnan(nans[:, 8:]).all()
        assert np.array_equal(reflected[:30, 8:15], reflected[:30, :7][:, ::-1])


@pytest.mark.parametrize(("dtype", "nodata"), [("int16", 0.5), ("uint8", -9999), ("uint8", 256)])
def test_nodata_that_no_pixel_can_have(
    tmp_path: Path, pixels: Any, dtype: str, nodata: float
) -> None:
    """Is none: tiles are reflected."""
    info = describe(differing(tmp_path, (dtype, pixels[0] % 250, nodata)))
    [band] = read(plan(info, 32, edges="pad").tile(0, 1))
    assert np.array_equal(band[:30, 8:15], band[:30, :7][:, ::-1])


def test_a_pixel_is_without_data_where_all_its_bands_are(tmp_path: Path, pixels: Any) -> None:
    """Each by its own value; and a value that a band's type can't have masks nothing."""
    bands = np.stack([pixels[0], pixels[0] + 0.5])
    bands[:, 3, 3] = -1, np.nan  # both
    bands[0, 4, 4], bands[1, 5, 5] = -1, np.nan  # one of them
    path = differing(tmp_path, ("int16", bands[0], -1), ("float32", bands[1], float("nan")))
    mask = plan(describe(path)).tile(0, 0).mask()
    assert np.argwhere(~mask).tolist() == [[3, 3]]
    path = differing(tmp_path, ("uint8", pixels[0] % 250, -9999))
    assert plan(describe(path)).tile(0, 0).mask().all()


def test_infrared_beside_red_green_and_blue_is_no_alpha(tmp_path: Path, pixels: Any) -> None:
    """Rasterio's dataset_mask asks the fourth band only, whatever the others are."""
    bands = np.stack([*pixels, pixels[0]]).astype("int16") % 250 + 1
    bands[3, :, :9] = bands[:, 20:, 20:] = 0
    path = make_image(tmp_path / "image.tif", bands.astype("uint8"), nodata=0, photometric="RGB")
    mask = plan(describe(path)).tile(0, 0).mask()
    assert np.array_equal(mask, (bands != 0).any(axis=0))
    assert not mask.all()


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


def _grey_alpha(path: Path, pixels: Any, valid: Any) -> Path:
    bands = np.stack([pixels[0] % 200, pixels[1] % 200, np.where(valid, 255, 0)]).astype("uint8")
    make_image(path, bands, nodata=7)  # which hides the alpha band from GDAL
    with rasterio.open(path, "r+") as target:
        target.colorinterp = [ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha]
    return path


def _internal_mask(path: Path, pixels: Any, valid: Any) -> Path:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        return make_image(path, pixels, mask=valid)


def _mask_beside_it(path: Path, pixels: Any, valid: Any) -> Path:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        make_image(path, pixels, mask=valid)
    assert Path(f"{path}.msk").exists()
    return path


@pytest.mark.parametrize("edges", ["clip", "pad", "shift"])
@pytest.mark.parametrize(
    "make", [_nodata, _nan, _alpha, _grey_alpha, _internal_mask, _mask_beside_it]
)
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
    monkeypatch.setattr(opening, "DatasetReader", noting(opened))
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


def test_a_mask_that_cannot_be_read(tmp_path: Path) -> None:
    """Is told as pixels are that can't."""
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    noise = np.random.default_rng(1).integers(0, 9, (1, 32, 32), "uint8")
    path = make_image(tmp_path / "image.tif", noise, nodata=0, **blocks)
    with rasterio.open(path) as source:
        offset = int(source.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    data = bytearray(path.read_bytes())
    data[offset : offset + 50] = b"\xff" * 50
    path.write_bytes(data)
    tile = plan(describe(path), 16).tile(0, 0)
    with pytest.raises(InvalidImage, match="rows 0 to 15, columns 0 to 15 of .* cannot be read"):
        tile.mask()

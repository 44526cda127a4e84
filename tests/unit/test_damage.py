"""Damaged images: each tile is right, or an error; none is silently wrong."""

import logging
import logging.config
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from raytracker import imagery
from raytracker.errors import InvalidImage
from raytracker.imagery import Tile, plan, read
from raytracker.pipeline.ahead import read_ahead
from tests.support.images import make_image

# Drivers whose images may name other files; these are made by the tests.
OTHERS = ["VRT", "PCIDSK", "ERS", "PAux", "ISIS2", "RST"]
describe = partial(imagery.describe, allow_driver=OTHERS)

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

SIZE, TILE = 300, 64
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64}


def _pixels(bands: int = 1) -> Any:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    waves = 120 + 40 * np.sin(columns / 17) + 40 * np.cos(rows / 23)
    return (waves + np.random.default_rng(1).integers(0, 6, (bands, SIZE, SIZE))).astype("uint8")


def _made(folder: Path, driver: str, name: str, **options: Any) -> tuple[Path, Any]:
    """Writes an image; returns its path, and its pixels as they are read while it is whole."""
    bands = 3 if options.get("compress") == "webp" else 1
    where = {"crs": "EPSG:32618", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)}
    start = make_image(folder / "start.tif", _pixels(bands), **where)
    path = folder / name
    rasterio.shutil.copy(start, path, driver=driver, **options)
    start.unlink()
    with rasterio.open(path) as source:
        return path, source.read()


def _outcomes(path: Path, pixels: Any, tile_size: int = TILE) -> tuple[int, int, int]:
    """Returns how many tiles are right, how many are errors, and how many are silently wrong."""
    try:
        grid = plan(describe(path), tile_size)
    except InvalidImage:
        return 0, 1, 0
    numbers = range(grid.tiles_per_region[0])
    every = [grid.tile(0, number) for number in numbers]
    alone = [_outcome(_read(tile), tile, pixels) for tile in every]
    # Neighbours are read at once there, as small as these are.
    ahead = [
        _outcome(entry.error or entry.pixels, entry.tile, pixels)
        for entry in read_ahead(grid, [(0, number) for number in numbers])
    ]
    assert ahead.count("wrong") <= alone.count("wrong")
    assert ("error" in ahead) == ("error" in alone)
    return alone.count("right"), alone.count("error"), alone.count("wrong")


def _read(tile: Tile) -> Any:
    try:
        return read(tile)
    except InvalidImage as err:
        return err


def _outcome(read: Any, tile: Tile, pixels: Any) -> str:
    if isinstance(read, Exception):
        return "error"
    rows, columns = tile.window.toslices()
    return "right" if np.array_equal(read, pixels[:, rows, columns]) else "wrong"


def _largest(path: Path) -> Path:
    return max(path.parent.glob("*"), key=lambda file: file.stat().st_size)


def _cut(path: Path, part: float) -> None:
    """Takes an image's end away, of the file that holds its pixels."""
    file = _largest(path)
    file.write_bytes(file.read_bytes()[: int(part * file.stat().st_size)])


def _flip(path: Path, at: float = 0.5, count: int = 300) -> None:
    """Inverts the bits of some bytes."""
    file = _largest(path)
    data = bytearray(file.read_bytes())
    start = int(at * len(data))
    data[start : start + count] = bytes(byte ^ 0xFF for byte in data[start : start + count])
    file.write_bytes(data)


TIFFS = [
    (f"{compress} {layout} {big}", {"compress": compress, "BIGTIFF": big, **options})
    for compress in ("none", "deflate", "lzw", "zstd", "jpeg", "packbits", "lerc", "webp")
    for layout, options in (("tiles", TILED), ("strips", {}))
    for big in (("no", "yes") if compress in ("none", "deflate") else ("no",))
]
FORMATS = [
    *((f"GTiff {name}", "GTiff", "x.tif", options) for name, options in TIFFS),
    ("COG", "COG", "x.tif", {"BLOCKSIZE": 128, "compress": "deflate"}),
    ("ENVI bsq", "ENVI", "x.dat", {}),
    ("ENVI bip", "ENVI", "x.dat", {"INTERLEAVE": "BIP"}),
    ("netCDF classic", "netCDF", "x.nc", {"FORMAT": "NC"}),
    ("netCDF 64 bit", "netCDF", "x.nc", {"FORMAT": "NC2"}),
    ("netCDF 4", "netCDF", "x.nc", {"FORMAT": "NC4", "COMPRESS": "DEFLATE"}),
    ("PCIDSK", "PCIDSK", "x.pix", {}),
    ("PCIDSK pixels", "PCIDSK", "x.pix", {"INTERLEAVING": "PIXEL"}),
    ("JP2", "JP2OpenJPEG", "x.jp2", {"REVERSIBLE": "YES", "QUALITY": "100"}),
    ("HFA runs", "HFA", "x.img", {"COMPRESSED": "YES"}),
    ("NITF C8", "NITF", "x.ntf", {"IC": "C8"}),
    *(
        (driver, driver, f"x.{end}", {})
        for driver, end in (
            ("PNG", "png"), ("JPEG", "jpg"), ("HFA", "img"), ("NITF", "ntf"), ("EHdr", "bil"),
            ("ERS", "ers"), ("PAux", "raw"), ("BMP", "bmp"), ("GPKG", "gpkg"), ("GRIB", "grb2"),
            ("RST", "rst"), ("VICAR", "vic"), ("ISIS2", "cub"), ("MFF", "hdr"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("driver", "name", "options"), [one[1:] for one in FORMATS], ids=[one[0] for one in FORMATS]
)
def test_a_file_that_was_cut_short(
    tmp_path: Path, driver: str, name: str, options: dict[str, Any]
) -> None:
    """Whole, each tile is right; cut anywhere, some are errors, or all at once, and none wrong."""
    path, pixels = _made(tmp_path, driver, name, **options)
    if driver != "GPKG":  # whose tiles are those of the web
        assert _outcomes(path, pixels)[1:] == (0, 0)
    file = _largest(path)
    whole = file.read_bytes()
    for part in (0.97, 0.8, 0.5, 0.2):
        file.write_bytes(whole)
        _cut(path, part)
        _, errors, wrong = _outcomes(path, pixels)
        assert errors > 0, part
        assert wrong == 0, part


@pytest.mark.parametrize(
    ("driver", "name", "options"),
    [
        ("GTiff", "x.tif", {"compress": "jpeg", **TILED}),
        ("GTiff", "x.tif", {"compress": "lzw"}),
        ("GTiff", "x.tif", {"compress": "deflate"}),
        ("GTiff", "x.tif", {"compress": "lerc"}),
        ("JPEG", "x.jpg", {}),
        ("PNG", "x.png", {}),
        ("netCDF", "x.nc", {"FORMAT": "NC4", "COMPRESS": "DEFLATE"}),
    ],
)
def test_bytes_that_were_flipped_where_the_codec_notices(
    tmp_path: Path, driver: str, name: str, options: dict[str, Any]
) -> None:
    """Also where it only warns, and gives pixels: then these are not what they were."""
    path, pixels = _made(tmp_path, driver, name, **options)
    _flip(path)
    _, errors, wrong = _outcomes(path, pixels)
    assert errors > 0
    assert wrong == 0


def _warning_jpeg(folder: Path) -> tuple[Path, Any]:
    """Returns a TIFF of a JPEG strip whose end is missing, of which libjpeg warns only."""
    path, pixels = _made(folder, "GTiff", "x.tif", compress="jpeg", BLOCKYSIZE=304)
    with rasterio.open(path) as source:
        offset, size = (
            int(source.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=1))
            for what in ("OFFSET", "SIZE")
        )
    data = bytearray(path.read_bytes())
    middle = offset + size // 2
    data[middle : offset + size] = b"\xff\xd9" + bytes(offset + size - middle - 2)
    path.write_bytes(data)
    return path, pixels


def _silent(how: str) -> None:
    if how == "level":
        logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    elif how == "disable":
        logging.disable(logging.CRITICAL)
    elif how == "config":  # which disables all loggers that are there
        logging.config.dictConfig({"version": 1})


@pytest.mark.parametrize("how", ["", "level", "disable", "config"])
def test_what_gdal_only_warns_of_is_an_error(tmp_path: Path, how: str) -> None:
    """In each try, and however the process has set its logging."""
    path, pixels = _warning_jpeg(tmp_path)
    names = ("rasterio", "rasterio._err", "rasterio._env")
    levels = [logging.getLogger(name).level for name in names]
    loggers = [each for each in logging.root.manager.loggerDict.values() if hasattr(each, "level")]
    disabled = [logger.disabled for logger in loggers]
    try:
        _silent(how)
        for _ in range(2):
            assert _outcomes(path, pixels) == (0, 1, 0)
    finally:
        logging.disable(logging.NOTSET)
        for name, level in zip(names, levels, strict=True):
            logging.getLogger(name).setLevel(level)
        for logger, was_disabled in zip(loggers, disabled, strict=True):
            logger.disabled = was_disabled


def test_what_is_heard_is_logged_as_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No more, for example what GDAL says at the level of INFO, and no less."""
    path, pixels = _warning_jpeg(tmp_path)
    assert _outcomes(path, pixels) == (0, 1, 0)
    records = [record for record in caplog.records if record.name.startswith("rasterio")]
    assert {record.levelno for record in records} == {logging.WARNING}


def test_a_thread_hears_only_itself(tmp_path: Path) -> None:
    """Another one, that reads what is damaged at the same time, spoils no tile."""
    from concurrent.futures import ThreadPoolExecutor

    bad, bad_pixels = _warning_jpeg(tmp_path)
    (tmp_path / "good").mkdir()
    good, pixels = _made(tmp_path / "good", "GTiff", "y.tif", compress="deflate", **TILED)
    with ThreadPoolExecutor(2) as threads:
        spoiling = [threads.submit(_outcomes, bad, bad_pixels) for _ in range(20)]
        found = [threads.submit(_outcomes, good, pixels) for _ in range(5)]
    assert {future.result() for future in spoiling} == {(0, 1, 0)}
    assert {future.result() for future in found} == {(25, 0, 0)}


# --- mosaics, masks ---


def _mosaic(folder: Path, names: list[str], nodata: str = "") -> Path:
    sources = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename>'
        f'<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="64" ySize="64"/>'
        f'<DstRect xOff="{64 * number}" yOff="0" xSize="64" ySize="64"/></SimpleSource>'
        for number, name in enumerate(names)
    )
    path = folder / "mosaic.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{64 * len(names)}" rasterYSize="64">'
        f'<VRTRasterBand dataType="Byte" band="1">{nodata}{sources}</VRTRasterBand></VRTDataset>'
    )
    return path


@pytest.mark.parametrize("nodata", ["", "<NoDataValue>0</NoDataValue>"])
@pytest.mark.parametrize("second", ["missing.tif", "cut.tif", "jpeg.tif", "garbage.tif"])
def test_a_mosaic_of_which_a_part_is_missing(tmp_path: Path, second: str, nodata: str) -> None:
    """Its tiles are errors, and not nodata; the other part's are right."""
    pixels = _pixels()[:, :64, :64]
    for name in ("first.tif", "cut.tif"):
        make_image(tmp_path / name, pixels)
    file = tmp_path / "cut.tif"
    file.write_bytes(file.read_bytes()[:2000])
    (tmp_path / "garbage.tif").write_text("no image")
    _warning_jpeg(tmp_path)[0].rename(tmp_path / "jpeg.tif")
    path = _mosaic(tmp_path, ["first.tif", second], nodata)
    assert _outcomes(path, np.concatenate([pixels, pixels], axis=2)) == (1, 1, 0)


def test_a_mask_file_that_is_none(tmp_path: Path) -> None:
    """GDAL goes on without, and all pixels would be valid."""
    pixels = _pixels()[:, :64, :64]
    path = make_image(tmp_path / "x.tif", pixels)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as target:
        target.write_mask(pixels[0] > 120)
    assert np.array_equal(plan(describe(path)).tile(0, 0).mask(), pixels[0] > 120)
    mask = tmp_path / "x.tif.msk"
    for data in (mask.read_bytes()[:-9], mask.read_bytes()[:300], b"garbage"):
        mask.write_bytes(data)
        with pytest.raises(InvalidImage):
            plan(describe(path)).tile(0, 0).mask()
    with pytest.raises(InvalidImage, match="x.tif.msk, the mask of .*remove it"):
        describe(path)


def test_overviews_are_not_read(tmp_path: Path) -> None:
    """So theirs is no damage of the image."""
    path = make_image(tmp_path / "x.tif", _pixels())
    (tmp_path / "x.tif.ovr").write_bytes(b"garbage" * 100)
    assert _outcomes(path, _pixels()) == (25, 0, 0)


def test_blocks_that_were_never_written(tmp_path: Path) -> None:
    """Are what the format says: nodata, or zeros. It is no damage to leave them out."""
    path = tmp_path / "x.tif"
    pixels = _pixels()[:, :64, :64]
    kind = {"driver": "GTiff", "dtype": "uint8", "nodata": 9, "SPARSE_OK": "TRUE", **TILED}
    with rasterio.open(path, "w", width=128, height=64, count=1, **kind) as target:
        target.write(pixels, window=((0, 64), (0, 64)))
    expected = np.concatenate([pixels, np.full_like(pixels, 9)], axis=2)
    assert _outcomes(path, expected) == (2, 0, 0)


@pytest.mark.parametrize("records", [False, True])
def test_netcdf_with_several_variables(tmp_path: Path, records: bool) -> None:
    """By a header of the classic format with attributes and records, as GDAL writes none."""
    path = tmp_path / "x.nc"
    data = _classic_netcdf(records)
    path.write_bytes(data)
    name = f"netcdf:{path}:b"
    info = describe(name)
    assert (info.width, info.height, info.bands) == (4, 3, 2 if records else 1)
    path.write_bytes(data[:-3])
    with pytest.raises(InvalidImage, match="truncated"):
        describe(name)


def _classic_netcdf(records: bool) -> bytes:
    def word(number: int) -> bytes:
        return number.to_bytes(4, "big")

    def text(value: str) -> bytes:
        return word(len(value)) + value.encode().ljust(-(-len(value) // 4) * 4, b"\0")

    count = 2 if records else 1
    sizes = [("t", 0), ("y", 3), ("x", 4)] if records else [("y", 3), ("x", 4)]
    dimensions = b"".join(text(name) + word(size) for name, size in sizes)
    attribute = word(12) + word(1) + text("units") + word(2) + text("metres")
    head = b"CDF\x01" + word(count if records else 0) + word(10) + word(len(sizes)) + dimensions
    head += attribute + word(11) + word(2)
    ids = b"".join(word(number) for number in range(len(sizes)))
    fixed = len(head) + 2 * (8 + 4 + len(ids) + len(attribute) + 12)

    def variable(name: str, begin: int) -> bytes:
        return text(name) + word(len(sizes)) + ids + attribute + word(4) + word(48) + word(begin)

    head += variable("a", fixed) + variable("b", fixed + 48)
    return head + bytes(range(1, 49)) * 2 * count

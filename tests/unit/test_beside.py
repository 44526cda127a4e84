"""An image is its own file and what lies beside it, whatever its bytes say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import h5py
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from raytracker.errors import InvalidImage
from raytracker.imagery import describe, plan, read
from raytracker.imagery.beside import check_beside
from tests.support.images import make_image

SIZE = 64
RAW = (
    '<VRTDataset rasterXSize="{1}" rasterYSize="{1}">'
    '<Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'
    '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
    '<SourceFilename relativeToVRT="0">{0}</SourceFilename><ImageOffset>0</ImageOffset>'
    "<PixelOffset>1</PixelOffset><LineOffset>{1}</LineOffset></VRTRasterBand></VRTDataset>"
)
MOSAIC = (
    f'<VRTDataset rasterXSize="{SIZE}" rasterYSize="{SIZE}"><VRTRasterBand dataType="Byte" '
    'band="1"><SimpleSource><SourceFilename relativeToVRT="1">{}</SourceFilename>'
    "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
)
CUBE = f"""Object = IsisCube
  Object = Core
    StartByte = 1
    ^Core = ../private/key
    Format = BandSequential
    Group = Dimensions
      Samples = {SIZE}
      Lines = {SIZE}
      Bands = 1
    End_Group
    Group = Pixels
      Type = UnsignedByte
      ByteOrder = Lsb
      Base = 0.0
      Multiplier = 1.0
    End_Group
  End_Object
End_Object
End
"""
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that is no image's."""
    (tmp_path / "private").mkdir()
    file = tmp_path / "private" / "key"
    file.write_bytes(b"password" * (SIZE * SIZE // 8))
    return file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, where images are."""
    folder = tmp_path / "images"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def _image(path: str, **profile: Any) -> Path:
    return make_image(Path(path), np.full((1, SIZE, SIZE), 7, np.uint8), **profile)


def _pixels(name: str, **allowed: Any) -> bytes:
    return bytes(read(plan(describe(name, **allowed), SIZE).tile(0, 0)))


def _external(file: h5py.File, secret: Path) -> None:
    file.create_dataset("x", (SIZE, SIZE), "u1", external=[(str(secret), 0, SIZE * SIZE)])


def _linked(file: h5py.File, secret: Path) -> None:
    with h5py.File(secret, "w") as other:
        other["x"] = np.full((SIZE, SIZE), 7, np.uint8)
    file["below/x"] = h5py.ExternalLink(str(secret), "/x")
    file["x"] = h5py.SoftLink("/below/x")


def _virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((SIZE, SIZE), "u1")
    layout[:] = h5py.VirtualSource(str(secret), "x", shape=(SIZE, SIZE))
    file.create_virtual_dataset("x", layout)


@pytest.mark.parametrize("make", [_external, _linked, _virtual])
@pytest.mark.parametrize("name", ["x.h5", "x.tif", "netcdf:x.h5:x", 'HDF5:"x.h5"://x'])
def test_hdf5_takes_no_pixels_from_another_file(
    folder: Path, secret: Path, make: Any, name: str
) -> None:
    """Its library would, and GDAL doesn't see it."""
    with h5py.File("x.h5", "w", userblock_size=512) as file:
        make(file, secret)
    shutil.copy("x.h5", "x.tif")
    with pytest.raises(InvalidImage, match=r"an HDF5 file whose '(below/)?x' .*key.*allow_driver"):
        describe(name)


def test_hdf5_that_is_allowed(folder: Path, secret: Path) -> None:
    """Who trusts its maker reads it."""
    with h5py.File("x.h5", "w") as file:
        _external(file, secret)
    assert _pixels("x.h5", allow_driver=["HDF5", "HDF5Image"]).startswith(b"password")


def test_hdf5_of_one_file(folder: Path) -> None:
    """It is an image, also with links and views within it."""
    layout = h5py.VirtualLayout((SIZE, SIZE), "u1")
    layout[:] = h5py.VirtualSource(".", "x", shape=(SIZE, SIZE))
    with h5py.File("x.h5", "w") as file:
        file["x"] = np.full((SIZE, SIZE), 7, np.uint8)
        file["y"] = h5py.SoftLink("/x")
        file.create_virtual_dataset("z", layout)
    for name in ('HDF5:"x.h5"://x', "HDF5:x.h5://x", 'HDF5:"x.h5"://z'):
        assert set(_pixels(name)) == {7}


def test_hdf5_in_an_archive_is_opened_where_it_is_allowed(folder: Path, secret: Path) -> None:
    """Nothing can be looked into there."""
    with h5py.File("x.h5", "w") as file:
        _external(file, secret)
    with ZipFile("x.zip", "w") as archive:
        archive.write("x.h5")
    with pytest.raises(InvalidImage, match="HDF5 and netCDF are opened there with allow_driver"):
        describe("/vsizip/x.zip/x.h5")
    assert _pixels("/vsizip/x.zip/x.h5", allow_driver=["HDF5", "HDF5Image"])


@pytest.mark.parametrize("end", [".ovr", ".msk", ".msk.ovr", ".OVR"])
@pytest.mark.parametrize("driver", ["GTiff", "PNG"])
def test_overviews_and_masks_are_no_vrt(folder: Path, secret: Path, driver: str, end: str) -> None:
    """GDAL opens them with any driver."""
    _image("a.tif", driver=driver)
    _image("a.tif.msk")
    Path(f"a.tif{end}").write_text(RAW.format(secret, SIZE))
    with pytest.raises(InvalidImage, match=rf"a\.tif\{end} is a VRT"):
        describe("a.tif")


@pytest.mark.parametrize("name", ["/vsizip/{0}/a.zip/a.tif", "zip://{0}/a.zip!a.tif"])
@pytest.mark.parametrize("through", ["a.tif.msk", "b.vrt"])
def test_a_mask_in_an_archive(folder: Path, secret: Path, name: str, through: str) -> None:
    """It is opened alone, as it is."""
    _image("a.tif")
    through_b = (
        f'<VRTDataset rasterXSize="{SIZE}" rasterYSize="{SIZE}"><Metadata>'
        '<MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata><VRTRasterBand dataType="Byte" '
        'band="1"><SimpleSource><SourceFilename relativeToVRT="1">b.vrt</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    texts = {"a.tif.msk": through_b, through: RAW.format(secret, SIZE)}
    with ZipFile("a.zip", "w") as archive:
        archive.write("a.tif")
        for member, text in texts.items():
            archive.writestr(member, text)
    with pytest.raises(InvalidImage, match="a part of itself|neither a TIFF nor an HFA"):
        describe(name.format(folder))


def test_a_mask_that_gdal_made(folder: Path) -> None:
    """It is the image's, also in an archive."""
    pixels = np.full((1, SIZE, SIZE), 7, np.uint8)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False):
        make_image(Path("a.tif"), pixels, mask=pixels[0] == 7)
    with ZipFile("a.zip", "w") as archive:
        for file in ("a.tif", "a.tif.msk"):
            archive.write(file)
    for name in ("a.tif", "/vsizip/a.zip/a.tif"):
        assert describe(name).masked


@pytest.mark.parametrize(
    "name", ["a.img", "vrt://a.img?bands=1", "DERIVED_SUBDATASET:AMPLITUDE:a.img"]
)
def test_a_header_that_names_a_file_elsewhere(folder: Path, name: str) -> None:
    """As that of an Erdas image can, for its pixels."""
    _image("spilled.img", driver="HFA", USE_SPILL="YES")
    assert set(_pixels("spilled.img")) == {7}
    header = Path("spilled.img").read_bytes()
    assert header.count(b"spilled.ige") == 1
    Path("a.img").write_bytes(header.replace(b"spilled.ige", b"../a.b..ige"))
    shutil.copy("spilled.ige", "../a.b..ige")
    with pytest.raises(InvalidImage, match="cannot be opened|takes a part of itself from"):
        describe(name)


def test_references_that_look_like_zarr(folder: Path, secret: Path) -> None:
    """GDAL 3.11 and newer take a text of kerchunk's for an image, and read what it names."""
    array = {
        "zarr_format": 2, "shape": [8, 8], "chunks": [8, 8], "dtype": "|u1", "compressor": None,
        "fill_value": 0, "order": "C", "filters": None,
    }  # fmt: skip
    refs = {
        ".zgroup": '{"zarr_format": 2}',
        "x/.zarray": json.dumps(array),
        "x/0.0": [str(secret), 0, 64],
    }
    Path("k.json").write_text(json.dumps({"version": 1, "refs": refs}))
    for name in ("k.json", "ZARR:k.json", 'ZARR:"/vsikerchunk_json_ref/{k.json}":/x'):
        with pytest.raises(InvalidImage):
            describe(name)
    told = SimpleNamespace(
        name="/a/k.json",
        tags=lambda ns: {},
        files=["/vsikerchunk_json_ref/{/a/k.json}/x/.zarray", "/a/k.json"],
    )
    with pytest.raises(InvalidImage, match="takes a part of itself from '/vsikerchunk_json_ref"):
        check_beside(told, "k.json", ["/a/k.json", "/a"])


def test_envi_takes_its_pixels_beside_it(folder: Path, secret: Path) -> None:
    """GDAL does not follow `data file`."""
    _image("a.img", driver="ENVI")
    with Path("a.hdr").open("a") as header:
        header.write(f"data file = {secret}\n")
    assert set(_pixels("a.img")) == {7}


@pytest.mark.parametrize(
    "name", ["vrt://a.cub?bands=1", "DERIVED_SUBDATASET:AMPLITUDE:a.cub", "m.vrt"]
)
def test_what_a_driver_opens_for_itself_is_a_plain_image(
    folder: Path, secret: Path, name: str
) -> None:
    """It takes any driver; ISIS's names the file of the pixels."""
    Path("a.cub").write_text(CUBE)
    Path("m.vrt").write_text(MOSAIC.format("a.cub"))
    with pytest.raises(InvalidImage, match=r"a\.cub, of which .* is made, is a ISIS3"):
        describe(name, allow_driver=["VRT"])
    assert _pixels(name, allow_driver=["VRT", "ISIS3"])


def test_what_is_in_an_archive_is_not_opened_with_any_driver(folder: Path, secret: Path) -> None:
    """Nothing can be looked into there."""
    with ZipFile("a.zip", "w") as archive:
        archive.writestr("a.tif", RAW.format(secret, SIZE))
    for name in (
        f"vrt:///vsizip/{folder}/a.zip/a.tif?bands=1",
        f"DERIVED_SUBDATASET:AMPLITUDE:/vsizip/{folder}/a.zip/a.tif",
    ):
        with pytest.raises(InvalidImage, match="no plain file|cannot be opened"):
            describe(name)


@pytest.mark.parametrize("kind", ["mask", "overviews", "hdf5", "header"])
def test_a_vrt_is_made_of_images_that_take_nothing_from_elsewhere(
    folder: Path, secret: Path, kind: str
) -> None:
    """They are looked into as if each was the image."""
    name = {"hdf5": "a.h5", "header": "a.img"}.get(kind, "a.tif")
    if kind == "hdf5":
        with h5py.File(name, "w") as file:
            _external(file, secret)
    elif kind == "header":
        _image("spilled.img", driver="HFA", USE_SPILL="YES")
        header = Path("spilled.img").read_bytes()
        Path(name).write_bytes(header.replace(b"spilled.ige", b"../a.b..ige"))
        shutil.copy("spilled.ige", "../a.b..ige")
    else:
        _image(name)
        end = {"mask": "msk", "overviews": "ovr"}[kind]
        Path(f"{name}.{end}").write_text(RAW.format(secret, SIZE))
    Path("m.vrt").write_text(MOSAIC.format(name))
    with pytest.raises(InvalidImage, match="is a VRT|is an HDF5 file whose|a part of itself"):
        describe("m.vrt", allow_driver=["VRT"])


@pytest.mark.parametrize(
    ("name", "smaller"), [("a.ntf", "a.ntf.r1"), ("a.r0", "a.r1"), ("a.ntf", "a.ntf.r1.ovr")]
)
@pytest.mark.parametrize("text", [RAW, CUBE])
def test_reduced_resolutions_of_nitf_are_plain_images(
    folder: Path, secret: Path, name: str, smaller: str, text: str
) -> None:
    """GDAL takes them for overviews, and opens them with any driver."""
    _image(name, driver="NITF")
    make_image(Path("a.ntf.r1"), np.full((1, SIZE // 2, SIZE // 2), 7, np.uint8), driver="NITF")
    assert set(_pixels(name)) == {7}
    Path(smaller).write_text(text.format(secret, SIZE) if text is RAW else text)
    with pytest.raises(InvalidImage, match="is a VRT|is a ISIS3|neither a TIFF nor an HFA"):
        describe(name)


@pytest.mark.parametrize("name", ["a.aux", "a.tif.aux", "a.AUX"])
def test_statistics_are_no_vrt(folder: Path, secret: Path, name: str) -> None:
    """GDAL opens with any driver what begins as an HFA file."""
    _image("a.tif")
    Path(name).write_text("EHFA_HEADER_TAG " + RAW.format(secret, SIZE))
    with pytest.raises(InvalidImage, match=f"{name} is a VRT"):
        describe("a.tif")


def test_a_format_that_names_the_file_of_its_crs(folder: Path) -> None:
    """It is opened where it is allowed only."""
    _image("a.rst", driver="RST")
    with pytest.raises(InvalidImage, match="cannot be opened"):
        describe("a.rst")
    assert set(_pixels("a.rst", allow_driver=["RST"])) == {7}


@pytest.mark.parametrize("named", ["{}", "../private/key", "@{},null"])
@pytest.mark.parametrize("kind", ["nadgrids", "geoidgrids"])
def test_a_crs_names_no_file(folder: Path, secret: Path, named: str, kind: str) -> None:
    """PROJ would read it, and move the image by what it says."""
    shifts = np.full((4, 4, 4), 180, np.float32)
    place = from_origin(9, 51, 1, 1)
    make_image(secret, shifts, driver="NTv2", transform=place)
    srs = f"+proj=longlat +ellps=bessel +{kind}={named.format(secret)} +vunits=m +no_defs"
    _image("a.tif")
    Path("a.tif.aux.xml").write_text(
        f"<PAMDataset><SRS>{srs}</SRS><GeoTransform>10,.01,0,50,0,-.01</GeoTransform></PAMDataset>"
    )
    with pytest.raises(InvalidImage, match="a CRS that takes its datum from .*key"):
        describe("a.tif")


def test_a_crs_names_grids_as_proj_does(folder: Path) -> None:
    """They are PROJ's own; none is a usual one."""
    _image("a.tif")
    srs = "+proj=utm +zone=33 +nadgrids=@null +ellps=WGS84 +units=m +no_defs"
    Path("a.tif.aux.xml").write_text(
        f"<PAMDataset><SRS>{srs}</SRS><GeoTransform>5e5,1,0,5e6,0,-1</GeoTransform></PAMDataset>"
    )
    assert describe("a.tif").crs


@pytest.mark.parametrize("driver", ["VRT", "ISIS3"])
def test_overviews_that_are_an_allowed_vrt(folder: Path, secret: Path, driver: str) -> None:
    """They are made of plain images, as any VRT."""
    _image("a.tif")
    Path("a.cub").write_text(CUBE)
    Path("a.tif.ovr").write_text(MOSAIC.format("a.cub"))
    if driver == "VRT":
        with pytest.raises(InvalidImage, match="is a ISIS3"):
            describe("a.tif", allow_driver=["VRT"])
    else:
        assert describe("a.tif", allow_driver=["VRT", "ISIS3"])

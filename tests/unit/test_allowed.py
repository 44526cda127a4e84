"""A file is whatever its bytes say, and a name may lead anywhere."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio

from raytracker.errors import InvalidImage
from raytracker.image_request import ImageRequest
from raytracker.imagery import describe, plan, read
from raytracker.imagery.allowed import Allowed, check_allowed, check_is_in_s3
from raytracker.job_table import JobTable
from raytracker.pipeline import Cut, plan_image
from tests.support.images import make_image

ROLE = "arn:aws:iam::123456789012:role/reader"
RAW = (
    '<VRTDataset rasterXSize="8" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1" '
    'subClass="VRTRawRasterBand"><SourceFilename relativeToVRT="0">{}</SourceFilename>'
    "<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>8</LineOffset>"
    "</VRTRasterBand></VRTDataset>"
)
MOSAIC = (
    '<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1">'
    '<SimpleSource><SourceFilename relativeToVRT="{}">{}</SourceFilename>'
    "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with an image and a secret in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    for name in ("a.tif", "below/a.tif"):
        make_image(tmp_path / name, np.full((1, 8, 8), 7, np.uint8))
    (tmp_path / "secret").write_bytes(b"password")
    return tmp_path


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server in the network, and what it was asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", paths
        server.shutdown()


def test_a_file_that_is_a_vrt_is_named_as_one(folder: Path) -> None:
    """Its name says TIFF; its pixels would be another file's bytes."""
    Path("scene.tif").write_text(RAW.format(folder / "secret"))
    with pytest.raises(InvalidImage, match=r"scene\.tif is a VRT.*--allow-driver VRT"):
        describe("scene.tif")


def test_what_comes_before_a_vrt_makes_it_no_other(folder: Path) -> None:
    """GDAL looks further, too."""
    Path("scene.tif").write_text("<?xml version='1.0'?>\n" + RAW.format(folder / "secret"))
    for name in ("scene.tif", "vrt://scene.tif?bands=1", "DERIVED_SUBDATASET:AMPLITUDE:scene.tif"):
        with pytest.raises(InvalidImage, match="VRT"):
            describe(name)


@pytest.mark.parametrize(
    ("is_relative", "source"), [(1, "a.tif"), (1, "below/a.tif"), (1, "./a.tif")]
)
def test_a_vrt_that_is_allowed_has_images_beside_it(
    folder: Path, is_relative: int, source: str
) -> None:
    """Or below; workers open it as the driver did."""
    Path("m.vrt").write_text(MOSAIC.format(is_relative, source))
    info = describe("m.vrt", allow_driver=["VRT"])
    assert read(plan(info, 8).tile(0, 0)).max() == 7
    assert info.allowed.drivers == ("VRT",)


@pytest.mark.parametrize(
    ("is_relative", "source"),
    [
        (0, "{}/a.tif"),
        (1, "{}/a.tif"),
        (1, "../outside.tif"),
        (1, "below/../../outside.tif"),
        (1, "/vsicurl/http://127.0.0.1/a.tif"),
        (1, "http://127.0.0.1/a.tif"),
        (1, "other.vrt"),
        (1, "wms.xml"),
        (1, "&lt;VRTDataset/&gt;"),
        (0, "a.tif"),
        (1, "WCS:a.tif"),
        (1, ""),
    ],
)
def test_a_vrt_with_anything_else_is_refused(folder: Path, is_relative: int, source: str) -> None:
    """Also where VRTs are allowed."""
    Path("other.vrt").write_text(RAW.format(folder / "secret"))
    Path("wms.xml").write_text("<GDAL_WMS><Service/></GDAL_WMS>")
    make_image(folder.parent / "outside.tif", np.zeros((1, 8, 8), np.uint8))
    Path("m.vrt").write_text(MOSAIC.format(is_relative, source.format(folder)))
    with pytest.raises(InvalidImage, match=r"m\.vrt takes pixels from"):
        describe("m.vrt", allow_driver=["VRT"])


@pytest.mark.parametrize(
    "text",
    [
        RAW.replace('0">{}', '1">secret'),
        MOSAIC.format(1, "a.tif").replace("<VRTDataset ", '<VRTDataset subClass="VRTWarped" '),
        MOSAIC.format(1, "a.tif").replace("<SimpleSource>", "<SimpleSource><OpenOptions/>"),
        MOSAIC.format(1, "a.tif").replace('"Byte"', '"Byte" subClass="VRTDerivedRasterBand"'),
        '<!DOCTYPE a [<!ENTITY b "/etc/passwd">]>' + MOSAIC.format(1, "&b;"),
        MOSAIC.format(1, "a.tif") + "<",
    ],
)
def test_a_vrt_that_is_no_mosaic_is_refused(folder: Path, text: str) -> None:
    """Raw bytes, Python functions, options of drivers, entities."""
    Path("m.vrt").write_text(text)
    with pytest.raises(InvalidImage, match=r"m\.vrt"):
        describe("m.vrt", allow_driver=["VRT"])


def test_nobody_is_asked_in_the_network(folder: Path, asked: tuple[str, list[str]]) -> None:
    """However an image is named, or what its file says."""
    server, paths = asked
    wms = (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>{server}/x</ServerUrl></Service>'
        "<DataWindow><SizeX>8</SizeX><SizeY>8</SizeY></DataWindow></GDAL_WMS>"
    )
    Path("wms.tif").write_text(wms)
    vrt = MOSAIC.format(0, f"/vsicurl/{server}/a.tif")
    names = [
        f"{server}/a.tif",
        f"/vsicurl/{server}/a.tif",
        f"/vsicurl?url={server}/a.tif",
        f"/vsizip/vsicurl/{server}/a.zip/a.tif",
        f"/vsizip/{{/vsicurl/{server}/a.zip}}/a.tif",
        f"zip+{server}/a.zip!a.tif",
        f"GTIFF_DIR:1:/vsicurl/{server}/a.tif",
        f'NETCDF:"{server}/a.nc":x',
        f"vrt:///vsicurl/{server}/a.tif?bands=1",
        f"vrt://{server}/a.tif?bands=1",
        f"WMS:{server}/a?x=1",
        "gs://b/k.tif",
        "/vsiaz/b/k.tif",
        "ftp://127.0.0.1/a.tif",
        "wms.tif",
        wms,
        vrt,
    ]
    for name in names:
        with pytest.raises(InvalidImage) as caught:
            describe(name)
        assert "\n" not in str(caught.value)
    assert paths == []
    with pytest.raises(InvalidImage):
        describe(f"{server}/a.tif", allow_url=True)
    assert paths


@pytest.mark.parametrize(
    "where", ["/vsicurl/{}/a.ovr", "&lt;GDAL_WMS&gt;{}&lt;/GDAL_WMS&gt;", "/etc/a.tif"]
)
def test_no_overview_is_taken_from_elsewhere(
    folder: Path, asked: tuple[str, list[str]], where: str
) -> None:
    """What lies beside an image may name one."""
    server, paths = asked
    Path("a.tif.aux.xml").write_text(
        '<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">'
        f"{where.format(server)}</MDI></Metadata></PAMDataset>"
    )
    with pytest.raises(InvalidImage, match="takes its overviews from"):
        describe("a.tif")
    assert paths == []


SERVICES = (
    "<GDAL_WMTS><GetCapabilitiesUrl>{}/t</GetCapabilitiesUrl></GDAL_WMTS>",
    "<WCS_GDAL><ServiceURL>{}/w?</ServiceURL><Version>1.0.0</Version>"
    "<CoverageName>x</CoverageName></WCS_GDAL>",
)


def _with_service(image: Path, where: str, text: str) -> None:
    """Puts a description of a service where GDAL finds it beside an image."""
    named, of = text, image
    if where == "statistics":
        image.with_suffix(".aux").write_text(f"EHFA_HEADER_TAG {text}")
        return
    if where == "named":
        named = ":::BASE:::x.ovr"
        image.with_name("x.ovr").write_text(text)
    elif where.endswith("mask"):
        of = make_image(Path(f"{image}.msk"), np.full((1, 8, 8), 7, np.uint8))
        with rasterio.open(of, "r+") as target:
            target.update_tags(INTERNAL_MASK_FLAGS_1=2)
            if where == "in a mask":
                target.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=text)
                return
    Path(f"{of}.aux.xml").write_text(
        '<PAMDataset><Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'
        f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{escape(named)}</MDI>'
        "</Metadata></PAMDataset>"
    )


@pytest.mark.parametrize("where", ["inline", "of a mask", "in a mask", "named", "statistics"])
def test_nothing_beside_an_image_asks_in_the_network(
    folder: Path, asked: tuple[str, list[str]], where: str
) -> None:
    """GDAL opens what is named there, to list it; a service is asked then, before any refusal."""
    server, paths = asked
    for number, driver in enumerate(["GTiff", "NITF", "JP2OpenJPEG", "HFA", "PNG"]):
        for service in SERVICES:
            below = folder / f"{number}{service[1:5]}"
            below.mkdir()
            image = make_image(below / "a.img", np.full((1, 8, 8), 7, np.uint8), driver=driver)
            _with_service(image, where, service.format(server))
            with pytest.raises(InvalidImage, match="takes its overviews from|is a W(CS|MTS)"):
                describe(image)
    assert paths == []


@pytest.mark.parametrize("name", ["a.tif", "/vsizip/a.zip/a.tif", "GTIFF_DIR:1:a.tif"])
def test_a_role_without_s3_is_refused(folder: Path, name: str) -> None:
    """The item would say that it was used."""
    with pytest.raises(InvalidImage, match=f"{ROLE} is for reading from there"):
        describe(name, ROLE)


@pytest.mark.parametrize("name", ["s3://b/k.tif", "/vsis3/b/k.tif", "zip+s3://b/k.zip!a.tif"])
def test_a_role_goes_with_all_names_of_what_is_in_s3(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is assumed."""
    roles: list[object] = []

    def assume(role: str) -> Any:
        roles.append(role)
        raise InvalidImage("enough")

    monkeypatch.setattr("raytracker.imagery.opening._assume", assume)
    with pytest.raises(InvalidImage, match="enough"):
        describe(name, ROLE)
    assert roles == [ROLE]


@pytest.mark.parametrize(
    "name",
    [
        "{}/a.tif",
        "a.tif",
        "/vsizip/{}/a.zip/a.tif",
        "GTIFF_DIR:1:/vsis3/b/a.tif",
        "/vsizip/{}/vsis3/b.zip/x",
    ],
)
def test_a_request_names_an_image_in_s3(folder: Path, name: str, moto_table: JobTable) -> None:
    """Who sends one must not choose from this machine's files."""
    name = name.format(folder)
    request = ImageRequest(job_id="j", image_id=f"j:{name}", image_url=name, tile_size=(8, 8))
    request.tile_overlap = (0, 0)
    with pytest.raises(InvalidImage, match="not in S3"):
        plan_image(request, print, Cut(), table=moto_table)


def test_a_request_that_is_trusted(folder: Path, moto_table: JobTable) -> None:
    """It names what it wants."""
    request = ImageRequest(job_id="j", image_id="j:a", image_url="a.tif", tile_size=(8, 8))
    request.tile_overlap = (0, 0)
    assert plan_image(request, print, Cut(), table=moto_table, allow_url=True).grid


def test_a_driver_that_is_none() -> None:
    """It is named."""
    with pytest.raises(InvalidImage, match="allow_driver"):
        describe("a.tif", allow_driver=[5])  # type: ignore[list-item]


def test_a_key_may_be_anything() -> None:
    """A key in S3 is no path and no URL."""
    for key in ("a/vsicurl/x.tif", "gs://b", "vsimem/http://x", "a=b://c?d"):
        for name in (f"s3://bucket/{key}", f"/vsis3/bucket/{key}", f"zip+s3://bucket/{key}!x"):
            check_allowed(name, Allowed())
            check_is_in_s3(name, Allowed())

"""Names of images: files with any name, and what GDAL takes in a file's place."""

import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import rasterio.shutil
from rasterio.io import MemoryFile

from raytracker.errors import InvalidImage
from raytracker.imagery import describe, plan, read
from raytracker.imagery.names import absolute, gdal_name, is_in_s3
from tests.support.images import make_image

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


def value_of(name: Any) -> int:
    """Returns the value of an image of one value, as a worker in another folder reads it."""
    tile = plan(describe(name)).tile(0, 0)
    before = Path.cwd()
    os.chdir("/")
    try:
        pixels = read(tile)
    finally:
        os.chdir(before)
    assert pixels.min() == pixels.max()
    return int(pixels[0, 0, 0])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder; a.tif is of 7, and in a.nc, a.zip, a.tar, a.tif.gz as well."""
    monkeypatch.chdir(tmp_path)
    path = one_value(tmp_path / "a.tif", 7)
    rasterio.shutil.copy(path, tmp_path / "a.nc", driver="netCDF")
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.write("a.tif", "inner/a b#1.tif")
    with tarfile.open("a.tar", "w") as archive:
        archive.add("a.tif")
    return tmp_path


def one_value(path: Path, value: int, **profile: Any) -> Path:
    return make_image(path, np.full((1, 20, 30), value, "uint8"), **profile)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("netcdf:{0}/a.nc:Band1", None),
        ("netcdf:a.nc:Band1", "netcdf:{0}/a.nc:Band1"),
        ('NETCDF:"{0}/a.nc":Band1', None),
        ('NETCDF:"a.nc":Band1', 'NETCDF:"{0}/a.nc":Band1'),
        ("GTIFF_DIR:1:{0}/a.tif", None),
        ("GTIFF_DIR:1:a.tif", "GTIFF_DIR:1:{0}/a.tif"),
        ("/vsizip/{0}/a.zip/inner/a b#1.tif", None),
        ("/vsizip/a.zip/inner/a b#1.tif", "/vsizip/{0}/a.zip/inner/a b#1.tif"),
        ("/vsizip/{{a.zip}}/inner/a b#1.tif", "/vsizip/{{{0}/a.zip}}/inner/a b#1.tif"),
        (
            "/vsizip/{{/vsizip/{{b.zip}}/a.zip}}/inner/a b#1.tif",
            "/vsizip/{{/vsizip/{{{0}/b.zip}}/a.zip}}/inner/a b#1.tif",
        ),
        ("/vsitar/a.tar/a.tif", "/vsitar/{0}/a.tar/a.tif"),
        ("GTIFF_DIR:1:/vsitar/a.tar/a.tif", "GTIFF_DIR:1:/vsitar/{0}/a.tar/a.tif"),
        ("/vsisubfile/0_-1,a.tif", "/vsisubfile/0_-1,{0}/a.tif"),
        ("zip://a.zip!inner/a b#1.tif", "zip://{0}/a.zip!inner/a b#1.tif"),
        ("tar://{0}/a.tar!a.tif", None),
        ("zip+file://a.zip!/inner/a b#1.tif", "zip+file://{0}/a.zip!/inner/a b#1.tif"),
        ("file://{0}/a.tif", None),
        ("file://a.tif", "file://{0}/a.tif"),
        ("vrt://a.tif?bands=1", "vrt://{0}/a.tif?bands=1"),
        ("DERIVED_SUBDATASET:AMPLITUDE:a.tif", "DERIVED_SUBDATASET:AMPLITUDE:{0}/a.tif"),
    ],
)
def test_what_gdal_takes_in_a_files_place(folder: Path, name: str, full: str | None) -> None:
    """Goes to it as it is, with files made absolute; it is what the job is known by."""
    with zipfile.ZipFile("b.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.write("a.zip")
    name = name.format(folder)
    assert describe(name).url == (name if full is None else full.format(folder))
    assert value_of(name) == 7


ODD = ["a:b.tif", "netcdf:a.nc:Band1", "GTIFF_DIR:1:a.tif", "10:30 scene.tif", "a#1.tif", "a?b=c",
       "100%.tif", "a%20b.tif", "Ünï côdé 地図.tif", "a b.tif", "<x>.tif", '"q".tif', "{a}.tif",
       "a!b.zip", "s3:x.tif", "-a.tif"]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("driver", ["GTiff", "PNG"])
def test_a_file_with_any_name(folder: Path, name: str, driver: str) -> None:
    """Is that file, named in full or not."""
    one_value(folder / name, 9, driver=driver)
    assert describe(name).url == f"{folder}/{name}"
    assert value_of(name) == value_of(folder / name) == 9


def test_a_folder_with_any_name(folder: Path) -> None:
    """GDAL's own prefixes in the middle of a path mean nothing."""
    for name in ("vsimem", "vsis3", "a:b", "vsizip"):
        (folder / name).mkdir()
        path = one_value(folder / name / "x.tif", 3)
        assert value_of(f"{name}/x.tif") == value_of(path) == 3
        assert not is_in_s3(describe(path).url)
    assert value_of(f"GTIFF_DIR:1:{folder}/vsimem/x.tif") == 3


def test_a_link_stays_one_and_what_lies_beside_its_target_is_found(folder: Path) -> None:
    """Folders as the system sees them: link/.. is not this folder."""
    (folder / "far" / "data").mkdir(parents=True)
    one_value(folder / "far" / "x.tif", 5)
    one_value(folder / "x.tif", 6)
    (folder / "link").symlink_to(folder / "far" / "data")
    (folder / "link.tif").symlink_to(folder / "x.tif")
    assert value_of("link/../x.tif") == 5
    assert describe("link.tif").url == f"{folder}/link.tif"
    assert describe("far/../x.tif").url == f"{folder}/x.tif"


@pytest.mark.parametrize(
    "name",
    [
        "/vsimem/x.tif",
        "/vsizip//vsimem/x.zip/a.tif",
        "/vsizip/vsimem/x.zip/a.tif",
        "/vsizip/{/vsimem/x.zip}/a.tif",
        "netcdf:/vsimem/a.nc:Band1",
        'NETCDF:"/vsimem/a.nc":Band1',
        "GTIFF_DIR:1:/vsimem/x.tif",
        "vrt:///vsimem/x.tif?bands=1",
        "/vsisubfile/0_9,/vsimem/x.tif",
        "zip:///vsimem/x.zip!a.tif",
        "file:///vsimem/x.tif",
        "/vsistdin/",
        "/vsigzip//vsistdin/",
    ],
)
def test_what_no_worker_sees(name: str) -> None:
    """Is refused at once, wherever it stands in the name."""
    with pytest.raises(InvalidImage, match="no worker sees it: write it to a file"):
        describe(name)


def test_what_is_in_memory_is_refused_though_it_is_there() -> None:
    """The driver alone could open it."""
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", width=9, height=9, count=1, dtype="uint8"):
            pass
        with pytest.raises(InvalidImage, match="no worker sees it"):
            describe(memory.name)


def test_two_files_that_one_name_may_mean(folder: Path) -> None:
    """Neither is taken."""
    (folder / "Band1").touch()
    with pytest.raises(InvalidImage, match="give that one's full path"):
        describe("netcdf:a.nc:Band1")
    assert value_of(f"netcdf:{folder}/a.nc:Band1") == 7


@pytest.mark.parametrize(
    "name",
    ["", "a\0b", "missing.tif", "missing:1.tif", "netcdf:missing.nc:x", "/vsizip/no.zip/x.tif",
     "foo://bar", "zip://no.zip!x.tif", "netcdf:", "HDF5:\"no.h5\"://x", "/vsizip/", "s3://", "vrt://"],
)  # fmt: skip
def test_what_names_nothing(folder: Path, name: str) -> None:
    """Is told in one line."""
    with pytest.raises(InvalidImage) as caught:
        describe(name)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_not_utf_8(folder: Path) -> None:
    """Python lets it be, but neither GDAL nor the table takes it."""
    name = os.fsdecode(b"a\xff.tif")
    (folder / "a.tif").rename(name)
    for path in (name, Path(name), os.fsencode(name), f"/vsizip/{name}/x"):
        with pytest.raises(
            InvalidImage, match=r"a\\xff.tif.* is not UTF-8.*rename the file"
        ) as err:
            describe(path)  # type: ignore[arg-type]
        str(err.value).encode()


@pytest.mark.parametrize("name", ["scene \ud800", "s3://bucket/\ud800.tif", "netcdf:\udfff:band"])
def test_half_a_character_is_no_name(folder: Path, name: str) -> None:
    """As an item may have it, which JSON lets in."""
    with pytest.raises(InvalidImage, match=r"\\ud[8f][0f][0f].* is not UTF-8"):
        describe(name)


# --- objects ---


@pytest.mark.parametrize(
    ("url", "opened"),
    [
        ("s3://b/k.tif", "/vsis3/b/k.tif"),
        ("S3://b/K#1.tif", "/vsis3/b/K#1.tif"),
        ("gs://b/k?1.tif", "/vsigs/b/k?1.tif"),
        ("https://h/k.tif?sig=%20#x", "/vsicurl/https://h/k.tif?sig=%20#x"),
        ("zip+s3://b/a#1.zip!in/k.tif", "/vsizip/{/vsis3/b/a#1.zip}/in/k.tif"),
        ("zip+https://h/a.zip!k.tif", "/vsizip/{/vsicurl/https://h/a.zip}/k.tif"),
        ("/vsis3/b/k.tif", "/vsis3/b/k.tif"),
        ("foo://b/k.tif", "foo://b/k.tif"),
    ],
)
def test_what_gdal_is_given(url: str, opened: str) -> None:
    """Never what rasterio makes of a URL: it takes a # in a key for a fragment."""
    assert absolute(url) == url
    assert gdal_name(url) == opened
    assert is_in_s3(url) == ("/vsis3/" in opened)


@pytest.fixture
def bucket(s3_endpoint: str) -> Callable[..., None]:
    client = boto3.client("s3")
    client.create_bucket(Bucket="names")

    def put(path: Path, key: str) -> None:
        client.upload_file(str(path), "names", key)

    return put


KEYS = ["A#1_B.tif", "A?x=1&y.tif", "A%20B.tif", "A+B.tif", "A B.tif", "ü/地図.tif", "a//b.tif",
        "a:b.tif", "a/b!c.tif", "a;b=c,d.tif", "{a}.tif", "a'b(1).tif", "~a*.tif", "a@b.tif",
        "%23.tif", "a$b.tif", "a\\b.tif", "[a].tif", 'a"b.tif']  # fmt: skip


def test_a_key_with_any_characters(folder: Path, bucket: Callable[..., None]) -> None:
    """It is exactly that key, though others are there that a URL could mean."""
    decoys = [
        "A",
        "A#1_B",
        "A B.tif",
        "A%20B.tif",
        "A+B.tif",
        "a/b.tif",
        "a",
        "#.tif",
        "a/b",
        "A?x=1",
    ]
    for decoy in decoys:
        bucket(one_value(folder / "decoy.tif", 1), decoy)
    for number, key in enumerate(KEYS):
        bucket(one_value(folder / "x.tif", 10 + number), key)
    for number, key in enumerate(KEYS):
        for name in (f"s3://names/{key}", f"/vsis3/names/{key}"):
            assert describe(name).url == name
            assert value_of(name) == 10 + number, key


def test_an_archive_in_s3(folder: Path, bucket: Callable[..., None]) -> None:
    """And GDAL's other names of what lies there: with S3's settings, which find it."""
    bucket(folder / "a.zip", "a#1.zip")
    bucket(folder / "a.tif", "a#1.tif")
    assert value_of("zip+s3://names/a#1.zip!inner/a b#1.tif") == 7
    assert value_of("/vsizip//vsis3/names/a#1.zip/inner/a b#1.tif") == 7
    assert value_of("/vsizip/vsis3/names/a#1.zip/inner/a b#1.tif") == 7
    assert value_of("GTIFF_DIR:1:/vsis3/names/a#1.tif") == 7


def test_a_file_of_several_images_names_one(folder: Path) -> None:
    """So that the advice can be followed."""
    where = {"crs": "EPSG:4326", "transform": rasterio.Affine(0.1, 0, 5, 0, -0.1, 5)}
    one_value(folder / "a.tif", 7, **where)
    for table, append in (("one", "NO"), ("two", "YES")):
        options = {"driver": "GPKG", "RASTER_TABLE": table, "APPEND_SUBDATASET": append}
        rasterio.shutil.copy("a.tif", "a.gpkg", **options)
    with pytest.raises(InvalidImage, match=f"such as GPKG:{folder}/a.gpkg:ONE"):
        describe("a.gpkg")
    assert describe("GPKG:a.gpkg:TWO").url == f"GPKG:{folder}/a.gpkg:TWO"
    assert value_of("GPKG:a.gpkg:TWO") == 7

"""Images in S3, with and without a role."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.env import getenv

from raytracker.errors import InvalidImage
from raytracker.imagery import check_unchanged, describe, opening, plan, read
from raytracker.imagery.reading import kept_open
from tests.support.images import make_image, noting
from tests.support.moto_s3 import moto_s3

BAHAMAS = Path(__file__).parents[2] / "examples" / "data" / "bahamas.tif"
ROLE = "arn:aws:iam::123456789012:role/reader"


@pytest.fixture(scope="module")
def s3_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s3") / "log"


@pytest.fixture(scope="module")
def s3_endpoint(s3_log: Path) -> Iterator[str]:
    with moto_s3(s3_log) as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str) -> str:
    client = boto3.client("s3")
    client.create_bucket(Bucket="scenes")
    client.upload_file(str(BAHAMAS), "scenes", "2024/bahamas.tif")
    return "s3://scenes/2024"


def test_an_image_in_s3_is_the_same_image(bucket: str) -> None:
    """Found where boto3 finds S3: one setting serves both."""
    info = describe(f"{bucket}/bahamas.tif")
    assert info.url == "s3://scenes/2024/bahamas.tif"
    assert (info.extents, info.width) == (describe(BAHAMAS).extents, 791)
    tile = plan(info, 256).tile(0, 3)
    assert np.array_equal(read(tile), read(plan(describe(BAHAMAS), 256).tile(0, 3)))


def test_an_image_is_opened_with_few_requests(bucket: str, s3_log: Path) -> None:
    """Nothing is looked for beside it: that took a hundred, and again a dozen in each process."""
    requests = RequestLog(s3_log)
    info = describe(f"{bucket}/bahamas.tif")
    assert len(requests.new()) <= 3 + 2  # two of them for its last block: is it there?
    grid = plan(info, 256)
    with kept_open(info):
        read(grid.tile(0, 0))
        assert len(requests.new()) <= 2 + 2
        for number in (1, 2):
            read(grid.tile(0, number))
            assert len(requests.new()) <= 2


def test_a_header_beside_an_image_is_found(bucket: str, tmp_path: Path) -> None:
    """ENVI's images have one; it is looked for where there is no image without."""
    with rasterio.open(BAHAMAS) as source:
        rasterio.shutil.copy(source, tmp_path / "bahamas.img", driver="ENVI")
    for name in ("bahamas.img", "bahamas.hdr"):
        boto3.client("s3").upload_file(str(tmp_path / name), "scenes", f"2024/{name}")
    info = describe(f"{bucket}/bahamas.img")
    tile = plan(info, 256).tile(0, 3)
    assert np.array_equal(read(tile), read(plan(describe(BAHAMAS), 256).tile(0, 3)))


class RequestLog:
    """What a server has been asked since the last look."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._seen = len(self._lines())

    def new(self) -> list[str]:
        """Returns the lines that have come."""
        lines = self._lines()
        new, self._seen = lines[self._seen :], len(lines)
        return new

    def _lines(self) -> list[str]:
        return [line for line in self._log.read_text().splitlines() if "HTTP/1.1" in line]


def test_gdals_own_settings_go_first(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sets AWS_S3_ENDPOINT means it."""
    monkeypatch.setenv("AWS_S3_ENDPOINT", "127.0.0.1:1")
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    with pytest.raises(InvalidImage):
        describe(f"{bucket}/bahamas.tif")


@pytest.mark.parametrize("url", ["/nowhere.tif", "/README.md"])
def test_what_is_no_image_in_s3(bucket: str, url: str) -> None:
    """Told in one line that names it."""
    boto3.client("s3").put_object(Bucket="scenes", Key="2024/README.md", Body=b"no image")
    with pytest.raises(InvalidImage, match=bucket + url) as caught:
        describe(bucket + url)
    assert "\n" not in str(caught.value)


def test_a_role_is_assumed_once_and_used(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the driver and, as the tile names it, in tasks; STS is not asked for each tile."""
    info = describe(f"{bucket}/bahamas.tif", role=ROLE)
    assert info.role == ROLE
    assumed = opening._assumed[ROLE]
    used: list[str] = []
    really = opening.DatasetReader

    def note(url: str, **how: Any) -> Any:
        used.append(getenv()["AWS_ACCESS_KEY_ID"])
        return really(url, **how)

    monkeypatch.setattr(opening, "DatasetReader", note)
    for look in (info, describe(f"{bucket}/bahamas.tif", role=ROLE)):
        read(plan(look, 256).tile(0, 0))
    assert used == [assumed.session.get_credentials().access_key] * 3
    assert used[0] != os.environ["AWS_ACCESS_KEY_ID"]
    assert opening._assumed[ROLE] is assumed


@pytest.mark.parametrize("role", [None, ROLE])
def test_no_tile_takes_a_session_of_its_own(
    bucket: str, monkeypatch: pytest.MonkeyPatch, role: str | None
) -> None:
    """Making one takes boto3 as long as reading dozens of tiles."""
    tile = plan(describe(f"{bucket}/bahamas.tif", role=role), 256).tile(0, 0)
    made: list[Any] = []
    monkeypatch.setattr(boto3, "Session", made.append)
    read(tile)
    assert not made


def test_credentials_that_end_soon_are_asked_for_anew(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long job outlives its first hour, and what is open with the old ones is opened again."""
    tile = plan(describe(f"{bucket}/bahamas.tif", role=ROLE), 256).tile(0, 0)
    opened: list[str] = []
    monkeypatch.setattr(opening, "DatasetReader", noting(opened))
    for _ in range(2):
        read(tile)
    first = opening._assumed[ROLE]
    opening._assumed[ROLE] = first._replace(expires=first.expires - timedelta(minutes=57))
    for _ in range(2):
        read(tile)
    assert opening._assumed[ROLE] is not first
    assert len(opened) == 2


@pytest.mark.parametrize("key", ["A#1_B.tif", "A?x=1&y.tif", "A B%20ü+.tif"])
def test_a_key_of_any_characters(bucket: str, key: str) -> None:
    """It is that key, not what a URL would make of it."""
    client = boto3.client("s3")
    client.put_object(Bucket="scenes", Key="2024/A", Body=b"no image")
    client.upload_file(str(BAHAMAS), "scenes", f"2024/{key}")
    info = describe(f"{bucket}/{key}")
    assert info.url == f"{bucket}/{key}"
    assert read(plan(info, 256).tile(0, 3)).any()


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_an_object_that_was_replaced(bucket: str, tmp_path: Path) -> None:
    """GDAL, left alone, would go on with what it knows of the old one."""
    for value in (1, 2):
        path = make_image(tmp_path / "image.tif", np.full((1, 30, 40), value, "uint8"))
        boto3.client("s3").upload_file(str(path), "scenes", "2024/image.tif")
        assert (read(plan(describe(f"{bucket}/image.tif")).tile(0, 0)) == value).all()


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_an_object_that_is_replaced_while_it_is_read(bucket: str, tmp_path: Path) -> None:
    """Its tiles may be of either: whoever reads on is told, and so is a process that opens it."""
    path = make_image(tmp_path / "image.tif", np.full((1, 30, 40), 1, "uint8"))
    s3 = boto3.client("s3")
    s3.upload_file(str(path), "scenes", "2024/image.tif")
    info = describe(f"{bucket}/image.tif")
    assert "ETag" in (info.fingerprint or "")
    tile = plan(info).tile(0, 0)
    read(tile)
    check_unchanged(info)
    s3.upload_file(
        str(make_image(path, np.full((1, 30, 40), 2, "uint8"))), "scenes", "2024/image.tif"
    )
    with pytest.raises(InvalidImage, match="was replaced, or written to, while it was read"):
        check_unchanged(info)
    with pytest.raises(InvalidImage, match="is another image than when it was planned"):
        read(tile)


def test_a_mask_beside_an_object_is_not_overlooked(bucket: str) -> None:
    """GDAL is told not to look there: what it masks would be taken for data."""
    boto3.client("s3").put_object(Bucket="scenes", Key="2024/image.tif.msk", Body=b"mask")
    with pytest.raises(InvalidImage, match="has a mask beside it, 2024/image.tif.msk"):
        describe(f"{bucket}/image.tif")


def test_a_role_that_cannot_be_assumed(bucket: str) -> None:
    """Named in one line."""
    with pytest.raises(InvalidImage, match="role not-a-role cannot be assumed"):
        describe(f"{bucket}/bahamas.tif", role="not-a-role")


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_a_raw_object_that_was_cut_short(bucket: str, tmp_path: Path) -> None:
    """GDAL would read zeros where it ends."""
    pixels = np.arange(3 * 20 * 30).reshape(3, 20, 30).astype("uint16")
    path = make_image(tmp_path / "raw.dat", pixels, driver="ENVI")
    client = boto3.client("s3")
    client.upload_file(str(path.with_suffix(".hdr")), "scenes", "2024/raw.hdr")
    client.upload_file(str(path), "scenes", "2024/raw.dat")
    assert np.array_equal(read(plan(describe(f"{bucket}/raw.dat")).tile(0, 0)), pixels)
    client.put_object(Bucket="scenes", Key="2024/raw.dat", Body=path.read_bytes()[:-2])
    with pytest.raises(InvalidImage, match="it has 3598 bytes, and by its header at least 3600"):
        describe(f"{bucket}/raw.dat")

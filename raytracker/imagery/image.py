"""Opening an image, planning its regions and tiles, reading one tile; extra `raytracker[imagery]`.

GDAL reads the pixels, through rasterio. Images are local paths or `s3://bucket/key`.
"""

from __future__ import annotations

import functools
import os
import threading
import warnings
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

import boto3
import numpy as np
import rasterio
from botocore.exceptions import BotoCoreError, ClientError
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.session import AWSSession
from rasterio.warp import transform, transform_bounds
from rasterio.windows import Window

from ..errors import InvalidImage
from .grid import Grid, Size, plan
from .tile import GDAL_ERRORS, LONLAT, ImageInfo, OsmlBounds, Tile, from_osml, to_osml

__all__ = [
    "Grid",
    "ImageInfo",
    "OsmlBounds",
    "Size",
    "Tile",
    "describe",
    "from_osml",
    "plan",
    "read",
    "to_osml",
]


def describe(image: str | os.PathLike[str], role: str | None = None) -> ImageInfo:
    """Returns what is known of an image without reading its pixels.

    Args:
        image: A local path, or `s3://bucket/key`.
        role: The ARN of a role to assume, through STS, for reading from S3.

    Raises:
        InvalidImage: The image is missing or cannot be opened, or the role cannot be assumed.
    """
    url = os.fspath(image)
    if "://" not in url:
        # Tasks run in other folders. A link stays one: on other nodes it may lead elsewhere.
        url = os.path.abspath(url)  # noqa: PTH100
    with _environment(url, role), _open(url) as source:
        if source.count == 0:
            raise InvalidImage(f"{url} has no bands of its own: name one of its subdatasets")
        _check_end(source, url)
        crs, extents = _place(source)
        return ImageInfo(
            url=url,
            width=source.width,
            height=source.height,
            bands=source.count,
            dtype=str(source.dtypes[0]),
            crs=crs,
            transform=None if crs is None else tuple(source.transform)[:6],
            extents=extents,
            nodata=source.nodata,
            role=role,
        )


def read(tile: Tile, role: str | None = None) -> NDArray[Any]:
    """Returns one tile's pixels as an array of (bands, rows, columns).

    Only the blocks of the file that the tile touches are read. The image stays open in this
    thread until another is read: neighbouring tiles share blocks, and small ones most of them.

    Args:
        tile: From `Grid.tile`.
        role: The role to assume instead of the one that the image was described with.

    Raises:
        InvalidImage: The image, or this part of it, cannot be read.
    """
    image = tile.image
    with _environment(image.url, role or image.role) as environment:
        source = _kept.open(image, environment.session.get_credential_options())
        try:
            pixels: NDArray[Any] = source.read(window=tile.window)
        except GDAL_ERRORS as err:
            _kept.close()  # what went wrong may be remembered in it
            raise InvalidImage(
                f"rows {tile.row_off} to {tile.row_off + tile.height - 1}, columns {tile.col_off} "
                f"to {tile.col_off + tile.width - 1} of {image.url} cannot be read: {_cause(err)}"
            ) from err
        return pixels


class _Kept(threading.local):
    """The image that this thread has open; GDAL allows a thread its own only."""

    _key: Any = None
    _source: Any = None

    def open(self, image: ImageInfo, credentials: Mapping[str, str]) -> Any:
        # What is open was opened with credentials that end.
        key = image.opened, credentials
        if key != self._key:
            self.close()
            source = _open(image.url)
            if (source.width, source.height) != (image.width, image.height):
                raise InvalidImage(
                    f"{image.url} is {source.width} x {source.height} pixels now, and was "
                    f"{image.width} x {image.height} when it was planned: start it again"
                )
            self._key, self._source = key, source
        return self._source

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
        self._key = self._source = None


_kept = _Kept()


def _check_end(source: Any, url: str) -> None:
    """Refuses a GeoTIFF that lost its end, the commonest damage: its last block is there no more.

    Other formats are not looked into, because some decode all of an image for its last pixel.
    """
    if source.driver != "GTiff":
        return
    try:
        source.read(window=Window(source.width - 1, source.height - 1, 1, 1))
    except GDAL_ERRORS as err:
        raise InvalidImage(f"{url} is truncated or corrupt: {_cause(err)}") from err


def _place(source: Any) -> tuple[str | None, dict[str, float] | None]:
    """Returns an image's CRS, as short as it can be said, and its extents in degrees."""
    if source.crs is None or source.transform.is_identity:
        return None, None
    # All four edges, not two corners: the transform may rotate, or lead upwards.
    columns, rows = np.linspace(0, source.width, 22), np.linspace(0, source.height, 22)
    a, b, c, d, e, f = tuple(source.transform)[:6]
    around = [(columns, 0), (columns, source.height), (0, rows), (source.width, rows)]
    xs = np.concatenate([a * column + b * row + c for column, row in around])
    ys = np.concatenate([d * column + e * row + f for column, row in around])
    try:
        if source.transform.is_rectilinear:  # this one knows poles and the antimeridian
            bounds = transform_bounds(source.crs, LONLAT, xs.min(), ys.min(), xs.max(), ys.max())
        else:
            longitudes, latitudes = transform(source.crs, LONLAT, xs, ys)
            bounds = min(longitudes), min(latitudes), max(longitudes), max(latitudes)
    except GDAL_ERRORS:  # a local CRS, or another planet's
        return None, None
    text = source.crs.to_string()
    crs = text if CRS.from_string(text) == source.crs else source.crs.to_wkt()
    if not np.isfinite(bounds).all():
        return crs, None
    west, south, east, north = map(float, bounds)
    return crs, {"north": north, "south": south, "east": east, "west": west}


def _open(url: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            return rasterio.open(url)
    except GDAL_ERRORS as err:
        raise InvalidImage(f"{url} cannot be opened as an image: {_cause(err)}") from err


def _cause(err: BaseException) -> str:
    """Returns, in one line, what GDAL said first; rasterio's own text may only point to it."""
    while err.__cause__ is not None:
        err = err.__cause__
    return " ".join(str(err).split())


# --- GDAL's settings, and S3 ---

# GDAL's own is a twentieth of the machine's memory for each process, and so for each worker.
_OPTIONS = {"GDAL_CACHEMAX": 128 * 1024 * 1024}  # bytes

# Unlike GDAL's own: it doesn't list the image's folder, forgets an object that it has closed, as
# another may have come in its place, tries again, and gives up some time.
_S3_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "CPL_VSIL_CURL_NON_CACHED": "/vsis3/",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
}


def _environment(url: str, role: str | None) -> rasterio.Env:
    in_s3 = url.startswith("s3://")
    options = {**_OPTIONS, **_S3_OPTIONS, **_endpoint_options()} if in_s3 else _OPTIONS
    options = {name: value for name, value in options.items() if name not in os.environ}
    if not in_s3:
        return rasterio.Env(**options)
    if role is None:
        return rasterio.Env(AWSSession(_session()), **options)
    try:
        credentials = _assume(role)
    except (BotoCoreError, ClientError) as err:
        raise InvalidImage(f"{url}: the role {role} cannot be assumed: {err}") from err
    session = AWSSession(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name=_session().region_name,
    )
    return rasterio.Env(session, **options)


def _endpoint_options() -> dict[str, str]:
    """Returns GDAL's way to say what boto3 takes from AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return {}
    parts = urlsplit(endpoint)
    return {
        "AWS_S3_ENDPOINT": f"{parts.netloc}{parts.path.rstrip('/')}",
        "AWS_HTTPS": "NO" if parts.scheme == "http" else "YES",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }


@functools.cache
def _session() -> boto3.Session:
    # One a process: each new one would ask the instance's metadata for credentials again.
    return boto3.Session()


_assumed: dict[str, Any] = {}  # by role, as STS is throttled long before S3 is


def _assume(role: str) -> Any:
    """Returns credentials for a role that are good for five minutes at least."""
    known = _assumed.get(role)
    soon = datetime.now(timezone.utc) + timedelta(minutes=5)
    if known is None or known["Expiration"] < soon:
        sts = boto3.client("sts")
        answer = sts.assume_role(RoleArn=role, RoleSessionName="raytracker")
        known = _assumed[role] = answer["Credentials"]
    return known

"""Opening an image through GDAL: its settings, and S3 with or without a role."""

from __future__ import annotations

import functools
import os
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import boto3
import rasterio
from botocore.exceptions import BotoCoreError, ClientError
from rasterio.env import getenv, setenv
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader
from rasterio.session import AWSSession, DummySession

from ..errors import InvalidImage
from .allowed import Allowed, check_allowed, files_in, is_near
from .beside import check_beside, check_inner
from .hearing import Said, listening
from .info import GDAL_ERRORS, cause
from .names import gdal_name, is_in_s3

# GDAL's own is a twentieth of the machine's memory for each process, and so for each worker.
_OPTIONS = {"GDAL_CACHEMAX": 128 * 1024 * 1024}  # bytes

# Whatever the environment says, damage is an error. GDAL loses the errors of its decoder threads,
# and what they could not decode of a JPEG 2000 is zeros then.
_ALWAYS = {
    "GDAL_NUM_THREADS": "1",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",  # which takes a file's missing end for zeros
    "GDAL_ERROR_ON_LIBJPEG_WARNING": "YES",  # libjpeg says it once for each image, not each tile
}

_NO_HDF5 = "; HDF5 and netCDF are opened there with allow_driver=['HDF5', 'netCDF'] only"

_BESIDE = "GDAL_DISABLE_READDIR_ON_OPEN"

# Unlike GDAL's own: it doesn't look for what may lie beside the image, which took a hundred
# requests, forgets an object that it has closed, as another may have come in its place, tries
# again, and gives up some time.
_S3_OPTIONS = {
    _BESIDE: "EMPTY_DIR",
    "CPL_VSIL_CURL_NON_CACHED": "/vsis3/",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_LOW_SPEED_TIME": "30",
}


def environment(url: str, role: str | None) -> rasterio.Env:
    """Returns what GDAL needs to know while an image is opened or read.

    Raises:
        InvalidImage: The role cannot be assumed.
    """
    in_s3 = is_in_s3(url)
    options = {**_OPTIONS, **_S3_OPTIONS, **_endpoint_options()} if in_s3 else _OPTIONS
    options = {name: value for name, value in options.items() if name not in os.environ}
    if is_near(url):  # what its metadata name is not to be looked for in the network
        options["CPL_VSIL_CURL_ALLOWED_FILENAME"] = "none"
    # Without a session rasterio makes one of its own, in milliseconds, where there are AWS keys.
    session = _s3_session(url, role) if in_s3 else DummySession()
    return rasterio.Env(session, **options, **_ALWAYS)


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


def _s3_session(url: str, role: str | None) -> AWSSession:
    if role is None:
        return AWSSession(_session())
    try:
        return AWSSession(_assume(role).session)
    except (BotoCoreError, ClientError) as err:
        raise InvalidImage(f"{url}: the role {role} cannot be assumed: {err}") from None


@functools.cache
def _session() -> boto3.Session:
    # One a process: each new one would ask the instance's metadata for credentials again.
    return boto3.Session()


def head_object(role: str | None) -> Callable[[str, str], Any]:
    """Returns what asks S3 for the head of an object, by bucket and key; it asks nothing yet."""

    def head(bucket: str, key: str) -> Any:
        session = _session() if role is None else _assume(role).session
        return _client(session).head_object(Bucket=bucket, Key=key)

    return head


@functools.lru_cache(maxsize=8)
def _client(session: boto3.Session) -> Any:
    return session.client("s3")


class _Assumed(NamedTuple):
    """A role that this process has assumed."""

    session: boto3.Session
    expires: datetime


_assumed: dict[str, _Assumed] = {}  # by role, as STS is throttled long before S3 is


def _assume(role: str) -> _Assumed:
    """Returns a role with credentials that are good for five minutes at least."""
    known = _assumed.get(role)
    soon = datetime.now(timezone.utc) + timedelta(minutes=5)
    if known is None or known.expires < soon:
        sts = boto3.client("sts")
        answer = sts.assume_role(RoleArn=role, RoleSessionName="raytracker")
        credentials = answer["Credentials"]
        session = boto3.Session(
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            region_name=_session().region_name,
        )
        known = _assumed[role] = _Assumed(session, credentials["Expiration"])
    return known


def _opened(name: str, drivers: Sequence[str], said: Said) -> Any:
    # `rasterio.open` takes one driver only.
    try:
        return DatasetReader(name, driver=drivers)
    except GDAL_ERRORS:
        if getenv().get(_BESIDE) != "EMPTY_DIR":
            raise
    # Of some formats, such as ENVI, the header is a file beside the image.
    setenv(**{_BESIDE: "TRUE"})
    said.failures.clear()
    try:
        return DatasetReader(name, driver=drivers)
    finally:
        setenv(**{_BESIDE: "EMPTY_DIR"})


def open_image(url: str, allowed: Allowed) -> Any:
    """Returns an image, opened by rasterio in its `environment`.

    Args:
        url: Its name, from `names.absolute`.
        allowed: What may be opened beside the usual.

    Raises:
        InvalidImage: It is missing or cannot be opened, or not all of it.
    """
    drivers = check_allowed(url, allowed)
    try:
        with warnings.catch_warnings(), listening() as said:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            source = _opened(gdal_name(url), drivers, said)
    except GDAL_ERRORS as err:
        hint = "" if "HDF5" in drivers else _NO_HDF5
        raise InvalidImage(f"{url} cannot be opened as an image: {cause(err)}{hint}") from None
    # GDAL opens what it can. Its warnings are of unknown tags and the like.
    if said.failures:
        source.close()
        raise InvalidImage(
            f"{url} is not opened whole: {said.failures[0]}: mend what is wrong with it"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            _check_parts(source, url, allowed, drivers)
    except InvalidImage:
        source.close()
        raise
    return source


def _check_parts(source: Any, url: str, allowed: Allowed, drivers: Sequence[str]) -> None:
    """Refuses an image with parts that are elsewhere, unless its driver was allowed for that."""
    name = gdal_name(url)
    files = files_in(name)
    remote = name[name.find("/vsi") :] if "/vsi" in name else name
    places = [name, remote, *files]
    if source.driver not in set(allowed.drivers) - {"VRT"}:
        check_beside(source, url, [*places, *map(os.path.dirname, places)], allowed.drivers)
    if name in files:
        return
    if re.match(r"vrt://|DERIVED_SUBDATASET:", name, re.IGNORECASE):
        for file in files:
            check_inner(file, url, allowed.drivers)
        return
    for file in files:  # of a subdataset GDAL doesn't say what their file is made of
        with suppress(*GDAL_ERRORS), DatasetReader(file, driver=drivers) as own:
            check_beside(own, url, [file, os.path.dirname(file)])  # noqa: PTH120

"""What an image is. Images are local paths or `s3://bucket/key`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from ..errors import InvalidImage
from ..secrets import CURE, secret_in, without_secret
from .allowed import Allowed
from .complete import check_complete, check_no_mask_beside
from .fingerprint import files_of, fingerprint
from .hearing import listening
from .info import (
    GDAL_ERRORS,
    ImageInfo,
    cause,
    check_proj,
    footprint,
    is_on_ground,
    numpy_dtype,
)
from .names import absolute, is_in_s3
from .opening import environment, head_object, open_image
from .sphere import wrapped


def describe(
    image: str | os.PathLike[str],
    role: str | None = None,
    *,
    allow_url: bool = False,
    allow_driver: Iterable[str] = (),
) -> ImageInfo:
    """Returns what is known of an image without reading its pixels.

    Args:
        image: A local path, `s3://bucket/key`, or any other name that GDAL has for an image, such
            as `netcdf:a.nc:band` or `/vsizip/a.zip/b.tif`. A file that is there is a file,
            whatever its name looks like.
        role: The ARN of a role to assume, through STS, for reading from S3.
        allow_url: Whether the image may be elsewhere than in a file or in S3.
        allow_driver: GDAL drivers that may open it beside those of plain images, such as "VRT".

    Raises:
        InvalidImage: The image is missing, is none that may be opened, or cannot be; or the role
            cannot be assumed, or is of no use.
    """
    url, allowed = absolute(image), Allowed.of(allow_driver, allow_url)
    if (secret := secret_in(url)) is not None and not os.path.lexists(url):
        raise InvalidImage(
            f"the image {without_secret(url)}... has {secret} in its name, which goes into the "
            f"table, results and logs: {CURE}"
        )
    if role is not None and not is_in_s3(url):
        raise InvalidImage(
            f"{url} is not in S3, and the role {role} is for reading from there: leave the role "
            "out, or name the image s3://bucket/key"
        )
    check_proj()
    with environment(url, role), open_image(url, allowed) as source:
        if source.count == 0:
            such = f", such as {source.subdatasets[0]}" if source.subdatasets else ""
            raise InvalidImage(f"{url} has no bands of its own: name one of its subdatasets{such}")
        try:
            check_complete(source, url, head_object(role))
            check_no_mask_beside(url, head_object(role))
            _check_end(source, url)
            _check_transform(source, url)
            return replace(_described(source, url, role), allowed=allowed)
        except GDAL_ERRORS as err:
            raise InvalidImage(f"{url} cannot be opened as an image: {cause(err)}") from None


def _described(source: Any, url: str, role: str | None) -> ImageInfo:
    crs = _crs(source)
    dtypes, nodatavals = tuple(map(numpy_dtype, source.dtypes)), tuple(source.nodatavals)
    info = ImageInfo(
        url=url,
        width=source.width,
        height=source.height,
        bands=source.count,
        dtype=str(np.result_type(*dtypes)),
        dtypes=dtypes if len(set(dtypes)) > 1 else (),
        crs=crs,
        transform=None if crs is None else tuple(source.transform)[:6],
        nodata=source.nodata,
        nodatavals=nodatavals if len(set(map(str, nodatavals))) > 1 else (),
        masked=any(MaskFlags.all_valid not in flags for flags in source.mask_flag_enums),
        role=role,
        fingerprint=fingerprint(files_of(source, url), head_object(role)),
    )
    return replace(info, extents=_extents(info))


def _check_end(source: Any, url: str) -> None:
    """Refuses a GeoTIFF that lost its end, the commonest damage: its last block is there no more.

    And a JPEG, which is decoded for that: it may tell of damage at its end only. Other formats are
    not looked into, because some decode all of an image for its last pixel.
    """
    if source.driver not in ("GTiff", "JPEG"):
        return
    try:
        with listening() as said:
            source.read(1, window=Window(source.width - 1, source.height - 1, 1, 1))
        if said:
            raise RasterioIOError(said[0])
    except GDAL_ERRORS as err:
        raise InvalidImage(f"{url} is truncated or corrupt: {cause(err)}") from None


def _check_transform(source: Any, url: str) -> None:
    """Refuses an image whose pixels have no size, and so no place."""
    a, b, _, d, e, _ = numbers = tuple(source.transform)[:6]
    if source.crs is not None and not (np.isfinite(numbers).all() and a * e - b * d):
        raise InvalidImage(
            f"{url} has pixels of no size: its transform is {numbers}: give it another, or no CRS"
        )


def _crs(source: Any) -> str | None:
    """Returns an image's CRS, as short as it can be said; None: it has no place on the ground."""
    if source.crs is None or source.transform.is_identity:
        return None
    text = str(source.crs.to_string())
    crs = text if CRS.from_string(text) == source.crs else str(source.crs.to_wkt())
    return crs if is_on_ground(crs) else None


def _extents(info: ImageInfo) -> dict[str, float] | None:
    """Returns the edges of an image in degrees, as OSML names them; None: it has none."""
    if info.crs is None:
        return None
    try:
        west, south, east, north = footprint(info)
    except InvalidImage:  # some of its edge is not on the ground
        return None
    if east - west >= 360:
        west, east = -180.0, 180.0
    # Either edge may be the meridian of 180 degrees, which has two names.
    west, east = float(wrapped(west)), float(wrapped(east))
    west, east = -180.0 if west == 180 else west, 180.0 if east == -180 else east
    return {"north": north, "south": south, "east": east, "west": west}

"""What is known of an image, and how its coordinates become longitudes and latitudes."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.session import DummySession
from rasterio.warp import transform as warp

from ..errors import InvalidImage

LONLAT = CRS.from_epsg(4326)
# Some of GDAL's errors come through rasterio as they are, and have no public name there.
GDAL_ERRORS = (RasterioError, CPLE_BaseError)

Coefficients = tuple[float, float, float, float, float, float]
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What is known of an image without reading its pixels; small, and the same in every tile.

    Attributes:
        url: `s3://bucket/key`, or the absolute path of a local file.
        width: Columns, in pixels.
        height: Rows, in pixels.
        bands: Number of bands.
        dtype: The pixels' numpy type, such as "uint8".
        crs: The coordinate reference system as `EPSG:n` where that says it all, else as WKT.
            None: the image is not georeferenced, and all coordinates are pixels.
        transform: The affine transform from (column, row) to the CRS, (a, b, c, d, e, f) as in
            `affine.Affine`; None without CRS.
        extents: The north, south, east and west edge in degrees, None without CRS. West is
            greater than east where the image crosses the antimeridian.
        nodata: The value of pixels without data, if the image names one.
        masked: Whether some pixels may be without data: the image names such a value, or has an
            alpha band or a mask.
        role: The ARN of the role that is assumed to read the image, if any.
        opened: Tells one look at the image from another: what is at a URL may change.
    """

    url: str
    width: int
    height: int
    bands: int
    dtype: str
    crs: str | None = None
    transform: Coefficients | None = None
    extents: Mapping[str, float] | None = None
    nodata: float | None = None
    masked: bool = False
    role: str | None = None
    opened: str = field(default_factory=lambda: uuid.uuid4().hex, repr=False, compare=False)

    @property
    def crs_wkt(self) -> str | None:
        """The CRS as WKT; None: the image is not georeferenced."""
        return None if self.crs is None else str(parsed_crs(self.crs).to_wkt())

    @property
    def coefficients(self) -> Coefficients:
        """The transform, (a, b, c, d, e, f); without CRS, one that leaves pixels as they are."""
        return _IDENTITY if self.transform is None else self.transform


def plain_environment() -> rasterio.Env:
    """Returns a `rasterio.Env` that has nothing to do with S3.

    Without one, each call of rasterio's makes a boto3 session, in 9 ms, where there are AWS keys.
    """
    return rasterio.Env(DummySession())


@functools.lru_cache(maxsize=16)
def parsed_crs(crs: str) -> CRS:
    """Returns the CRS that `ImageInfo.crs` names."""
    return CRS.from_string(crs)


def to_lonlat(info: ImageInfo, x: Any, y: Any) -> tuple[Any, Any]:
    """Returns (longitude, latitude) of points in the image's CRS; without CRS, the points."""
    return (x, y) if info.crs is None else _warp(parsed_crs(info.crs), LONLAT, x, y)


def from_lonlat(info: ImageInfo, longitudes: Any, latitudes: Any) -> tuple[Any, Any]:
    """Returns (column, row), in pixels and fractions of the image, of points in degrees."""
    assert info.crs is not None
    x, y = _warp(LONLAT, parsed_crs(info.crs), longitudes, latitudes)
    a, b, c, d, e, f = tuple(~Affine(*info.coefficients))[:6]
    return a * x + b * y + c, d * x + e * y + f


def _name(crs: CRS) -> str:
    return "longitude and latitude" if crs == LONLAT else "the image's CRS"


def _warp(source: CRS, target: CRS, x: Any, y: Any) -> tuple[Any, Any]:
    shape_of = np.shape(x)
    try:
        with plain_environment():
            xs, ys = warp(source, target, np.ravel(x), np.ravel(y))
    except GDAL_ERRORS as err:
        raise InvalidImage(f"no place in {_name(target)} for a point: {err}") from err
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):  # GDAL doesn't always raise
        raise InvalidImage(f"no place in {_name(target)} for a point")
    return np.reshape(xs, shape_of)[()], np.reshape(ys, shape_of)[()]

"""What is known of an image, and how its coordinates become longitudes and latitudes."""

from __future__ import annotations

import functools
import math
import os
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.session import DummySession

from ..errors import InvalidImage
from .allowed import NOTHING, Allowed
from .sphere import World, followed, is_around_pole, pole_of, wrapped

LONLAT = "EPSG:4326"
# Some of GDAL's errors come through rasterio as they are, and have no public name there.
GDAL_ERRORS = (RasterioError, CPLE_BaseError, CRSError)
# Types of pixels that numpy has no word for, and what rasterio reads them as.
_READ_AS = {"complex_int16": "complex64", "complex_int32": "complex128"}

Coefficients = tuple[float, float, float, float, float, float]
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What is known of an image without reading its pixels; small, and the same in every tile.

    Attributes:
        url: `s3://bucket/key`, the absolute path of a local file, or what GDAL takes in its place,
            with absolute paths.
        width: Columns, in pixels.
        height: Rows, in pixels.
        bands: Number of bands.
        dtype: The pixels' numpy type, such as "uint8". Of bands of several types, the one that
            holds all: pixels of all bands are read as that.
        crs: The coordinate reference system as `EPSG:n` where that says it all, else as WKT.
            None: the image is not georeferenced, and all coordinates are pixels.
        transform: The affine transform from (column, row) to the CRS, (a, b, c, d, e, f) as in
            `affine.Affine`; None without CRS.
        extents: The north, south, east and west edge in degrees, None without CRS. West is
            greater than east where the image crosses the antimeridian.
        nodata: The value of pixels without data, if the image names one; that of its first band.
        masked: Whether some pixels may be without data: the image names such a value, or has an
            alpha band or a mask.
        dtypes: The numpy type of each band; empty: all are of `dtype`.
        nodatavals: The value of pixels without data of each band; empty: all have `nodata`.
        role: The ARN of the role that is assumed to read the image, if any.
        fingerprint: What the image's bytes are known by, on every node; None: by nothing.
        allowed: What may be opened beside the usual, to read it.
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
    dtypes: tuple[str, ...] = ()
    nodatavals: tuple[float | None, ...] = ()
    role: str | None = None
    fingerprint: str | None = None
    allowed: Allowed = NOTHING
    opened: str = field(default_factory=lambda: uuid.uuid4().hex, repr=False, compare=False)

    @property
    def crs_wkt(self) -> str | None:
        """The CRS as WKT; None: the image is not georeferenced."""
        return None if self.crs is None else str(parsed_crs(self.crs).to_wkt())

    @property
    def coefficients(self) -> Coefficients:
        """The transform, (a, b, c, d, e, f); without CRS, one that leaves pixels as they are."""
        return _IDENTITY if self.transform is None else self.transform


def dtype_of(info: ImageInfo, bands: Sequence[int] | None) -> np.dtype[Any]:
    """Returns the numpy type that some bands are read as: theirs, or one that holds all values.

    Args:
        info: The image.
        bands: Their numbers, from 1; None: all.

    Raises:
        InvalidImage: There is none.
    """
    types = info.dtypes or (info.dtype,) * info.bands
    chosen = {np.dtype(types[band - 1]) for band in bands or range(1, info.bands + 1)}
    common = np.result_type(*chosen)
    # Numpy makes float64 of int64 and float32: large numbers would not be what they were.
    digits = np.finfo(common).nmant + 1 if common.kind in "fc" else 64
    for dtype in chosen:
        if dtype.kind in "iu" and 8 * dtype.itemsize - (dtype.kind == "i") > digits:
            raise InvalidImage(
                f"{info.url} has bands of {' and '.join(sorted(map(str, chosen)))}, and no type "
                "holds the values of all: name bands that go together, such as bands=[1]"
            )
    return common


def nodata_of(info: ImageInfo, bands: Sequence[int] | None) -> list[float | None]:
    """Returns the value of pixels without data of some bands, in their order."""
    values = info.nodatavals or (info.nodata,) * info.bands
    return [values[band - 1] for band in bands or range(1, info.bands + 1)]


def numpy_dtype(dtype: str) -> str:
    """Returns the numpy type that pixels of a type, as rasterio names it, are read as."""
    return _READ_AS.get(dtype, dtype)


def plain_environment() -> rasterio.Env:
    """Returns a `rasterio.Env` that has nothing to do with S3.

    Without one, each call of rasterio's makes a boto3 session, in 9 ms, where there are AWS keys.
    """
    return rasterio.Env(DummySession())


@functools.lru_cache(maxsize=16)
def parsed_crs(crs: str) -> CRS:
    """Returns the CRS that `ImageInfo.crs` names.

    Raises:
        InvalidImage: PROJ doesn't know it, as it can be on another node.
    """
    check_proj()
    try:
        with plain_environment():
            return CRS.from_string(crs)
    except CRSError as err:
        raise InvalidImage(f"PROJ does not know the CRS {crs}: {cause(err)}") from None


@functools.cache
def check_proj() -> None:
    """Finds out whether PROJ has its database; without it, any image seems to have no CRS.

    Raises:
        InvalidImage: It has not, or that of another PROJ.
    """
    try:
        with plain_environment():
            CRS.from_epsg(4326)
    except CRSError as err:
        names = [name for name in ("PROJ_DATA", "PROJ_LIB") if name in os.environ]
        cure = f"unset {' and '.join(names)}" if names else "install rasterio anew"
        raise InvalidImage(f"PROJ cannot use its database ({cause(err)}): {cure}") from None


def cause(err: BaseException) -> str:
    """Returns, in one line, what GDAL said first; rasterio's own text may only point to it."""
    while err.__cause__ is not None:
        err = err.__cause__
    return " ".join(str(err).split())


def is_on_ground(crs: str) -> bool:
    """Whether a CRS has longitudes and latitudes: a local one, or another planet's, has none."""
    try:
        _transformers.of(crs, over=False)
    except InvalidImage:
        return False
    return True


def is_in_degrees(info: ImageInfo) -> bool:
    """Whether the image's CRS itself is longitude and latitude, on whatever datum."""
    if info.crs is None:
        return False
    crs = parsed_crs(info.crs)
    return bool(crs.is_geographic and crs.units_factor[0] == "degree")


def to_lonlat(info: ImageInfo, x: Any, y: Any) -> tuple[Any, Any]:
    """Returns (longitude, latitude) of points in the image's CRS; without CRS, the points.

    Raises:
        InvalidImage: A point has none.
    """
    if info.crs is None:
        return x, y
    longitudes, latitudes = _lonlat(info, x, y)
    return wrapped(longitudes), latitudes


def from_lonlat(info: ImageInfo, longitudes: Any, latitudes: Any) -> tuple[Any, Any]:
    """Returns (column, row), in pixels and fractions of the image, of points in degrees.

    Longitudes are taken modulo 360: each is what is nearest to the middle of the image.

    Raises:
        InvalidImage: A point has none.
    """
    middle = unwrapped_lonlat(info, [[info.width / 2, info.height / 2]], strict=False)[0, 0]
    columns, rows = to_pixels(info, nearest(longitudes, middle), latitudes)
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        raise InvalidImage("no place in the image's CRS for a point")
    return columns, rows


def nearest(longitudes: Any, middle: float) -> NDArray[np.float64]:
    """Returns longitudes modulo 360, within 180 degrees of one, if that is finite."""
    there = np.asarray(longitudes, float)
    return there - 360 * np.round((there - middle) / 360) if np.isfinite(middle) else there


def to_pixels(info: ImageInfo, longitudes: Any, latitudes: Any) -> tuple[Any, Any]:
    """Returns (column, row) of points in degrees; infinite where a point has none.

    Longitudes are not taken modulo 360, where the image's CRS knows that.
    """
    assert info.crs is not None
    transformer = _transformers.of(info.crs, over=True)
    places = np.asarray(longitudes, float), np.asarray(latitudes, float)
    x, y = transformer.transform(*places, direction="INVERSE")
    a, b, c, d, e, f = tuple(~Affine(*info.coefficients))[:6]
    with np.errstate(invalid="ignore"):  # inf - inf is no place
        return a * x + b * y + c, d * x + e * y + f


def unwrapped_lonlat(info: ImageInfo, pixels: Any, *, strict: bool = True) -> NDArray[np.float64]:
    """Returns longitudes and latitudes, as (points, 2), of columns and rows of the image.

    Longitudes go on beyond 180 as far as the image's CRS does, such as one from 0 to 360 degrees.

    Raises:
        InvalidImage: A point has none, and it is strict.
    """
    a, b, c, d, e, f = info.coefficients
    column, row = np.asarray(pixels, float).T
    x, y = a * column + b * row + c, d * column + e * row + f
    return np.column_stack(_lonlat(info, x, y, over=True, strict=strict))


@functools.lru_cache(maxsize=64)
def world_of(crs: str, coefficients: Coefficients, width: int, height: int) -> World:
    """Returns how an image shows the world."""
    info = ImageInfo("", width, height, 1, "", crs, coefficients)
    along, middle = np.linspace(0, 1, 17), np.full(17, 0.5)
    most = 0.0
    for line in (np.column_stack([along, middle]), np.column_stack([middle, along])):
        longitudes = unwrapped_lonlat(info, line * [width, height], strict=False)[:, 0]
        steps = np.abs(np.diff(longitudes[np.isfinite(longitudes)]))
        most = max(most, float(steps.sum()))
    poles = np.column_stack(to_pixels(info, [0, 120, 0, 120], [90, 90, -90, -90]))
    with np.errstate(invalid="ignore"):
        apart = np.linalg.norm(poles[::2] - poles[1::2], axis=1)
    longest = max(width, height) * 45 / most if most > 180 else math.inf
    return World(longest, bool((apart < 1e-3).any()))


def footprint(info: ImageInfo) -> tuple[float, float, float, float]:
    """Returns an image's edges, (west, south, east, north) in degrees.

    West is less than east, and either may be beyond 180 degrees. They are those of its outline,
    in many points, whichever way the transform turns it; and a pole is its edge if it holds one.

    Raises:
        InvalidImage: Not all of its outline has a place.
    """
    outline = shapely.box(0, 0, info.width, info.height).exterior
    points = shapely.segmentize(outline, max(info.width, info.height) / 64)
    assert info.crs is not None
    world = world_of(info.crs, info.coefficients, info.width, info.height)
    ring = followed(
        shapely.get_coordinates(points), lambda pixels: unwrapped_lonlat(info, pixels), world
    )
    (west, south), (east, north) = ring.min(axis=0).tolist(), ring.max(axis=0).tolist()
    if not is_around_pole(ring):
        return west, south, east, north
    pole, middle = pole_of(ring), float(ring[0, 0])
    return middle - 180, min(south, pole), middle + 180, max(north, pole)


def _lonlat(
    info: ImageInfo, x: Any, y: Any, *, over: bool = False, strict: bool = True
) -> tuple[Any, Any]:
    assert info.crs is not None
    longitudes, latitudes = _transformers.of(info.crs, over=over).transform(x, y)
    if not strict:
        return longitudes, latitudes
    if not (np.isfinite(longitudes).all() and np.isfinite(latitudes).all()):
        raise InvalidImage("no place in longitude and latitude for a point")
    if np.any(np.abs(latitudes) > 90):
        # Grids whose outermost pixels have a pole in their middle are usual.
        _, _, _, d, e, _ = info.coefficients
        if np.max(np.abs(latitudes)) > 90 + abs(d) + abs(e):
            raise InvalidImage(
                f"no place for a point of latitude {np.max(np.abs(latitudes)):.9g}: it lies "
                f"beyond a pole, or {info.crs:.40} is not the CRS of what the transform gives"
            )
        latitudes = np.clip(latitudes, -90, 90)
    return longitudes, latitudes


class _Transformers(threading.local):
    """Ways from a CRS to degrees. One made anew costs ten times what it then does.

    PROJ allows a thread its own only.
    """

    def __init__(self) -> None:
        self.of = functools.lru_cache(maxsize=32)(self._of)

    @staticmethod
    def _of(crs: str, *, over: bool) -> Transformer:
        # As WKT: rasterio and pyproj bring each a PROJ, whose lists of codes may differ.
        source, target = (parsed_crs(name).to_wkt(version="WKT2_2019") for name in (crs, LONLAT))
        try:
            return Transformer.from_crs(source, target, always_xy=True, force_over=over)
        except ProjError as err:
            raise InvalidImage(f"{crs:.40} has no longitude and latitude: {err}") from None


_transformers = _Transformers()

"""One tile of an image: where it is, and how its pixels lie on the ground."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as warp
from rasterio.windows import Window
from shapely.geometry import mapping, shape

from ..errors import InvalidImage

LONLAT = CRS.from_epsg(4326)
# Some of GDAL's errors come through rasterio as they are, and have no public name there.
GDAL_ERRORS = (RasterioError, CPLE_BaseError)

OsmlBounds = tuple[tuple[int, int], tuple[int, int]]
Coefficients = tuple[float, float, float, float, float, float]
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def to_osml(window: Window) -> OsmlBounds:
    """Returns a rasterio window, in whole pixels, as OSML writes it: ((row, col), (width, height)).

    Source: OversightML Model Runner 2.3.0, `ImageRegion`.
    """
    return (int(window.row_off), int(window.col_off)), (int(window.width), int(window.height))


def from_osml(bounds: OsmlBounds) -> Window:
    """Returns OSML's ((row, col), (width, height)), in pixels, as a rasterio window."""
    (row, column), (width, height) = bounds
    return Window(column, row, width, height)


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


@functools.lru_cache(maxsize=16)
def parsed_crs(crs: str) -> CRS:
    """Returns the CRS that `ImageInfo.crs` names."""
    return CRS.from_string(crs)


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of an image: where it is, and how its pixels lie on the ground.

    Rows and columns given to its methods count from the tile's upper left corner. They may be
    fractions: (0, 0) is the upper left corner of the upper left pixel, (0.5, 0.5) its centre.

    Attributes:
        image: The image that it is a tile of.
        region: The number of its region.
        number: Its number in the region.
        row: Its row in the grid of all tiles of the image.
        column: Its column in that grid.
        row_off: The image's row, in pixels, of its upper edge.
        col_off: The image's column, in pixels, of its left edge.
        width: In pixels; less than the grid's tile width at the image's right edge.
        height: In pixels; less than the grid's tile height at the image's lower edge.
        region_bounds: The bounds, in pixels, of its region, as OSML writes them:
            ((row, column), (width, height)).
    """

    image: ImageInfo
    region: int
    number: int
    row: int
    column: int
    row_off: int
    col_off: int
    width: int
    height: int
    region_bounds: OsmlBounds

    @property
    def window(self) -> Window:
        """The tile's pixels in the image, as a rasterio window."""
        return Window(self.col_off, self.row_off, self.width, self.height)

    @property
    def transform(self) -> Affine:
        """The transform from the tile's (column, row) to the image's CRS.

        Without CRS, to the image's pixels.
        """
        a, b, c, d, e, f = self.image.coefficients
        column, row = self.col_off, self.row_off
        return Affine(a, b, a * column + b * row + c, d, e, d * column + e * row + f)

    def xy(self, rows: ArrayLike, columns: ArrayLike) -> tuple[Any, Any]:
        """Returns (x, y) in the image's CRS; without CRS, (column, row) in the image's pixels.

        Args:
            rows: A number, or an array of them.
            columns: Likewise, of the same shape.
        """
        a, b, c, d, e, f = tuple(self.transform)[:6]
        row, column = np.asarray(rows, float), np.asarray(columns, float)
        return (a * column + b * row + c)[()], (d * column + e * row + f)[()]

    def lonlat(self, rows: ArrayLike, columns: ArrayLike) -> tuple[Any, Any]:
        """Returns (longitude, latitude) in degrees (EPSG:4326).

        Without CRS, (column, row) in the image's pixels.

        Args:
            rows: A number, or an array of them.
            columns: Likewise, of the same shape.

        Raises:
            InvalidImage: A point has none: it lies beside the earth, for example.
        """
        x, y = self.xy(rows, columns)
        return to_lonlat(self.image, x, y)

    def feature(self, geometry: Any, properties: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Returns a GeoJSON Feature of something found in this tile.

        Its coordinates are longitude and latitude; without CRS, column and row in the image.

        Args:
            geometry: In the tile's pixels, x the column and y the row, which is how
                `rasterio.features.shapes` gives it: a GeoJSON geometry, an object with
                `__geo_interface__`, or one ring of (column, row) pairs, closed or not.
            properties: What is known of it; JSON-able.

        Raises:
            InvalidImage: A point of it has no longitude and latitude.
        """
        if not isinstance(geometry, Mapping) and not hasattr(geometry, "__geo_interface__"):
            geometry = shapely.Polygon(geometry)

        def on_ground(points: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.column_stack(self.lonlat(points[:, 1], points[:, 0]))

        # Rows run down and latitudes up: a ring that is counterclockwise here is not one there.
        placed = shapely.orient_polygons(shapely.transform(shape(geometry), on_ground))
        return {
            "type": "Feature",
            "geometry": mapping(placed),
            "properties": dict(properties or {}),
        }


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
        xs, ys = warp(source, target, np.ravel(x), np.ravel(y))
    except GDAL_ERRORS as err:
        raise InvalidImage(f"no place in {_name(target)} for a point: {err}") from err
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):  # GDAL doesn't always raise
        raise InvalidImage(f"no place in {_name(target)} for a point")
    return np.reshape(xs, shape_of)[()], np.reshape(ys, shape_of)[()]

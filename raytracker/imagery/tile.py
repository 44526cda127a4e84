"""One tile of an image: where it is, and how its pixels lie on the ground."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import ArrayLike, NDArray
from rasterio.windows import Window
from shapely.affinity import translate
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from ..errors import OutputError
from .info import ImageInfo, to_lonlat, world_of
from .reading import read_mask
from .sphere import placed

# How far a tile's array reaches beyond its core: ((above, below), (left, right)), in pixels.
Halo = tuple[tuple[int, int], tuple[int, int]]
_REACH = 3  # tile widths: what is found in a tile may begin beside it

OsmlBounds = tuple[tuple[int, int], tuple[int, int]]


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
        width: Of its array, in pixels, with what lies beyond the image if edges are padded.
        height: Likewise.
        halo: How far its array reaches beyond its core, in pixels: ((above, below), (left,
            right)).
        region_bounds: The bounds, in pixels, of its region, as OSML writes them:
            ((row, column), (width, height)).
        bands: The numbers of the bands that its pixels have, from 1, in their order; None: all.
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
    halo: Halo
    region_bounds: OsmlBounds
    bands: tuple[int, ...] | None

    @property
    def window(self) -> Window:
        """The tile's pixels in the image, as a rasterio window; none lies beyond it."""
        width = min(self.width, self.image.width - self.col_off)
        height = min(self.height, self.image.height - self.row_off)
        return Window(self.col_off, self.row_off, width, height)

    @property
    def valid(self) -> Window:
        """The part of the tile's array that is image, as a window in the array."""
        window = self.window
        return Window(0, 0, window.width, window.height)

    @property
    def core(self) -> Window:
        """The part of the tile that is its own, as a window in the image.

        What a tile shares with a neighbour is halved between them, so that the cores of all tiles
        partition the image.
        """
        (above, below), (left, right) = self.halo
        width, height = self.width - left - right, self.height - above - below
        return Window(self.col_off + left, self.row_off + above, width, height)

    def mask(self, role: str | None = None) -> NDArray[np.bool_]:
        """Returns which pixels of the tile's array are valid, as (rows, columns).

        Those without data are not: as the image's nodata value (in all bands), its alpha band or
        its mask say. What lies beyond the image is not. It is read from the file where the image
        has any of these; after `read`, in the same thread, from blocks that are decoded already.

        Args:
            role: The role to assume instead of the one that the image was described with.

        Raises:
            InvalidImage: The image, or this part of it, cannot be read.
        """
        mask = np.zeros((self.height, self.width), np.bool_)
        rows, columns = self.valid.toslices()
        image = self.image
        mask[rows, columns] = read_mask(image, self.window, role) if image.masked else True
        return mask

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
        """Returns (longitude, latitude) in degrees (EPSG:4326), longitudes within -180 to 180.

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

        Its coordinates are longitude and latitude, as RFC 7946 wants them: exteriors run
        counterclockwise, and what crosses the meridian of 180 degrees is cut there, into a
        MultiPolygon or MultiLineString; what holds a pole reaches to its latitude. Without CRS,
        column and row in the image.

        Args:
            geometry: In the tile's pixels, x the column and y the row, which is how
                `rasterio.features.shapes` gives it: a GeoJSON geometry, an object with
                `__geo_interface__`, or one ring of (column, row) pairs, closed or not.
            properties: What is known of it; JSON-able.

        Raises:
            InvalidImage: A point of it has no longitude and latitude.
            OutputError: It is no geometry, or lies nowhere near the tile.
        """
        there, image = _geometry(geometry), self.image
        if not self.is_near(shapely.get_coordinates(there)):
            raise OutputError(
                f"tile.feature was given {geometry!r:.60}, which is nowhere near the tile, of "
                f"{self.width} x {self.height} pixels: it takes columns and rows that count from "
                "the tile's own upper left corner"
            )
        return {
            "type": "Feature",
            "geometry": Placed(self, there, mapping(on_ground(image, there, self.transform))),
            "properties": dict(properties or {}),
        }

    def is_near(self, points: NDArray[np.float64]) -> bool:
        """Whether some of what has these corners is at most a few tile widths from the tile.

        Args:
            points: (column, row), from the tile's upper left corner, of each.
        """
        if not len(points):
            return False
        reach = _REACH * max(self.width, self.height)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return bool(
            math.isfinite(left + top + right + bottom)
            and -reach <= right
            and left <= self.width + reach
            and -reach <= bottom
            and top <= self.height + reach
        )


def on_ground(image: ImageInfo, geometry: BaseGeometry, transform: Affine) -> BaseGeometry:
    """Returns where something lies, as `Tile.feature` has it.

    Args:
        image: The image.
        geometry: In pixels.
        transform: From these to the image's CRS; without CRS, to the image's pixels.

    Raises:
        InvalidImage: A point of it has no longitude and latitude.
    """
    a, b, c, d, e, f = tuple(transform)[:6]
    if image.crs is None:
        return shapely.orient_polygons(translate(geometry, c, f))

    def lonlat(points: NDArray[np.float64]) -> NDArray[np.float64]:
        column, row = points.T
        return np.column_stack(to_lonlat(image, a * column + b * row + c, d * column + e * row + f))

    world = world_of(image.crs, image.coefficients, image.width, image.height)
    return placed(geometry, lonlat, world)


class Placed(dict[str, Any]):
    """A GeoJSON geometry that a tile has placed; what it is and where it lies is known to be right.

    Args:
        tile: The tile.
        pixels: The geometry, in the tile's pixels.
        geometry: The same on the ground; its coordinates are tuples, which nobody changes.
    """

    def __init__(self, tile: Tile, pixels: BaseGeometry, geometry: Mapping[str, Any]) -> None:
        super().__init__(geometry)
        self._made = (tile.image.opened, tile.region, tile.number), dict(geometry)
        self._pixels = pixels, tile.col_off, tile.row_off

    @property
    def in_pixels(self) -> BaseGeometry:
        """The geometry in the image's pixels, x the column and y the row."""
        return translate(*self._pixels)

    def is_of(self, tile: Tile | None) -> bool:
        """Whether it is as that tile has placed it."""
        key, geometry = self._made
        return (
            tile is not None
            and key == (tile.image.opened, tile.region, tile.number)
            and "coordinates" in geometry
            and self.keys() == geometry.keys()
            and all(self[name] is geometry[name] for name in geometry)
        )


def _geometry(geometry: Any) -> BaseGeometry:
    try:
        if isinstance(geometry, shapely.LinearRing):
            return shapely.Polygon(geometry)
        if isinstance(geometry, BaseGeometry):
            return geometry
        if isinstance(geometry, Mapping) or hasattr(geometry, "__geo_interface__"):
            return shape(geometry)
        return shapely.Polygon(geometry)
    except (TypeError, ValueError, LookupError, AttributeError, shapely.errors.ShapelyError) as err:
        raise OutputError(
            f"tile.feature was given {geometry!r:.60}, which is no geometry ({err}): give GeoJSON, "
            "an object with __geo_interface__, or a ring of (column, row) pairs"
        ) from err

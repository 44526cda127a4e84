"""Whether what a function returned is a GeoJSON geometry, and lies where its tile lies."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from ..errors import OutputError
from ..imagery import Placed, Tile
from ..imagery.info import from_lonlat, nearest, to_pixels, unwrapped_lonlat, world_of
from ..imagery.sphere import on_sphere

# What makes it something else (RFC 7946, 7.1), and what would be wrong once it is cut.
_NOT_OF_GEOMETRIES = frozenset(("geometry", "properties", "features", "bbox"))


class Checker:
    """Checks the geometries that were found in a tile.

    Args:
        tile: Where they were found; None: anywhere, in whatever coordinates.
    """

    def __init__(self, tile: Tile | None) -> None:
        self._tile = tile
        self._surroundings = None if tile is None else _Surroundings(tile)

    def checked(self, geometry: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns a geometry as RFC 7946 wants it.

        Exteriors run counterclockwise. One in longitude and latitude is within -180 to 180, and
        cut where it crosses that meridian; neighbours are joined the shorter way round.

        Raises:
            OutputError: It is none, or lies nowhere near the tile.
        """
        if isinstance(geometry, Placed) and geometry.is_of(self._tile):
            return geometry
        kind = geometry.get("type")
        if not _NOT_OF_GEOMETRIES.isdisjoint(geometry):
            geometry = {name: geometry[name] for name in geometry if name not in _NOT_OF_GEOMETRIES}
        try:
            if kind == "GeometryCollection":
                parts = _listed(geometry.get("geometries"), 1)
                if not all(isinstance(part, Mapping) for part in parts):
                    raise ValueError("its geometries are none")
                return {**geometry, "geometries": [self.checked(part) for part in parts]}
            there = _shaped(kind, geometry.get("coordinates"))
        except (ValueError, OverflowError) as err:
            raise OutputError(
                f"the function returned {dict(geometry)!r:.80}, which is no GeoJSON geometry "
                f"({err}): tile.feature makes Features of what lies in the tile's pixels"
            ) from err
        if self._surroundings is None:
            placed = shapely.orient_polygons(there)
        else:
            placed = self._surroundings.placed(there)
        return geometry if placed == there else {**geometry, **mapping(placed)}


def in_pixels(geometry: Mapping[str, Any], tile: Tile) -> BaseGeometry:
    """Returns a geometry that was found in a tile, and checked, in the image's pixels.

    Returns:
        A geometry of (column, row), fractions included.
    """
    if isinstance(geometry, Placed) and geometry.is_of(tile):
        return geometry.in_pixels
    there = shape(geometry)
    if tile.image.crs is None:
        return there

    def pixels(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(from_lonlat(tile.image, points[:, 0], points[:, 1]))

    return shapely.transform(there, pixels)


class _Surroundings:
    """Where a tile lies, for geometries in longitude and latitude, or in the image's pixels."""

    def __init__(self, tile: Tile) -> None:
        self._tile = tile

    def placed(self, there: BaseGeometry) -> BaseGeometry:
        """Returns a geometry that is near the tile as it is to be.

        Raises:
            OutputError: It is not.
        """
        points = shapely.get_coordinates(there)
        west, east = points[:, 0].min(), points[:, 0].max()
        if not self._is_near(points):
            what = "pixels" if self._tile.image.crs is None else "longitude and latitude"
            raise OutputError(
                f"the function returned a {there.geom_type} at ({points[0, 0]:.9g}, "
                f"{points[0, 1]:.9g}), which as {what} is nowhere near its tile, whose middle is "
                f"({self._middle[0]:.9g}, {self._middle[1]:.9g}): tile.feature makes Features of "
                "what lies in the tile's pixels"
            )
        if self._tile.image.crs is not None and (
            max(-west, east) > 180 or (east - west > 180 and not self._is_wide)
        ):
            return on_sphere(there, crossing=not self._is_wide)
        return shapely.orient_polygons(there)

    def _is_near(self, points: NDArray[np.float64]) -> bool:
        tile = self._tile
        if tile.image.crs is not None:
            # Beyond a pole, or more than a turn away, it is no longitude and latitude.
            if (np.abs(points) > (360, 90)).any():
                return False
            longitudes = nearest(points[:, 0], self._middle[0])
            points = np.column_stack(to_pixels(tile.image, longitudes, points[:, 1]))
            points = points[np.isfinite(points).all(axis=1)]
        return tile.is_near(points - [tile.col_off, tile.row_off])

    @functools.cached_property
    def _middle(self) -> NDArray[np.float64]:
        tile = self._tile
        middle = np.array([[tile.col_off + tile.width / 2, tile.row_off + tile.height / 2]])
        if tile.image.crs is not None:
            middle = unwrapped_lonlat(tile.image, middle, strict=False)
        there: NDArray[np.float64] = middle[0]
        return there

    @functools.cached_property
    def _is_wide(self) -> bool:
        """Whether the tile has so many longitudes that either way round may be in it."""
        tile, image = self._tile, self._tile.image
        assert image.crs is not None
        world = world_of(image.crs, image.coefficients, image.width, image.height)
        return max(tile.width, tile.height) > 2 * world.longest


def _shaped(kind: Any, coordinates: Any) -> BaseGeometry:
    """Returns the geometry of these coordinates.

    Raises:
        ValueError: They are none of such a geometry.
    """
    match kind:
        case "Point":
            return shapely.Point(_positions([coordinates], 1)[0])
        case "MultiPoint":
            return shapely.MultiPoint(_positions(coordinates, 1))
        case "LineString":
            return shapely.LineString(_positions(coordinates, 2))
        case "MultiLineString":
            lines = [_positions(line, 2) for line in _listed(coordinates, 1)]
            return shapely.MultiLineString(lines)
        case "Polygon":
            return _polygon(coordinates)
        case "MultiPolygon":
            return shapely.MultiPolygon([_polygon(one) for one in _listed(coordinates, 1)])
    raise ValueError(f"there is no type {kind!r:.40}")


def _polygon(coordinates: Any) -> BaseGeometry:
    rings = [_positions(ring, 4) for ring in _listed(coordinates, 1)]
    for ring in rings:
        if not np.array_equal(ring[0], ring[-1]):
            raise ValueError("a ring does not end where it begins")
    return shapely.Polygon(rings[0], rings[1:])


def _positions(line: Any, least: int) -> NDArray[np.float64]:
    positions = [_listed(position, 2) for position in _listed(line, least)]
    if {len(position) for position in positions} not in ({2}, {3}):
        raise ValueError("a position is two numbers, or three with an altitude")
    for kind in set(map(type, chain.from_iterable(positions))) - {float, int}:
        if not issubclass(kind, (float, int, np.floating, np.integer)) or kind is bool:
            raise ValueError(f"its coordinates are nested otherwise, or are of {kind.__name__}")
    there = np.array(positions, float)
    if not np.isfinite(there).all():
        raise ValueError("a coordinate is not finite")
    return there


def _listed(value: Any, least: int) -> Sequence[Any]:
    """Returns a list of so many or more."""
    plain = value.tolist() if isinstance(value, np.ndarray) else value
    if value is None:
        raise ValueError("it has no coordinates")
    if not isinstance(plain, (list, tuple)):
        raise ValueError(f"{value!r:.30} is no list: its coordinates are nested otherwise")
    if len(plain) < least:
        raise ValueError(f"{plain!r:.40} are too few: it takes {least}")
    return plain

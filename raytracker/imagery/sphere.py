"""Shapes in degrees: longitudes go round, end at 180, and meet at the poles.

As GeoJSON wants them (RFC 7946): within -180 to 180, cut in two where they cross that meridian,
closed over a pole that they hold, exteriors counterclockwise. The package `antimeridian` cuts, too;
the tests hold this against it. It takes only coordinates that were brought into -180 to 180 before,
so that a shape around all the world is lost, no points and no collections, and a loop of Python
for each vertex.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ..errors import InvalidImage

Points = NDArray[np.float64]  # (points, 2): longitudes and latitudes, or columns and rows

# Which way round an edge of more degrees of longitude goes is found out by cutting it.
_LONG_EDGE = 5.0
_HALVINGS = 20  # the pole may be as near to an edge as the millionth part of its length
_MOST_CUTS = 10_000  # of a map on which nothing lies where its neighbour does
_POLE = 90.0 - 1e-9
_MULTIS = {
    "Point": shapely.MultiPoint,
    "LineString": shapely.MultiLineString,
    "Polygon": shapely.MultiPolygon,
}


class World(NamedTuple):
    """How an image shows the world.

    Attributes:
        longest: In pixels, an eighth of the way round, at most; infinite where the image has less
            than half of it.
        meets: Whether longitudes meet in a point at a pole; else the pole is a line or nowhere.
    """

    longest: float
    meets: bool


def wrapped(longitudes: Any) -> Any:
    """Returns longitudes within -180 to 180; those that are stay as they are."""
    there = np.asarray(longitudes, float)
    if np.all(np.abs(there) <= 180):
        return longitudes
    return np.where(np.abs(there) <= 180, there, (there + 180) % 360 - 180)[()]


def placed(
    geometry: BaseGeometry, to_lonlat: Callable[[Points], Points], world: World
) -> BaseGeometry:
    """Returns a geometry of an image on the ground, as GeoJSON wants it.

    Args:
        geometry: In pixels, or what else has no seams.
        to_lonlat: Returns the longitudes, within -180 to 180, and latitudes of points of it.
        world: How the image shows the world.
    """
    there = shapely.transform(geometry, to_lonlat)
    west, _, east, _ = there.bounds
    left, top, right, bottom = geometry.bounds
    # Then it crosses a seam, or is large, or near a pole; or goes all the way round.
    if east - west > _LONG_EDGE or max(right - left, bottom - top) > world.longest:
        if math.isfinite(world.longest):
            geometry = shapely.segmentize(geometry, world.longest)
        there = _on_sphere(geometry, lambda points: followed(points, to_lonlat, world))
    return shapely.orient_polygons(there)


def on_sphere(geometry: BaseGeometry, *, crossing: bool = True) -> BaseGeometry:
    """Returns a geometry that is in degrees as GeoJSON wants it.

    Args:
        geometry: Longitudes may go on beyond 180, or jump there.
        crossing: Whether neighbouring vertices are joined the shorter way round, see `continuous`;
            else it is as wide as it is written.
    """
    along = continuous if crossing else np.asarray
    return shapely.orient_polygons(_on_sphere(geometry, along))


def continuous(points: Points) -> Points:
    """Returns the vertices of a line or ring without jumps: each within 180 degrees of the last.

    An edge of 360 degrees is one all the way round. The end of a ring around a pole lies 360
    degrees from its beginning.
    """
    steps = np.diff(points[:, 0])
    jumps = (np.abs(steps) > 180) & (np.abs(steps) != 360)
    turns = np.where(jumps, -np.round(steps / 360), 0).cumsum()
    return np.column_stack([points[:, 0] + 360 * np.append(0, turns), points[:, 1:]])


def followed(points: Points, to_lonlat: Callable[[Points], Points], world: World) -> Points:
    """Returns longitudes and latitudes along a line or ring, without jumps, see `continuous`.

    Edges that pass by a pole are cut until it is known on which side.

    Raises:
        InvalidImage: That is not known for far too many.
    """
    there, most = to_lonlat(points), 20 * len(points) + _MOST_CUTS
    for _ in range(_HALVINGS):
        polar = np.abs(there[:, 1]) > _POLE
        long = (np.abs(_short(np.diff(there[:, 0]))) > _LONG_EDGE) & ~polar[1:] & ~polar[:-1]
        if not long.any():
            break
        if len(points) > most:
            raise InvalidImage(
                "neighbouring pixels lie far apart on the ground: the image's CRS is not that of "
                "what its transform gives"
            )
        (at,) = np.nonzero(long)
        points = np.insert(points, at + 1, (points[at] + points[at + 1]) / 2, axis=0)
        there = to_lonlat(points)
    if world.meets:
        there = _without_poles(there)
    longitudes = there[:, 0]
    along = longitudes[0] + np.append(0, _short(np.diff(longitudes)).cumsum())
    # Whole turns are added, so that each longitude stays what it was, to the last bit.
    turns = np.round((along - longitudes) / 360)
    return np.column_stack([longitudes + 360 * turns, there[:, 1]])


def is_around_pole(ring: Points) -> bool:
    """Whether a closed ring without jumps goes all the way round."""
    return bool(abs(ring[-1, 0] - ring[0, 0]) > 180)


def pole_of(ring: Points) -> float:
    """Returns the latitude of the pole that a ring goes around."""
    return 90.0 if ring[:, 1].mean() > 0 else -90.0


def closed(ring: Points) -> BaseGeometry:
    """Returns the area in a ring without jumps; with the pole, if it goes around one."""
    if not is_around_pole(ring):
        return shapely.Polygon(ring)
    # It may go back and forth across the meridian that it begins at. So of three times round, the
    # one in the middle is taken: what its ends lack, lies in the others.
    ring, turn, pole = ring[:, :2], ring[-1, 0] - ring[0, 0], pole_of(ring)
    begin, end = ring[0, 0] - turn, ring[-1, 0] + turn
    shift = np.array([turn, 0])
    rounds = [ring[:-1] - shift, ring[:-1], ring + shift]
    thrice = shapely.Polygon(np.concatenate([*rounds, [[end, pole], [begin, pole]]]))
    west, east = sorted((ring[0, 0], ring[-1, 0]))
    once = shapely.box(west, -90, east, 90)
    return shapely.intersection(shapely.make_valid(thrice), once)


def _short(steps: Points) -> Points:
    """Returns differences of longitudes the shorter way round."""
    short: Points = (steps + 180) % 360 - 180
    return short


def _without_poles(there: Points) -> Points:
    """Gives a vertex that is a pole the longitudes of its neighbours: it has none of its own."""
    closed = np.array_equal(there[0], there[-1])
    polar = np.abs(there[:, 1]) > _POLE
    if not polar.any() or polar.all():
        return there
    if closed and polar[0]:  # a ring may as well begin elsewhere
        first = int(np.argmin(polar))
        there = np.concatenate([there[first:], there[1 : first + 1]])
        polar = np.abs(there[:, 1]) > _POLE
    vertices: list[Any] = []
    for at, vertex in enumerate(there):
        if polar[at]:
            beside = there[[i for i in (at - 1, at + 1) if 0 <= i < len(there)], 0]
            vertices += [[longitude, vertex[1]] for longitude in beside]
        else:
            vertices.append(vertex)
    return np.asarray(vertices)


def _on_sphere(geometry: BaseGeometry, along: Callable[[Points], Points]) -> BaseGeometry:
    kind = geometry.geom_type
    if kind == "GeometryCollection":
        return shapely.GeometryCollection([_on_sphere(part, along) for part in geometry.geoms])
    pieces = [piece for part in shapely.get_parts(geometry) for piece in _pieces(part, along)]
    if len(pieces) == 1 and kind in _MULTIS:
        return pieces[0]
    return _MULTIS[kind.removeprefix("Multi")](pieces)


def _pieces(part: BaseGeometry, along: Callable[[Points], Points]) -> list[BaseGeometry]:
    """Returns a point, a line or a polygon, cut at 180 degrees."""
    if part.geom_type == "Point":
        [[longitude, *others]] = along(np.asarray(part.coords))
        return [shapely.Point(wrapped(longitude), *others)]
    if part.geom_type == "LineString":
        lines = _cut(shapely.LineString(along(np.asarray(part.coords))))
        return [line for line in lines if line.geom_type == "LineString"]
    area = shapely.union_all(_cut(closed(along(np.asarray(part.exterior.coords)))))
    for hole in part.interiors:
        for piece in _cut(closed(along(np.asarray(hole.coords)))):
            area = shapely.difference(area, piece)
    return [piece for piece in shapely.get_parts(area) if piece.geom_type == "Polygon"]


def _cut(geometry: BaseGeometry) -> list[BaseGeometry]:
    """Returns the parts of a geometry, whose longitudes may go on, within -180 to 180."""
    geometry = geometry if geometry.is_valid else shapely.make_valid(geometry)
    west, _, east, _ = geometry.bounds
    first, last = math.floor((west + 180) / 360), math.ceil((east - 180) / 360)
    if first == last == 0:
        return list(shapely.get_parts(geometry))
    found: list[BaseGeometry] = []
    for turn in range(first, last + 1):
        turned = shapely.transform(geometry, lambda xy, by=360 * turn: xy - [by, 0])
        part = shapely.intersection(turned, shapely.box(-180, -90, 180, 90))
        if part.geom_type == "MultiLineString":
            part = shapely.line_merge(part)
        found += [piece for piece in shapely.get_parts(part) if not piece.is_empty]
    return found

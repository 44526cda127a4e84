"""What was found, as lines and points over the image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import shape

from ..imagery.info import ImageInfo, to_pixels

if TYPE_CHECKING:
    from ..imagery import Grid

FEATURE_COLOUR = "#f0e442"
_NEAR = 0.05  # pixels: what degrees and back take
# Who simplifies shapes moves their corners by a pixel or so; long and straight they are cuts still.
_LONG, _NEAR_LONG = 16.0, 1.5


class Found(NamedTuple):
    """Features as they are drawn, in the image's pixels.

    Attributes:
        features: How many there are.
        lines: Line segments, (n, 2, 2).
        points: (n, 2).
    """

    features: int
    lines: NDArray[np.float64]
    points: NDArray[np.float64]


def drawn_of(grid: Grid, features: Iterable[Mapping[str, Any]]) -> Found:
    """Returns the outlines of features, but where a tile's edge or the antimeridian cut them.

    Args:
        grid: How the image was cut.
        features: GeoJSON Features, with coordinates as `results.geojson` has them.
    """
    shapes = [shape(feature["geometry"]) for feature in features if feature.get("geometry")]
    parts = shapely.get_parts(shapely.get_parts(shapes))  # twice: collections hold multi-parts
    kinds = shapely.get_type_id(parts)
    rings = shapely.get_rings(parts[kinds == shapely.GeometryType.POLYGON])
    lines = parts[kinds == shapely.GeometryType.LINESTRING]
    points = _pixels(grid.info, shapely.get_coordinates(parts[kinds == shapely.GeometryType.POINT]))
    segments = np.concatenate([
        _without_cuts(grid, *_segments(grid.info, rings)),
        _segments(grid.info, lines)[0],
    ])  # fmt: skip
    return Found(len(shapes), segments[np.isfinite(segments).all(axis=(1, 2))], points)


def _segments(info: ImageInfo, lines: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Returns the segments of lines in pixels, and which of them lie on the antimeridian."""
    places, of = shapely.get_coordinates(lines, return_index=True)
    pairs = np.stack([places[:-1], places[1:]], axis=1)[of[:-1] == of[1:]]
    is_at_end = (info.crs is not None) & (np.abs(pairs[:, :, 0]) == 180).all(axis=1)
    return _pixels(info, pairs.reshape(-1, 2)).reshape(-1, 2, 2), is_at_end


def _without_cuts(grid: Grid, segments: NDArray[Any], is_at_end: NDArray[Any]) -> NDArray[Any]:
    lengths = np.abs(segments[:, 1] - segments[:, 0]).max(axis=1)
    near = np.where(lengths >= _LONG, _NEAR_LONG, _NEAR)[:, None]
    on_edge = np.zeros(len(segments), np.bool_)
    for axis, bounds in enumerate((grid.across.bounds(), grid.down.bounds())):
        edges = np.unique(np.concatenate(bounds))
        places = segments[:, :, axis]
        after = np.clip(np.searchsorted(edges, places.mean(axis=1)), 1, len(edges) - 1)
        for edge in (edges[after - 1], edges[after]):
            on_edge |= (np.abs(places - edge[:, None]) < near).all(axis=1)
    kept: NDArray[Any] = segments[~(on_edge | is_at_end)]
    return kept


def _pixels(info: ImageInfo, points: NDArray[np.float64]) -> NDArray[np.float64]:
    if info.crs is None or not len(points):
        return points
    return np.column_stack(to_pixels(info, points[:, 0], points[:, 1]))

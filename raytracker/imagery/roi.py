"""A region of interest: from WKT to the tiles of a grid that it touches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from ..errors import InvalidGrid, InvalidImage
from ..wkt import parsed_wkt
from .info import ImageInfo, footprint, is_in_degrees, to_pixels
from .sphere import closed, continuous, is_around_pole

Box = tuple[float, float, float, float]  # west, south, east, north

# Straight edges in degrees are curves in the image: they are cut in pieces before the transform.
_PIECES_PER_SIDE = 256
_DECIMALS = 6  # of a pixel: an edge in common is to be one, also after sums and transforms


def tiles_in_roi(
    info: ImageInfo,
    roi: str,
    roi_crs: str,
    columns: tuple[NDArray[np.intp], NDArray[np.intp]],
    rows: tuple[NDArray[np.intp], NDArray[np.intp]],
) -> NDArray[np.bool_]:
    """Returns which tiles of a grid share an area with a region of interest, as (rows, columns).

    Args:
        info: The image.
        roi: A polygon or multipolygon as WKT.
        roi_crs: "lonlat": its coordinates are longitude and latitude in degrees; "image": they
            are in the image's CRS, or (column, row) in pixels if the image has none.
        columns: The left and the right edges of the columns of tiles, in pixels, rising.
        rows: The upper and the lower edges of the rows of tiles, in pixels, rising.

    Raises:
        InvalidGrid: The ROI is not an area as WKT, or misses the image.
    """
    area = _parse(roi)
    if roi_crs == "lonlat":
        area = _lonlat_to_pixels(info, area, roi)
    else:
        if is_in_degrees(info):
            around = _edges(info)
            area = _without_jumps(area, roi, is_wide=around[2] - around[0] > 180)
            area = shapely.union_all(list(_turned_onto(around, area)))
        else:
            _check_valid(area, roi)
        if info.crs is not None:  # else it is in pixels already
            a, b, c, d, e, f = tuple(~Affine(*info.coefficients))[:6]
            area = _at_pixels(area, lambda xy: xy @ [[a, d], [b, e]] + [c, f])
    kept = _tiles_in(area, columns, rows)
    if not kept.any():
        raise InvalidGrid(
            f"ROI {_short(roi)} misses the image {info.url}, which covers {_coverage(info)}: "
            f'check the order (x y) and roi_crs, which is "{roi_crs}"'
        )
    return kept


def _parse(roi: str) -> BaseGeometry:
    try:
        area = parsed_wkt(roi)
    except ValueError as err:
        raise InvalidGrid(
            f"ROI {_short(roi)} is not WKT ({err}): give one such as "
            "POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0))"
        ) from None
    if area.geom_type not in ("Polygon", "MultiPolygon") or area.is_empty:
        raise InvalidGrid(
            f"ROI {_short(roi)} is not an area: give a POLYGON or MULTIPOLYGON that is not empty"
        )
    return shapely.force_2d(area)


def _check_valid(area: BaseGeometry, roi: str) -> None:
    if not area.is_valid:
        raise InvalidGrid(
            f"ROI {_short(roi)} is not a valid area ({shapely.is_valid_reason(area)}): "
            "mend its rings"
        )


def _lonlat_to_pixels(info: ImageInfo, area: BaseGeometry, roi: str) -> BaseGeometry:
    if info.crs is None:
        raise InvalidGrid(
            f"{info.url} has no CRS, so an ROI in longitude and latitude has no place in it: "
            'give it as (column, row) in pixels, with roi_crs="image"'
        )
    # A CRS has no place for points far outside its own: what lies far off the image goes first.
    around = _surroundings(info)
    area = _without_jumps(area, roi, is_wide=around[2] - around[0] > 180)
    pieces = []
    for piece in _turned_onto(around, area):
        west, south, east, north = piece.bounds
        cut = shapely.segmentize(piece, max(east - west, north - south) / _PIECES_PER_SIDE)
        pieces.append(_at_pixels(cut, lambda xy: np.column_stack(to_pixels(info, *xy.T))))
    return shapely.union_all(pieces)


def _at_pixels(area: BaseGeometry, to_pixel: Callable[[NDArray[Any]], NDArray[Any]]) -> Any:
    def rounded(points: NDArray[Any]) -> NDArray[Any]:
        pixels: NDArray[Any] = to_pixel(points)
        if not np.isfinite(pixels).all():
            raise InvalidGrid(
                "the ROI reaches too far (no place in the image's CRS for a point): make it "
                'smaller, or give it in the image\'s CRS, with roi_crs="image"'
            )
        return np.round(pixels, _DECIMALS)

    pixels = shapely.transform(area, rounded)
    return pixels if pixels.is_valid else shapely.make_valid(pixels)


def _without_jumps(area: BaseGeometry, roi: str, *, is_wide: bool) -> BaseGeometry:
    """Returns an area in degrees that goes on beyond 180 where its rings jump there.

    Neighbouring vertices more than 180 degrees apart are joined the shorter way; those of 360
    degrees all the way round.

    Args:
        area: The area.
        roi: As it was given.
        is_wide: Whether the image has more than half of all longitudes: then either way may be
            meant, and it is refused.
    """
    if not any(_jumps(ring) for ring in shapely.get_rings(area)):
        _check_valid(area, roi)
        return area
    parts = []
    for part in shapely.get_parts(area):
        shell = continuous(_points(part.exterior))
        if is_wide and _jumps(part.exterior) and not is_around_pole(shell):
            raise InvalidGrid(
                f"ROI {_short(roi)} has neighbouring vertices more than 180 degrees apart, and the "
                "image reaches as far: write longitudes that go on, such as 179 to 181, or the "
                "halves on both sides of 180 degrees as a MULTIPOLYGON; or add vertices between"
            )
        whole = closed(shell)
        middle = (whole.bounds[0] + whole.bounds[2]) / 2
        for ring in part.interiors:
            hole = closed(continuous(_points(ring)))
            _check_valid(hole, roi)
            turns = round((middle - (hole.bounds[0] + hole.bounds[2]) / 2) / 360)
            whole = shapely.difference(whole, translate(hole, 360 * turns))
        _check_valid(whole, roi)
        parts.append(whole)
    return shapely.union_all(parts)


def _points(ring: BaseGeometry) -> NDArray[np.float64]:
    points: NDArray[np.float64] = shapely.get_coordinates(ring)
    return points


def _jumps(ring: BaseGeometry) -> bool:
    return not np.array_equal(continuous(_points(ring)), _points(ring))


def _turned_onto(around: Box, area: BaseGeometry) -> Iterator[BaseGeometry]:
    """Yields the parts of an area in degrees that are in a box, whole turns to its east or west."""
    west, _, east, _ = around
    first, _, last, _ = area.bounds
    for turn in range(math.ceil((west - last) / 360), math.floor((east - first) / 360) + 1):
        part = shapely.intersection(translate(area, 360 * turn), shapely.box(*around))
        if not part.is_empty:
            yield part


def _edges(info: ImageInfo) -> Box:
    """Returns the image's edges in its own CRS."""
    a, b, c, d, e, f = info.coefficients
    columns, rows = np.array([0, info.width] * 2), np.repeat([0, info.height], 2)
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def _surroundings(info: ImageInfo) -> Box:
    """Returns the image's edges in degrees, which may go on beyond 180, and some more."""
    try:
        west, south, east, north = footprint(info)
    except InvalidImage:
        return -180, -90, 180, 90
    margin = 0.01 * max(north - south, east - west)
    return (
        west - margin,
        max(south - margin, -90),
        min(east + margin, max(east, west + 360)),
        min(north + margin, 90),
    )


def _coverage(info: ImageInfo) -> str:
    if info.crs is None:
        return f"columns 0 to {info.width} and rows 0 to {info.height} in pixels"
    left, low, right, high = _edges(info)
    text = f"x {left:.9g} to {right:.9g} and y {low:.9g} to {high:.9g} in {info.crs:.40}"
    if info.extents is None:
        return text
    west, south, east, north = (info.extents[name] for name in ("west", "south", "east", "north"))
    return f"{text}, longitude {west:.7g} to {east:.7g} and latitude {south:.7g} to {north:.7g}"


def _short(roi: Any) -> str:
    text = repr(roi[:200] if isinstance(roi, str) else roi)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _tiles_in(
    area: BaseGeometry,
    columns: tuple[NDArray[np.intp], NDArray[np.intp]],
    rows: tuple[NDArray[np.intp], NDArray[np.intp]],
) -> NDArray[np.bool_]:
    # It halves blocks of tiles that the area's edge runs through, so that the time goes with the
    # tiles along that edge: testing the boxes of a million tiles takes seconds and 500 MB.
    (lefts, rights), (tops, bottoms) = columns, rows
    height, width = len(tops), len(lefts)
    kept = np.zeros((height, width), bool)
    shapely.prepare(area)
    size = 1 << (max(height, width) - 1).bit_length()
    row, column = np.zeros(1, int), np.zeros(1, int)
    while True:
        last_row = np.minimum(row + size, height) - 1
        last_column = np.minimum(column + size, width) - 1
        boxes = shapely.box(lefts[column], tops[row], rights[last_column], bottoms[last_row])
        inside = shapely.contains(area, boxes)
        for top, left in zip(row[inside], column[inside], strict=True):
            kept[top : top + size, left : left + size] = True
        edge = ~inside & shapely.intersects(area, boxes)
        row, column = row[edge], column[edge]
        if size == 1:
            kept[row, column] = ~shapely.touches(area, boxes[edge])
            return kept
        size //= 2
        row = np.concatenate((row, row, row + size, row + size))
        column = np.concatenate((column, column + size, column, column + size))
        exists = (row < height) & (column < width)
        row, column = row[exists], column[exists]

"""A region of interest: from WKT to the tiles of a grid that it touches."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ..errors import InvalidGrid, InvalidImage
from .info import ImageInfo, from_lonlat

# Straight edges in degrees are curves in the image: they are cut in pieces before the transform.
_PIECES_PER_SIDE = 256


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
        area = _lonlat_to_pixels(info, area)
    else:
        a, b, c, d, e, f = tuple(~Affine(*info.coefficients))[:6]
        area = shapely.transform(area, lambda xy: xy @ [[a, d], [b, e]] + [c, f])
    kept = _tiles_in(area, columns, rows)
    if not kept.any():
        raise InvalidGrid(
            f"ROI {_short(roi)} misses the image {info.url}, which covers {_coverage(info)}: "
            f'check the order (x y) and roi_crs, which is "{roi_crs}"'
        )
    return kept


def _parse(roi: str) -> BaseGeometry:
    try:
        area = shapely.from_wkt(roi)
    except (shapely.errors.GEOSException, TypeError) as err:
        raise InvalidGrid(
            f"ROI {_short(roi)} is not WKT ({err}): give one such as "
            "POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0))"
        ) from None
    if area is None or area.geom_type not in ("Polygon", "MultiPolygon") or area.is_empty:
        raise InvalidGrid(
            f"ROI {_short(roi)} is not an area: give a POLYGON or MULTIPOLYGON that is not empty"
        )
    if not area.is_valid:
        raise InvalidGrid(
            f"ROI {_short(roi)} is not a valid area ({shapely.is_valid_reason(area)}): "
            "mend its rings"
        )
    return shapely.force_2d(area)


def _lonlat_to_pixels(info: ImageInfo, area: BaseGeometry) -> BaseGeometry:
    if info.crs is None:
        raise InvalidGrid(
            f"{info.url} has no CRS, so an ROI in longitude and latitude has no place in it: "
            'give it as (column, row) in pixels, with roi_crs="image"'
        )
    # A CRS has no place for points far outside its own: what lies far off the image goes first.
    area = shapely.intersection(area, _surroundings(info))
    if area.is_empty:
        return area
    west, south, east, north = area.bounds
    pieces = shapely.segmentize(area, max(east - west, north - south) / _PIECES_PER_SIDE)
    try:
        pixels = shapely.transform(
            pieces, lambda xy: np.column_stack(from_lonlat(info, xy[:, 0], xy[:, 1]))
        )
    except InvalidImage as err:
        raise InvalidGrid(
            f"the ROI reaches too far ({err}): make it smaller, or give it in the image's CRS, "
            'with roi_crs="image"'
        ) from err
    return pixels if pixels.is_valid else shapely.make_valid(pixels)


def _surroundings(info: ImageInfo) -> BaseGeometry:
    """Returns the image's extents in degrees and some more, cut in two at the antimeridian."""
    if info.extents is None:
        return shapely.box(-180, -90, 180, 90)
    west, south, east, north = (info.extents[name] for name in ("west", "south", "east", "north"))
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    margin = 0.01 * max(north - south, sum(right - left for left, right in spans))
    boxes = [
        shapely.box(left - margin, south - margin, right + margin, north + margin)
        for left, right in spans
    ]
    return shapely.intersection(shapely.union_all(boxes), shapely.box(-180, -90, 180, 90))


def _coverage(info: ImageInfo) -> str:
    if info.crs is None:
        return f"columns 0 to {info.width} and rows 0 to {info.height} in pixels"
    a, b, c, d, e, f = info.coefficients
    columns, rows = np.array([0, info.width] * 2), np.repeat([0, info.height], 2)
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    text = (
        f"x {x.min():.9g} to {x.max():.9g} and y {y.min():.9g} to {y.max():.9g} in {info.crs:.40}"
    )
    if info.extents is None:
        return text
    west, south, east, north = (info.extents[name] for name in ("west", "south", "east", "north"))
    return f"{text}, longitude {west:.7g} to {east:.7g} and latitude {south:.7g} to {north:.7g}"


def _short(roi: Any) -> str:
    text = repr(roi)
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

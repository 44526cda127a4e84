"""What --roi names: an area as WKT, or a file of WKT or GeoJSON."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import shape

from ..errors import InvalidGrid

_WKT = re.compile(r"\s*(?:SRID=\d+;)?\s*[A-Z]+\s*(?:[ZM]+\s*)?(?:\(|EMPTY)", re.IGNORECASE)
# A CRS that GeoJSON had before it was RFC 7946; these are what it has now.
_LONLAT = re.compile(r"(CRS:?84|EPSG:+4326)$", re.IGNORECASE)


def roi_of(text: str, roi_crs: str | None) -> tuple[str, str | None]:
    """Returns an ROI as WKT, and what its coordinates are: those of GeoJSON are degrees.

    Args:
        text: WKT, or the path of a file.
        roi_crs: What was given of its coordinates, if anything.

    Raises:
        InvalidGrid: There is no such file, it is neither, or its coordinates are something else.
    """
    if _WKT.match(text):
        return text, roi_crs
    try:
        content = Path(text).read_text("utf-8-sig")
    except (OSError, ValueError) as err:
        raise InvalidGrid(
            f"--roi {text:.80}: it is no WKT, and no file can be read: {err!s:.200}"
        ) from None
    if _WKT.match(content):
        return content.strip(), roi_crs
    try:
        found = json.loads(content)
        area = shapely.union_all(list(_areas(found)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, LookupError,
            shapely.errors.ShapelyError) as err:  # fmt: skip
        raise InvalidGrid(
            f"--roi {text}: it holds neither WKT nor GeoJSON ({type(err).__name__}: {err!s:.100}): "
            "give a POLYGON or MULTIPOLYGON"
        ) from None
    _check_crs(text, found, roi_crs)
    return area.wkt, "lonlat"


def _areas(found: Any) -> list[Any]:
    """Returns the geometries of a GeoJSON object."""
    if found["type"] == "FeatureCollection":
        return [area for feature in found["features"] for area in _areas(feature)]
    if found["type"] == "Feature":
        return [] if found["geometry"] is None else [shape(found["geometry"])]
    return [shape(found)]


def _check_crs(text: str, found: Any, roi_crs: str | None) -> None:
    name = str(((found.get("crs") or {}).get("properties") or {}).get("name", "CRS84"))
    if roi_crs == "image" or not _LONLAT.search(name):
        what = f"these are of {name}" if roi_crs != "image" else "--roi-crs image says otherwise"
        raise InvalidGrid(
            f"--roi {text}: GeoJSON has longitudes and latitudes, and {what}: give it as WKT, or "
            "in degrees with --roi-crs lonlat"
        )

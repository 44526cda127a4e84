"""What a function may return as results: GeoJSON Features, or what stands for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..errors import OutputError

_GEOMETRIES = {
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
}


def encode_features(result: Any) -> bytes:
    """Returns what a function found as a JSON list of GeoJSON Features.

    Args:
        result: A Feature, a geometry, a FeatureCollection, an object with `__geo_interface__`, an
            iterable of these, or None. Numpy's numbers and arrays in it become JSON's.

    Raises:
        OutputError: It is none of these, or JSON can't hold what is in it.
    """
    try:
        return json.dumps(list(_features(result)), default=_plain, allow_nan=False).encode()
    except (TypeError, ValueError) as err:
        raise OutputError(f"the function's features can't be JSON: {err}") from err


def _features(result: Any) -> Iterator[dict[str, Any]]:
    if result is None:
        return
    result = _geojson(result)
    if isinstance(result, Mapping):
        kind = result.get("type")
        if kind == "FeatureCollection":
            yield from _features(list(result.get("features") or ()))
        elif kind == "Feature":
            yield _feature(result)
        else:
            yield _feature({"type": "Feature", "geometry": result})
    elif isinstance(result, Iterable) and not isinstance(result, (str, bytes)):
        for entry in result:
            yield from _features(entry)
    else:
        raise _no_feature(result)


def _feature(feature: Mapping[str, Any]) -> dict[str, Any]:
    geometry = _geojson(feature.get("geometry"))
    properties = feature.get("properties") or {}
    if not isinstance(properties, Mapping):
        raise _no_feature(feature)
    if geometry is not None and (
        not isinstance(geometry, Mapping) or geometry.get("type") not in _GEOMETRIES
    ):
        raise _no_feature(feature if "properties" in feature else geometry)
    return {**feature, "geometry": geometry, "properties": properties}


def _geojson(value: Any) -> Any:
    plain = isinstance(value, Mapping) or not hasattr(value, "__geo_interface__")
    return value if plain else value.__geo_interface__


def _no_feature(value: Any) -> OutputError:
    return OutputError(
        f"the function returned {value!r:.60}, which is no GeoJSON: return Features "
        "(tile.feature makes them), a FeatureCollection or None"
    )


def _plain(value: Any) -> Any:
    """Returns what JSON knows for what it doesn't: numpy's numbers and arrays, mappings."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r:.60} is a {type(value).__name__}")

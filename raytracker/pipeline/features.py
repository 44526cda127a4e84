"""What a function may return as results: GeoJSON Features, or what stands for them."""

from __future__ import annotations

import datetime
import inspect
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import OutputError
from ..imagery import Tile
from .geometry import Checker

# What a Feature may not have (RFC 7946, 7.1), and what is not kept: its bounds are those of its
# geometry, and numbers that each tile counts anew are no ids.
_NOT_OF_FEATURES = frozenset(("coordinates", "geometries", "features", "bbox", "id"))
_PLAIN = (str, int, float, bool, type(None))


def features_of(
    result: Any, tile: Tile | None = None, properties: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Returns what a function found in a tile as GeoJSON Features, as RFC 7946 wants them.

    See `geometry.Checker`. An `id` becomes a property: other tiles may have the same.

    Args:
        result: A Feature, a geometry, a FeatureCollection, an object with `__geo_interface__`, an
            iterable of these, or None.
        tile: The tile; None: it may be anywhere.
        properties: What each Feature's properties are updated with.

    Raises:
        OutputError: It is none of these, or lies nowhere near the tile.
    """
    checker = Checker(tile)
    return [_feature(found, checker, properties or {}) for found in _found(result)]


def encode_features(
    result: Any, tile: Tile | None = None, properties: Mapping[str, Any] | None = None
) -> bytes:
    """Returns what a function found in a tile as a JSON list of GeoJSON Features.

    The arguments, and what is raised, are those of `features_of` and `encoded`.
    """
    return encoded(features_of(result, tile, properties))


def encoded(features: Sequence[Mapping[str, Any]]) -> bytes:
    """Returns Features as a JSON list.

    Numpy's numbers and arrays become JSON's, dates and times ISO 8601's.

    Raises:
        OutputError: JSON can't hold them.
    """
    try:
        return json.dumps(features, default=_simple, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        pass  # which of them it is, is found out now
    try:
        told = [
            {name: _told(value, name) for name, value in feature.items()} for feature in features
        ]
        return json.dumps(told, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as err:
        raise OutputError(f"the function's features can't be JSON: {err}") from err


def _found(result: Any) -> Iterator[Mapping[str, Any]]:
    """Yields the Features in a result."""
    if result is None:
        return
    if inspect.isawaitable(result) or inspect.isasyncgen(result):
        if inspect.iscoroutine(result):
            result.close()  # else Python warns of it, somewhere
        raise OutputError(
            f"the function returned a {type(result).__name__.replace('_', ' ')}, which nobody "
            'awaits: write it with "def", not "async def"'
        )
    result = _geojson(result)
    if isinstance(result, Mapping):
        kind = result.get("type")
        if kind == "FeatureCollection":
            yield from _found(list(result.get("features") or ()))
        elif kind == "Feature":
            yield result
        else:
            yield {"type": "Feature", "geometry": result}
    elif isinstance(result, Iterable) and not isinstance(result, (str, bytes)):
        for entry in result:
            yield from _found(entry)
    else:
        raise _no_feature(result)


def _feature(found: Mapping[str, Any], checker: Checker, more: Mapping[str, Any]) -> dict[str, Any]:
    geometry = _geojson(found.get("geometry"))
    properties = found.get("properties") or {}
    if not isinstance(properties, Mapping):
        raise _no_feature(found)
    if geometry is not None:
        if not isinstance(geometry, Mapping) or not isinstance(geometry.get("type"), str):
            raise _no_feature(found if "properties" in found else geometry)
        geometry = checker.checked(geometry)
    if found.get("id") is not None:
        properties = {"id": found["id"], **properties}
    if more:
        properties = {**properties, **more}
    if not _NOT_OF_FEATURES.isdisjoint(found):
        found = {name: found[name] for name in found if name not in _NOT_OF_FEATURES}
    return {**found, "geometry": geometry, "properties": properties}


def _geojson(value: Any) -> Any:
    plain = isinstance(value, Mapping) or not hasattr(value, "__geo_interface__")
    return value if plain else value.__geo_interface__


def _no_feature(value: Any) -> OutputError:
    return OutputError(
        f"the function returned {value!r:.60}, which is no GeoJSON: return Features "
        "(tile.feature makes them), a FeatureCollection or None"
    )


def _simple(value: Any) -> Any:
    """Returns what JSON knows for what it doesn't: numpy's values, times, mappings."""
    if getattr(getattr(value, "dtype", None), "kind", None) == "M":
        return _times(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (datetime.date, datetime.time)):
        text = value.isoformat()
        if text == "NaT":  # pandas' is a datetime, too
            raise ValueError("NaT is no time: leave it out, or say None")
        return text
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r:.60} is a {type(value).__name__}")


def _times(value: Any) -> Any:
    """Returns numpy's times, of whatever unit, as ISO 8601 has them."""
    if np.isnat(value).any():
        raise ValueError("NaT is no time: leave it out, or say None")
    unit = np.datetime_data(value.dtype)[0]
    whole: Any = {"Y": "D", "M": "D", "W": "D", "h": "s", "m": "s"}  # others read no years or hours
    return np.datetime_as_string(value, whole.get(unit, unit)).tolist()


def _told(value: Any, name: str) -> Any:
    """Returns a value as JSON knows it; errors name it.

    Raises:
        ValueError, TypeError: It can't.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}: leave it out, or say None")
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (list, tuple)):
        return [_told(entry, f"{name}[{number}]") for number, entry in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(key, name): _told(entry, f"{name}.{key}") for key, entry in value.items()}
    try:
        simple = _simple(value)
    except (TypeError, ValueError) as err:
        raise type(err)(f"{name}: {err}") from err
    return _told(simple, name)


def _key(key: Any, name: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, (int, np.integer)):
        return str(key)
    raise TypeError(f"{name} has the key {key!r:.60}, a {type(key).__name__}: use text")

"""What a function may return as a raster: an array that lies on its tile."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..imagery import Tile

FEATURES = "features"
RASTER = "raster"
# What a GeoTIFF holds, by numpy's names: GDAL's. What numpy has beside them becomes one of them.
GDAL_NAMES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
}
_BECOMES = {"bool": "uint8", "float16": "float32", np.dtype(np.longdouble).name: "float64"}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def split(result: Any, tile: Tile, stride: int = 1) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Returns what a function returned as Features, and its rasters by name.

    Args:
        result: Features, as `features.features_of` takes them; an array, which is then the one
            named "raster"; or a mapping of names to arrays, in which "features" are Features.
        tile: The tile.
        stride: How many of the tile's pixels, across and down, are one of an array's.

    Raises:
        OutputError: An array does not lie on the tile, or no raster holds it.
    """
    if is_array(result):
        return None, {RASTER: checked_array(result, tile, stride)}
    if not isinstance(result, Mapping) or "type" in result or not result:
        return result, {}
    if not all(name == FEATURES or is_array(value) for name, value in result.items()):
        return result, {}
    arrays = {}
    for name, value in result.items():
        if name == FEATURES:
            continue
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise OutputError(
                f"the function returned a raster named {name!r:.80}: name it with letters, digits, "
                "_, - and ., as a file is"
            )
        arrays[name] = checked_array(value, tile, stride, name)
    return result.get(FEATURES), arrays


def is_array(value: Any) -> bool:
    """Whether something is an array of numbers, of numpy or of what numpy makes one of."""
    if isinstance(value, (np.ndarray, np.generic)):
        return isinstance(value, np.ndarray)
    # A tensor, an image of xarray; not shapely's geometries, nor numbers.
    return hasattr(value, "__array__") and hasattr(value, "shape") and hasattr(value, "dtype")


def checked_array(value: Any, tile: Tile, stride: int = 1, name: str = RASTER) -> NDArray[Any]:
    """Returns an array as (bands, rows, columns), of a type that a GeoTIFF holds.

    Raises:
        OutputError: It does not lie on the tile, or no raster holds it.
    """
    try:
        array = np.asarray(value)
    except Exception as err:  # whatever a tensor on a GPU raises
        raise OutputError(f"the raster {name!r} can't become an array of numpy: {err}") from err
    array = array.astype(_BECOMES.get(array.dtype.name, array.dtype), copy=False)
    if array.dtype.name not in GDAL_NAMES:
        raise OutputError(
            f"the raster {name!r} is of {array.dtype}, which no GeoTIFF holds: return integers, "
            "floats or booleans"
        )
    wanted = tile.height // stride, tile.width // stride
    shaped = array[np.newaxis] if array.ndim == 2 else array
    if shaped.ndim != 3 or shaped.shape[1:] != wanted or not shaped.shape[0]:
        raise OutputError(
            f"the raster {name!r} has the shape {array.shape}, and its tile {wanted}: return "
            f"(rows, columns) or (bands, rows, columns) of the tile's{_hint(shaped, tile, stride)}"
        )
    if isinstance(value, np.ma.MaskedArray):
        raise OutputError(
            f"the raster {name!r} is a masked array: fill it with the value that nodata= names"
        )
    return shaped


def _hint(array: NDArray[Any], tile: Tile, stride: int) -> str:
    """Returns what else may be meant."""
    rows, columns = array.shape[-2:] if array.ndim >= 2 else (0, 0)
    for times in (2, 4, 8, 16, 32):
        if times != stride and (rows * times, columns * times) == (tile.height, tile.width):
            return f"; or is it one pixel for {times} x {times}? Then say stride={times}"
    return ""

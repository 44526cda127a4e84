"""Pictures whose every pixel is known, and what is to be found in them: without raytracker."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from tests.chaos.plan import Scene

MOST_FEATURES = 3  # of a tile


class Spot(NamedTuple):
    """A tile's place: in the grid, and in pixels the part of it that is picture."""

    row: int
    column: int
    top: int
    left: int
    height: int
    width: int


def sizes(scene: Scene) -> tuple[int, ...]:
    """Returns the tiles of each region."""
    rows, columns = (
        [min(block, count - first) for first in range(0, count, block)]
        for count, block in zip(scene.shape, scene.block, strict=True)
    )
    return tuple(high * wide for high in rows for wide in columns)


def spots(scene: Scene) -> list[Spot]:
    """Returns the tiles by their number: region by region, and row by row in each."""
    places = [(row, column) for row in range(scene.shape[0]) for column in range(scene.shape[1])]
    high, wide = scene.block
    places.sort(key=lambda place: (place[0] // high, place[1] // wide, place))
    height, width = size(scene)
    step = scene.tile - scene.overlap
    return [
        Spot(
            row,
            column,
            row * step,
            column * step,
            min(scene.tile, height - row * step),
            min(scene.tile, width - column * step),
        )
        for row, column in places
    ]


def size(scene: Scene) -> tuple[int, int]:
    """Returns the picture's (height, width) in pixels."""
    step = scene.tile - scene.overlap
    rows, columns = scene.shape
    return rows * step + scene.overlap - scene.cut, columns * step + scene.overlap - scene.cut


def write(scene: Scene, path: Path) -> None:
    """Writes the picture, whole or not at all."""
    height, width = size(scene)
    part = path.with_suffix(".part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            part, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint8"
        ) as file:
            file.write(_pixels(0, 0, height, width), 1)
    part.replace(path)


def found(spot: Spot, pixels: Any) -> list[dict[str, Any]]:
    """Returns the Features of a tile; some have none.

    Args:
        spot: Where it is.
        pixels: The part of it that is picture.
    """
    properties = {"tile": [spot.row, spot.column], "sum": int(pixels.sum())}
    return [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [spot.left + i, spot.top]},
            "properties": properties,
        }
        for i in range((spot.row + spot.column) % (MOST_FEATURES + 1))
    ]


def mask(pixels: Any) -> Any:
    """Returns the raster of a tile's pixels: each of its own pixel, below 126."""
    return pixels // 2


def score(pixels: Any) -> Any:
    """Returns the scores of a tile's pixels: each of its own pixel, whatever the tile."""
    return np.sqrt(pixels.astype("float32")) / 16


def scores(scene: Scene, numbers: Iterable[int]) -> Any:
    """Returns what is to be in `result-score.tif` where these succeeded; NaN where none did."""
    height, width = size(scene)
    made = np.full((height, width), np.nan, np.float32)
    there = spots(scene)
    for spot in (there[number] for number in numbers):
        made[spot.top : spot.top + spot.height, spot.left : spot.left + spot.width] = score(
            _pixels(*spot[2:])
        )
    return made


def raster(scene: Scene, numbers: Iterable[int]) -> Any:
    """Returns what is to be in `result.tif` where these tiles succeeded: of each its own part."""
    height, width = size(scene)
    made = np.full((height, width), 255, np.uint8)
    there = spots(scene)
    for spot in (there[number] for number in numbers):
        top, bottom = _own(spot.row, scene.shape[0], scene, height)
        left, right = _own(spot.column, scene.shape[1], scene, width)
        made[top:bottom, left:right] = mask(_pixels(top, left, bottom - top, right - left))
    return made


def _own(number: int, count: int, scene: Scene, length: int) -> tuple[int, int]:
    """Returns where the part of a tile begins and ends that is its own: overlaps are halved."""
    step = scene.tile - scene.overlap
    begin = 0 if number == 0 else (2 * number * step + scene.overlap) // 2
    end = length if number == count - 1 else (2 * (number + 1) * step + scene.overlap) // 2
    return begin, min(end, length)


def text(scene: Scene, numbers: Iterable[int]) -> bytes:
    """Returns what `results.geojson` is to be where these tiles succeeded."""
    there = spots(scene)
    features = [
        json.dumps(feature)
        for spot in (there[number] for number in sorted(numbers))
        for feature in found(spot, _pixels(*spot[2:]))
    ]
    told = '"raytracker:coordinates": "pixels (column, row)"'
    head = f'{{"type": "FeatureCollection", {told}, "features": ['
    return (head + ",".join("\n" + feature for feature in features) + "\n]}\n").encode()


def _pixels(top: int, left: int, height: int, width: int) -> Any:
    rows, columns = np.arange(top, top + height), np.arange(left, left + width)
    return (np.add.outer(7 * rows, 13 * columns) % 251).astype("uint8")

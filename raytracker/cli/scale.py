"""What tells where an image lies: degrees along its edges, a scale bar, north."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from ..errors import InvalidImage
from ..imagery.info import ImageInfo, unwrapped_lonlat

_EARTH = 6_371_008.8  # metres, the mean radius


class Ticks(NamedTuple):
    """Where ticks stand, in pixels along an edge, and what they say."""

    places: list[float]
    labels: list[str]


class Ground(NamedTuple):
    """How an image lies on the ground, at its middle.

    Attributes:
        metres: The width of a pixel.
        north: Where north is, as (right, up), of length 1.
    """

    metres: float
    north: tuple[float, float]


def degrees_along(
    info: ImageInfo, start: float, stop: float, other: float, axis: int, most: int
) -> Ticks:
    """Returns ticks of an edge: of longitude along columns (axis 0), of latitude along rows (1).

    There are none where the image has no CRS, or the edge runs across degrees to and fro.

    Args:
        info: The image.
        start: Where the edge begins, in pixels.
        stop: Where it ends.
        other: The row of an edge along columns, the column of one along rows.
        axis: Along what it runs.
        most: How many ticks there is room for.
    """
    along = np.linspace(start, stop, 65)
    pixels = np.column_stack([along, np.full_like(along, other)][:: 1 if axis == 0 else -1])
    degrees = _lonlat(info, pixels)
    if degrees is None:
        return Ticks([], [])
    values = degrees[:, axis]
    steps = np.diff(values)
    if not np.isfinite(values).all() or not ((steps > 0).all() or (steps < 0).all()):
        return Ticks([], [])
    if values[0] > values[-1]:
        values, along = values[::-1], along[::-1]
    ticks = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(values[0], values[-1])
    inside = [tick for tick in ticks if values[0] <= tick <= values[-1]]
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    places = np.interp(inside, values, along)
    return Ticks(list(places), [_label(tick, step, "EW" if axis == 0 else "NS") for tick in inside])


def _label(degrees: float, step: float, sides: str) -> str:
    if sides == "EW":
        degrees = (degrees + 180) % 360 - 180
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    size = f"{abs(degrees):.{digits}f}°"
    return size if not float(size[:-1]) else f"{size}{sides[int(degrees < 0)]}"


def ground_of(info: ImageInfo) -> Ground | None:
    """Returns how an image lies on the ground; None: that is not known."""
    column, row = info.width / 2, info.height / 2
    half = max(0.5, info.width / 200)
    up = max(0.5, info.height / 200)
    degrees = _lonlat(
        info,
        np.array(
            [[column - half, row], [column + half, row], [column, row - up], [column, row + up]]
        ),
    )
    if degrees is None or not np.isfinite(degrees).all():
        return None
    (lon, lat), (east, there), above, below = np.radians(degrees)
    haversine = (
        np.sin((there - lat) / 2) ** 2 + np.cos(lat) * np.cos(there) * np.sin((east - lon) / 2) ** 2
    )
    metres = 2 * _EARTH * math.asin(math.sqrt(min(1.0, float(haversine)))) / (2 * half)
    # North is where the latitude rises most.
    north = (there - lat) / (2 * half), (above[1] - below[1]) / (2 * up)
    length = math.hypot(*north)
    if not metres or not length:
        return None
    return Ground(metres, (float(north[0] / length), float(north[1] / length)))


def bar_of(metres: float, room: float) -> tuple[float, str]:
    """Returns the length, in pixels, and the name of a scale bar.

    Args:
        metres: The width of a pixel.
        room: How long it may be, in pixels.
    """
    most = metres * room
    power = 10 ** math.floor(math.log10(most))
    length = max(step * power for step in (1, 2, 5) if step * power <= most)
    name = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    return length / metres, name


def _lonlat(info: ImageInfo, pixels: np.ndarray) -> np.ndarray | None:
    if info.crs is None:
        return None
    try:
        degrees = unwrapped_lonlat(info, pixels, strict=False)
    except InvalidImage:
        return None
    degrees[:, 0] = np.unwrap(degrees[:, 0], period=360)
    return degrees

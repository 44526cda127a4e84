"""The Features of an image: where they lie in it, and the file that they go to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from ...imagery import Tile
from ..geometry import in_pixels
from ..objects import Key
from ..store import RESULTS
from .asked import Assembly
from .judged import class_and_score, group_of
from .source import Results, Source

PIXEL_COORDINATES = "pixels (column, row)"


class Located(NamedTuple):
    """Where the Features of a part lie, and what tells which may be one.

    Attributes:
        boxes: (n, 4), as left, top, right, bottom in the image's pixels; NaN for none.
        scores: (n,) numbers.
        groups: Of each: only those of one group may be one.
        tiles: (n,) integers: in which tile of the part each was found.
        shapes: Of "union": each as WKB, in the image's pixels; None where it is no polygon.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    groups: list[str]
    tiles: NDArray[np.intp]
    shapes: list[bytes | None]


class PartFeatures(NamedTuple):
    """The Features of a part of the image.

    Attributes:
        text: Each as JSON, in a line of its own.
        number: How many there are.
    """

    text: bytes
    number: int


# --- in the worker ---


def located(features: Sequence[Mapping[str, Any]], tile: Tile, assembly: Assembly) -> bytes | None:
    """Returns where the Features of a tile lie in the image's pixels, as merging them needs it.

    Returns:
        A JSON list with, for each, [box, score, group, WKB in hex or null]; null for one that lies
        nowhere. None: that is not needed.

    Raises:
        OutputError: One has no score.
    """
    if assembly.merge == "none":
        return None
    return json.dumps([_located(feature, tile, assembly) for feature in features]).encode()


def _located(feature: Mapping[str, Any], tile: Tile, assembly: Assembly) -> list[Any] | None:
    properties, is_union = feature["properties"], assembly.merge == "union"
    if is_union:
        group, score = group_of(properties, assembly), 0.0
    else:
        group, score = class_and_score(properties, assembly)
    if feature["geometry"] is None:
        return None
    shape = in_pixels(feature["geometry"], tile)
    if shape.is_empty:
        return None
    is_area = shape.geom_type in ("Polygon", "MultiPolygon")
    wkb = shapely.to_wkb(shape, hex=True) if is_union and is_area else None
    return [shape.bounds, score, group, wkb]


# --- of a part ---


def features_of_part(
    keys: Sequence[Key], results: Results, assembly: Assembly
) -> tuple[PartFeatures, Located | None]:
    """Returns the Features of some tiles, in their order, and where they lie.

    Raises:
        OutputError: They are none of ours.
    """
    lines: list[str] = []
    places: list[tuple[Any, ...]] = []
    for number, key in enumerate(keys):
        found = list(results.features(key))
        lines += found
        if assembly.merge != "none":
            places += [(number, *place) for place in results.pixels(key, len(found))]
    features = PartFeatures("\n".join(lines).encode(), len(lines))
    if assembly.merge == "none":
        return features, None
    tiles, boxes, scores, groups, shapes = zip(*places, strict=True) if places else [()] * 5
    return features, Located(
        np.array(boxes, float).reshape(-1, 4),
        np.array(scores, float),
        list(groups),
        np.array(tiles, np.intp),
        list(shapes),
    )


# --- of all parts ---


def write_geojson(source: Source, parts: Iterable[PartFeatures]) -> None:
    """Writes a FeatureCollection of all parts, in their order.

    Raises:
        OutputError: It cannot be written.
    """
    # RFC 7946 knows longitude and latitude only, and no member `coordinates` here.
    is_on_ground = source.grid.info.crs is not None
    told = {} if is_on_ground else {"raytracker:coordinates": PIXEL_COORDINATES}
    head = json.dumps({"type": "FeatureCollection", **told})[:-1]
    with source.into.writing(RESULTS) as file:
        file.write(f'{head}, "features": ['.encode())
        begun = False
        for part in parts:
            if part.number:
                file.write(b",\n" if begun else b"\n")
                file.write(part.text.replace(b"\n", b",\n"))
                begun = True
        file.write(b"\n]}\n")

"""The Features of an image: where they lie in it, and the file that they go to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import shapely

from ...imagery import Tile
from ..geometry import in_pixels
from ..objects import Key
from ..store import RESULTS
from .asked import Assembly
from .source import Results, Source

PIXEL_COORDINATES = "pixels (column, row)"


class PartFeatures(NamedTuple):
    """The Features of a part of the image.

    Attributes:
        text: Each as JSON, in a line of its own.
        number: How many there are.
    """

    text: bytes
    number: int


def located(features: Sequence[Mapping[str, Any]], tile: Tile, assembly: Assembly) -> bytes | None:
    """Returns where the Features of a tile lie in the image's pixels, as merging them needs it.

    Returns:
        A JSON list with, for each, the box (left, top, right, bottom), or for "union" the geometry
        as WKB in hex; null for none. None: that is not needed.
    """
    if assembly.merge == "none":
        return None
    shapes = [
        None if feature["geometry"] is None else in_pixels(feature["geometry"], tile)
        for feature in features
    ]
    if assembly.merge == "union":
        return json.dumps(
            [None if shape is None else shapely.to_wkb(shape, hex=True) for shape in shapes]
        ).encode()
    return json.dumps(
        [None if shape is None or shape.is_empty else shape.bounds for shape in shapes]
    ).encode()


def features_of_part(keys: Sequence[Key], results: Results) -> PartFeatures:
    """Returns the Features of some tiles, in their order.

    Raises:
        OutputError: They are none of ours.
    """
    lines = [feature for key in keys for feature in results.features(key)]
    return PartFeatures("\n".join(lines).encode(), len(lines))


def write_geojson(source: Source, parts: Iterator[PartFeatures]) -> None:
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

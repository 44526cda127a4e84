"""What the edges of tiles cut is one geometry again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

Numbers = NDArray[np.intp]


def candidates(boxes: NDArray[np.float64], tiles: Any, groups: Any) -> tuple[Numbers, Numbers]:
    """Returns pairs of shapes that may belong together: of two tiles, of one group, and touching.

    Args:
        boxes: (n, 4), as left, top, right, bottom.
        tiles: (n,) integers: the tile in which each was found.
        groups: (n,) integers: only those of one group may belong together.
    """
    tiles, groups = np.asarray(tiles), np.asarray(groups)
    shapes = shapely.box(*np.asarray(boxes, float).reshape(-1, 4).T)
    ones, others = shapely.STRtree(shapes).query(shapes)
    pairs = (ones < others) & (tiles[ones] != tiles[others]) & (groups[ones] == groups[others])
    return ones[pairs], others[pairs]


def together(shapes: Mapping[int, BaseGeometry], pairs: tuple[Numbers, Numbers]) -> list[list[int]]:
    """Returns the numbers of shapes that are one, rising, ordered by the first; if several.

    Two are one that share a line or an area, and not just a corner.

    Args:
        shapes: Polygons and multipolygons, by number.
        pairs: Those that may be one.
    """
    known = [
        (a, b)
        for a, b in zip(*(each.tolist() for each in pairs), strict=True)
        if a in shapes and b in shapes
    ]
    if not known:
        return []
    ones = np.array([shapes[a] for a, _ in known])
    others = np.array([shapes[b] for _, b in known])
    meet = shapely.length(shapely.intersection(ones, others)) > 0
    root = {number: number for number in shapes}

    def root_of(number: int) -> int:
        while root[number] != number:
            root[number] = number = root[root[number]]
        return number

    for (a, b), is_one in zip(known, meet.tolist(), strict=True):
        if is_one:
            low, high = sorted((root_of(a), root_of(b)))
            root[high] = low
    found: dict[int, list[int]] = {}
    for number in sorted(shapes):
        found.setdefault(root_of(number), []).append(number)
    return [numbers for numbers in found.values() if len(numbers) > 1]


def joined(shapes: Sequence[BaseGeometry]) -> BaseGeometry:
    """Returns shapes as one, the same whatever their order; no vertex of a seam is left in it."""
    union = shapely.normalize(shapely.union_all(sorted(shapes, key=shapely.to_wkb)))
    # Its rings begin at a corner now, so that only what lies in an edge goes.
    return shapely.normalize(shapely.simplify(union, 0))


def common(properties: Sequence[Mapping[str, Any]], score: str | None) -> dict[str, Any]:
    """Returns the properties that are equal in all pieces; and the greatest score."""
    first, *others = properties
    kept = {
        name: value
        for name, value in first.items()
        if all(name in each and each[name] == value for each in others)
    }
    scores = [each[score] for each in properties if score is not None and score in each]
    if score is not None and scores and all(isinstance(each, (int, float)) for each in scores):
        kept[score] = max(scores)
    return kept

"""What tiles cut is joined again, into what is found in the whole image."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import shapes
from shapely.geometry import mapping, shape

from raytracker.imagery import ImageInfo, plan
from raytracker.pipeline.assembly.asked import Assembly
from raytracker.pipeline.assembly.features import Located, PartFeatures
from raytracker.pipeline.assembly.merging import decide, decided
from raytracker.pipeline.assembly.union import joined, together

UNION = Assembly(merge="union", merge_by=["kind"]).applied({})


def found_in(mask: Any) -> list[tuple[Any, str]]:
    return [(shape(geometry), str(int(value))) for geometry, value in shapes(mask, mask > 0)]


def feature(geometry: Any, kind: str, **more: Any) -> str:
    properties = {"kind": kind, **more}
    return json.dumps({"type": "Feature", "geometry": mapping(geometry), "properties": properties})


def merged(parts: list[list[tuple[int, Any, str]]], info: ImageInfo) -> list[Any]:
    """Of parts with (tile, shape, kind), the Features that come out."""
    located = [
        Located(
            np.array([geometry.bounds for _, geometry, _ in part]).reshape(-1, 4),
            np.zeros(len(part)),
            [kind for *_, kind in part],
            np.array([tile for tile, *_ in part], np.intp),
            [shapely.to_wkb(geometry) for _, geometry, _ in part],
        )
        for part in parts
    ]
    features = [
        PartFeatures("\n".join(feature(g, k, tile=t) for t, g, k in part).encode(), len(part))
        for part in parts
    ]
    decisions = decide(located, features, lambda each: each, UNION, info)
    made = (decided(*each, UNION) for each in zip(features, decisions, strict=True))
    return [json.loads(line) for part in made for line in part.text.splitlines()]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_pieces_are_joined_into_what_the_whole_has(data: st.DataObject) -> None:
    """Of two kinds, over tiles that touch or overlap, however they are put into parts."""
    width, height = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    mask = rng.choice([0, 1, 2], (height, width), p=[0.4, 0.4, 0.2]).astype(np.uint8)
    info = ImageInfo("/image.tif", width, height, 1, "uint8", crs=None)
    size = data.draw(st.integers(2, 12))
    grid = plan(info, size, data.draw(st.integers(0, size // 2)), 1000)
    parts: list[list[tuple[int, Any, str]]] = [[], [], []]
    for number in range(sum(grid.tiles_per_region)):
        tile = grid.tile(0, number)
        rows, columns = tile.window.toslices()
        for geometry, kind in found_in(np.ascontiguousarray(mask[rows, columns])):
            there = shapely.affinity.translate(geometry, tile.col_off, tile.row_off)
            parts[rng.integers(3)].append((number, there, kind))
    features = merged(parts, info)
    expected = {(shapely.normalize(shapely.simplify(g, 0)).wkt, k) for g, k in found_in(mask)}
    found = {
        (
            shapely.normalize(shapely.simplify(shape(each["geometry"]), 0)).wkt,
            each["properties"]["kind"],
        )
        for each in features
    }
    assert found == expected
    assert len(features) == len(expected)


def test_what_only_meets_at_a_corner_is_two() -> None:
    """As for whoever finds shapes by their edges."""
    boxes = {0: shapely.box(0, 0, 1, 1), 1: shapely.box(1, 1, 2, 2), 2: shapely.box(1, 0, 2, 1)}
    pairs = np.array([0, 0, 1]), np.array([1, 2, 2])
    assert together({n: boxes[n] for n in (0, 1)}, pairs) == []
    assert together(boxes, pairs) == [[0, 1, 2]]


def test_a_joined_shape_is_the_same_in_any_order() -> None:
    """And has no vertex that a seam left."""
    boxes = [shapely.box(x, 0, x + 1, 1) for x in range(3)]
    assert joined(boxes).wkb == joined(boxes[::-1]).wkb
    assert len(joined(boxes).exterior.coords) == 5


def test_properties_that_differ_fall_away() -> None:
    """What is equal in all pieces stays."""
    info = ImageInfo("/image.tif", 9, 9, 1, "uint8", crs=None)
    pieces = [(0, shapely.box(0, 0, 4, 4), "a"), (1, shapely.box(4, 0, 8, 4), "a")]
    [one] = merged([pieces], info)
    assert one["properties"] == {"kind": "a"}
    assert merged([[]], info) == []
    both = merged([[*pieces, (1, shapely.box(4, 4, 5, 5), "a")]], info)
    assert len(both) == 2  # of one tile: whoever found them knows that they are two

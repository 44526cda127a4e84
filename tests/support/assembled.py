"""Assembling in this process, without Ray: what the tasks do, one after the other."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from raytracker.imagery import Grid, ImageInfo, plan
from raytracker.ledger import ERROR, SUCCESS
from raytracker.pipeline import ResultStore
from raytracker.pipeline.assembly.asked import USUAL
from raytracker.pipeline.assembly.features import features_of_part, write_geojson
from raytracker.pipeline.assembly.source import Source
from raytracker.pipeline.objects import Key, TileResult


def grid_of(regions: int, tiles: int, crs: str | None = "EPSG:4326") -> Grid:
    """A grid whose tile of a region lies at that row, and at the column of its number there."""
    info = ImageInfo("/image.tif", tiles, regions, 1, "uint8", crs=crs)
    return plan(info, 1, 0, (tiles, 1))


def results_of(features: Mapping[Key, bytes]) -> dict[Key, TileResult]:
    """The results of tiles of such a grid, of their Features."""
    return {key: TileResult(key, found) for key, found in features.items()}


def source_of(store: ResultStore, grid: Grid, asked: Collection[Key]) -> Source:
    """What is assembled where these tiles, and no others, are successes."""
    keys = ((r, t) for r, tiles in enumerate(grid.tiles_per_region) for t in range(tiles))
    outcomes = b"".join(SUCCESS if key in asked else ERROR for key in keys)
    return Source(store, grid, outcomes, store)


def assembled(source: Source) -> list[Any]:
    """Writes the Features of all parts; returns them."""
    found = source.objects_of(source.parts, source.store.chunks())
    parts = []
    for part, objects in zip(source.parts, found, strict=True):
        keys = source.keys(part)
        results = source.results(keys, objects)
        parts.append(features_of_part(keys, results, USUAL)[0])
    write_geojson(source, iter(parts))
    features: list[Any] = json.loads(source.store.read("results.geojson"))["features"]
    assert len(features) == sum(part.number for part in parts)
    return features

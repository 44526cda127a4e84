"""Real images, a function to run on their tiles, and what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from raytracker.imagery import Tile

DATA = Path(__file__).parents[2] / "examples" / "data"
BAHAMAS = DATA / "bahamas.tif"
LANDSAT = DATA / "landsat7_sf_bay.tif"


def results(folder: Path) -> Any:
    return json.loads((folder / "out" / "results.geojson").read_text())


def outline(_: Any, tile: Tile) -> Any:
    """One Feature a tile: its edge, and its place."""
    right, bottom = tile.width, tile.height
    return tile.feature(
        [(0, 0), (right, 0), (right, bottom), (0, bottom)],
        {"place": [tile.row, tile.column], "key": [tile.region, tile.number]},
    )

"""An image: what it is, how it is cut into regions and tiles, and the pixels of one tile.

Extra `raytracker[imagery]`: GDAL reads the pixels, through rasterio.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .axis import Edges
    from .cut import Cut
    from .grid import Grid, Size, plan
    from .image import describe
    from .info import ImageInfo, plain_environment
    from .pixels import Block, Pixels, blocks, read
    from .reading import check_unchanged, kept_open
    from .tile import Halo, OsmlBounds, Placed, Tile, from_osml, on_ground, to_osml

__all__ = [
    "Block",
    "Cut",
    "Edges",
    "Grid",
    "Halo",
    "ImageInfo",
    "OsmlBounds",
    "Pixels",
    "Placed",
    "Size",
    "Tile",
    "blocks",
    "check_unchanged",
    "describe",
    "from_osml",
    "kept_open",
    "on_ground",
    "plain_environment",
    "plan",
    "read",
    "to_osml",
]

_HOME = {
    "Block": "pixels",
    "Cut": "cut",
    "Edges": "axis",
    "Grid": "grid",
    "Halo": "tile",
    "ImageInfo": "info",
    "OsmlBounds": "tile",
    "Pixels": "pixels",
    "Placed": "tile",
    "Size": "grid",
    "Tile": "tile",
    "blocks": "pixels",
    "check_unchanged": "reading",
    "describe": "image",
    "from_osml": "tile",
    "kept_open": "reading",
    "on_ground": "tile",
    "plain_environment": "info",
    "plan": "grid",
    "read": "pixels",
    "to_osml": "tile",
}


def __getattr__(name: str) -> Any:
    # At first use: what an image is named, which the command asks, needs no GDAL.
    if name not in _HOME:
        raise AttributeError(f"module 'raytracker.imagery' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return value

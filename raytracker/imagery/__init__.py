"""An image: what it is, how it is cut into regions and tiles, and the pixels of one tile."""

from .image import Grid, ImageInfo, OsmlBounds, Size, Tile, describe, from_osml, plan, read, to_osml

__all__ = [
    "Grid",
    "ImageInfo",
    "OsmlBounds",
    "Size",
    "Tile",
    "describe",
    "from_osml",
    "plan",
    "read",
    "to_osml",
]

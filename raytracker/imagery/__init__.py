"""An image: what it is, how it is cut into regions and tiles, and the pixels of one tile.

Extra `raytracker[imagery]`: GDAL reads the pixels, through rasterio.
"""

from .grid import Grid, Size, plan
from .image import describe, read
from .info import ImageInfo
from .tile import OsmlBounds, Tile, from_osml, to_osml

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

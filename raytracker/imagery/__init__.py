"""An image: what it is, how it is cut into regions and tiles, and the pixels of one tile.

Extra `raytracker[imagery]`: GDAL reads the pixels, through rasterio.
"""

from .axis import Edges
from .cut import Cut
from .grid import Grid, Size, plan
from .image import describe
from .info import ImageInfo, plain_environment
from .order import order
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
    "order",
    "plain_environment",
    "plan",
    "read",
    "to_osml",
]

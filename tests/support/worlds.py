"""Images where longitudes end or meet: of all the earth, of its poles, across 180 degrees."""

from __future__ import annotations

from affine import Affine

from raytracker.imagery import ImageInfo


def image_on(
    crs: str, left: float, top: float, pixel: float, width: int, height: int, turned: float = 0
) -> ImageInfo:
    """An image whose upper left corner and pixel size are given in its CRS."""
    where = Affine.translation(left, top) @ Affine.rotation(turned) @ Affine.scale(pixel, -pixel)
    return ImageInfo("/image.tif", width, height, 1, "uint8", crs=crs, transform=tuple(where)[:6])


UTM_60 = image_on("EPSG:32660", 700_000, 1_000_000, 1000, 300, 300)
UTM_1 = image_on("EPSG:32701", 0, 9_000_000, 1000, 300, 300)
NORTH = image_on("EPSG:3413", -500_000, 500_000, 1000, 1000, 1000)
SOUTH = image_on("EPSG:3031", -700_000, 400_000, 1000, 1000, 1000)
TURNED_NORTH = image_on("EPSG:3413", -500_000, 200_000, 1000, 1000, 600, 30)
EASTWARD = image_on("EPSG:4326", 0, 90, 0.5, 720, 360)  # 0 to 360 degrees
WHOLE = image_on("EPSG:4326", -180, 90, 0.5, 720, 360)
STRIP = image_on("EPSG:4326", 179, 11, 0.01, 200, 100)  # 179 to 181 degrees
WEB = image_on("EPSG:3857", 19_900_000, 1_000_000, 1000, 300, 300)
PACIFIC = image_on("EPSG:3832", -5_000_000, 5_000_000, 50_000, 300, 200)
TURNED_UTM_60 = image_on("EPSG:32660", 700_000, 1_000_000, 1000, 300, 300, -30)

WORLDS = {
    "UTM 60": UTM_60,
    "UTM 1": UTM_1,
    "north": NORTH,
    "south": SOUTH,
    "turned north": TURNED_NORTH,
    "eastward": EASTWARD,
    "whole": WHOLE,
    "strip": STRIP,
    "web": WEB,
    "Pacific": PACIFIC,
    "turned UTM 60": TURNED_UTM_60,
}

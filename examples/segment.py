r"""A mask of a whole scene and its lakes, each once: water in a colour-infrared image.

    raytracker run --embedded --output out/water --tile-size 256 --tile-overlap 64 \
        --merge union --merge-by kind --colormap 0=#f3efe6,1=#1f6fb4 \
        examples/data/landsat7_sf_bay.tif examples/segment.py:segment

out/water/result.tif is the mask, a Cloud Optimized GeoTIFF; out/water/results.geojson has a polygon
for each body of water, whole where the edges of tiles cut it.

What is small is passed over (`sieve`), and a tile sees only its part of a lake: so tiles overlap.
Each pixel of the mask is taken from the tile in which it lies furthest from the edge.
"""

from rasterio.features import shapes, sieve

WATER_BELOW = 30  # of 255, in the near infrared: see detect.py
SMALLEST = 100  # pixels: of 30 m, 9 hectares


def segment(pixels, tile):
    """Returns the water in a tile as a mask, 1 where it is, and as Features."""
    mask = (pixels[0] < WATER_BELOW).astype("uint8")
    if mask.size > 1:  # the last tile may be a single pixel
        mask = sieve(mask, min(SMALLEST, mask.size - 1))
    bodies = [tile.feature(body, {"kind": "water"}) for body, _ in shapes(mask, mask == 1)]
    return {"raster": mask, "features": bodies}

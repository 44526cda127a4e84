r"""A detector that can be checked by eye: finds water in a colour-infrared image.

    raytracker run --embedded --table demo --output out/demo \
        examples/data/landsat7_sf_bay.tif examples/detect.py:detect

Water swallows near-infrared light, which plants and towns send back. In the sample image it is
the first band, and there hardly a pixel lies between the two: 43 in 100 are below 25, and between
25 and 50 there is less than 1 in 100.
"""

from rasterio.features import shapes, sieve
from shapely.geometry import shape

WATER_BELOW = 30  # of 255, in the near infrared
SMALLEST = 100  # pixels: of 30 m, 9 hectares; hides the shadows of hills and high buildings


def detect(pixels, tile):
    """Returns the water in a tile, as one Feature for each body of it."""
    water = (pixels[0] < WATER_BELOW).astype("uint8")
    if water.size > 1:  # the last tile may be a single pixel
        water = sieve(water, min(SMALLEST, water.size - 1))
    for outline, _ in shapes(water, mask=water == 1):
        polygon = shape(outline).simplify(1)  # of the stairs that pixels make
        yield tile.feature(polygon, {"kind": "water", "pixels": round(polygon.area)})

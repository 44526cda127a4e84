"""A Ray pipeline that was there, and the tracker added to it: an import and three lines, marked.

It measures how bright each block of an image is. `ImageJobs` is a job table, made once with
`raytracker table create ImageJobs`.

    python examples/existing_pipeline.py [IMAGE]
"""

import sys
from pathlib import Path

import rasterio
import ray
from rasterio.windows import Window

from raytracker import ImageTracker

SAMPLE = Path(__file__).parent / "data" / "landsat7_sf_bay.tif"
SIDE = 512


@ray.remote
def brightness(path, window):
    with rasterio.open(path) as source:
        return source.read(window=window).mean()


def blocks(path):
    with rasterio.open(path) as source:
        for row in range(0, source.height, SIDE):
            for column in range(0, source.width, SIDE):
                yield Window(column, row, SIDE, SIDE).intersection(
                    Window(0, 0, source.width, source.height)
                )


ray.init()
image = str(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else SAMPLE)
work = [(image, window) for window in blocks(image)]

# 1: new. Each block is a region.
tracker = ImageTracker.start(image, regions=len(work), table="ImageJobs", if_exists="restart")
# 2: was `for number, task in enumerate([brightness.remote(*args) for args in work]):`
for number, result, error in tracker.map_unordered(brightness, enumerate(work)):
    # and here was `result = ray.get(task)`, which an error ended everything with
    print(f"block {number}: {error or f'{result:.1f}'}")
# 3: new. DynamoDB has it all.
print(f"{image}: {tracker.wait().status}")

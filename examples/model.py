"""A model with weights on disk, in batches, held by two workers: finds water, pixel by pixel.

    raytracker table create ImageJobs && python examples/model.py

A logistic regression that learns from the scene itself: what is black in its first band is water,
what is bright there is land; what lies between, the model decides.
"""

from pathlib import Path

import numpy as np
import rasterio
import ray
from rasterio.features import shapes, sieve

from raytracker import Work, process_image

SCENE = Path(__file__).parent / "data" / "landsat7_sf_bay.tif"
OUTPUT = Path("out/model")
SMALLEST = 100  # pixels: hides the shadows of hills and high buildings


class Water:
    """The model: made once in each worker, then called with batch after batch."""

    def __init__(self, weights):
        self.slope, self.start = np.load(weights).values()

    def __call__(self, pixels, tiles):  # (tiles, bands, rows, columns)
        scores = np.einsum("tbrc,b->trc", pixels / np.float32(255), self.slope) + self.start
        return [find(score > 0, tile) for score, tile in zip(scores, tiles, strict=True)]


def find(water, tile):
    """Returns the water in a tile, as one Feature for each body of it."""
    water = water[tile.valid.toslices()].astype("uint8")  # what is padded is no image
    if water.size > 1:  # the last tile may be a single pixel
        water = sieve(water, min(SMALLEST, water.size - 1))
    return [tile.feature(shape, {"kind": "water"}) for shape, _ in shapes(water, mask=water == 1)]


def train(weights):
    """Writes the weights, as gradient descent finds them on every eighth pixel of the scene."""
    with rasterio.open(SCENE) as scene:
        pixels = scene.read(out_shape=(3, scene.height // 8, scene.width // 8)).reshape(3, -1).T
    pixels = pixels[(pixels[:, 0] < 20) | (pixels[:, 0] > 50)]
    x, is_water = pixels / np.float32(255), pixels[:, 0] < 20
    slope, start = np.zeros(3), 0.0
    for _ in range(1000):
        wrong = (1 / (1 + np.exp(-(x @ slope + start))) - is_water) / len(x)
        slope, start = slope - 10 * (wrong @ x), start - 10 * wrong.sum()
    np.savez(weights, slope=slope.astype("float32"), start=np.float32(start))


def show(progress):
    print(f"{progress.tile_success} of {progress.tile_count} tiles, busy {progress.busy or 0:.0%}")


if __name__ == "__main__":
    OUTPUT.mkdir(parents=True, exist_ok=True)
    weights = str(OUTPUT.resolve() / "weights.npz")  # workers may run in another folder
    train(weights)
    ray.init()
    work = Work(fn_constructor_args=(weights,), concurrency=2)
    job = process_image(
        SCENE, Water, tile_size=256, edges="pad", batch_size=16, work=work, table="ImageJobs",
        if_exists="restart", output=OUTPUT, on_progress=show,
    )  # fmt: skip
    print(f"{job.image_id}: {job.status}")

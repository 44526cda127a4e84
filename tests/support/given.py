"""What the pages' code takes as given: a scene, functions, a model, and images in every state."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import ray
from affine import Affine

from raytracker import ImageTracker, JobTable, Work, process_image
from tests.support.documents import ROOT
from tests.support.images import make_image


def folder(where: Path) -> None:
    """Lays out what a reader of the pages has at hand: images, the examples, the first function."""
    pixels = np.zeros((3, 1024, 1024), "uint8")
    scene = {"crs": "EPSG:32618", "transform": Affine(30, 0, 500_000, 0, -30, 4_090_000)}
    for path in (where, where / "data", where / "bucket"):
        path.mkdir(exist_ok=True)
        make_image(path / "scene.tif", pixels, **scene)
    (where / "examples").symlink_to(ROOT / "examples")
    first = re.search(
        r"detect\.py <<'END'\n(.*?)END\n", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert first is not None
    (where / "detect.py").write_text(first[1])
    (where / "mypackage").mkdir()
    (where / "mypackage" / "detect.py").write_text(first[1].replace("detect", "ships"))


def table() -> JobTable:
    """Returns the table ImageJobs, new and empty, where AWS_ENDPOINT_URL_DYNAMODB says."""
    jobs = JobTable("ImageJobs")
    with contextlib.suppress(jobs.client.meta.client.exceptions.ResourceNotFoundException):
        jobs.table.delete()
    jobs.create()
    return jobs


def detect(pixels: Any, tile: Any) -> Any:
    return tile.feature([(0, 0), (8, 0), (8, 8), (0, 8)], {"mean": float(pixels.mean())})


def load(weights: str) -> Any:
    """A network that knows the mean of each of its arrays."""
    assert weights.endswith("weights.pt")
    return lambda batch: batch.mean(axis=(1, 2, 3))


def features(mean: float, tile: Any) -> Any:
    return tile.feature([(0, 0), (8, 0), (8, 8), (0, 8)], {"mean": float(mean)})


class Detector:
    """A model of batches."""

    def __init__(self, weights: str) -> None:
        self.net = load(weights)

    def __call__(self, pixels: Any, tiles: Any) -> Any:
        return [features(found, tile) for found, tile in zip(self.net(pixels), tiles, strict=True)]


@ray.remote
def work(region: int, tile: int) -> int:
    return region + tile


def started(image_id: str, tiles: int = 8) -> ImageTracker:
    """Returns a tracker of an image of two regions, of which nothing has been done."""
    return ImageTracker.start(image_id, regions=[tiles // 2] * 2, table="ImageJobs")


def half_done(image: str) -> None:
    """Runs a function over an image that fails for one of its tiles."""

    def failing(pixels: Any, tile: Any) -> Any:
        if (tile.row, tile.column) == (0, 0):
            raise ValueError("nothing but clouds")
        return detect(pixels, tile)

    process_image(image, failing, table="ImageJobs", output="out", work=Work(retries=0))


message = {
    "jobId": "job-1",
    "imageUrls": ["s3://bucket/scene.tif"],
    "imageProcessor": {"name": "model"},
    "outputs": [{"type": "S3", "bucket": "bucket", "prefix": "out"}],
}

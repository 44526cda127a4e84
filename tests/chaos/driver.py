"""A driver of its own, to be killed; its arguments are those of `main`."""

from __future__ import annotations

import sys
from pathlib import Path

import ray

from raytracker import ImageTracker, JobTable
from tests.chaos.plan import draw
from tests.chaos.run import Run
from tests.chaos.seed import REGION


def main(seed: str, image_id: str, address: str, endpoint: str, table: str, folder: str) -> None:
    """Drives the first run of an image, saying BEGUN and its name when it has begun."""
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    [image] = [image for image in draw(int(seed)).images if image.image_id == image_id]
    work = image.first
    tracker = ImageTracker.start(
        image_id,
        regions=work.sizes,
        table=JobTable(table, endpoint_url=endpoint, region_name=REGION),
        flush_interval=work.flush_interval,
        pool=image.pool,
    )
    print("BEGUN", tracker.run, flush=True)
    run = Run(tracker, work, "a", Path(folder))
    run.drive()


if __name__ == "__main__":
    main(*sys.argv[1:])

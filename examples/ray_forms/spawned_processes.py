"""Processes of a task's own: a forked one can't report, so the task reports what they return."""

from concurrent.futures import ProcessPoolExecutor
from math import isqrt
from multiprocessing import get_context

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("processes", regions=[4] * 3, table="ImageJobs", if_exists="restart")


@ray.remote
def process_region(tracker, region):
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        for tile, result in enumerate(pool.map(isqrt, (n * n for n in range(4)))):
            with tracker.tile(region, tile):  # in the parent
                assert result == tile


ray.get([process_region.remote(tracker, region) for region in range(3)])
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

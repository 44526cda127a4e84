"""Processes of a task's own: a forked one can't report, so the task reports what they return."""

import multiprocessing
from math import isqrt

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("processes", regions=[4] * 3, table="ImageJobs", if_exists="restart")


@ray.remote
def process_region(tracker, region):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for tile, result in enumerate(pool.imap(isqrt, (n * n for n in range(4)))):
            with tracker.tile(region, tile):  # in the parent
                assert result == tile


ray.get([process_region.remote(tracker, region) for region in range(3)])
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

"""A task with two results, and one that hands large results over as references."""

import numpy as np
import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("several-returns", regions=8, table="ImageJobs", if_exists="restart")


@ray.remote(num_returns=2)
def process(tracker, region):
    with tracker.region(region):
        mask = np.zeros((1000, 1000), dtype="u1")
        return mask, region


pairs = [process.remote(tracker, region) for region in range(8)]
assert ray.get([number for _, number in pairs]) == list(range(8))
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

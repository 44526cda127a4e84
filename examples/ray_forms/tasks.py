"""Tasks: a worker reports its region, and is used again."""

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("tasks", regions=8, table="ImageJobs", if_exists="restart")


@ray.remote
def process(tracker, region):
    with tracker.region(region):
        if region == 5:
            raise ValueError("clouds")


for region in range(8):
    process.remote(tracker, region)
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

"""Tasks whose library leaks: Ray ends the worker after two calls."""

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("max-calls", regions=10, table="ImageJobs", if_exists="restart")


@ray.remote(max_calls=2)
def process(tracker, region):
    tracker.report(region)


ray.get([process.remote(tracker, region) for region in range(10)])
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

"""ray.shutdown() and ray.init() in one process: what was not durable is sent to the new cluster."""

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("shutdown", regions=20, table="ImageJobs", if_exists="restart")
for region in range(10):
    tracker.report(region)
ray.shutdown()
ray.init()
for region in range(10, 20):
    tracker.report(region)
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

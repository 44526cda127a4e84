"""Ray Client: the driver is outside of the cluster. `ray.init("ray://HOST:10001")`."""

import os

import ray

from raytracker import ImageTracker

ray.init(os.environ["RAY_CLIENT"])
tracker = ImageTracker.start("client", regions=12, table="ImageJobs", if_exists="restart")


@ray.remote
def process(region):
    return region**2


results = tracker.map_unordered(process, ((region, (region,)) for region in range(12)))
assert sorted(result for _, result, _ in results) == [n**2 for n in range(12)]
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

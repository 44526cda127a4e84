"""A task that streams its results, and reports each when it has been made."""

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("streaming", regions=[5] * 4, table="ImageJobs", if_exists="restart")


@ray.remote
def process_region(tracker, region):
    for tile in range(5):
        with tracker.tile(region, tile):
            result = tile**2
        yield result


streams = [process_region.remote(tracker, region) for region in range(4)]
assert [ray.get(ref) for stream in streams for ref in stream] == [0, 1, 4, 9, 16] * 4
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

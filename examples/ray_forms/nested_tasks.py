"""A task for each region, which runs a task for each of its tiles: what a tile says, counts."""

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("nested", regions=[4] * 5, table="ImageJobs", if_exists="restart")


@ray.remote
def process_tile(tracker, region, tile):
    wrong = (region, tile) == (3, 1)
    tracker.report(region, tile=tile, error=wrong, reason="no pixels" if wrong else None)


@ray.remote
def process_region(tracker, region):
    ray.get([process_tile.remote(tracker, region, tile) for tile in range(4)])


for _ in tracker.map_unordered(process_region, ((r, (tracker, r)) for r in range(5))):
    pass
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

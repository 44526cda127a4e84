"""An async actor: a report never holds its event loop up."""

import asyncio

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("async-actor", regions=20, table="ImageJobs", if_exists="restart")


@ray.remote
class Fetcher:
    async def fetch(self, tracker, region):
        with tracker.region(region):
            await asyncio.sleep(0.01)


fetcher = Fetcher.remote()
ray.get([fetcher.fetch.remote(tracker, region) for region in range(20)])
del fetcher
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

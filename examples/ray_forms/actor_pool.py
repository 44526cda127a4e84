"""Actors that each load a model once: an ActorPool hands them the regions."""

import ray
from ray.util import ActorPool

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("actor-pool", regions=12, table="ImageJobs", if_exists="restart")


@ray.remote
class Detector:
    def __init__(self, tracker):
        self.tracker = tracker
        self.model = sum  # load the weights here, once

    def detect(self, region):
        with self.tracker.region(region):
            return self.model([region, 1])


pool = ActorPool([Detector.remote(tracker) for _ in range(2)])
found = list(pool.map_unordered(lambda detector, region: detector.detect.remote(region), range(12)))
del pool  # and with it the actors
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

"""A threaded actor: four calls at a time in one process."""

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("threaded-actor", regions=20, table="ImageJobs", if_exists="restart")


@ray.remote(max_concurrency=4)
class Detector:
    def detect(self, tracker, region):
        with tracker.region(region):
            return region


detector = Detector.remote()
ray.get([detector.detect.remote(tracker, region) for region in range(20)])
del detector
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

"""An actor that is killed as soon as its last result has been taken."""

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("killed-actor", regions=6, table="ImageJobs", if_exists="restart")


@ray.remote
class Detector:
    def detect(self, tracker, region):
        with tracker.region(region):
            return region


detector = Detector.remote()
ray.get([detector.detect.remote(tracker, region) for region in range(6)])
ray.kill(detector)
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

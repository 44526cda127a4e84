"""Ray Data with a model: a pool of actors, each of which loads it once."""

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("ray-data-model", regions=96, table="ImageJobs", if_exists="restart")


class Detector:
    def __init__(self):
        self.model = lambda values: values * 2  # load the weights here, once

    def __call__(self, batch):
        batch["found"] = self.model(batch["id"])
        tracker.report(batch["id"])  # ids of rows are the regions
        return batch


dataset = ray.data.range(96).map_batches(Detector, batch_size=8, concurrency=2)  # num_gpus=1
assert dataset.materialize().count() == 96
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

"""Tasks on GPUs: Ray ends the worker after each, so a report has arrived before it returns."""

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("gpu-tasks", regions=6, table="ImageJobs", if_exists="restart")


@ray.remote(num_gpus=0.5)
def process(tracker, region):
    with tracker.region(region):
        ...  # a model on ray.get_gpu_ids()


ray.get([process.remote(tracker, region) for region in range(6)])
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

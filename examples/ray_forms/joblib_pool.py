"""joblib with Ray as its backend."""

import joblib
import ray
from ray.util.joblib import register_ray

from raytracker import ImageTracker

ray.init()
register_ray()
tracker = ImageTracker.start("joblib", regions=40, table="ImageJobs", if_exists="restart")


def process(region):
    with tracker.region(region):
        return region**2


with joblib.parallel_backend("ray", n_jobs=2):
    joblib.Parallel()(joblib.delayed(process)(region) for region in range(40))
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

"""Ray Tune: a trial is a region, and runs in an actor inside a placement group."""

import ray
from ray import tune

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("tune", regions=4, table="ImageJobs", if_exists="restart")


def trial(config):
    with tracker.region(config["region"]):
        tune.report({"score": config["region"]})


space = {"region": tune.grid_search(list(range(4)))}
tune.Tuner(tune.with_resources(trial, {"cpu": 1}), param_space=space).fit()
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

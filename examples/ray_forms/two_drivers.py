"""Two programs on one cluster share an image: the second attaches to the run of the first."""

import subprocess
import sys

import ray

from raytracker import ImageTracker

ray.init()
if len(sys.argv) > 1:
    tracker = ImageTracker.attach("two-drivers", table="ImageJobs")
    for region in range(10, 20):
        tracker.report(region)
    tracker.flush()
else:
    tracker = ImageTracker.start("two-drivers", regions=20, table="ImageJobs", if_exists="restart")
    second = subprocess.Popen([sys.executable, __file__, "second"])
    for region in range(10):
        tracker.report(region)
    job = tracker.wait(timeout=120)
    assert second.wait() == 0
    print(job.image_id, job.status, job.region_success, job.region_error)

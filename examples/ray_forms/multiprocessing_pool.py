"""multiprocessing's Pool on Ray: its processes are actors, which it ends when it is done."""

import ray
from ray.util.multiprocessing import Pool

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("pool", regions=40, table="ImageJobs", if_exists="restart")


def process(region):
    with tracker.region(region):
        return region**2


with Pool(2) as pool:
    assert pool.map(process, range(40)) == [n**2 for n in range(40)]
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

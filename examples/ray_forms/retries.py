"""Tasks that Ray tries again: an attempt that is repeated has said nothing."""

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("retries", regions=6, table="ImageJobs", if_exists="restart")


@ray.remote(num_cpus=0)
class Attempts:
    def __init__(self):
        self.of = dict.fromkeys(range(6), 0)

    def add(self, region):
        self.of[region] += 1
        return self.of[region]


@ray.remote(max_retries=2, retry_exceptions=True)
def process(tracker, region, attempts):
    with tracker.region(region):
        if region == 4 or ray.get(attempts.add.remote(region)) <= region % 3:
            raise OSError("the disk is away")


attempts = Attempts.remote()
refs = [process.remote(tracker, region, attempts) for region in range(6)]
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

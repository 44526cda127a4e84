"""A job on a cluster, with this folder, or a wheel, sent along: `ray job submit`.

ray job submit --working-dir examples/ray_forms -- python job.py
ray job submit --runtime-env-json '{"py_modules": ["raytracker.whl"]}' -- python job.py
"""

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("job", regions=8, table="ImageJobs", if_exists="restart")


@ray.remote
def process(region):
    return region**2


for region, result, error in tracker.map_unordered(process, ((r, (r,)) for r in range(8))):
    assert (result, error) == (region**2, None)
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

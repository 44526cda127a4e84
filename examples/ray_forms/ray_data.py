"""Ray Data: tiles are rows, and the function that maps them reports them."""

import ray

from raytracker import ImageTracker

ray.init()
tracker = ImageTracker.start("ray-data", regions=[16] * 8, table="ImageJobs", if_exists="restart")


def detect(batch):
    batch["found"] = batch["tile"] * 2  # read the pixels, run the model
    tracker.report(batch["region"], tile=batch["tile"])  # arrays: the whole batch in one call
    return batch


rows = [{"region": region, "tile": tile} for region, tile in tracker.pending_tiles()]
dataset = ray.data.from_items(rows).map_batches(detect, batch_size=8)
assert dataset.materialize().count() == 8 * 16
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)

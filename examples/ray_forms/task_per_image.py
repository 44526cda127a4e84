"""A task for each image, which runs the tasks of its tiles: as many of them as there are CPUs."""

import ray

from raytracker import ImageTracker

ray.init()


@ray.remote
def process_tile(number):
    return number**2


@ray.remote
def process_image(name):
    tracker = ImageTracker.start(name, regions=6, table="ImageJobs", if_exists="restart")
    found = [r for _, r, _ in tracker.map_unordered(process_tile, ((n, (n,)) for n in range(6)))]
    job = tracker.wait()
    assert len(found) == 6
    return job.status, job.region_success, job.region_error


images = int(ray.cluster_resources()["CPU"])
ended = ray.get([process_image.remote(f"task-per-image-{n}") for n in range(images)])
assert set(ended) == {("SUCCESS", 6, 0)}, ended
print("task-per-image-0", *ended[0])

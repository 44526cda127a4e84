"""A cluster that grows while an image is under way: the new CPUs are used."""

import time

import ray
from ray.cluster_utils import Cluster

from raytracker import ImageTracker

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})  # stands for a cloud's
ray.init(cluster.address)
tracker = ImageTracker.start("growing", regions=60, table="ImageJobs", if_exists="restart")


@ray.remote
def process(region):
    time.sleep(0.3)
    return ray.get_runtime_context().get_node_id()


nodes = set()
for done, (_, node, _) in enumerate(tracker.map_unordered(process, ((r, (r,)) for r in range(60)))):
    nodes.add(node)
    if done == 3:
        cluster.add_node(num_cpus=4)  # as an autoscaler would, on seeing what is queued
assert len(nodes) == 2
job = tracker.wait(timeout=120)
print(job.image_id, job.status, job.region_success, job.region_error)
ray.shutdown()
cluster.shutdown()

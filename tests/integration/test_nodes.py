"""What Ray tells of nodes: what they hold, whether more may come, who died with one."""

from __future__ import annotations

import subprocess
import sys

from tests.support.command import environment

# Of a lost node Ray else learns after half a minute.
IMPATIENT = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "3"}

NODES = """
import os, time, ray
from ray.cluster_utils import Cluster
from raytracker.ray_runtime import died_with_node, how_many_fit, may_grow, resources_of
os.environ["RAY_AUTH_MODE"] = "disabled"
cluster = Cluster()
cluster.add_node(num_cpus=1, object_store_memory=80_000_000, include_dashboard=False)
node = cluster.add_node(num_cpus=4, resources={"there": 1}, object_store_memory=80_000_000)
ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)

asked = resources_of({"num_cpus": 2, "num_gpus": None, "resources": {"there": 0.5}})
print("told", asked, how_many_fit(asked), how_many_fit({"CPU": 1}), how_many_fit({"GPU": 1}))

@ray.remote(max_restarts=0)
class Actor:
    def die(self):
        os._exit(1)
    def hold(self):
        return True

def error_of(reference):
    try:
        ray.get(reference)
    except ray.exceptions.RayActorError as err:
        return died_with_node(err)

here = Actor.remote()
print("told", error_of(here.die.remote()), died_with_node(ValueError("its node has died")))
there = Actor.options(resources={"there": 0.5}).remote()
assert ray.get(there.hold.remote())
cluster.remove_node(node, allow_graceful=False)
end = time.monotonic() + 120
while not error_of(there.hold.remote()):  # it is unavailable until Ray misses the node
    assert time.monotonic() < end
    time.sleep(0.1)
print("told", "True")
end = time.monotonic() + 30
while may_grow() is None and time.monotonic() < end:  # Ray tells it every five seconds
    time.sleep(0.1)
print("told", may_grow())
os._exit(0)
"""


def test_nodes_are_known() -> None:
    """What they hold, whether more may come, and whether an actor has gone with its own."""
    done = subprocess.run(
        [sys.executable, "-c", NODES],
        env=environment(**IMPATIENT),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("told")]
    assert told == [
        "told {'CPU': 2.0, 'there': 0.5} 2 5 0",
        "told False False",
        "told True",
        "told False",
    ], done.stdout

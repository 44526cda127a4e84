"""Where an image's actor runs, whatever it is started from, and what keeps it from running."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from raytracker import ImageTracker, JobTable
from raytracker.actor import find
from tests.support.command import environment
from tests.support.jobs import counts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


def start(table: JobTable, image_id: str = "scene") -> ImageTracker:
    """Starts an image of two regions and reports one, so that its actor has claimed it."""
    tracker = ImageTracker.start(image_id, regions=2, table=table)
    tracker.report(0)
    tracker.flush()
    return tracker


@pytest.fixture
def group() -> Iterator[PlacementGroup]:
    """A placement group with room for two tasks, and for nothing else."""
    group = placement_group([{"CPU": 1}, {"CPU": 1}])
    ray.get(group.ready(), timeout=30)
    yield group
    remove_placement_group(group)


@pytest.fixture
def full_head() -> Iterator[None]:
    """Somebody who holds all there is of the head node's own resource."""

    @ray.remote(num_cpus=0, resources={"node:__internal_head__": 1})
    class Holder:
        def holds(self) -> bool:
            return True

    holder = Holder.remote()
    assert ray.get(holder.holds.remote(), timeout=30)
    yield
    ray.kill(holder)


def test_no_resource_limits_the_images(full_head: None, job_table: JobTable) -> None:
    """However many live: none holds a part of the head node's resource, of which there is one."""
    tracker = start(job_table)
    tracker.report(1)
    assert counts(tracker.wait(30)) == (2, 2, 0)


def test_an_image_outlives_the_placement_group_it_was_started_in(
    group: PlacementGroup, job_table: JobTable
) -> None:
    """Each Tune trial is such a group, and takes with it what was started inside."""
    within = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    task = ray.remote(start).options(scheduling_strategy=within)
    tracker = ray.get(task.remote(job_table), timeout=30)
    before = ray.get(find(tracker._run.spec).pid.remote())
    remove_placement_group(group)
    wait_until(
        lambda: ray.util.placement_group_table(group)["state"] == "REMOVED", what="the group's end"
    )
    tracker.report(1)
    assert counts(tracker.wait(30)) == (2, 2, 0)
    assert ray.get(find(tracker._run.spec).pid.remote()) == before


class _Plain:
    def start(self, table: JobTable) -> ImageTracker:
        return start(table)


class _Async:
    async def start(self, table: JobTable) -> ImageTracker:
        return start(table)


def _in_an_actor(table: JobTable) -> ImageTracker:
    return ray.get(ray.remote(_Plain).remote().start.remote(table))


def _in_a_threaded_actor(table: JobTable) -> ImageTracker:
    actor = ray.remote(_Plain).options(max_concurrency=4).remote()
    return ray.get(actor.start.remote(table))


def _in_an_async_actor(table: JobTable) -> ImageTracker:
    return ray.get(ray.remote(_Async).remote().start.remote(table))


def _in_a_task_without_cpus(table: JobTable) -> ImageTracker:
    return ray.get(ray.remote(num_cpus=0)(start).remote(table))


def _in_a_nested_task(table: JobTable) -> ImageTracker:
    return ray.get(ray.remote(lambda: ray.get(ray.remote(start).remote(table))).remote())


def _in_a_task_with_an_environment(table: JobTable) -> ImageTracker:
    task = ray.remote(start).options(runtime_env={"env_vars": {"OF_THE_TASK": "1"}})
    return ray.get(task.remote(table))


@pytest.mark.parametrize(
    "begin",
    [
        _in_an_actor,
        _in_a_threaded_actor,
        _in_an_async_actor,
        _in_a_task_without_cpus,
        _in_a_nested_task,
        _in_a_task_with_an_environment,
    ],
)
def test_an_image_may_be_started_anywhere(
    begin: Callable[[JobTable], ImageTracker], job_table: JobTable
) -> None:
    """What started it has ended; the image goes on, in this process."""
    tracker = begin(job_table)
    assert tracker.progress().region_success == 1
    tracker.report(1)
    assert counts(tracker.wait(30)) == (2, 2, 0)


TWO_NODES = """
import sys, ray
from ray.cluster_utils import Cluster
from raytracker import ImageTracker, JobTable
from raytracker.actor import find, finding
from raytracker.ray_runtime import head_node
from tests.support.waiting import wait_until

CHECKS = {"initial_delay_ms": 300, "period_ms": 300, "timeout_ms": 1000, "failure_threshold": 3}
head = {
    "num_cpus": 0,
    "include_dashboard": False,
    "_system_config": {f"health_check_{name}": value for name, value in CHECKS.items()},
}
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = [cluster.add_node(num_cpus=1, resources={"there": 1}) for _ in range(2)]
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
table = JobTable(*sys.argv[1:])

def where(tracker):
    from ray._private.state import state
    return state.actor_table(find(tracker._run.spec)._actor_id.hex())["Address"]["NodeID"]

@ray.remote(resources={"there": 1})
def start(number):
    tracker = ImageTracker.start(f"scene-{number}", regions=1, table=table)
    tracker.report(0)
    return tracker.wait(30) and where(tracker)

assert set(ray.get([start.remote(number) for number in range(6)])) == {head_node()}
print("at the head")

finding.head_node = lambda: nodes[0].node_id
tracker = ImageTracker.start("lost", regions=2, table=table)
tracker.report(0)
tracker.flush()
assert where(tracker) == nodes[0].node_id
finding.head_node = head_node
cluster.remove_node(nodes[0], allow_graceful=False)
lost = nodes[0].node_id
wait_until(lambda: lost not in [node["NodeID"] for node in ray.nodes() if node["Alive"]])
tracker.report(1)
assert tracker.wait(60).region_success == 2
assert where(tracker) == head_node()
print("at the next one")
ray.shutdown()
cluster.shutdown()
"""


def test_the_actor_runs_on_the_head_node(job_table: JobTable) -> None:
    """Which outlives the others, though it has no CPU, and tasks on another node start it.

    When the head node is lost and another takes its place, the actor is started there.
    """
    arguments = (job_table.table_name, str(job_table.endpoint_url), "us-east-1")
    run = subprocess.run(
        [sys.executable, "-c", TWO_NODES, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    printed = [line for line in run.stdout.splitlines() if line.startswith("at the")]
    assert printed == ["at the head", "at the next one"], run.stdout + run.stderr

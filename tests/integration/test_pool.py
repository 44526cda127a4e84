"""A pool: a fixed number of actors hosts many images, each as an actor of its own would."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest
import ray
from ray.util import list_named_actors

from raytracker import ImageTracker, JobTable
from raytracker.actor import NAMESPACE, find
from raytracker.errors import TrackerSuperseded

pytestmark = pytest.mark.usefixtures("ray_cluster")


def actors_of(pool: str) -> list[str]:
    named = list_named_actors(all_namespaces=True)
    return [
        actor["name"]
        for actor in named
        if actor["namespace"] == NAMESPACE and actor["name"].startswith(f"pool:{pool}/")
    ]


def test_many_images_share_two_actors(job_table: JobTable) -> None:
    """Each ends right, and by itself."""
    trackers = [
        ImageTracker.start(f"scene-{n}", regions=[2] * 5, table=job_table, pool="many", pool_size=2)
        for n in range(40)
    ]
    for number, tracker in enumerate(trackers):
        for region in range(5):
            tracker.report(region, error=region < number % 6)
    for number, tracker in enumerate(trackers):
        job = tracker.wait(30)
        assert (job.region_success, job.region_error) == (5 - number % 6, number % 6)
    assert len(actors_of("many")) == 2


def test_attach_finds_the_actor_of_the_pool(job_table: JobTable) -> None:
    """The pool stands in the item: a handle from anywhere sees what is not durable yet."""
    tracker = ImageTracker.start(
        "scene", regions=3, table=job_table, pool="attach", flush_interval=60
    )
    tracker.report(0)
    tracker.flush()
    tracker.report(1)
    assert tracker.progress().region_success == 2
    item = job_table.read("scene")
    assert item is not None
    assert (str(item.tracker_pool).rpartition("/")[0], item.region_success) == ("attach/2", 1)
    assert ImageTracker.attach("scene", table=job_table).progress().region_success == 2


def test_all_images_survive_the_death_of_their_actor(job_table: JobTable) -> None:
    """It comes back, each image is opened from its item, and what was held comes again."""
    trackers = [
        ImageTracker.start(f"scene-{n}", regions=4, table=job_table, pool="killed", pool_size=1)
        for n in range(10)
    ]
    for tracker in trackers:
        tracker.report(0)
        tracker.flush()
        tracker.report(1)
    os.kill(ray.get(find(trackers[0]._run.spec).pid.remote()), signal.SIGKILL)
    for tracker in trackers:
        tracker.report(2)
        tracker.report(3, error=True)
    for tracker in trackers:
        job = tracker.wait(30)
        assert (job.region_success, job.region_error) == (3, 1)


def test_a_restart_in_the_pool_supersedes_the_run_before(job_table: JobTable) -> None:
    """Both runs are hosted by one process, which tells them apart."""
    first = ImageTracker.start("scene", regions=2, table=job_table, pool="fenced")
    first.report(0)
    first.flush()
    second = ImageTracker.start(
        "scene", regions=2, table=job_table, pool="fenced", if_exists="restart"
    )
    with suppress(TrackerSuperseded):  # where it waits for the receipt
        first.report(1)
    with pytest.raises(TrackerSuperseded):
        first.flush()
    second.report(0, error=True)
    second.report(1)
    job = second.wait(30)
    assert (job.region_success, job.region_error) == (1, 1)


def test_a_resume_may_leave_the_pool(job_table: JobTable) -> None:
    """The item says where the run is hosted now, and nothing of the pool that was."""
    first = ImageTracker.start("scene", regions=2, table=job_table, pool="left")
    first.report(0)
    first.flush()
    second = ImageTracker.resume("scene", table=job_table)
    second.report(1)
    assert second.wait(30).tracker_pool is None
    third = ImageTracker.resume("scene", table=job_table, pool="entered", pool_size=3, redrive=True)
    item = job_table.read("scene")
    assert item is not None
    assert str(item.tracker_pool).startswith("entered/3/")
    assert third.wait(30).status == "SUCCESS"


@pytest.mark.parametrize(
    ("options", "text"),
    [({"pool": ""}, "pool='': a pool has a name"), ({"pool": "p", "pool_size": 0}, "pool_size=0")],
)
def test_a_pool_that_is_none_is_refused(
    job_table: JobTable, options: dict[str, object], text: str
) -> None:
    """Before anything is written."""
    with pytest.raises(ValueError, match=text):
        ImageTracker.start("scene", regions=1, table=job_table, **options)
    assert job_table.read("scene") is None

"""Waiting: what is named, what is no stall, and who ends an image; on a real Ray."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import ray

from raytracker import ImageTracker, JobTable
from raytracker.actor import find
from raytracker.errors import ImageStalled, RaytrackerError, TableError, WaitTimeout
from raytracker.ray_runtime import what_runs
from raytracker.run import waiting
from tests.support.jobs import counts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is certain is told after two seconds, not after a minute."""
    monkeypatch.setattr(waiting, "CERTAIN_STALL_SECONDS", 2.0)


@ray.remote(num_cpus=0)
class Sleeper:
    """An actor that takes no resources, as Ray's actors do by default."""

    def report_late(self, tracker: ImageTracker, seconds: float) -> None:
        time.sleep(seconds)
        tracker.report(1)

    def ready(self) -> None:
        """Lives."""


@pytest.fixture
def quiet() -> Iterator[None]:
    """Nothing of the tests before runs any more."""
    wait_until(lambda: what_runs(certain=True).nothing, 60)
    return


def test_a_stall_is_told_when_it_is_certain(
    job_table: JobTable, impatient: None, quiet: None
) -> None:
    """No task, no actor and no other driver is left: the pending regions are named."""
    tracker = ImageTracker.start("scene", regions=3, table=job_table)
    tracker.report(0)
    with pytest.raises(ImageStalled, match=r"'scene': 2 of 3 regions are not settled.*\[1, 2\]"):
        tracker.wait(40)


def test_a_busy_actor_without_cpus_is_no_stall(job_table: JobTable, impatient: None) -> None:
    """Ray's actors take no CPU while they work: what one reports late still counts."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    tracker.report(0)
    sleeper = Sleeper.remote()
    done = sleeper.report_late.remote(tracker, 6.0)
    assert counts(tracker.wait(60)) == (2, 2, 0)
    ray.get(done)


def test_an_idle_actor_may_still_report(job_table: JobTable, impatient: None) -> None:
    """Ray can't tell; who knows says after how many seconds it is a stall."""
    sleeper = Sleeper.remote()
    ray.get(sleeper.ready.remote())
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    tracker.report(0)
    with pytest.raises(WaitTimeout):
        tracker.wait(6)
    with pytest.raises(ImageStalled):
        tracker.wait(60, stall_timeout=1.0)
    with pytest.raises(WaitTimeout):
        tracker.wait(4, stall_timeout=math.inf)
    del sleeper


def test_a_task_that_waits_for_its_node_is_no_stall(job_table: JobTable) -> None:
    """It is queued for what the cluster has not yet."""

    @ray.remote(resources={"a node that comes": 1})
    def process() -> None:
        """Never runs."""

    tracker = ImageTracker.start("scene", regions=1, table=job_table)
    queued = process.remote()
    wait_until(lambda: what_runs(certain=False).queued, 30)
    with pytest.raises(WaitTimeout):
        tracker.wait(5, stall_timeout=1.0)
    ray.cancel(queued)


def test_a_time_out_is_kept_though_the_actor_is_stopped(job_table: JobTable) -> None:
    """Who asked for three seconds waits three to four, and is told that the actor is silent."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    tracker.report(0)
    tracker.flush()
    pid = ray.get(find(tracker._run.spec).pid.remote())
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(WaitTimeout, match="does not answer"):
            tracker.wait(3)
        assert time.monotonic() - began < 6  # the machine may be busy; it was 15
    finally:
        os.kill(pid, signal.SIGCONT)


def test_an_image_that_somebody_ends_stays_open(job_table: JobTable) -> None:
    """Begun with `ends=False` it is IN_PROGRESS though settled; `end` ends it, durably."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table, ends=False)
    tracker.report(0)
    with pytest.raises(RaytrackerError, match="1 of 2 tiles are pending"):
        tracker.end()
    tracker.report(1)
    job = tracker.wait(30)
    assert (job.status, job.end_time, counts(job)) == ("IN_PROGRESS", None, (2, 2, 0))

    ended = []
    other = ImageTracker.attach("scene", table=job_table)
    waiter = threading.Thread(target=lambda: ended.append(other.wait(60)))
    waiter.start()
    job = tracker.end()
    assert (job.status, counts(job)) == ("SUCCESS", (2, 2, 0))
    assert job.end_time is not None
    waiter.join(60)
    assert [job.status for job in ended] == ["SUCCESS"]


def test_a_resume_of_an_open_image_only_ends_it(job_table: JobTable) -> None:
    """Its driver died between the last region and the end."""
    ImageTracker.start("scene", regions=1, table=job_table, ends=False).report(0)
    wait_until(lambda: job_table.read("scene").region_success == 1, 30)
    tracker = ImageTracker.resume("scene", table=job_table)
    assert tracker.pending() == []
    assert tracker.wait(30).end_time is None
    assert tracker.end().status == "SUCCESS"


def test_a_table_that_was_mended_is_asked_again(job_table: JobTable) -> None:
    """It had been deleted, and the actor's pause is half a minute by now; nobody waits for that."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    tracker.report(0)
    tracker.flush()
    item = job_table.read("scene")
    job_table.client.meta.client.delete_table(TableName=job_table.table_name)
    tracker.report(1)
    for call in (tracker.flush, tracker.wait):
        began = time.monotonic()
        with pytest.raises(TableError):
            call(20)
        assert time.monotonic() - began < 5
    job_table.create()
    job_table.put_ddb_item(item)
    began = time.monotonic()
    tracker.flush(20)
    assert counts(tracker.wait(20)) == (2, 2, 0)
    assert time.monotonic() - began < 8

"""Errors of tasks that Ray tries again: whether they are final is found out from Ray."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import ray

from raytracker import ImageTracker, JobTable
from raytracker.actor import find
from raytracker.ray_runtime import attempt_number
from tests.support.jobs import counts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


def fail(tracker: ImageTracker, region: int) -> None:
    """Raises in the region's block."""
    with tracker.region(region):
        raise KeyError("blue")


@ray.remote(max_retries=1, retry_exceptions=True)
def fails_once(tracker: ImageTracker, region: int) -> None:
    """A task whose second attempt, some seconds later, succeeds."""
    if attempt_number() == 0:
        fail(tracker, region)
    time.sleep(3)  # longer than the error would be waited for
    tracker.report(region)


@ray.remote(max_retries=1, retry_exceptions=True)
def fails(tracker: ImageTracker, region: int) -> None:
    """A task both of whose attempts fail."""
    fail(tracker, region)


@ray.remote(max_retries=3)
def is_not_repeated(tracker: ImageTracker, region: int) -> None:
    """A task that Ray would repeat if its worker died, but not on an exception."""
    fail(tracker, region)


@ray.remote(max_retries=1, retry_exceptions=True)
def swallows(tracker: ImageTracker, region: int) -> None:
    """A task that goes on after the error, and returns."""
    try:
        fail(tracker, region)
    except KeyError:
        return


@pytest.fixture
def tracker(job_table: JobTable) -> ImageTracker:
    """A run of one region."""
    return ImageTracker.start("scene", regions=1, table=job_table)


def test_an_attempt_that_is_repeated_has_said_nothing(tracker: ImageTracker) -> None:
    """`wait` goes on until the attempt that succeeds."""
    fails_once.remote(tracker, 0)
    job = tracker.wait(60)
    assert (job.status, counts(job)) == ("SUCCESS", (1, 1, 0))


@pytest.mark.parametrize("task", [fails, is_not_repeated, swallows])
def test_the_last_attempts_error_counts(tracker: ImageTracker, task: Any) -> None:
    """With its reason, within seconds of its end."""
    task = task.remote(tracker, 0)
    ray.wait([task], timeout=60)
    ended = time.monotonic()
    job = tracker.wait(60)
    assert time.monotonic() - ended < 10
    assert (job.status, counts(job)) == ("FAILED", (1, 0, 1))
    assert tracker.failed() == {0: "KeyError: 'blue'"}


@ray.remote(max_restarts=1, max_task_retries=1, num_cpus=0)
class Once:
    """An actor whose methods Ray tries twice."""

    @ray.method(retry_exceptions=True)
    def fails_once(self, tracker: ImageTracker, region: int) -> None:
        if attempt_number() == 0:
            fail(tracker, region)
        time.sleep(3)
        tracker.report(region)

    @ray.method(retry_exceptions=True)
    def fails(self, tracker: ImageTracker, region: int) -> None:
        fail(tracker, region)


def test_attempts_of_an_actors_method(job_table: JobTable) -> None:
    """As those of a task."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    actor = Once.remote()
    actor.fails_once.remote(tracker, 0)
    actor.fails.remote(tracker, 1)
    assert counts(tracker.wait(60)) == (2, 1, 1)
    assert tracker.failed() == {1: "KeyError: 'blue'"}


def test_the_last_error_of_a_worker_that_ends_counts(tracker: ImageTracker) -> None:
    """Ray ends it with the attempt; what it told has arrived."""
    ray.wait([ray.remote(max_calls=1, max_retries=0)(fail).remote(tracker, 0)], timeout=60)
    assert counts(tracker.wait(60)) == (1, 0, 1)


def test_an_error_that_may_not_be_final_outlives_the_actor(tracker: ImageTracker) -> None:
    """The worker holds it until Ray must have decided, and tells the next owner."""
    ray.wait([is_not_repeated.remote(tracker, 0)], timeout=60)
    ray.kill(find(tracker._run.spec), no_restart=False)
    assert counts(tracker.wait(90)) == (1, 0, 1)


def test_where_ray_tells_no_attempt_an_error_counts_at_once(job_table: JobTable) -> None:
    """In a thread that a task started, an async actor, and a driver; a success outranks it."""
    tracker = ImageTracker.start("scene", regions=4, table=job_table)

    @ray.remote(num_cpus=0)
    class Async:
        async def fail(self, tracker: ImageTracker, region: int) -> None:
            fail(tracker, region)

    @ray.remote
    def in_a_thread(tracker: ImageTracker, region: int) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(fail, tracker, region)

    actor = Async.remote()
    ray.wait([actor.fail.remote(tracker, 0)], timeout=60)
    ray.get(in_a_thread.remote(tracker, 1), timeout=60)
    with pytest.raises(KeyError):
        fail(tracker, 2)
    tracker.flush()
    wait_until(lambda: tracker.progress().region_error == 3, 10, "errors that count at once")
    tracker.report(0)
    tracker.report(3)
    assert counts(tracker.wait(30)) == (4, 2, 2)


@pytest.mark.parametrize("retries", [0, 1])
def test_who_knows_the_retries_says_so(tracker: ImageTracker, retries: int) -> None:
    """Then nobody asks: an error is final, or nothing, at once."""

    @ray.remote(max_retries=retries, retry_exceptions=True)
    def process(tracker: ImageTracker) -> None:
        with tracker.region(0, retries=retries):
            if attempt_number() < 1:
                raise KeyError("blue")

    ray.wait([process.remote(tracker)], timeout=60)
    assert counts(tracker.wait(60)) == ((1, 1, 0) if retries else (1, 0, 1))

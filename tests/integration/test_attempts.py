"""Errors of tasks that Ray tries again: whether they are final is found out from Ray."""

from __future__ import annotations

import time
from typing import Any

import pytest
import ray

from raytracker import ImageTracker, JobTable
from raytracker.ray_runtime import attempt_number
from tests.support.jobs import counts

pytestmark = pytest.mark.usefixtures("ray_cluster")


def fail(tracker: ImageTracker, region: int) -> None:
    """Fails in the region's block."""
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

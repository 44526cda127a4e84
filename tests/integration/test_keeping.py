"""How long a job item is kept, and by what it lives."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
import ray

from raytracker import ImageTracker, JobTable
from raytracker.actor import find
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


def expires_in(table: JobTable) -> float | None:
    """Returns in how many seconds the item may be deleted; None: never."""
    expire_time = table.get_image_request("scene").expire_time
    return None if expire_time is None else expire_time - time.time()


def kill_actor(tracker: ImageTracker, *, for_good: bool = False) -> None:
    handle = find(tracker._run.spec)
    assert handle is not None
    ray.kill(handle, no_restart=for_good)


def test_an_item_lives_as_long_as_its_handle(job_table: JobTable) -> None:
    """Though nothing is ever reported, and its actor forgot it, as one does that Ray restarted."""
    tracker = ImageTracker.start("scene", regions=1, table=job_table, keep_for=8)
    begun = time.time()

    def lives(seconds: float) -> bool:
        expire_time = job_table.get_image_request("scene").expire_time
        return expire_time is not None and expire_time > begun + seconds

    wait_until(lambda: lives(14), 30, "the first renewals")
    kill_actor(tracker)
    wait_until(lambda: lives(28), 60, "renewals by the actor that Ray started")
    tracker.report(0)
    assert tracker.wait(30).status == "SUCCESS"


def test_a_week_is_what_an_item_is_kept(job_table: JobTable) -> None:
    """From its start on, and after its end."""
    tracker = ImageTracker.start("scene", regions=1, table=job_table)
    week = pytest.approx(7 * 86400, abs=30)
    assert expires_in(job_table) == week
    tracker.report(0)
    tracker.wait(30)
    assert expires_in(job_table) == week


@pytest.mark.parametrize("keep_for", [None, timedelta(days=30)], ids=["for ever", "a month"])
def test_who_only_attaches_shortens_no_life(
    job_table: JobTable, keep_for: timedelta | None
) -> None:
    """Though the actor that serves the run was started by that handle."""

    @ray.remote
    def begin() -> None:
        ImageTracker.start("scene", regions=2, table=job_table, keep_for=keep_for).flush()

    def is_kept() -> bool:
        left = expires_in(job_table)
        return left is None if keep_for is None else left is not None and left > 29 * 86400

    ray.get(begin.remote(), timeout=60)
    assert is_kept()
    tracker = ImageTracker.attach("scene", table=job_table)
    wait_until(lambda: find(tracker._run.spec) is not None)
    kill_actor(tracker, for_good=True)
    tracker.report(0)
    tracker.flush()
    assert is_kept()
    tracker.report(1)
    tracker.wait(30)
    assert is_kept()


def test_a_resume_says_anew_how_long(job_table: JobTable) -> None:
    """Friday's failures are run again on Monday, and then kept as long as that run says."""
    tracker = ImageTracker.start("scene", regions=1, table=job_table, keep_for=None)
    tracker.report(0, error=True)
    tracker.wait(30)
    assert expires_in(job_table) is None
    again = ImageTracker.resume("scene", table=job_table, redrive=True, keep_for=3600)
    assert expires_in(job_table) == pytest.approx(3600, abs=30)
    again.report(0)
    assert again.wait(30).status == "SUCCESS"
    assert expires_in(job_table) == pytest.approx(3600, abs=30)


def test_a_settled_image_may_wait_for_its_end(job_table: JobTable) -> None:
    """As the item says, whoever resumes it; one that only attaches waits for the end itself."""
    tracker = ImageTracker.start("scene", regions=1, table=job_table, ends=False)
    tracker.report(0)
    tracker.flush()
    item = job_table.get_image_request("scene")
    assert (item.tracker_ends, item.end_time, item.status) == (False, None, "IN_PROGRESS")
    assert tracker.progress().region_success == 1
    assert ImageTracker.attach("scene", table=job_table)._run.spec.ends is True
    for handle in (
        ImageTracker.resume("scene", table=job_table),
        ImageTracker.start("scene", regions=1, table=job_table, if_exists="resume"),
    ):
        assert handle._run.spec.ends is False
    new = ImageTracker.start("scene", regions=1, table=job_table, if_exists="restart")
    assert new._run.spec.ends is True
    assert job_table.get_image_request("scene").tracker_ends is None


def test_what_is_no_time_is_refused_before_anything_is_written(job_table: JobTable) -> None:
    """By `start`; and by `resume`, which leaves the run that is going on alone."""
    with pytest.raises(ValueError, match="keep_for=0"):
        ImageTracker.start("scene", regions=1, table=job_table, keep_for=0)
    assert job_table.read("scene") is None
    tracker = ImageTracker.start("scene", regions=1, table=job_table)
    with pytest.raises(ValueError, match="keep_for=-1"):
        ImageTracker.resume("scene", table=job_table, keep_for=-1)
    tracker.report(0)
    assert tracker.wait(30).status == "SUCCESS"

"""Reporting to a tracker, on a real Ray and a real DynamoDB engine."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import ray

from raytracker import ImageTracker, JobTable, Outcome
from raytracker.errors import (
    UnknownRegion,
)
from tests.support.jobs import counts

pytestmark = pytest.mark.usefixtures("ray_cluster")


# --- reporting ---


def test_tasks_report_their_regions(job_table: JobTable) -> None:
    """Each region is counted once: a success, or an error with the exception as its reason."""
    tracker = ImageTracker.start("scene", regions=40, table=job_table)

    @ray.remote
    def process(tracker: ImageTracker, region: int) -> None:
        with tracker.region(region):
            if region in (7, 31):
                raise ValueError(f"no pixels in {region}")

    refs = [process.remote(tracker, region) for region in range(40)]
    job = tracker.wait(timeout=60)
    assert counts(job) == (40, 38, 2)
    assert job.status == "PARTIAL"
    assert job.end_time is not None
    assert job.start_time is not None
    assert job.end_time >= job.start_time
    assert tracker.failed() == {7: "ValueError: no pixels in 7", 31: "ValueError: no pixels in 31"}
    with pytest.raises(ValueError, match="no pixels in 7"):
        ray.get(refs[7])


def test_a_region_is_settled_when_its_tiles_are(job_table: JobTable) -> None:
    """Tiles are reported one by one; a region counts when the last of them is in."""
    tracker = ImageTracker.start("scene", regions=[3, 2], table=job_table)
    with tracker.tile(0, 0), tracker.tile(0, 1):
        pass
    assert (tracker.progress().region_success, tracker.progress().tile_success) == (0, 2)
    tracker.report(0, tile=2)
    with pytest.raises(OSError, match="disk"), tracker.tile(1, 0):
        raise OSError("disk")
    assert tracker.progress().region_success == 1
    assert tracker.pending() == [1]
    assert tracker.pending_tiles() == [(1, 1)]
    tracker.report(1, tile=1)
    assert tracker.outcomes() == [Outcome.SUCCESS, Outcome.ERROR]
    assert tracker.tile_outcomes() == bytes([2, 2, 2, 1, 2])
    assert counts(tracker.wait(30)) == (2, 1, 1)


def test_a_late_success_replaces_an_error(job_table: JobTable) -> None:
    """A retry that worked counts, until the image has ended; an error after a success does not."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    tracker.report(0, error=True, reason="first try")
    tracker.flush()
    assert job_table.get_image_request("scene").region_error == 1
    tracker.report(0)
    tracker.report(0, error=True, reason="too late")
    tracker.report(1, error=True, reason="clouds")
    job = tracker.wait(30)
    assert (counts(job), tracker.failed()) == ((2, 1, 1), {1: "clouds"})
    tracker.report(1)
    tracker.flush()
    assert job_table.get_image_request("scene") == job
    assert tracker.failed() == {1: "clouds"}


def test_with_a_retry_to_come_an_error_is_nothing_yet(job_table: JobTable) -> None:
    """With `retries`, only the last attempt's exception counts."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table)

    @ray.remote(max_retries=2, retry_exceptions=True)
    def process(tracker: ImageTracker, region: int) -> None:
        with tracker.region(region, retries=2):
            attempt = ray._private.worker.global_worker.core_worker
            number = attempt.get_current_task_attempt_number()
            if number < region + 2:
                raise ValueError(f"attempt {number}")

    refs = [process.remote(tracker, region) for region in range(2)]
    assert counts(tracker.wait(60)) == (2, 1, 1)
    assert tracker.failed() == {1: "ValueError: attempt 2"}
    ray.wait(refs, num_returns=2)


@pytest.mark.parametrize(("region", "tile"), [(2, None), (-1, None), (0, 3), (1, -1)])
def test_an_unknown_region_or_tile_is_told_at_once(
    job_table: JobTable, region: int, tile: int | None
) -> None:
    """In the caller, before anything is sent; the block of `region()` does not run."""
    tracker = ImageTracker.start("scene", regions=[3, 2], table=job_table)
    with pytest.raises(UnknownRegion):
        tracker.report(region, tile=tile)
    ran = []
    with pytest.raises(UnknownRegion):  # noqa: SIM117
        with tracker.region(region) if tile is None else tracker.tile(region, tile):
            ran.append(True)
    assert not ran


def test_flush_returns_when_this_process_is_durable(job_table: JobTable) -> None:
    """What was reported before is in the item when it returns."""
    tracker = ImageTracker.start("scene", regions=10, table=job_table, flush_interval=60)
    for region in range(6):
        tracker.report(region)
    tracker.flush()
    assert job_table.get_image_request("scene").region_success == 6


def test_a_tracker_travels_light() -> None:
    """It pickles to some hundred bytes, however many regions there are."""
    from raytracker.actor import Spec
    from raytracker.ledger import Layout

    spec = Spec("job:s3://bucket/scene.tif", "run", JobTable("ImageJobs"))
    data = pickle.dumps(ImageTracker(spec, Layout.of([256] * 5000 + [3])))
    assert len(data) < 500
    assert pickle.loads(data).image_id == "job:s3://bucket/scene.tif"


# --- what a run costs ---


def test_a_thousand_regions_cost_a_write_a_second(
    counted_table: JobTable, update_item_count: Callable[[], int]
) -> None:
    """At most one UpdateItem a second of run time, and five."""
    started = time.monotonic()
    tracker = ImageTracker.start("scene", regions=1000, table=counted_table)

    @ray.remote
    def process(region: int) -> None:
        time.sleep(0.005)

    for _ in tracker.map_unordered(process, ((r, (r,)) for r in range(1000))):
        pass
    assert counts(tracker.wait(60)) == (1000, 1000, 0)
    assert update_item_count() <= time.monotonic() - started + 5


# --- looking ---


def test_attach_follows_a_run_from_elsewhere(job_table: JobTable) -> None:
    """Another handle sees the same image, and may report to it."""
    tracker = ImageTracker.start("scene", regions=3, table=job_table)
    tracker.report(0)
    other = ImageTracker.attach("scene", table=job_table)
    assert other.run == tracker.run
    tracker.flush()
    assert other.progress().region_success == 1
    other.report(1)
    other.report(2, error=True, reason="clouds")
    assert counts(tracker.wait(30)) == (3, 2, 1)
    assert other.failed() == {2: "clouds"}


def test_progress_sees_what_this_process_just_reported(job_table: JobTable) -> None:
    """Before it is durable, and says so."""
    tracker = ImageTracker.start("scene", regions=4, table=job_table, flush_interval=60)
    tracker.report(0)
    tracker.flush()
    assert tracker.progress().durable
    tracker.report(1, error=True)
    seen = tracker.progress()
    assert (seen.region_success, seen.region_error, seen.region_pending) == (1, 1, 2)
    assert (seen.tile_count, seen.tile_success, seen.tile_error, seen.tile_pending) == (4, 1, 1, 2)
    assert (seen.status, seen.durable) == ("IN_PROGRESS", False)


def test_reading_needs_no_ray(job_table: JobTable) -> None:
    """`attach` and all that looks works in a process without Ray, from the item."""
    tracker = ImageTracker.start("scene", regions=3, table=job_table)
    tracker.report(0)
    tracker.report(1, error=True, reason="clouds")
    tracker.flush()
    code = f"""
from raytracker import ImageTracker, JobTable
table = JobTable({job_table.table_name!r}, {job_table.endpoint_url!r}, "us-east-1")
tracker = ImageTracker.attach("scene", table=table)
p = tracker.progress()
print(p.region_success, p.region_error, p.region_pending, p.status)
print(tracker.pending(), tracker.failed())
import ray; assert not ray.is_initialized()
try:
    tracker.report(2)
except Exception as err:
    print(type(err).__name__)
assert not ray.is_initialized()
"""
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.splitlines() == [
        "1 1 1 IN_PROGRESS",
        "[2] {1: 'clouds'}",
        "RayNotInitialized",
    ]

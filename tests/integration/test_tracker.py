"""The tracker on a real Ray and a real DynamoDB engine."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import ray

from raytracker import ImageTracker, JobItem, JobTable, Outcome
from raytracker.actor import find
from raytracker.errors import (
    FlushTimeout,
    ImageExists,
    InvalidLayout,
    JobCancelled,
    JobVanished,
    LedgerError,
    RaytrackerError,
    ResumeMismatch,
    TableError,
    TrackerSuperseded,
    UnknownRegion,
    WaitTimeout,
)
from tests.support.dynamodb_local import dynamodb_local
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


def counts(job: JobItem) -> tuple[int | None, int | None, int | None]:
    return job.region_count, job.region_success, job.region_error


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
    """A retry that worked counts, whatever came before; an error after a success does not."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    tracker.report(0, error=True, reason="first try")
    tracker.report(1)
    assert counts(tracker.wait(30)) == (2, 1, 1)
    tracker.report(0)
    tracker.report(1, error=True, reason="too late")
    tracker.flush()
    job = job_table.get_image_request("scene")
    assert (counts(job), job.status, tracker.failed()) == ((2, 2, 0), "SUCCESS", {})


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
    with pytest.raises(UnknownRegion):  # noqa: PT012, SIM117
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
    from raytracker.layout import Layout

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


# --- beginning ---


def test_start_writes_the_item(job_table: JobTable) -> None:
    """When it returns, the item is in DynamoDB, with what the caller knew of the image."""
    job = JobItem(image_id="scene", job_id="j", width=100, outputs="[]", model_name="m")
    tracker = ImageTracker.start(job, regions=[2, 2], table=job_table, grid={"tile": 5})
    item = job_table.get_image_request("scene")
    assert (item.job_id, item.width, item.outputs, item.model_name) == ("j", 100, "[]", "m")
    assert (item.status, counts(item), item.end_time) == ("STARTED", (2, 0, 0), None)
    assert item.tracker_grid == '{"tile": 5}'
    assert item.tracker_run == tracker.run
    assert job.start_time is None  # the caller's object is the caller's


@pytest.mark.parametrize("regions", [0, -1, [], [4, 0], 2_000_000])
def test_impossible_layouts_are_refused(job_table: JobTable, regions: int | list[int]) -> None:
    """No region, an empty one, or more tiles than an item holds; nothing is written."""
    with pytest.raises(InvalidLayout):
        ImageTracker.start("scene", regions=regions, table=job_table)
    assert job_table.read("scene") is None


def test_the_largest_item_that_is_let_through_can_be_written(job_table: JobTable) -> None:
    """The check at the start agrees with DynamoDB: just under it, the worst ledger fits."""
    import random

    from raytracker.layout import Layout
    from raytracker.ledger import Ledger
    from raytracker.run_table import Flush

    tiles = 1_000_000
    while True:
        try:
            job_table.check_size(JobItem(image_id="scene"), Layout.of(tiles + 10_000))
        except InvalidLayout:
            break
        tiles += 10_000
    assert tiles > 1_400_000
    layout = Layout.of(tiles)
    job_table.start(JobItem(image_id="scene"), run="run", layout=layout)
    job_table.claim("scene", "run", "me" * 16)
    ledger = Ledger(layout)
    rng = random.Random(0)
    ledger._tiles[:] = bytes(rng.choices((0, 1, 2), k=tiles))
    errors = {tiles - 1 - n: "x" * 200 for n in range(100)}
    flush = Flush(10**6, 10**5, ledger.encode(), errors, "CANCELLED", 10**13, 10**5, 10**10)
    assert job_table.flush("scene", "run", "me" * 16, 1, flush) > 300


@pytest.mark.parametrize("image_id", ["", "x" * 2049, "é" * 1025])
def test_impossible_image_ids_are_refused(job_table: JobTable, image_id: str) -> None:
    """DynamoDB takes 1 to 2,048 bytes."""
    with pytest.raises(RaytrackerError, match="image_id"):
        ImageTracker.start(image_id, regions=1, table=job_table)


def test_an_image_id_may_be_as_long_as_dynamodb_allows(job_table: JobTable) -> None:
    """2,048 bytes, with whatever characters URLs have."""
    image_id = ("job:s3://bucket/a b/é%2F?&=#." * 100).encode()[:2040].decode("utf-8", "ignore")
    tracker = ImageTracker.start(image_id, regions=1, table=job_table)
    tracker.report(0)
    assert tracker.wait(30).status == "SUCCESS"


def test_starting_an_image_that_is_there_is_refused(job_table: JobTable) -> None:
    """The message says how it stands and what to do; the first run goes on."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    with pytest.raises(ImageExists, match=r"has not ended.*resume.*restart"):
        ImageTracker.start("scene", regions=2, table=job_table)
    tracker.report(0)
    tracker.report(1)
    tracker.wait(30)
    with pytest.raises(ImageExists, match="has ended"):
        ImageTracker.start("scene", regions=2, table=job_table)


def test_a_restart_supersedes_the_run_before(job_table: JobTable) -> None:
    """The new run begins from nothing; the old handle learns of it, and writes no more."""
    old = ImageTracker.start("scene", regions=4, table=job_table)
    old.report(0)
    old.flush()
    new = ImageTracker.start("scene", regions=3, table=job_table, if_exists="restart")
    assert counts(job_table.get_image_request("scene")) == (3, 0, 0)
    old.report(1)
    with pytest.raises(TrackerSuperseded):
        old.flush()
    with pytest.raises(TrackerSuperseded):
        old.report(2)
    with pytest.raises(TrackerSuperseded):
        old.wait(10)
    for region in range(3):
        new.report(region)
    assert counts(new.wait(30)) == (3, 3, 0)


def test_a_resume_goes_on(job_table: JobTable) -> None:
    """What was durable stays; only the rest is pending."""
    old = ImageTracker.start("scene", regions=[2, 1], table=job_table, grid={"size": 1})
    old.report(0, tile=1)
    old.report(1, error=True, reason="clouds")
    old.flush()
    new = ImageTracker.start(
        "scene", regions=[2, 1], table=job_table, if_exists="resume", grid={"size": 1}
    )
    assert new.pending_tiles() == [(0, 0)]
    new.report(0, tile=0)
    assert counts(new.wait(30)) == (2, 1, 1)
    again = ImageTracker.resume("scene", table=job_table, redrive=True)
    assert again.pending() == [1]
    again.report(1)
    assert again.wait(30).status == "SUCCESS"


def test_a_resume_of_nothing_starts(job_table: JobTable) -> None:
    """`if_exists="resume"` needs no item; `resume()` does."""
    with pytest.raises(JobVanished):
        ImageTracker.resume("scene", table=job_table)
    tracker = ImageTracker.start("scene", regions=1, table=job_table, if_exists="resume")
    tracker.report(0)
    assert tracker.wait(30).status == "SUCCESS"


def test_a_resume_as_something_else_is_refused(job_table: JobTable) -> None:
    """Another layout or another grid: both sides are named, and the item stays."""
    ImageTracker.start("scene", regions=4, table=job_table, grid={"tile_size": 512})
    with pytest.raises(ResumeMismatch, match=r"4 regions.*5 regions"):
        ImageTracker.start("scene", regions=5, table=job_table, if_exists="resume")
    with pytest.raises(ResumeMismatch, match=r"512.*256"):
        ImageTracker.start(
            "scene", regions=4, table=job_table, if_exists="resume", grid={"tile_size": 256}
        )
    job_table.put_ddb_item(JobItem(image_id="osml"))
    with pytest.raises(ResumeMismatch, match="no run tracked it"):
        ImageTracker.resume("osml", table=job_table)


def test_an_unreadable_ledger_is_refused(job_table: JobTable) -> None:
    """A resume and an attach say what is wrong with it."""
    ImageTracker.start("scene", regions=4, table=job_table)
    whole = job_table.get_image_request("scene").tracker_ledger
    assert whole is not None
    for damaged, text in [
        (whole[:-1], "truncated"),
        (whole[:3] + b"\x07" + whole[4:], "version 7"),
        (b"garbage", "not a ledger"),
    ]:
        job_table.table.update_item(
            Key={"image_id": "scene"},
            UpdateExpression="SET tracker_ledger = :l",
            ExpressionAttributeValues={":l": damaged},
        )
        for begin in (ImageTracker.resume, ImageTracker.attach):
            with pytest.raises(LedgerError, match=f"scene.*{text}"):
                begin("scene", table=job_table)


def test_a_missing_table_is_told_at_once(dynamodb_local: str) -> None:
    """One line with the cure, not half a minute of retries."""
    table = JobTable("no-such-table", endpoint_url=dynamodb_local, region_name="us-east-1")
    started = time.monotonic()
    with pytest.raises(TableError, match="raytracker table create no-such-table"):
        ImageTracker.start("scene", regions=1, table=table)
    assert time.monotonic() - started < 5


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


# --- ending ---


def test_wait_names_what_is_missing(job_table: JobTable) -> None:
    """A time-out says how many regions are pending, and which."""
    tracker = ImageTracker.start("scene", regions=5, table=job_table)
    tracker.report(0)
    tracker.report(3)
    with pytest.raises(WaitTimeout, match=r"scene.*3 of 5 .*\[1, 2, 4\]"):
        tracker.wait(timeout=0.5)


def test_cancel_is_durable(job_table: JobTable) -> None:
    """The job ends as it stands; later reports raise, in this process and in others."""
    tracker = ImageTracker.start("scene", regions=5, table=job_table)
    tracker.report(0)
    tracker.report(1, error=True)
    tracker.cancel()
    job = job_table.get_image_request("scene")
    assert (job.status, counts(job)) == ("CANCELLED", (5, 1, 1))
    assert job.end_time is not None
    with pytest.raises(JobCancelled):
        tracker.report(2)
    assert tracker.wait(5).status == "CANCELLED"
    assert tracker.progress().status == "CANCELLED"

    @ray.remote
    def late(tracker: ImageTracker) -> str:
        try:
            tracker.report(3)
            tracker.flush()
        except JobCancelled as err:
            return str(err)
        return "accepted"

    assert "scene" in ray.get(late.remote(tracker))
    assert counts(job_table.get_image_request("scene")) == (5, 1, 1)


def test_a_deleted_item_is_told(job_table: JobTable) -> None:
    """JobVanished at the next call; the item is not made again."""
    tracker = ImageTracker.start("scene", regions=3, table=job_table)
    tracker.report(0)
    tracker.flush()
    job_table.delete_ddb_item(JobItem(image_id="scene"))
    tracker.report(1)
    with pytest.raises(JobVanished, match="scene"):
        tracker.flush()
    with pytest.raises(JobVanished):
        tracker.wait(5)
    assert job_table.read("scene") is None


def test_the_with_form_leaves_it_flushed(job_table: JobTable) -> None:
    """Also when the block raises: then it can be resumed."""
    with ImageTracker.start("one", regions=3, table=job_table, flush_interval=60) as tracker:
        tracker.report(0)
    assert job_table.get_image_request("one").region_success == 1
    with (
        pytest.raises(KeyError),
        ImageTracker.start("two", regions=3, table=job_table, flush_interval=60) as tracker,
    ):
        tracker.report(0)
        raise KeyError("the block's own")
    job = job_table.get_image_request("two")
    assert (job.region_success, job.status, job.end_time) == (1, "IN_PROGRESS", None)


def test_a_refused_flush_is_told_at_once(job_table: JobTable) -> None:
    """Errors that will not heal by themselves are raised, not waited for."""
    tracker = ImageTracker.start("scene", regions=3, table=job_table)
    tracker.report(0)
    tracker.flush()
    job_table.table.delete()
    tracker.report(1)
    started = time.monotonic()
    with pytest.raises(TableError, match=job_table.table_name):
        tracker.flush(timeout=30)
    assert time.monotonic() - started < 20
    assert "raytracker table create" in str(tracker.progress().trouble)
    with pytest.raises(TableError):
        tracker.wait(timeout=30)


def test_flush_times_out() -> None:
    """With the table away it says how much is still held."""
    with dynamodb_local() as endpoint:
        table = JobTable("jobs", endpoint, "us-east-1")
        table.create()
        tracker = ImageTracker.start("scene", regions=3, table=table)
        tracker.report(0)
        tracker.flush()
    tracker.report(1)
    with pytest.raises(FlushTimeout, match="1 outcomes of this process"):
        tracker.flush(timeout=1)


def test_the_actor_survives_its_own_death(job_table: JobTable) -> None:
    """Killed in mid-run, it comes back, claims the item, and is told again what was not durable."""
    tracker = ImageTracker.start("scene", regions=60, table=job_table, flush_interval=0.2)
    for region in range(60):
        tracker.report(region, error=region % 7 == 0)
        if region in (20, 40):
            handle = find(tracker._spec)
            assert handle is not None
            ray.kill(handle, no_restart=False)
    assert counts(tracker.wait(60)) == (60, 51, 9)


def test_actors_end_by_themselves(job_table: JobTable) -> None:
    """Some seconds after the image has ended, its actor is gone."""
    tracker = ImageTracker.start("scene", regions=1, table=job_table)
    tracker.report(0)
    tracker.wait(30)
    assert find(tracker._spec) is not None
    wait_until(lambda: find(tracker._spec) is None, 30, "the actor's end")
    assert tracker.progress().status == "SUCCESS"
    assert tracker.wait(5).status == "SUCCESS"


# --- map_unordered ---


@ray.remote
def double(number: int) -> int:
    if number % 5 == 3:
        raise ValueError(f"{number} is bad")
    return 2 * number


def test_map_reports_every_task(job_table: JobTable) -> None:
    """Results and exceptions come with their keys; the counts follow."""
    tracker = ImageTracker.start("scene", regions=20, table=job_table)
    seen = {k: (r, e) for k, r, e in tracker.map_unordered(double, ((n, (n,)) for n in range(20)))}
    assert {k: r for k, (r, e) in seen.items() if e is None} == {
        n: 2 * n for n in range(20) if n % 5 != 3
    }
    assert {k: str(e) for k, (_, e) in seen.items() if e} == {
        n: f"{n} is bad" for n in range(20) if n % 5 == 3
    }
    assert all(type(e) is ValueError for _, e in seen.values() if e)
    assert counts(tracker.wait(30)) == (20, 16, 4)
    assert tracker.failed()[3] == "ValueError: 3 is bad"


def test_map_goes_on_without_a_consumer(job_table: JobTable) -> None:
    """Tasks start at once, and finish though nobody reads; the results wait."""
    tracker = ImageTracker.start("scene", regions=20, table=job_table)
    results = tracker.map_unordered(double, ((n, (n,)) for n in range(20)), max_in_flight=3)
    assert counts(tracker.wait(30)) == (20, 16, 4)
    assert len(list(results)) == 20
    assert list(results) == []


def test_map_is_bounded_and_lazy(job_table: JobTable) -> None:
    """No more items are read than tasks may be in flight."""
    tracker = ImageTracker.start("scene", regions=50, table=job_table)
    read: list[int] = []
    gate = ray.remote(num_cpus=0)(_Gate).remote()

    @ray.remote
    def wait_at(gate: ray.actor.ActorHandle) -> None:
        while not ray.get(gate.is_open.remote()):
            time.sleep(0.05)

    def items() -> Iterator[tuple[int, tuple[object]]]:
        for number in range(50):
            read.append(number)
            yield number, (gate,)

    results = tracker.map_unordered(wait_at, items(), max_in_flight=4)
    wait_until(lambda: len(read) == 4, what="four items read")
    ray.get(gate.open.remote())
    assert len(list(results)) == 50
    assert counts(tracker.wait(30)) == (50, 50, 0)


class _Gate:
    def __init__(self) -> None:
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    def is_open(self) -> bool:
        return self._open.is_set()


def test_dropping_the_iterator_cancels(job_table: JobTable) -> None:
    """No more tasks start; those in flight are cancelled; the rest stays pending."""
    tracker = ImageTracker.start("scene", regions=100, table=job_table)

    @ray.remote
    def slow(number: int) -> int:
        time.sleep(0 if number < 4 else 60)
        return number

    results = tracker.map_unordered(slow, ((n, (n,)) for n in range(100)), max_in_flight=4)
    next(results)
    del results
    free = ray.cluster_resources()["CPU"]
    wait_until(lambda: ray.available_resources().get("CPU") == free, what="cancelled tasks")
    assert tracker.progress().region_error == 0
    assert len(tracker.pending()) >= 90


def test_a_task_may_report_its_own_tiles(job_table: JobTable) -> None:
    """What it reported itself counts; returning makes a success of the rest of its region."""
    tracker = ImageTracker.start("scene", regions=[4, 4, 4], table=job_table)

    @ray.remote
    def process(tracker: ImageTracker, region: int) -> None:
        if region == 0:
            threading.Thread(
                target=tracker.report, args=(0, True, "clouds"), kwargs={"tile": 2}
            ).start()
            time.sleep(0.3)
        if region == 1:
            try:
                with tracker.tile(1, 0):
                    raise ValueError("swallowed by the task")
            except ValueError:
                pass
        if region == 2:
            tracker.report(2, tile=0)
            tracker.report(2, tile=1, error=True, reason="haze")
            raise RuntimeError("after two tiles")

    for _ in tracker.map_unordered(process, ((r, (tracker, r)) for r in range(3))):
        pass
    assert counts(tracker.wait(30)) == (3, 1, 2)
    assert tracker.tile_outcomes() == bytes([2, 2, 1, 2, 2, 2, 2, 2, 2, 1, 1, 1])
    assert tracker.failed() == {0: "clouds", 2: "haze"}


def test_a_killed_worker_is_an_error_of_its_region(job_table: JobTable) -> None:
    """What a task cannot report, the driver does."""
    tracker = ImageTracker.start("scene", regions=3, table=job_table)

    @ray.remote(max_retries=0)
    def process(region: int) -> None:
        if region == 1:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)

    errors = {k: e for k, _, e in tracker.map_unordered(process, ((r, (r,)) for r in range(3)))}
    assert type(errors[1]).__name__ == "WorkerCrashedError"
    assert counts(tracker.wait(30)) == (3, 2, 1)
    assert "WorkerCrashedError" in tracker.failed()[1]


def test_map_takes_options_and_refuses_other_things(job_table: JobTable) -> None:
    """`f.options(...)` works; a plain function, several results or an unknown key are told."""
    tracker = ImageTracker.start("scene", regions=4, table=job_table)

    @ray.remote(num_cpus=2)
    def cpus(region: int) -> float:
        return ray.get_runtime_context().get_assigned_resources()["CPU"]

    seen = {k: r for k, r, _ in tracker.map_unordered(cpus, [(0, (0,))])}
    seen |= {k: r for k, r, _ in tracker.map_unordered(cpus.options(num_cpus=1), [(1, (1,))])}
    assert seen == {0: 2.0, 1: 1.0}
    with pytest.raises(TypeError, match=r"@ray\.remote"):
        tracker.map_unordered(lambda region: None, [(0, (0,))])
    with pytest.raises(TypeError, match="num_returns"):
        tracker.map_unordered(cpus.options(num_returns=2), [(0, (0,))])
    with pytest.raises(ValueError, match="max_in_flight=0"):
        tracker.map_unordered(cpus, [(0, (0,))], max_in_flight=0)
    with pytest.raises(UnknownRegion, match="region 9"):
        list(tracker.map_unordered(cpus, [(9, (9,))]))
    with pytest.raises(ZeroDivisionError):
        list(tracker.map_unordered(cpus, ((2, (1 // n,)) for n in [0])))

"""Starts, restarts, resumes and ends, on a real Ray and a real DynamoDB engine."""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from contextlib import suppress

import pytest
import ray

from raytracker import ImageTracker, JobItem, JobTable
from raytracker.actor import ImageActor, find
from raytracker.errors import (
    ActorUnavailable,
    FlushTimeout,
    ImageExists,
    InvalidLayout,
    JobCancelled,
    JobVanished,
    LedgerError,
    RaytrackerError,
    ResumeMismatch,
    TableError,
    TableUnavailable,
    TrackerSuperseded,
    WaitTimeout,
)
from tests.support.dynamodb_local import dynamodb_local
from tests.support.jobs import counts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


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

    from raytracker.job_table import Flush, check_size
    from raytracker.ledger import MAX_CLASSES_BYTES, Layout, Ledger
    from raytracker.run import patiently

    tiles = 1_000_000
    while True:
        try:
            check_size({"image_id": "scene"}, Layout.of(tiles + 10_000))
        except InvalidLayout:
            break
        tiles += 10_000
    assert tiles >= 1_100_000
    layout = Layout.of(tiles)
    job_table.start(JobItem(image_id="scene"), run="run", layout=layout)
    job_table.claim("scene", "run", "me" * 16)
    ledger = Ledger(layout)
    rng = random.Random(0)
    ledger._tiles[:] = bytes(rng.choices((0, 1, 2), k=tiles))
    errors = {tiles - 1 - n: "x" * 200 for n in range(100)}
    flush = Flush(10**6, 10**5, ledger.encode(), errors, "CANCELLED", 10**13, 10**5, 10**10)
    flush = flush._replace(classes=b"x" * MAX_CLASSES_BYTES)
    assert patiently(lambda: job_table.flush("scene", "run", "me" * 16, 1, flush)) > 300


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
    with suppress(TrackerSuperseded):  # told already, where it waits for the receipt
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


def test_who_was_told_that_a_run_is_over_may_not_go_on(job_table: JobTable) -> None:
    """Though the actor has nothing left to write that could be refused."""
    tracker = ImageTracker.start("scene", regions=1, table=job_table)
    tracker.report(0)
    wait_until(lambda: job_table.get_image_request("scene").end_time, what="the end")
    job_table.delete_ddb_item(JobItem(image_id="scene"))
    with pytest.raises(JobVanished):
        tracker.wait(30)
    with pytest.raises(JobVanished):
        tracker.report(0)
    with pytest.raises(JobVanished):
        tracker.flush()


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
    encoded = b64decode(whole)
    for damaged, text in [
        (b64encode(encoded[:-1]).decode(), "truncated"),
        (b64encode(encoded[:3] + b"\x07" + encoded[4:]).decode(), "version 7"),
        (whole[:-1], "not a ledger"),
        ("garbage", "not a ledger"),
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


# --- ending ---


def test_wait_names_what_is_missing(job_table: JobTable) -> None:
    """A time-out says how many regions are pending, and which."""
    tracker = ImageTracker.start("scene", regions=5, table=job_table)
    tracker.report(0)
    tracker.report(3)
    tracker.flush()
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

    def fail() -> None:
        with ImageTracker.start("two", regions=3, table=job_table, flush_interval=60) as tracker:
            tracker.report(0)
            raise KeyError("the block's own")

    with pytest.raises(KeyError):
        fail()
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
            handle = find(tracker._run.spec)
            assert handle is not None
            ray.kill(handle, no_restart=False)
    assert counts(tracker.wait(60)) == (60, 51, 9)


def test_a_resume_that_crosses_the_last_flush_still_ends(job_table: JobTable) -> None:
    """It read the item while a tile was pending, and takes away an end written meanwhile.

    Only of a run that nobody went on with: of another it is refused, as that gave a sign of life.
    """
    first = ImageTracker.start("scene", regions=2, table=job_table)
    first.report(0)
    first.flush()
    read = job_table.get_image_request("scene")
    first.report(1)
    first.wait(30)
    with pytest.raises(TableUnavailable, match="changed since it was read"):
        job_table.resume(read, "another run")
    read.tracker_alive_until = None
    job_table.resume(read, "another run")
    assert job_table.get_image_request("scene").end_time is None
    job = ImageTracker.attach("scene", table=job_table).wait(30)
    assert (job.status, counts(job)) == ("SUCCESS", (2, 2, 0))
    assert job.end_time is not None


def test_an_actor_that_cannot_start_is_told(
    job_table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wait` and `flush` raise, with the reason in a line, instead of trying for ever."""

    class Broken(ImageActor):
        def __init__(self) -> None:
            raise ImportError("no library on this node")

    monkeypatch.setattr("raytracker.actor.finding._actor_class", lambda: ray.remote(Broken))
    monkeypatch.setattr("raytracker.reporter.reporting.UNREACHABLE_SECONDS", 1.0)
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    tracker.report(0)
    with pytest.raises(ActorUnavailable, match=r"^image 'scene'.*no library on this node"):
        tracker.wait(timeout=30)
    with pytest.raises(FlushTimeout, match="no library on this node"):
        tracker.flush(timeout=0.5)


def test_the_table_is_spelt_out_for_the_nodes(
    dynamodb_local: str, job_table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Region and endpoint that the driver finds in its environment reach the actor."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    tracker = ImageTracker.start("scene", regions=1, table=job_table.table_name)
    assert tracker.table.endpoint_url == dynamodb_local
    tracker.report(0)
    assert tracker.wait(30).status == "SUCCESS"

"""`map_unordered`, on a real Ray and a real DynamoDB engine."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from raytracker import ImageTracker, JobTable
from raytracker.errors import JobStopped, TaskTimeout
from tests.support.jobs import counts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


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
    """No more tasks start; those in flight end, even in a call into C; the rest stays pending."""
    tracker = ImageTracker.start("scene", regions=100, table=job_table)
    cpus = ray.cluster_resources()["CPU"]

    @ray.remote
    def slow(number: int) -> None:
        time.sleep(60 if number else 0)  # Ray's cancel is noticed when it is over

    results = tracker.map_unordered(slow, ((n, (n,)) for n in range(100)), int(cpus))
    next(results)
    wait_until(lambda: not ray.available_resources().get("CPU"), what="tasks that sleep")
    del results
    wait_until(lambda: ray.available_resources().get("CPU") == cpus, what="cancelled tasks")
    assert tracker.progress().region_error == 0
    assert len(tracker.pending()) == 99


def test_a_task_that_takes_too_long_is_an_error(job_table: JobTable) -> None:
    """It is interrupted, and the reason says so; a try of Ray's that is quick enough counts."""
    tracker = ImageTracker.start("scene", regions=3, table=job_table)

    @ray.remote
    def slow(region: int) -> int:
        time.sleep(60 if region == 1 else 0)
        return region

    @ray.remote(max_retries=1, retry_exceptions=True)
    def slow_at_first(path: str) -> None:
        try:
            Path(path).touch(exist_ok=False)
        except FileExistsError:
            return
        time.sleep(60)

    started = time.monotonic()
    seen = dict_of(tracker.map_unordered(slow, ((r, (r,)) for r in (0, 1)), timeout=1))
    assert isinstance(seen[1], TaskTimeout)
    with tempfile.TemporaryDirectory() as folder:
        items = [(2, (f"{folder}/tried",))]
        assert dict_of(tracker.map_unordered(slow_at_first, items, timeout=1)) == {2: None}
    assert counts(tracker.wait(30)) == (3, 2, 1)
    assert tracker.failed() == {1: "TaskTimeout: the task took longer than 1 s"}
    assert time.monotonic() - started < 30


def dict_of(results: Iterator[tuple[object, object, BaseException | None]]) -> dict[object, object]:
    return {key: error for key, _, error in results}


@pytest.mark.parametrize(
    "tolerated", [{"tolerated_failure_count": 2}, {"tolerated_failure_percentage": 20}]
)
def test_too_many_failures_stop_the_image(job_table: JobTable, tolerated: dict[str, int]) -> None:
    """Early, durably, with all counts; the consumer is told, and later reports are refused."""
    tracker = ImageTracker.start("scene", regions=10, table=job_table)

    @ray.remote
    def fail(region: int) -> None:
        if region:
            raise ValueError("clouds")

    items = ((r, (r,)) for r in range(10))
    with pytest.raises(JobStopped, match=r"scene.*3 of its 10 regions"):
        list(tracker.map_unordered(fail, items, 1, **tolerated))
    job = job_table.get_image_request("scene")
    assert (job.status, job.tracker_state, counts(job)) == ("FAILED", "STOPPED", (10, 1, 3))
    assert job.end_time is not None
    assert tracker.wait(5).tracker_state == "STOPPED"
    with pytest.raises(JobStopped):
        tracker.report(9)
    again = ImageTracker.resume("scene", table=job_table, redrive=True)
    assert again.pending() == list(range(1, 10))


@pytest.mark.parametrize(
    "limit",
    [{"tolerated_failure_count": -1}, {"tolerated_failure_percentage": 101}, {"timeout": 0}],
)
def test_limits_out_of_range_are_refused(job_table: JobTable, limit: dict[str, int]) -> None:
    """The message names the limit and its value."""
    tracker = ImageTracker.start("scene", regions=1, table=job_table)
    name, value = next(iter(limit.items()))
    with pytest.raises(ValueError, match=f"{name}={value}"):
        tracker.map_unordered(double, [(0, (0,))], **limit)

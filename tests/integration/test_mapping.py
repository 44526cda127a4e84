"""`map_unordered` and `wait`, on a real Ray and a real DynamoDB engine."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from raytracker import ImageTracker, JobTable
from raytracker.actor import find
from raytracker.errors import (
    ImageStalled,
    JobStopped,
    TaskTimeout,
    UnknownRegion,
)
from tests.support.jobs import counts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


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


def test_the_driver_reports_what_a_worker_could_not_send(job_table: JobTable) -> None:
    """A worker that is cut off from the actor after its task: the result brings its reports."""
    tracker = ImageTracker.start("scene", regions=[2, 2], table=job_table)

    @ray.remote(max_calls=1)  # a process of its own, which ends with the task
    def process(tracker: ImageTracker, region: int) -> None:
        from raytracker.reporter import Reporter

        Reporter._send = lambda *args: None  # type: ignore[method-assign]
        if region:
            tracker.report(1, error=True, reason="clouds", tile=1)

    list(tracker.map_unordered(process, ((r, (tracker, r)) for r in range(2))))
    assert counts(tracker.wait(30)) == (2, 1, 1)
    assert tracker.failed() == {1: "clouds"}


def test_the_driver_holds_what_the_actor_knows_until_it_is_durable(job_table: JobTable) -> None:
    """The workers have gone, and the actor dies before its flush: then the driver alone knows."""
    tracker = ImageTracker.start("scene", regions=4, table=job_table, flush_interval=60)

    @ray.remote
    def process(tracker: ImageTracker, region: int) -> int:
        tracker.report(region)
        tracker.progress()  # now the actor has it
        return os.getpid()

    items = ((r, (tracker, r)) for r in range(3))
    workers = {pid for _, pid, _ in tracker.map_unordered(process, items)}
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    ray.kill(find(tracker._run.spec), no_restart=False)
    tracker.report(3)  # not before: a settled image is flushed at once
    assert counts(tracker.wait(30)) == (4, 4, 0)


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
    with pytest.raises(JobStopped, match=r"scene.*3 tasks failed.*3 of its 10 tiles"):
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


def test_a_stall_is_told(job_table: JobTable) -> None:
    """Nothing runs and nothing comes: `wait` names the pending regions instead of hanging."""
    tracker = ImageTracker.start("scene", regions=5, table=job_table)
    tracker.report(0)

    @ray.remote
    def slow(region: int) -> None:
        time.sleep(3)

    refs = [slow.remote(1)]  # while a task runs, something may come
    started = time.monotonic()
    with pytest.raises(ImageStalled, match=r"scene.*4 of 5 regions.*\[1, 2, 3, 4\]"):
        tracker.wait(stall_timeout=1)
    assert time.monotonic() - started > 3
    ray.get(refs)

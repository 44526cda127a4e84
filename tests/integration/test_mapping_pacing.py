"""When `map_unordered` draws items, submits tasks, keeps results, and stops."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from raytracker import ImageTracker, JobTable
from raytracker.mapping import Results
from tests.support.command import environment
from tests.support.jobs import counts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


@ray.remote
def nothing(*args: Any) -> None: ...


# --- items ---


def test_a_blocked_iterator_holds_no_result_back(job_table: JobTable) -> None:
    """What has finished is there while the next item is waited for."""
    tracker = ImageTracker.start("scene", regions=3, table=job_table)
    gate = threading.Event()

    def items() -> Iterator[tuple[int, tuple[()]]]:
        yield 0, ()
        yield 1, ()
        gate.wait(60)
        yield 2, ()

    results = tracker.map_unordered(nothing, items())
    assert {next(results)[0], next(results)[0]} == {0, 1}
    wait_until(lambda: tracker.progress().region_success == 2, what="two regions")
    gate.set()
    assert [key for key, _, _ in results] == [2]
    assert counts(tracker.wait(30)) == (3, 3, 0)


def test_an_error_of_the_iterator_comes_after_what_is_in_flight(job_table: JobTable) -> None:
    """No result is lost by it; it is raised as it is."""
    tracker = ImageTracker.start("scene", regions=3, table=job_table)
    raised = threading.Event()

    @ray.remote
    def wait_for(path: str) -> None:
        while not Path(path).exists():
            time.sleep(0.02)

    def items(path: Path) -> Iterator[tuple[int, tuple[str]]]:
        yield 0, (str(path),)
        yield 1, (str(path),)
        raised.set()
        raise ZeroDivisionError("no more")

    path = Path(job_table.table_name)
    try:
        results = tracker.map_unordered(wait_for, items(path))
        assert raised.wait(30)
        path.touch()
        assert {next(results)[0], next(results)[0]} == {0, 1}
        with pytest.raises(ZeroDivisionError, match="no more"):
            next(results)
        assert list(results) == []
    finally:
        path.unlink(missing_ok=True)


# --- results ---


def own_memory() -> int:
    """Returns what this process holds for itself, in bytes; Ray's store is shared."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def test_results_stay_with_ray_until_they_are_taken(job_table: JobTable) -> None:
    """A slow consumer holds up no task, and its process holds no result."""
    tracker = ImageTracker.start("scene", regions=40, table=job_table)
    size = 4_000_000

    @ray.remote
    def produce(region: int) -> bytes:
        return bytes([region]) * size

    before = own_memory()
    results = tracker.map_unordered(produce, ((r, (r,)) for r in range(40)), max_in_flight=4)
    assert counts(tracker.wait(60)) == (40, 40, 0)
    assert own_memory() - before < 8 * size
    for key, result, error in results:
        assert error is None
        assert (result[0], len(result)) == (key, size)
        del result


DRIVER = """
import os, sys, time, ray
from ray.cluster_utils import Cluster
from raytracker import ImageTracker, JobTable
os.environ["RAY_AUTH_MODE"] = "disabled"
cluster = Cluster()
cluster.add_node(num_cpus=1, object_store_memory=80_000_000, include_dashboard=False)
ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
tracker = ImageTracker.start("scene", regions=300, table=JobTable(*sys.argv[1:3], "us-east-1"))
"""


def drive(table: JobTable, code: str) -> None:
    """Runs a driver with a cluster of its own, which asserts what is to be so."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            DRIVER + textwrap.dedent(code),
            table.table_name,
            str(table.endpoint_url),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr


def test_the_bound_follows_a_cluster_that_grows(job_table: JobTable) -> None:
    """Its new CPUs are used, and more tasks than fit are queued, for an autoscaler to see."""
    code = """
    drawn = []
    def items():
        for region in range(300):
            drawn.append(region)
            yield region, ()

    @ray.remote
    def sleep():
        time.sleep(60)

    def wait_until(count):
        end = time.monotonic() + 60
        while len(drawn) != count:
            assert time.monotonic() < end, len(drawn)
            time.sleep(0.1)

    results = tracker.map_unordered(sleep, items())
    wait_until(4)
    cluster.add_node(num_cpus=16, object_store_memory=80_000_000)
    wait_until(68)
    os._exit(0)
    """
    drive(job_table, code)


def test_a_result_that_is_lost_is_an_error_of_the_consumer(job_table: JobTable) -> None:
    """Its task returned, so the region is a success; others have their results."""
    code = """
    node = cluster.add_node(num_cpus=1, resources={"there": 1}, object_store_memory=80_000_000)

    @ray.remote(max_retries=0)
    def produce():
        return bytes(1_000_000)

    items = ((region, ()) for region in range(300))
    there = tracker.map_unordered(produce.options(resources={"there": 1}), [(0, ())])
    here = tracker.map_unordered(produce, [(1, ())])
    while tracker.progress().region_success < 2:
        time.sleep(0.1)
    cluster.remove_node(node, allow_graceful=False)
    [(key, result, error)] = there
    assert (key, result) == (0, None)
    assert isinstance(error, ray.exceptions.ObjectLostError), error
    [(key, result, error)] = here
    assert (key, len(result), error) == (1, 1_000_000, None)
    assert tracker.progress().region_success == 2
    os._exit(0)
    """
    drive(job_table, code)  # which asserts: Ray prints into the midst of what its driver does


# --- the end ---


@pytest.fixture
def long(job_table: JobTable) -> Iterator[tuple[Results, list[int]]]:
    """A map of 300 tasks that sleep, two at a time, and the regions drawn for it."""
    tracker = ImageTracker.start("scene", regions=300, table=job_table)
    drawn: list[int] = []

    def items() -> Iterator[tuple[int, tuple[()]]]:
        for region in range(300):
            drawn.append(region)
            yield region, ()

    sleep = ray.remote(lambda: time.sleep(0.2))
    results = tracker.map_unordered(sleep, items(), max_in_flight=2)
    yield results, drawn
    results.close()
    wait_until(lambda: ray.available_resources().get("CPU") == 4, what="cancelled tasks")


def test_ctrl_c_in_the_consuming_thread_stops_the_map(
    long: tuple[Results, list[int]], request: pytest.FixtureRequest
) -> None:
    """Though somebody still holds the iterator; it ends then."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    results, drawn = long
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(1.0, signal.pthread_kill, (main, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        for _ in results:
            pass
    assert len(list(results)) < 10
    assert len(drawn) < 300


@pytest.mark.parametrize("name", ["last_value", "last_exc"])
def test_an_interrupted_cell_stops_the_map(
    long: tuple[Results, list[int]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook keeps its traceback, and with it the iterator; other errors stop nothing."""
    results, drawn = long
    monkeypatch.setattr(sys, name, ValueError("of another cell"), raising=False)
    so_far = len(drawn)
    wait_until(lambda: len(drawn) > so_far + 4, what="more items")
    monkeypatch.setattr(sys, name, KeyboardInterrupt(), raising=False)
    assert len(list(results)) < 300
    assert len(drawn) < 300


def test_a_cell_that_was_interrupted_earlier_stops_nothing(
    job_table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session shows it until another error comes."""
    monkeypatch.setattr(sys, "last_value", KeyboardInterrupt(), raising=False)
    tracker = ImageTracker.start("scene", regions=20, table=job_table)
    sleep = ray.remote(lambda: time.sleep(0.2))
    results = tracker.map_unordered(sleep, ((region, ()) for region in range(20)), 2)
    assert counts(tracker.wait(30)) == (20, 20, 0)
    assert len(list(results)) == 20

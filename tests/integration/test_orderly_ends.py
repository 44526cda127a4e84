"""Drivers, actors and clusters that are told to end, or do by themselves: nothing is left behind.

Flushes are a minute apart, so what is in the item earlier was put there because of the end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import ray

from raytracker import ImageTracker, JobTable
from raytracker.actor import find
from raytracker.reporter import reporter
from tests.support.command import environment
from tests.support.jobs import counts
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")

# One region is durable, so the actor has claimed the image; each test goes on from there.
DRIVER = """
import signal, sys, ray
from raytracker import ImageTracker, JobTable
from raytracker.reporter import reporter

def be_impatient():  # runs in each worker process of this driver, actors included
    from raytracker.actor import host
    host.IDLE_SECONDS = host.LINGER_SECONDS = 1.0

def connect():
    hook = {"worker_process_setup_hook": be_impatient}
    ray.init(address=address, log_to_driver=False, runtime_env=hook)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
address, table, endpoint = sys.argv[1:]
connect()
handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
tracker = ImageTracker.start(
    "scene", regions=200, table=JobTable(table, endpoint, "us-east-1"), flush_interval=60
)
"""
FLUSH_ONE = """
tracker.report(0)
tracker.flush()
"""
REPORT_100 = """
for region in range(100):
    tracker.report(region)
"""
REPORT_100_IN_TASKS = """
@ray.remote
def process(region):
    tracker.report(region)
    assert reporter().deliver(tracker._run.spec, 30)

ray.get([process.remote(region) for region in range(100)])
"""
SAY_SO_AND_WAIT = """
print("here", flush=True)
tracker.wait(stall_timeout=None)
"""

Driver = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def driver(job_table: JobTable) -> Iterator[Driver]:
    """Starts a driver of image "scene", on this test's cluster or on one of its own."""
    with ExitStack() as stack:

        def start(*code: str, own_ray: bool = False) -> subprocess.Popen[str]:
            address = "local" if own_ray else ray.get_runtime_context().gcs_address
            arguments = (address, job_table.table_name, str(job_table.endpoint_url))
            process = subprocess.Popen(
                [sys.executable, "-c", "".join((DRIVER, *code)), *arguments],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def says(process: subprocess.Popen[str], line: str) -> bool:
    """Waits until the driver prints that line, or ends; Ray may print others before it."""
    assert process.stdout is not None
    return any(printed.strip() == line for printed in iter(process.stdout.readline, ""))


def durable(table: JobTable) -> int | None:
    return table.get_image_request("scene").region_success


def actor_of(table: JobTable) -> tuple[Any, int]:
    """Returns the image's actor, and the id of its process."""
    handle = find(ImageTracker.attach("scene", table=table)._run.spec)
    assert handle is not None
    return handle, ray.get(handle.pid.remote(), timeout=30)


def is_gone(table: JobTable) -> bool:
    """Whether Ray knows of no actor of the table, alive or to be restarted."""
    actors = ray.util.list_named_actors(all_namespaces=True)
    return not any(one["name"].startswith(f"{table.table_name}/") for one in actors)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- the driver ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_driver_that_is_told_to_end_flushes(
    driver: Driver, job_table: JobTable, number: signal.Signals
) -> None:
    """What it reported is in the item when it has ended, though nobody flushed.

    Ray turns SIGTERM into SystemExit, so that `atexit` runs; the library sets no handler.
    """
    process = driver(
        FLUSH_ONE,
        REPORT_100,
        "assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]",
        SAY_SO_AND_WAIT,
    )
    assert says(process, "here")
    assert durable(job_table) == 1
    process.send_signal(number)
    wait_until(lambda: durable(job_table) == 100, 5, "a flush, for which the driver has 2 s")
    process.wait(timeout=30)
    job = job_table.get_image_request("scene")
    assert (job.status, job.end_time, counts(job)) == ("IN_PROGRESS", None, (200, 100, 0))


def test_a_driver_that_ends_has_the_actor_flush(driver: Driver, job_table: JobTable) -> None:
    """What its tasks reported: the actor knows it, and is gone with the driver's own Ray."""
    process = driver(REPORT_100_IN_TASKS, SAY_SO_AND_WAIT, own_ray=True)
    assert says(process, "here")
    assert durable(job_table) == 0
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=30)
    assert durable(job_table) == 100


def test_what_was_flushed_survives_a_shutdown_of_ray(driver: Driver, job_table: JobTable) -> None:
    """All that `flush` confirmed is in the item, though the actor is gone an instant later.

    What was not flushed the process still knows, and tells the next cluster that it connects to.
    """
    process = driver(
        REPORT_100,
        "tracker.flush()\n",
        "for region in range(100, 150): tracker.report(region)\n",
        "ray.shutdown()\nprint('down', flush=True)\nsys.stdin.readline()\n",
        "connect()\ntracker.flush()\nprint('flushed', flush=True)\n",
        own_ray=True,
    )
    assert says(process, "down")
    found = durable(job_table)
    assert found is not None
    assert found >= 100
    assert process.stdin is not None
    process.stdin.close()
    assert says(process, "flushed")
    assert durable(job_table) == 150
    process.wait(timeout=30)


def test_what_was_under_way_goes_by_the_next_connection(
    driver: Driver, job_table: JobTable
) -> None:
    """The actor never answered, and Ray was shut down: the next cluster's is told, and flushes."""
    process = driver(
        FLUSH_ONE,
        "import os\n",
        "os.kill(ray.get(reporter().actor(tracker._run.spec, start=True).pid.remote()), 19)\n",
        "for region in range(1, 150): tracker.report(region)\n",
        "ray.shutdown()\nconnect()\n",
        "for region in range(150, 200): tracker.report(region)\n",
        "print(tracker.wait(60).status, flush=True)\n",
        own_ray=True,
    )
    assert says(process, "SUCCESS")
    assert durable(job_table) == 200
    process.wait(timeout=30)


MAP_AND_SHUT_DOWN = """
import time
from raytracker.errors import RayNotInitialized

@ray.remote
def nap():
    time.sleep(0.05)

for turn in range(5):
    tracker = ImageTracker.resume("scene", table=JobTable(table, endpoint, "us-east-1"))
    results = tracker.map_unordered(nap, ((region, ()) for region in range(200)))
    next(results)
    time.sleep(turn / 50)
    ray.shutdown()
    try:
        list(results)
    except RayNotInitialized:
        print("told", flush=True)
    if turn < 4:
        connect()
time.sleep(1)
assert not ray.is_initialized()
"""


def test_a_shutdown_of_ray_under_a_map(driver: Driver) -> None:
    """Whoever reads its results is told; the process goes on, and no other Ray is started."""
    process = driver(FLUSH_ONE, MAP_AND_SHUT_DOWN)
    told, _ = process.communicate(timeout=120)
    assert told.split().count("told") == 5
    assert process.returncode == 0


# --- the actor ---


def test_an_actor_that_is_told_to_end_flushes(driver: Driver, job_table: JobTable) -> None:
    """What it received is in the item, though whoever reported it is dead.

    Ray starts it again; as nobody calls it, that one ends as well.
    """
    process = driver(
        FLUSH_ONE, REPORT_100, "assert reporter().deliver(tracker._run.spec, 30)", SAY_SO_AND_WAIT
    )
    assert says(process, "here")
    _, pid = actor_of(job_table)
    process.kill()
    process.wait()
    assert durable(job_table) == 1
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: durable(job_table) == 100, 5, "a flush, for which the actor has 2 s")
    wait_until(lambda: not is_alive(pid), what="the end of the actor's process")
    wait_until(lambda: is_gone(job_table), 60, "the end of the actor that Ray started after it")
    assert durable(job_table) == 100


def test_a_run_goes_on_after_its_actor_was_told_to_end(job_table: JobTable) -> None:
    """What was reported before, and after, counts once."""
    tracker = ImageTracker.start("scene", regions=60, table=job_table, flush_interval=60)
    for region in range(60):
        tracker.report(region, error=region % 7 == 0)
        if region == 30:
            assert reporter().deliver(tracker._run.spec, 30)
            os.kill(actor_of(job_table)[1], signal.SIGTERM)
    assert counts(tracker.wait(60)) == (60, 51, 9)


# --- what nobody needs any more ---


def test_nothing_is_left_of_an_actor_that_has_ended(driver: Driver, job_table: JobTable) -> None:
    """Once its image has ended for a while: no process, no name, and the item stays as it was."""
    process = driver(
        "for region in range(200): tracker.report(region)\n",
        "tracker.wait(30)\ntracker.flush()\nprint('ended', flush=True)\nsys.stdin.readline()\n",
        "assert tracker.progress().status == tracker.wait(5).status == 'SUCCESS'\n",
    )
    assert says(process, "ended")
    job = job_table.get_image_request("scene")
    _, pid = actor_of(job_table)
    wait_until(lambda: is_gone(job_table), 30, "the actor's end")
    wait_until(lambda: not is_alive(pid), what="the end of its process")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    assert job_table.get_image_request("scene") == job


@pytest.mark.parametrize("code", [FLUSH_ONE, ""], ids=["in mid-run", "before its first report"])
def test_a_killed_driver_leaves_no_actor(driver: Driver, job_table: JobTable, code: str) -> None:
    """Once nothing has come for a while, it ends by itself, and Ray does not start it again."""
    process = driver(code, SAY_SO_AND_WAIT)
    assert says(process, "here")
    _, pid = actor_of(job_table)
    process.kill()
    process.wait()
    wait_until(lambda: is_gone(job_table), 30, "the actor's end")
    wait_until(lambda: not is_alive(pid), what="the end of its process")
    assert durable(job_table) == (1 if code else 0)

"""Processes that a task or a driver starts: forked ones are refused, spawned ones connect."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from raytracker import ImageTracker, JobTable, RaytrackerError
from tests.support.command import environment
from tests.support.jobs import counts

pytestmark = pytest.mark.usefixtures("ray_cluster")

CURE = "report in the parent, or start processes with the spawn method"


@ray.remote
def nothing(region: int) -> None:
    pass


def use(tracker: ImageTracker) -> dict[str, Callable[[], Any]]:
    """All that a tracker does with Ray."""
    table = tracker.table

    def region() -> None:
        with tracker.region(0):
            raise AssertionError("the work was begun")

    def tile() -> None:
        with tracker.tile(0, 0):
            raise AssertionError("the work was begun")

    return {
        "report": lambda: tracker.report(0),
        "region": region,
        "tile": tile,
        "flush": tracker.flush,
        "wait": tracker.wait,
        "progress": tracker.progress,
        "map_unordered": lambda: tracker.map_unordered(nothing, [(0, (0,))]),
        "start": lambda: ImageTracker.start("other", regions=1, table=table),
        "resume": lambda: ImageTracker.resume("scene", table=table),
    }


def raised_by(method: Callable[[], Any]) -> str:
    with pytest.raises(RaytrackerError) as caught:
        method()
    return f"{caught.typename}: {caught.value}"


def use_in_a_fork(tracker: ImageTracker, notes: Path) -> dict[str, str]:
    """Tries all that in a forked process; returns what it raised, after how long."""

    def child() -> None:
        began = time.monotonic()
        raised = {name: raised_by(method) for name, method in use(tracker).items()}
        raised["seconds"] = str(time.monotonic() - began)
        notes.write_text(json.dumps(raised))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    process.kill()
    return dict(json.loads(notes.read_text()))


def check_refused(raised: dict[str, str], tracker: ImageTracker) -> None:
    assert float(raised.pop("seconds")) < 2
    assert raised.keys() == use(tracker).keys()
    assert {text.partition(":")[0] for text in raised.values()} == {"ForkedProcess"}
    assert all(CURE in text for text in raised.values())


def test_a_fork_of_a_driver_is_refused(job_table: JobTable, tmp_path: Path) -> None:
    """At once, whatever it calls; the driver goes on as if nothing had been."""
    tracker = ImageTracker.start("scene", regions=3, table=job_table)
    tracker.report(0)
    check_refused(use_in_a_fork(tracker, tmp_path / "notes"), tracker)
    tracker.report(1)
    tracker.flush()
    assert list(tracker.map_unordered(nothing, [(2, (2,))])) == [(2, None, None)]
    assert counts(tracker.wait(30)) == (3, 3, 0)


def test_a_fork_of_a_task_is_refused(job_table: JobTable, tmp_path: Path) -> None:
    """At once; the task reports after it, and so does the next task of that worker."""
    tracker = ImageTracker.start("scene", regions=3, table=job_table)

    @ray.remote
    def fork(tracker: ImageTracker) -> tuple[int, dict[str, str]]:
        tracker.report(0)
        raised = use_in_a_fork(tracker, tmp_path / "notes")
        tracker.report(1)
        tracker.flush()
        return os.getpid(), raised

    @ray.remote
    def report(tracker: ImageTracker) -> int:
        tracker.report(2)
        tracker.flush()
        return os.getpid()

    worker, raised = ray.get(fork.remote(tracker), timeout=60)
    check_refused(raised, tracker)
    while ray.get(report.remote(tracker), timeout=30) != worker:
        pass
    assert counts(tracker.wait(30)) == (3, 3, 0)


def report_from_here(tracker: ImageTracker, region: int, address: str) -> None:
    """Runs in a process of its own, which connects by itself."""
    ray.init(address=address, log_to_driver=False)
    tracker.report(region)
    tracker.flush()


def spawn(tracker: ImageTracker, region: int) -> int | None:
    address = ray.get_runtime_context().gcs_address
    process = multiprocessing.get_context("spawn").Process(
        target=report_from_here, args=(tracker, region, address)
    )
    process.start()
    process.join(60)
    return process.exitcode


def test_a_spawned_process_connects_by_itself(job_table: JobTable) -> None:
    """Of a driver, and of a task."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    assert spawn(tracker, 0) == 0
    assert ray.get(ray.remote(spawn).remote(tracker, 1), timeout=90) == 0
    assert counts(tracker.wait(30)) == (2, 2, 0)


def test_a_process_that_was_forked_before_may_connect(job_table: JobTable) -> None:
    """It has nothing of its parent's, nor the parent of its."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    code = f"""
import os, ray
from raytracker import ImageTracker, JobTable
table = JobTable({job_table.table_name!r}, {job_table.endpoint_url!r}, "us-east-1")
tracker = ImageTracker.attach("scene", table=table)
child = os.fork()
ray.init(address={ray.get_runtime_context().gcs_address!r}, log_to_driver=False)
tracker.report(1 if child else 0)
tracker.flush()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(), timeout=120)
    assert counts(tracker.wait(30)) == (2, 2, 0)

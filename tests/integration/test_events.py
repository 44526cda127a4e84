"""Subscribers in the actors of a real Ray."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from raytracker import ImageTracker, JobTable
from raytracker.actor import find
from raytracker.events import Ended, Event, RegionSettled, RunStarted
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


def writer(path: Path) -> Callable[[Event], None]:
    """A subscriber that writes a line of what it is told, and in which process."""

    def write(event: Event) -> None:
        more = ""
        if isinstance(event, RunStarted):
            more = f" {event.region_success}"
        elif isinstance(event, RegionSettled):
            more = f" {event.region}"
        elif isinstance(event, Ended):
            more = f" {event.status}"
        else:
            return
        with path.open("a") as file:
            file.write(f"{os.getpid()} {type(event).__name__}{more}\n")

    return write


def pid_of(tracker: ImageTracker) -> int:
    pid: int = ray.get(find(tracker._run.spec).pid.remote())
    return pid


def told(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("pool", [None, "events"])
def test_an_actor_comes_back_with_its_subscriber(
    job_table: JobTable, tmp_path: Path, pool: str | None
) -> None:
    path = tmp_path / "told"
    tracker = ImageTracker.start(
        "scene", regions=2, table=job_table, pool=pool, on_event=writer(path)
    )
    tracker.report(0)
    tracker.flush()
    first = pid_of(tracker)
    wait_until(lambda: len(told(path)) == 2)
    os.kill(first, signal.SIGKILL)
    tracker.report(1)
    tracker.wait(60)
    second = pid_of(tracker)
    wait_until(lambda: len(told(path)) == 5)
    assert told(path) == [
        f"{first} RunStarted 0",
        f"{first} RegionSettled 0",
        f"{second} RunStarted 1",
        f"{second} RegionSettled 1",
        f"{second} Ended SUCCESS",
    ]
    assert second != first


def test_a_resume_brings_its_own_subscriber(job_table: JobTable, tmp_path: Path) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    tracker = ImageTracker.start("scene", regions=2, table=job_table, on_event=writer(before))
    tracker.report(0)
    tracker.flush()
    resumed = ImageTracker.resume("scene", table=job_table, take_over=True, on_event=writer(now))
    resumed.report(1)
    resumed.wait(60)
    wait_until(lambda: len(told(now)) == 3)
    assert [line.split(" ", 1)[1] for line in told(now)] == [
        "RunStarted 1",
        "RegionSettled 1",
        "Ended SUCCESS",
    ]
    assert "Ended SUCCESS" not in " ".join(told(before))


def test_a_subscriber_cannot_disturb_the_count(job_table: JobTable, tmp_path: Path) -> None:
    """One that fails, and one that never returns."""
    hung = tmp_path / "hung"

    def fail(event: Event) -> None:
        raise RuntimeError("no")

    def hang(event: Event) -> None:
        hung.touch()
        threading.Event().wait()

    for name, subscriber in (("fails", fail), ("hangs", hang)):
        tracker = ImageTracker.start(name, regions=3, table=job_table, on_event=subscriber)
        for region in range(3):
            tracker.report(region)
        assert tracker.wait(60).status == "SUCCESS"
    wait_until(hung.exists)

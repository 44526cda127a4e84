"""An actor that does not answer: what is wrong with it is told, and nobody waits longer for it."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import ray

from raytracker import ImageTracker, JobTable
from raytracker.actor import NAMESPACE, ImageActor, Spec, find, finding
from raytracker.errors import ActorUnavailable, FlushTimeout, TableUnavailable, WaitTimeout
from raytracker.ray_runtime import node_address
from tests.support.jobs import counts
from tests.support.moto_s3 import moto_server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def stopped(job_table: JobTable) -> Iterator[tuple[ImageTracker, int]]:
    """A run whose actor's process is stopped, and that process's id."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    tracker.report(0)
    tracker.flush()
    pid = ray.get(find(tracker._run.spec).pid.remote(), timeout=30)
    os.kill(pid, signal.SIGSTOP)
    yield tracker, pid
    os.kill(pid, signal.SIGCONT)


def test_a_stopped_actor_is_named(stopped: tuple[ImageTracker, int]) -> None:
    """Where it is, and since when: by `progress`, from the item, and by a time-out of `wait`."""
    tracker, pid = stopped
    where = f"ALIVE on node {node_address()}, process {pid}"
    began = time.monotonic()
    with pytest.raises(WaitTimeout, match=f"does not answer since .* UTC; Ray says: {where}"):
        tracker.wait(3)
    progress = tracker.progress()
    assert time.monotonic() - began < 3 + 2 + 4  # for the two of them; the machine may be busy
    assert progress.region_success == 1
    assert ray_says(progress.trouble) == where
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: tracker.progress().trouble is None)
    tracker.report(1)
    assert counts(tracker.wait(30)) == (2, 2, 0)


def test_a_stopped_actor_while_the_table_is_away() -> None:
    """What the actor said last is told, and soon; a handle that knows nothing says so."""
    with moto_server() as endpoint:
        table = JobTable("jobs", endpoint, "us-east-1")
        table.create()
        tracker = ImageTracker.start("scene", regions=2, table=table, flush_interval=60)
        other = ImageTracker.attach("scene", table=table)
        tracker.report(0)
        assert tracker.progress().region_success == 1
        pid = ray.get(find(tracker._run.spec).pid.remote(), timeout=30)
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        progress = tracker.progress()
        assert time.monotonic() - began < 3 + 2  # 3 at most; the machine may be busy
        assert progress.region_success == 1
        assert re.search("its actor does not answer.* and .*DynamoDB", progress.trouble or "")
        with pytest.raises(TableUnavailable):
            other.progress()
        assert time.monotonic() - began < 3 + 4 + 4
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_stopped_actor_holds_no_time_out_up(stopped: tuple[ImageTracker, int]) -> None:
    """Neither of who waits nor of who ends; also with a report on its way."""
    tracker, pid = stopped
    tracker.report(1)
    for call, error in (
        (tracker.wait, WaitTimeout),
        (tracker.flush, FlushTimeout),
        (tracker.cancel, ActorUnavailable),
        (tracker.end, ActorUnavailable),
    ):
        began = time.monotonic()
        with pytest.raises(error):
            call(1)
        assert 1 <= time.monotonic() - began < 3  # 1 to 2; the machine may be busy
    os.kill(pid, signal.SIGCONT)


def test_an_actor_that_waits_to_be_made_is_named(
    job_table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raises no error, however long it takes; so nothing else would say what is waited for."""

    def start(spec: Spec) -> Any:
        made = ray.remote(ImageActor).options(
            name=spec.actor_name,
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            resources={"a node that comes": 1},
        )
        return made.remote()

    monkeypatch.setattr(finding, "_start", start)
    tracker = ImageTracker.start("scene", regions=2, table=job_table)
    try:
        tracker.report(0)
        progress = tracker.progress()
        assert (progress.status, progress.region_pending) == ("STARTED", 2)
        assert ray_says(progress.trouble) == "PENDING_CREATION"
        with pytest.raises(WaitTimeout, match="Ray says: PENDING_CREATION"):
            tracker.wait(1)
    finally:
        monkeypatch.undo()
        ray.kill(find(tracker._run.spec))
    tracker.report(1)
    assert counts(tracker.wait(60)) == (2, 2, 0)


def ray_says(trouble: str | None) -> str:
    """Returns the end of it."""
    assert trouble is not None
    return trouble.rpartition("Ray says: ")[2]

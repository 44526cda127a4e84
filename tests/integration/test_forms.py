"""Processes that Ray ends in order, or that are killed, right after what they told has returned.

Each form in which Ray runs work stands in docs/ray.md as an example; here are the ends of each. The
image's actor lives on; flushes are a second apart.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import ray
from ray.util import ActorPool
from ray.util.multiprocessing import Pool

from raytracker import ImageTracker, JobTable
from raytracker.reporter.receipts import AWAITED
from tests.support.jobs import counts

pytestmark = pytest.mark.usefixtures("ray_cluster")

N = 6


def work(tracker: ImageTracker, region: int) -> int:
    with tracker.region(region):
        return os.getpid()


def count(tracker: ImageTracker) -> tuple[int | None, int | None, int | None]:
    """Waits for the end: what is lost is pending, and the wait says so."""
    return counts(tracker.wait(60, stall_timeout=10))


# --- tasks ---


@pytest.mark.parametrize(
    "options",
    [{"num_gpus": 1}, {"num_gpus": 0.5}, {"max_calls": 1}, {"max_calls": 3}],
    ids=lambda options: "{}={}".format(*next(iter(options.items()))),
)
@pytest.mark.parametrize("mapped", [False, True], ids=["plain", "mapped"])
def test_workers_that_end_after_their_calls(
    job_table: JobTable, options: dict[str, Any], mapped: bool
) -> None:
    """Ray ends the worker right after the call: what it told has arrived."""
    tracker = ImageTracker.start("scene", regions=N, table=job_table)
    task = ray.remote(**options)(work)
    if mapped:
        workers = {
            p for _, p, _ in tracker.map_unordered(task, ((r, (tracker, r)) for r in range(N)))
        }
    else:
        workers = set(ray.get([task.remote(tracker, region) for region in range(N)]))
    assert len(workers) >= N // options.get("max_calls", 1)
    assert count(tracker) == (N, N, 0)


def test_many_reports_of_a_task_that_ends(job_table: JobTable) -> None:
    """More than are under way at a time; all have arrived when it ends."""
    tracker = ImageTracker.start("scene", regions=2 * AWAITED, table=job_table)

    @ray.remote(max_calls=1)
    def report(tracker: ImageTracker) -> None:
        for region in range(2 * AWAITED):
            tracker.report(region)

    ray.get(report.remote(tracker))
    assert count(tracker) == (2 * AWAITED, 2 * AWAITED, 0)


def test_threads_of_a_task_that_ends(job_table: JobTable) -> None:
    """They are joined before the task returns, and so is what they told."""
    tracker = ImageTracker.start("scene", regions=N, table=job_table)

    @ray.remote(max_calls=1)
    def report(tracker: ImageTracker) -> None:
        threads = [threading.Thread(target=work, args=(tracker, region)) for region in range(N)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    ray.get(report.remote(tracker))
    assert count(tracker) == (N, N, 0)


def test_a_worker_killed_after_a_tile_loses_nothing(job_table: JobTable) -> None:
    """A task that took a while has told the actor before its result was there."""
    tracker = ImageTracker.start("scene", regions=N, table=job_table)

    @ray.remote(max_retries=-1)  # the next one may be given to the worker that is being killed
    def tile(tracker: ImageTracker, region: int) -> int:
        time.sleep(0.5)
        return work(tracker, region)

    for region in range(N):
        os.kill(ray.get(tile.remote(tracker, region)), signal.SIGKILL)
    assert count(tracker) == (N, N, 0)


# --- actors ---


class Plain:
    def work(self, tracker: ImageTracker, region: int) -> int:
        return work(tracker, region)


class Async:
    async def work(self, tracker: ImageTracker, region: int) -> int:
        await asyncio.sleep(0)
        return work(tracker, region)


class Slotted(Plain):
    __slots__ = ()


KINDS = {
    "plain": ray.remote(Plain),
    "threaded": ray.remote(max_concurrency=4)(Plain),
    "async": ray.remote(Async),
    "slotted": ray.remote(Slotted),
}
ENDS: dict[str, Callable[[Any], object]] = {
    "out of scope": lambda actor: None,
    "killed": ray.kill,
    "terminated": lambda actor: actor.__ray_terminate__.remote(),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_actors_that_end_after_their_result(job_table: JobTable, kind: str, end: str) -> None:
    """In whatever way, as soon as their results are there."""
    tracker = ImageTracker.start("scene", regions=N, table=job_table)
    actor = KINDS[kind].options(num_cpus=0).remote()
    ray.get([actor.work.remote(tracker, region) for region in range(N)])
    ENDS[end](actor)
    del actor
    assert count(tracker) == (N, N, 0)


@pytest.mark.parametrize("end", ["out of scope", "terminated"])
def test_what_an_actor_holds_is_told_at_its_end(job_table: JobTable, end: str) -> None:
    """A signal handler calls nobody; what it reports waits, until Ray says that the end comes."""
    tracker = ImageTracker.start("scene", regions=2, table=job_table)

    @ray.remote(num_cpus=0)
    class Interrupted:
        def work(self, tracker: ImageTracker) -> None:
            signal.signal(signal.SIGUSR1, lambda *_: tracker.report(1))
            tracker.report(0)
            os.kill(os.getpid(), signal.SIGUSR1)

    actor = Interrupted.remote()
    ray.get(actor.work.remote(tracker))
    ENDS[end](actor)
    del actor
    assert count(tracker) == (2, 2, 0)


def test_pools_of_actors(job_table: JobTable) -> None:
    """An ActorPool that is dropped; a `multiprocessing.Pool` that is closed, or terminated."""
    tracker = ImageTracker.start("scene", regions=3 * N, table=job_table)
    pool = ActorPool([ray.remote(num_cpus=0)(Plain).remote() for _ in range(2)])
    list(pool.map(lambda actor, region: actor.work.remote(tracker, region), range(N)))
    del pool
    closed = Pool(2)
    closed.starmap(work, [(tracker, region) for region in range(N, 2 * N)])
    closed.close()
    closed.join()
    terminated = Pool(2)
    terminated.starmap(work, [(tracker, region) for region in range(2 * N, 3 * N)])
    terminated.terminate()
    assert count(tracker) == (3 * N, 3 * N, 0)

"""Three runs with one thing that goes wrong, long enough to measure what it costs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray

from raytracker import ImageTracker, JobItem, JobTable
from raytracker.errors import CompleteRegionException
from raytracker.job_table import ledger_of
from tests.chaos.cluster import ACTOR, Cluster, kill, processes
from tests.chaos.supervisor import REGION, TABLE, job_table
from tests.support.fault_proxy import FaultProxy, Weather

WAIT_SECONDS = 120
RESTART_SECONDS = 2.0  # Ray brings an actor back in 1 to 2 s
CATCH_UP_SECONDS = 5.0  # the longest pause between two tries of a flush is 4 s
NAP_SECONDS = 0.02  # what a task does
SLOWER = 0.9  # of a rate: what a measurement may be off


@dataclass(frozen=True)
class Result:
    """What a scenario showed.

    Attributes:
        right: Whether it is as promised.
        text: What was measured.
    """

    right: bool
    text: str


def play(name: str, *, short: bool = False) -> int:
    """Plays a scenario, prints what it showed and returns 0 if it is as promised."""
    with job_table() as upstream, _quiet():
        cluster = Cluster(1)
        try:
            result = SCENARIOS[name](upstream, **SHORT[name] if short else {})
        finally:
            cluster.close()
    print(f"{name}: {result.text}: {'as promised' if result.right else 'NOT AS PROMISED'}")
    return 0 if result.right else 1


def lost_responses(upstream: str, *, regions: int = 1000, lost: float = 0.05) -> Result:
    """Some responses are lost: a tracker counts exactly, increments count twice."""
    with FaultProxy(upstream, Weather({"lose response": lost})) as proxy:
        table = _table(proxy.endpoint_url)
        tracker = _start("lost-responses", [1] * regions, table, flush_interval=0.05)
        items = ((region, (NAP_SECONDS,)) for region in range(regions))
        for _ in tracker.map_unordered(_nap, items):
            pass
        job = tracker.wait(WAIT_SECONDS)
        writes = proxy.requests["UpdateItem"]
        table.start_image_request(JobItem(image_id="increments", region_count=regions))

        def increment(_: int) -> None:
            with suppress(CompleteRegionException):
                table.complete_region_request("increments", error=False)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(increment, range(regions)))
        counted = table.get_image_request("increments")
    return Result(
        (job.region_success, job.region_error) == (regions, 0),
        f"with {lost:.0%} of the responses lost, of {regions} regions raytracker counted "
        f"{job.region_success} in {writes} writes, increments {counted.region_success} in "
        f"{proxy.requests['UpdateItem'] - writes}",
    )


def actor_killed(
    upstream: str, *, tiles: int = 20_000, every: float = 3.0, tile_seconds: float = 0.004
) -> Result:
    """The actor is killed again and again: the image is right, and hardly later."""
    sizes = [10] * (tiles // 10)
    table = _table(upstream)

    def run(image_id: str) -> tuple[float, bool]:
        tracker = _start(image_id, sizes, table, flush_interval=1.0)
        items = ((region, (tracker, region, tile_seconds)) for region in range(len(sizes)))
        began = time.monotonic()
        for _ in tracker.map_unordered(_report_ten, items):
            pass
        job = tracker.wait(WAIT_SECONDS)
        return time.monotonic() - began, job.region_success == len(sizes)

    run("warm-up")
    undisturbed, _ = run("undisturbed")
    with _killing_actors(every) as killed:
        disturbed, right = run("actor-killed")
    limit = 1.5 * undisturbed + RESTART_SECONDS * len(killed)
    return Result(
        right and disturbed <= limit and bool(killed),
        f"{tiles} tile reports in {undisturbed:.1f} s undisturbed, in {disturbed:.1f} s with the "
        f"actor killed {len(killed)} times; all {'counted' if right else 'NOT counted'}",
    )


def outage(upstream: str, *, seconds: float = 60.0, around: float = 10.0) -> Result:
    """The table goes away: tasks go on as fast as before, and one flush catches up."""
    regions = int((seconds + 2 * around) * 4 / NAP_SECONDS)  # more than can be done meanwhile
    done: list[float] = []
    with FaultProxy(upstream, Weather()) as proxy:
        tracker = _start("outage", [1] * regions, _table(proxy.endpoint_url), flush_interval=1.0)
        results = tracker.map_unordered(
            _nap, ((region, (NAP_SECONDS,)) for region in range(regions))
        )

        def consume() -> None:
            done.extend(time.monotonic() for _ in results)

        consumer = threading.Thread(target=consume, daemon=True)
        consumer.start()
        time.sleep(around)  # workers start
        before = _rate(done, around)
        proxy.go_away(seconds)
        time.sleep(seconds)
        during = _rate(done, seconds)
        known, back = len(done), time.monotonic()
        while (settled := _settled(_table(upstream), "outage")) < known:
            if time.monotonic() - back > CATCH_UP_SECONDS * 4:
                break
            time.sleep(0.05)
        late = time.monotonic() - back
        results.close()
        consumer.join()
        tracker.cancel()
    return Result(
        during >= SLOWER * before and late <= CATCH_UP_SECONDS and settled >= known,
        f"{before:.0f} tasks/s before and {during:.0f} while the table was away for {seconds:g} s; "
        f"{known} outcomes in the item {late:.1f} s after its return",
    )


SCENARIOS: dict[str, Callable[..., Result]] = {
    "lost-responses": lost_responses,
    "actor-killed": actor_killed,
    "outage": outage,
}
SHORT: dict[str, dict[str, Any]] = {
    "lost-responses": {"regions": 300},
    "actor-killed": {"tiles": 4_000},
    "outage": {"seconds": 6.0, "around": 4.0},
}


@ray.remote
def _nap(seconds: float) -> None:
    time.sleep(seconds)


@ray.remote(max_retries=3)
def _report_ten(tracker: ImageTracker, region: int, tile_seconds: float) -> None:
    for tile in range(10):
        time.sleep(tile_seconds)
        tracker.report(region, tile=tile)


def _table(endpoint_url: str) -> JobTable:
    return JobTable(TABLE, endpoint_url=endpoint_url, region_name=REGION)


def _start(
    image_id: str, sizes: list[int], table: JobTable, *, flush_interval: float
) -> ImageTracker:
    return ImageTracker.start(
        image_id, regions=sizes, table=table, flush_interval=flush_interval, max_wcu_per_second=1e3
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Drops what Ray's core says on standard error: it tells of each kill."""
    really = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(really, 2)
        os.close(really)
        os.close(nowhere)


@contextmanager
def _killing_actors(every: float) -> Iterator[list[int]]:
    """Kills, every so many seconds, the actors that began in the block."""
    spared = {p.pid for p in processes()}  # of the images before
    killed: list[int] = []
    stop = threading.Event()

    def serve() -> None:
        while not stop.wait(every):
            actors = [p.pid for p in processes() if p.name.startswith(ACTOR)]
            killed.extend(pid for pid in actors if pid not in spared and kill(pid))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


def _rate(done: list[float], seconds: float) -> float:
    """Returns how many a second were done, in the second half of so many seconds up to now."""
    since = time.monotonic() - seconds / 2
    return sum(at > since for at in done) / (seconds / 2)


def _settled(table: JobTable, image_id: str) -> int:
    item = table.read(image_id)
    assert item is not None
    ledger = ledger_of(item)
    return ledger.tile_success + ledger.tile_error

"""What a bench runs on: a Ray of its own, a DynamoDB Local, a job table in it."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray

from raytracker import ImageTracker, JobItem, JobTable
from raytracker.actor import find
from tests.support.counting_proxy import Answer, CountingProxy, Request
from tests.support.dynamodb_local import dynamodb_local

CPUS = 2
REGION = "us-east-1"
PATIENCE = 120.0


class MeteringProxy(CountingProxy):
    """Sums up the capacity, too, that requests for items consume: it has DynamoDB tell it.

    Attributes:
        capacity: Capacity units consumed by each operation.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.capacity: Counter[str] = Counter()

    def answer(self, request: Request, upstream: Any) -> Answer:
        """Forwards it, with the wish to be told what it consumed."""
        if request.operation not in ("UpdateItem", "PutItem", "GetItem"):
            return self.forward(request, upstream)
        wish = json.loads(request.body) | {"ReturnConsumedCapacity": "TOTAL"}
        answer = self.forward(request._replace(body=json.dumps(wish).encode()), upstream)
        consumed = json.loads(answer.body).get("ConsumedCapacity", {}).get("CapacityUnits", 0)
        with self._lock:
            self.capacity[request.operation] += consumed
        return answer


@ray.remote(num_cpus=0)
class CountingActor:
    """The image's actor, as one writes it without raytracker."""

    def __init__(self) -> None:
        self._regions: set[int] = set()

    def add(self, region: int) -> None:
        """Counts a region."""
        self._regions.add(region)

    def count(self) -> int:
        """Returns how many there are."""
        return len(self._regions)


@contextmanager
def job_table() -> Iterator[JobTable]:
    """A new job table in a DynamoDB Local of its own."""
    with dynamodb_local() as endpoint:
        yield new_table(endpoint)


@contextmanager
def metered_table() -> Iterator[tuple[JobTable, MeteringProxy]]:
    """The same behind a proxy that counts."""
    with dynamodb_local() as endpoint, MeteringProxy(endpoint) as proxy:
        yield new_table(proxy.endpoint_url), proxy


def new_table(endpoint: str) -> JobTable:
    """Returns a new job table in the DynamoDB that answers there."""
    table = JobTable(f"jobs-{uuid.uuid4()}", endpoint_url=endpoint, region_name=REGION)
    table.create()
    return table


def warm_up(table: JobTable, requests: int) -> None:
    """Has the table answer so many UpdateItem requests."""
    table.start_image_request(JobItem(image_id="warm-up", region_count=requests))
    for _ in range(requests):
        table.complete_region_request("warm-up", error=False)


@contextmanager
def local_ray(**resources: float) -> Iterator[None]:
    """A Ray of one node with two CPUs and what is given; gone with all its processes afterwards."""
    try:
        ray.init(
            address="local",
            num_cpus=CPUS,
            **resources,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=300_000_000,
        )
        yield
    finally:
        ray.shutdown()


def start(table: JobTable, regions: Any, **options: Any) -> ImageTracker:
    """Starts an image of a new name; returns when its actor serves it."""
    tracker = ImageTracker.start(f"image-{uuid.uuid4()}", regions=regions, table=table, **options)
    tracker.progress()
    return tracker


def settle(tracker: ImageTracker, tiles: int, pause: float = 0.002) -> None:
    """Waits until so many tiles are settled in the image's actor."""
    until(lambda: _settled(tracker) >= tiles, pause)


def _settled(tracker: ImageTracker) -> int:
    progress = tracker.progress()
    return progress.tile_count - progress.tile_pending


def retire(*trackers: ImageTracker) -> None:
    """Ends the actors of images, so that they are not under the feet of the next round."""
    for tracker in trackers:
        with suppress(ValueError):
            ray.kill(find(tracker._run.spec))


def pid_of(tracker: ImageTracker) -> int:
    """Returns the process of the image's actor."""
    handle = find(tracker._run.spec)
    assert handle is not None
    return int(ray.get(handle.pid.remote()))


def until(condition: Callable[[], object], pause: float = 0.002) -> None:
    """Returns when the condition holds.

    Raises:
        TimeoutError: It did not in two minutes.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE:g} s")
        time.sleep(pause)


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Gives what tells the seconds since the block began; at its end, it stands still."""
    begun, ended = time.perf_counter(), 0.0
    yield lambda: (ended or time.perf_counter()) - begun
    ended = time.perf_counter()

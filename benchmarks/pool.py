"""Ten thousand images at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import numpy as np
from botocore.config import Config

from raytracker import ImageTracker, JobTable

from .harness import Bench, bench, quotients
from .process import unique_mb
from .stage import job_table, local_ray, new_table, pid_of, retire, stopwatch, until

REGIONS = 100
THREADS = 8
ACTORS = 2
POOL: dict[str, Any] = {"pool": "bench", "pool_size": ACTORS}
FIRST = 20  # images that start the pool: enough to meet both actors
CYCLE_SECONDS = 2.0


@bench
def pool(bench: Bench) -> None:
    """Ten thousand images at once, in a pool of two actors.

    They are started from eight threads, beside bare PutItem requests of an equal item from as many,
    and each gets a report. Then each gets one more every two seconds: more images to write than the
    table takes. The lag of an image is the age of its oldest report that a scan of the table does
    not show. At last each gets the rest of its 100 regions, and all end. Memory is what only the
    actors have (USS), and what the driver has gained; beside it an actor for each image, measured
    with fifty.
    """
    images, rounds = bench.size(10_000, 120), bench.rounds()
    with job_table() as table, local_ray():
        crowd = Crowd(table, images)
        crowd.start(FIRST)
        crowd.report(range(FIRST))
        pids = {pid_of(tracker) for tracker in crowd.trackers}
        item = crowd.item()
        puts = iter(range(images))
        bare = new_table(str(table.endpoint_url)).table_name

        def memory() -> float:
            return sum(map(unique_mb, pids)) + crowd.gained_mb()

        def put() -> None:
            image = {"image_id": {"S": f"image-{next(puts)}"}}
            crowd.client.put_item(
                TableName=bare,
                Item=item | image,
                ConditionExpression="attribute_not_exists(image_id)",
            )

        count = (images - FIRST) // rounds
        sides: dict[str, Callable[[], float]] = {
            "PutItem": lambda: _rate(lambda _: put(), count),
            "ImageTracker.start": lambda: crowd.start(count),
        }
        rates: dict[str, list[float]] = {what: [] for what in sides}
        growth = []
        for _ in range(rounds):
            for what, side in sides.items():
                rates[what].append(side())
            crowd.report(range(len(crowd.trackers) - count, len(crowd.trackers)))
            until(lambda: crowd.durable().min() >= 1, pause=0.5)
            growth.append((len(crowd.trackers), [memory()]))
            bench.tell(
                f"{len(crowd.trackers):,} images, {growth[-1][1][0]:.0f} MB; images/s: "
                + ", ".join(f"{what} {values[-1]:.0f}" for what, values in rates.items())
            )
        for what, values in rates.items():
            bench.row(what, "images/s", values)
        bench.goal(
            "ImageTracker.start / PutItem",
            quotients(rates["ImageTracker.start"], rates["PutItem"]),
            at_least=0.8,
        )
        heaviest = growth[-1][1][0]
        seconds = bench.size(5, 2)
        for turn in range(1, bench.size(2, 1) + 1):
            crowd.report_for(seconds)
            lags, heaviest = crowd.lags(), max(heaviest, memory())
            what = f"lag of an image, after {turn * seconds} s of reports"
            bench.row(what, "s", lags)
            bench.tell(f"{what}: {min(lags):.1f} to {max(lags):.1f} s")
        with stopwatch() as taken:
            crowd.report_rest()
            until(crowd.ended, pause=0.5)
        assert (crowd.durable() == REGIONS).all()
        bench.row("until all have ended", "s", [taken()])
        heaviest = max(heaviest, memory())
        bench.goal(f"memory of {images:,} images", [heaviest], "MB", at_most=500)

        alone = _mb_alone(table, bench.size(50, 3))
        bench.row(f"an actor for each, extrapolated to {images:,}", "MB", [images * alone])
        bench.draw(
            "images",
            "memory of actors and driver, MB",
            {
                f"a pool of {ACTORS} actors": growth,
                "an actor for each, extrapolated": [(x, [x * alone]) for x, _ in growth],
            },
            log=True,
        )


class Crowd:
    """Images in one pool, each of which gets its regions in order.

    Args:
        table: The job table; it is the crowd's alone.
        images: How many there will be.

    Attributes:
        trackers: One for each image that has been started.
        client: boto3's, the plain one.
    """

    def __init__(self, table: JobTable, images: int) -> None:
        self.trackers: list[ImageTracker] = []
        self.client = boto3.client(
            "dynamodb",
            endpoint_url=table.endpoint_url,
            region_name=table.region_name,
            config=Config(max_pool_connections=THREADS),
        )
        self._table = table
        self._reported = np.zeros(images, dtype=int)  # how many regions of each image
        self._at = np.full((images, REGIONS), np.inf)  # and when
        self._before = unique_mb()

    def start(self, count: int) -> float:
        """Starts so many more; returns how many a second."""
        first = len(self.trackers)

        def one(number: int) -> None:
            name = str(first + number)
            tracker = ImageTracker.start(name, regions=REGIONS, table=self._table, **POOL)
            self.trackers.append(tracker)

        rate = _rate(one, count)
        self.trackers.sort(key=lambda tracker: int(tracker.image_id))
        return rate

    def report(self, images: range) -> None:
        """Reports the next region of each of these."""
        for image in images:
            region = int(self._reported[image])
            self.trackers[image].report(region)
            self._at[image, region] = time.monotonic()
            self._reported[image] += 1

    def report_for(self, seconds: float) -> None:
        """Reports a region of each image every two seconds, for so long."""
        end = time.monotonic() + seconds
        while (begun := time.monotonic()) < end and self._reported.max() < REGIONS - 1:
            self.report(range(len(self.trackers)))
            time.sleep(max(0.0, min(end, begun + CYCLE_SECONDS) - time.monotonic()))

    def report_rest(self) -> None:
        """Reports all other regions of each image."""
        for tracker, reported in zip(self.trackers, self._reported, strict=True):
            tracker.report(np.arange(reported, REGIONS))

    def durable(self) -> np.ndarray[Any, Any]:
        """Returns how many regions of each image the table shows."""
        found = np.zeros(len(self.trackers), dtype=int)
        for item in self._scan("image_id, region_success"):
            found[int(item["image_id"]["S"])] = int(item["region_success"]["N"])
        return found

    def lags(self) -> list[float]:
        """Returns for each image how old, in seconds, the oldest report is that is not durable."""
        now = time.monotonic()
        at = self._at[np.arange(len(self.trackers)), self.durable()]
        lags: list[float] = (now - np.minimum(at, now)).tolist()
        return lags

    def ended(self) -> bool:
        """Returns whether all images have ended."""
        return all("end_time" in item for item in self._scan("end_time"))

    def item(self) -> dict[str, Any]:
        """Returns the first image's item, as DynamoDB has it."""
        return dict(
            self.client.get_item(
                TableName=self._table.table_name, Key={"image_id": {"S": "0"}}, ConsistentRead=True
            )["Item"]
        )

    def gained_mb(self) -> float:
        """Returns the memory, in MB, that this process has gained since the beginning."""
        return unique_mb() - self._before

    def _scan(self, names: str) -> Any:
        pages = self.client.get_paginator("scan").paginate(
            TableName=self._table.table_name, ConsistentRead=True, ProjectionExpression=names
        )
        return (item for page in pages for item in page["Items"])


def _rate(one: Callable[[int], object], count: int) -> float:
    """Calls a function with 0, 1, 2 …, from eight threads; returns how many times a second."""
    with ThreadPoolExecutor(THREADS) as threads, stopwatch() as seconds:
        for _ in threads.map(one, range(count)):
            pass
    return count / seconds()


def _mb_alone(table: JobTable, count: int) -> float:
    """Returns the memory, in MB, of an image that has an actor of its own."""
    before = unique_mb()
    trackers = [
        ImageTracker.start(f"alone-{n}", regions=REGIONS, table=table) for n in range(count)
    ]
    for tracker in trackers:
        tracker.report(0)
        tracker.flush()
    total = sum(unique_mb(pid_of(tracker)) for tracker in trackers) + unique_mb() - before
    retire(*trackers)
    return total / count

"""How the cost of an image grows with its tiles."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from raytracker import ImageTracker

from .harness import Bench, bench, quotients
from .process import cpu_seconds
from .stage import job_table, local_ray, pid_of, start

CHUNK = 10_000
POOL = {"pool": "growth", "pool_size": 1}


class Cost(NamedTuple):
    """What a tile costs, in microseconds."""

    cpu: float
    wall: float


@bench
def growth(bench: Bench) -> None:
    """Cost of a tile in images of a thousand to a million tiles.

    From the first report of one-tile regions until all images have ended in DynamoDB: CPU of the
    driver, which reports, and of the actor, and the time it took. Of small images there are many,
    one after the other into the same pool of one actor; they are started before.
    """
    sizes = bench.size((1000, 10_000, 100_000, 1_000_000), (1000, 10_000))
    hows: dict[str, tuple[Callable[[ImageTracker, int], None], int]] = {
        "report(array)": (_arrays, bench.size(1_000_000, 20_000)),
        "report(region)": (_one_by_one, bench.size(100_000, 10_000)),
    }
    costs: dict[tuple[str, int], list[Cost]] = {}
    with job_table() as table, local_ray():
        keeps = start(table, 1, **POOL)  # the pool's process going
        pid = pid_of(keeps)

        def measure(report: Callable[[ImageTracker, int], None], size: int, count: int) -> Cost:
            trackers = [start(table, size, **POOL) for _ in range(count)]
            cpu, begun = time.process_time() + cpu_seconds(pid), time.perf_counter()
            for tracker in trackers:
                report(tracker, size)
            for tracker in trackers:
                assert tracker.wait().region_success == size
            wall = time.perf_counter() - begun
            cpu = time.process_time() + cpu_seconds(pid) - cpu
            return Cost(cpu / (size * count) * 1e6, wall / (size * count) * 1e6)

        rounds = bench.rounds()
        for turn in range(1, rounds + 1):
            for how, (report, total) in hows.items():
                for size in sizes:
                    count = max(1, min(total // size, 50))
                    cost = measure(report, size, count)
                    costs.setdefault((how, size), []).append(cost)
                    bench.tell(f"{turn} of {rounds}: {count} x {size:,} tiles, {how}: {cost}")
    for kind in ("CPU", "time"):
        for (how, size), found in costs.items():
            values = [cost[kind == "time"] for cost in found]
            bench.row(f"{how}, {size:,} tiles, {kind}", "µs a tile", values)
    largest, smaller = sizes[-1], sizes[min(1, len(sizes) - 2)]
    for how in hows:
        of = {size: [cost.cpu for cost in costs[how, size]] for size in sizes}
        bench.goal(
            f"{how}, CPU of a tile, {largest:,} / {smaller:,}",
            quotients(of[largest], of[smaller]),
            "times",
            at_most=1.2,
        )
    bench.draw(
        "tiles of the image",
        "CPU of driver and actor, µs a tile",
        {how: [(size, [cost.cpu for cost in costs[how, size]]) for size in sizes] for how in hows},
        log=True,
    )


def _arrays(tracker: ImageTracker, size: int) -> None:
    for at in range(0, size, CHUNK):
        tracker.report(np.arange(at, min(size, at + CHUNK), dtype=np.uint32))


def _one_by_one(tracker: ImageTracker, size: int) -> None:
    for region in range(size):
        tracker.report(region)

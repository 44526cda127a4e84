"""What a receipt costs tasks as long as real tiles, and tasks whose worker Ray ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray

from raytracker import ImageTracker

from .harness import Bench, bench, quotients
from .stage import job_table, local_ray, settle, start, stopwatch, warm_up

TILE_SECONDS = 0.05


def compute(seconds: float) -> None:
    """Takes a CPU for so long, as a tile does."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@ray.remote
def tile() -> None:
    compute(TILE_SECONDS)


@ray.remote
def tile_and_report(tracker: ImageTracker, region: int) -> None:
    compute(TILE_SECONDS)
    tracker.report(region)


@ray.remote(num_gpus=1)
def gpu_tile() -> None:
    compute(TILE_SECONDS)


@ray.remote(num_gpus=1)
def gpu_tile_and_report(tracker: ImageTracker, region: int) -> None:
    compute(TILE_SECONDS)
    tracker.report(region)


@bench
def receipts(bench: Bench) -> None:
    """What a report costs a task of 50 ms, and one that holds a GPU.

    A task computes for 50 ms of CPU. One kind reports then, and waits for the actor's receipt. The
    other kind says `num_gpus=1`: Ray ends its worker after each call, so each task pays for a new
    process, which looks the actor up. Milliseconds are those of all tasks together, two at a time;
    with a GPU, which is none, one at a time.
    """
    size, gpu_size = bench.size(200, 20), bench.size(12, 4)
    rounds = bench.rounds(7)
    with job_table() as table, local_ray(num_gpus=1):
        warm_up(table, bench.size(1000, 30))
        tracker = start(table, (size + gpu_size) * (rounds + 2))
        reported = 0

        def side(submit: Callable[[int], Any], count: int, *, reports: bool) -> Callable[[], float]:
            def milliseconds() -> float:
                nonlocal reported
                first = reported
                with stopwatch() as seconds:
                    ray.get([submit(first + number) for number in range(count)])
                if reports:
                    reported += count
                    settle(tracker, reported)
                return 1000 * seconds() / count

            return milliseconds

        plain, told = "a task of 50 ms", "and report()"
        gpu, gpu_told = "a task of 50 ms with num_gpus=1", "with num_gpus=1, and report()"
        sides = {
            plain: side(lambda _: tile.remote(), size, reports=False),
            told: side(lambda r: tile_and_report.remote(tracker, r), size, reports=True),
            gpu: side(lambda _: gpu_tile.remote(), gpu_size, reports=False),
            gpu_told: side(
                lambda r: gpu_tile_and_report.remote(tracker, r), gpu_size, reports=True
            ),
        }
        for each in sides.values():
            each()  # warms up
        taken = bench.alternate("ms a task", sides, rounds)
        bench.row("report() / none, 50 ms", "", quotients(taken[told], taken[plain]))
        bench.row("report() / none, num_gpus=1", "", quotients(taken[gpu_told], taken[gpu]))

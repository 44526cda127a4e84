"""`map_unordered`, `wait` and `process_image` inside Ray tasks and actors.

Ray gives a task's CPU to others only while its own thread is in Ray's `get` or `wait`. There are
four CPUs, and as many tasks that each need another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from raytracker import ImageTracker, JobTable, process_image
from raytracker.imagery import Tile
from tests.support.images import make_image
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")

REGIONS = 8


@ray.remote
def double(region: int) -> int:
    return 2 * region


def items() -> Iterator[tuple[int, tuple[int]]]:
    return ((region, (region,)) for region in range(REGIONS))


def map_and_wait(table: JobTable, name: str) -> Any:
    """The way of the README."""
    tracker = ImageTracker.start(name, regions=REGIONS, table=table)
    results = sorted(result for _, result, _ in tracker.map_unordered(double, items()))
    return results == [2 * region for region in range(REGIONS)], tracker.wait(60).status


def wait_without_reading(table: JobTable, name: str) -> Any:
    """Nobody takes the results until the image has ended; another handle waits."""
    tracker = ImageTracker.start(name, regions=REGIONS, table=table)
    results = tracker.map_unordered(double, items(), max_in_flight=2)
    status = ImageTracker.attach(name, table=table).wait(60).status
    return len(list(results)) == REGIONS, status


def wait_for_plain_tasks(table: JobTable, name: str) -> Any:
    """Tasks that report themselves, and of which nobody gets the results."""

    @ray.remote
    def report(tracker: ImageTracker, region: int) -> None:
        with tracker.region(region):
            pass

    tracker = ImageTracker.start(name, regions=REGIONS, table=table)
    references = [report.remote(tracker, region) for region in range(REGIONS)]
    return bool(references), tracker.wait(60).status


def process(table: JobTable, name: str) -> Any:
    """A whole image, cut and read."""
    path = Path(ray.get_runtime_context().get_task_id()).with_suffix(".tif").absolute()
    try:
        make_image(path, np.zeros((1, 64, 64), np.uint8))
        job = process_image(path, look, table=table, image_id=name, tile_size=32)
        return True, job.status
    finally:
        path.unlink(missing_ok=True)


def look(pixels: Any, tile: Tile) -> None: ...


@pytest.mark.parametrize("way", [map_and_wait, wait_without_reading, wait_for_plain_tasks, process])
def test_a_task_for_each_image(job_table: JobTable, way: Callable[[JobTable, str], Any]) -> None:
    """As many as there are CPUs: each waits for tasks that need one."""
    task = ray.remote(way)
    references = [task.remote(job_table, f"scene-{number}") for number in range(4)]
    assert ray.get(references, timeout=120) == [(True, "SUCCESS")] * 4


def test_an_actor_for_each_image(job_table: JobTable) -> None:
    """In a method; an actor that takes a CPU keeps it, also in `ray.get`, so these take none."""

    @ray.remote
    class Pipeline:
        def run(self, name: str) -> Any:
            return map_and_wait(job_table, name)

    actors = [Pipeline.remote() for _ in range(4)]
    references = [actor.run.remote(f"scene-{n}") for n, actor in enumerate(actors)]
    assert ray.get(references, timeout=120) == [(True, "SUCCESS")] * 4


def test_results_come_while_an_iterator_blocks(job_table: JobTable) -> None:
    """Items are drawn on the thread that reads: between two of them, what has finished comes."""

    @ray.remote
    def image() -> int:
        tracker = ImageTracker.start("scene", regions=50, table=job_table)
        drawn: list[int] = []

        def slow() -> Iterator[tuple[int, tuple[int]]]:
            for region in range(50):
                drawn.append(region)
                yield region, (region,)
                time.sleep(0.5)

        next(tracker.map_unordered(double, slow(), 50))
        return len(drawn)

    assert ray.get(image.remote(), timeout=60) < 50


def test_leaving_the_results_cancels_what_is_in_flight(job_table: JobTable) -> None:
    """As in a driver, also what is in a call into C, some seconds later."""

    @ray.remote
    def work(region: int) -> None:
        time.sleep(60 if region else 0)

    @ray.remote(num_cpus=0)
    class Pipeline:
        def run(self) -> int:
            tracker = ImageTracker.start("scene", regions=REGIONS, table=job_table)
            results = tracker.map_unordered(work, items(), 3)
            return next(results)[0]

    pipeline = Pipeline.remote()
    assert ray.get(pipeline.run.remote(), timeout=60) == 0
    wait_until(lambda: ray.available_resources().get("CPU") == 4, what="no task")

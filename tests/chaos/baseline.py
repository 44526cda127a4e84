"""The same seeds with plain increments, to show that the harness can see a miscount."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from raytracker import JobItem, JobTable
from raytracker.errors import CompleteRegionException, StartImageException
from raytracker.run import patiently
from tests.chaos.draw import tasks_for
from tests.chaos.plan import Image, Plan, Task, Work
from tests.chaos.scanner import Finding
from tests.chaos.seed import REGION, Place, Played
from tests.support.fault_proxy import FaultProxy

BEGIN_TRIES = 20
CPUS = 4


def play(place: Place, plan: Plan) -> Played:
    """Plays a seed's images with one `complete_region_request` a region and boto3's retries.

    Its tasks are threads: nothing kills them, so what it miscounts the weather alone has done.
    """
    with (
        FaultProxy(place.upstream, plan.weather, seed=plan.seed) as proxy,
        ThreadPoolExecutor(CPUS) as cpus,
        ThreadPoolExecutor(len(plan.images)) as pool,
    ):
        table = JobTable(place.table, endpoint_url=proxy.endpoint_url, region_name=REGION)
        counted = list(pool.map(lambda image: _count(table, image, cpus), plan.images))
        proxy.calm()
        direct = JobTable(place.table, endpoint_url=place.upstream, region_name=REGION)
        findings = [
            finding
            for image, (success, error) in zip(plan.images, counted, strict=True)
            for finding in _differences(direct, image, success, error)
        ]
    return Played(
        tuple(findings),
        sum(len(image.first.sizes) for image in plan.images),
        proxy.requests["UpdateItem"] + proxy.requests["PutItem"],
        tuple(map(str, proxy.events)),
    )


def _count(table: JobTable, image: Image, cpus: ThreadPoolExecutor) -> tuple[int, int]:
    """Runs a task for each region; returns how many succeeded and failed."""
    work, name = image.first, _name(image)
    for _ in range(BEGIN_TRIES):
        with suppress(StartImageException):
            table.start_image_request(JobItem(image_id=name, region_count=len(work.sizes)))
            break
    regions = range(len(work.sizes))
    tasks = tasks_for(random.Random(name), work.sizes, regions, failing=0.1, seconds=0.5)
    succeeded = list(cpus.map(lambda task: _succeeds(table, name, work, task), tasks))
    return succeeded.count(True), succeeded.count(False)


def _succeeds(table: JobTable, name: str, work: Work, task: Task) -> bool:
    """Runs a task as often as Ray would, then counts its region."""
    attempts = 1 + (work.max_retries if work.retry_exceptions else 0)
    time.sleep(task.seconds * min(attempts, task.failures + 1))
    succeeds = task.failures < attempts
    with suppress(CompleteRegionException):
        table.complete_region_request(name, error=not succeeds)
    return succeeds


def _differences(direct: JobTable, image: Image, success: int, error: int) -> Iterator[Finding]:
    item = patiently(lambda: direct.read(_name(image)))
    counts = (None, None) if item is None else (item.region_success, item.region_error)
    if counts != (success, error):
        yield Finding("miscounted", f"{_name(image)}: counts {counts}, right is {success, error}")


def _name(image: Image) -> str:
    return f"{image.image_id}-increments"

"""The same seeds with plain increments, to show that the harness can see a miscount."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import ray

from raytracker import JobItem, JobTable
from raytracker.errors import CompleteRegionException, StartImageException
from tests.chaos.plan import Image, Plan, tasks_for
from tests.chaos.scanner import Finding
from tests.chaos.seed import REGION, Place, Played
from tests.chaos.work import incrementing
from tests.support.fault_proxy import FaultProxy

BEGIN_TRIES = 20


def play(place: Place, plan: Plan) -> Played:
    """Plays a seed's images with one `complete_region_request` a region and boto3's retries.

    It runs beside the seed itself, whose killer meets its workers, too.
    """
    with (
        FaultProxy(place.upstream, plan.weather, seed=plan.seed) as proxy,
        ThreadPoolExecutor(len(plan.images)) as pool,
    ):
        table = JobTable(place.table, endpoint_url=proxy.endpoint_url, region_name=REGION)
        counted = list(pool.map(lambda image: _count(table, image), plan.images))
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


def _count(table: JobTable, image: Image) -> tuple[int, int]:
    """Runs a task for each region; returns how many succeeded and failed."""
    work, name = image.first, _name(image)
    for _ in range(BEGIN_TRIES):
        with suppress(StartImageException):
            table.start_image_request(JobItem(image_id=name, region_count=len(work.sizes)))
            break
    regions = range(len(work.sizes))
    tasks = tasks_for(random.Random(name), work.sizes, regions, failing=0.1, seconds=0.5)
    function = ray.remote(incrementing).options(
        num_cpus=1, max_retries=work.max_retries, retry_exceptions=work.retry_exceptions
    )
    running = [function.remote(table, name, "increments", task) for task in tasks]
    error = sum(not _succeeds(table, name, reference) for reference in running)
    return len(running) - error, error


def _succeeds(table: JobTable, name: str, reference: ray.ObjectRef) -> bool:
    """Waits for a task; one that failed is counted from here."""
    try:
        ray.get(reference)
    except Exception:
        with suppress(CompleteRegionException):
            table.complete_region_request(name, error=True)
        return False
    return True


def _differences(direct: JobTable, image: Image, success: int, error: int) -> Iterator[Finding]:
    item = direct.read(_name(image))
    counts = (None, None) if item is None else (item.region_success, item.region_error)
    if counts != (success, error):
        yield Finding("miscounted", f"{_name(image)}: counts {counts}, right is {success, error}")


def _name(image: Image) -> str:
    return f"{image.image_id}-increments"

"""The whole path in Ray's local mode: one process, tasks and actors run in it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import boto3
import pytest
import ray
from moto.server import ThreadedMotoServer

from raytracker import ImageTracker, JobTable


@pytest.fixture(scope="module", autouse=True)
def local_mode(aws_env: None) -> Iterator[None]:
    """Ray in local mode, or a failure that says where there is one."""
    if tuple(map(int, ray.__version__.split(".")[:2])) > (2, 53):
        pytest.fail(f"Ray {ray.__version__} has no local mode: run `make test-localmode`")
    ray.init(local_mode=True, include_dashboard=False, logging_level="ERROR")
    assert ray._private.worker.global_worker.mode == ray._private.worker.LOCAL_MODE
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def endpoint(aws_env: None) -> Iterator[str]:
    """The endpoint URL of a moto server."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def table(endpoint: str) -> JobTable:
    """A new job table in the moto server."""
    table = JobTable(f"jobs-{uuid.uuid4()}", endpoint_url=endpoint, region_name="us-east-1")
    table.create()
    return table


@ray.remote
def process(tracker: ImageTracker, region: int) -> int:
    """A task that reports its region, and fails for number 3."""
    with tracker.region(region):
        if region == 3:
            raise ValueError("no such sensor")
    return region


@ray.remote
def report_tile(tracker: ImageTracker, region: int, tile: int) -> None:
    """A task that reports one tile."""
    with tracker.tile(region, tile):
        pass


def item_of(table: JobTable, endpoint: str, image_id: str) -> dict[str, dict[str, str]]:
    """The item as DynamoDB has it."""
    client = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=endpoint)
    item: dict[str, dict[str, str]] = client.get_item(
        TableName=table.table_name, Key={"image_id": {"S": image_id}}, ConsistentRead=True
    )["Item"]
    return item


def test_tasks_that_report_end_the_job(table: JobTable, endpoint: str):
    """Start, tasks that report, wait: the item in the table is complete and right."""
    tracker = ImageTracker.start("scene-1", regions=8, table=table)
    refs = [process.remote(tracker, region) for region in range(8)]
    for region, ref in enumerate(refs):
        if region == 3:
            with pytest.raises(ValueError, match="no such sensor"):
                ray.get(ref)
        else:
            assert ray.get(ref) == region
    job = tracker.wait(timeout=30)

    assert job.status == "PARTIAL"
    assert tracker.failed().keys() == {3}
    assert "no such sensor" in tracker.failed()[3]
    item = item_of(table, endpoint, "scene-1")
    assert item["region_count"] == {"N": "8"}
    assert item["region_success"] == {"N": "7"}
    assert item["region_error"] == {"N": "1"}
    assert int(item["end_time"]["N"]) >= int(item["start_time"]["N"])


def test_tiles_of_regions(table: JobTable, endpoint: str):
    """A region is a success when all its tiles are."""
    tracker = ImageTracker.start("scene-2", regions=[2, 3], table=table)
    ray.get([report_tile.remote(tracker, 0, tile) for tile in range(2)])
    ray.get([report_tile.remote(tracker, 1, tile) for tile in range(2)])
    assert tracker.pending() == [1]
    ray.get(report_tile.remote(tracker, 1, 2))
    assert tracker.wait(timeout=30).status == "SUCCESS"
    assert item_of(table, endpoint, "scene-2")["region_success"] == {"N": "2"}


def test_reports_are_sent_while_tasks_run(table: JobTable, endpoint: str):
    """Ray's local mode aborts the process when a thread calls an actor during a task: none does."""

    @ray.remote
    def slow(tracker: ImageTracker, region: int) -> None:
        with tracker.region(region):
            time.sleep(0.001)

    tracker = ImageTracker.start("scene-4", regions=1500, table=table, flush_interval=0.05)
    for region in range(1500):
        ray.get(slow.remote(tracker, region))
    assert tracker.wait(timeout=30).status == "SUCCESS"
    assert item_of(table, endpoint, "scene-4")["region_success"] == {"N": "1500"}


def test_map_unordered(table: JobTable, endpoint: str):
    """The driver's loop over tasks works too."""

    @ray.remote
    def square(number: int) -> int:
        return number * number

    tracker = ImageTracker.start("scene-3", regions=5, table=table)
    items = ((region, (region,)) for region in range(5))
    found = {region: result for region, result, error in tracker.map_unordered(square, items)}
    assert found == {0: 0, 1: 1, 2: 4, 3: 9, 4: 16}
    assert tracker.wait(timeout=30).status == "SUCCESS"
    assert item_of(table, endpoint, "scene-3")["region_success"] == {"N": "5"}

"""OSML Model Runner's own code, on items that a tracker wrote."""

from __future__ import annotations

from typing import Any

import pytest

from raytracker import ImageRequest, ImageTracker, JobItem, JobTable
from raytracker.job_table import ledger_of
from raytracker.job_table.ledger_text import from_text
from tests.support.osml import OSMLMissing, ask_osml

pytestmark = pytest.mark.usefixtures("ray_cluster")

MESSAGE = {
    "jobId": "job",
    "imageUrls": ["s3://bucket/scene.tif"],
    "imageProcessor": {"name": "model"},
    "regionOfInterest": "POINT (1 2)",
}


@pytest.fixture
def tracker(job_table: JobTable) -> ImageTracker:
    """An image of three regions: one a success, one an error, one pending."""
    request = ImageRequest.from_external_message(MESSAGE)
    tracker = ImageTracker.start(request, regions=3, table=job_table, grid={"tile": 5})
    tracker.report(0)
    tracker.report(1, error=True, reason="clouds")
    tracker.flush()
    return tracker


def ask(table: JobTable, job: JobItem) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what OSML says of an image, and raytracker in the same process."""
    assert table.endpoint_url
    assert table.region_name
    try:
        said = ask_osml(job.image_id, table.table_name, table.endpoint_url, table.region_name)
    except OSMLMissing as missing:
        pytest.fail(str(missing), pytrace=False)
    return said["osml"], said["ours"]


def seen_by_osml(job: JobItem, *, complete: bool, status: str) -> dict[str, Any]:
    """What OSML should say of an item: of its attributes those that it knows."""
    attributes = {k: v for k, v in job.to_put().items() if not k.startswith("tracker_")}
    return {"attributes": attributes, "complete": complete, "status": status}


def test_osml_reads_what_a_tracker_writes(job_table: JobTable, tracker: ImageTracker) -> None:
    """While it goes on and when it has ended; and where OSML is imported, raytracker reads it."""
    before = job_table.get_image_request("job:s3://bucket/scene.tif")
    osml, ours = ask(job_table, before)
    assert osml == seen_by_osml(before, complete=False, status="IN_PROGRESS")
    assert ours["parser"].startswith("aws.osml.")  # why all this is tested
    assert (ours["status"], ours["tiles"], ours["redriven"]) == (
        "IN_PROGRESS",
        [2, 1, 0],
        [2, 0, 0],
    )


@pytest.mark.parametrize(
    ("errors", "status"), [([], "SUCCESS"), ([1], "PARTIAL"), ([0, 1, 2], "FAILED")]
)
def test_osml_sees_how_an_image_ended(job_table: JobTable, errors: list[int], status: str) -> None:
    """By the counts, as raytracker does."""
    tracker = ImageTracker.start("scene", regions=3, table=job_table)
    for region in range(3):
        tracker.report(region, error=region in errors)
    job = tracker.wait(30)
    osml, ours = ask(job_table, job)
    assert osml == seen_by_osml(job, complete=True, status=status)
    assert ours["status"] == status


def test_a_cancelled_image_is_in_progress_to_osml(
    job_table: JobTable, tracker: ImageTracker
) -> None:
    """Its counts don't add up, and OSML looks at nothing else; docs/osml.md says so."""
    tracker.cancel()
    job = tracker.wait(30)
    osml, ours = ask(job_table, job)
    assert osml == seen_by_osml(job, complete=False, status="IN_PROGRESS")
    assert ours["status"] == "CANCELLED"


def test_an_older_item_is_read_beside_osml(job_table: JobTable, tracker: ImageTracker) -> None:
    """OSML can't; raytracker can, in the same process."""
    job = job_table.get_image_request("job:s3://bucket/scene.tif")
    assert job.tracker_ledger
    assert ledger_of(job).tile_outcomes() == b"\2\1\0"
    job_table.table.update_item(
        Key={"image_id": job.image_id},
        UpdateExpression="SET tracker_ledger = :l",
        ExpressionAttributeValues={":l": from_text(job.tracker_ledger)},
    )
    osml, ours = ask(job_table, job)
    assert "TypeError" in osml["error"]
    assert (ours["tiles"], ours["redriven"]) == ([2, 1, 0], [2, 0, 0])

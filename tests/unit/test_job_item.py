from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest
from moto import mock_aws

from raytracker.ddb import DDBItem, DDBKey
from raytracker.errors import (
    InvalidImageId,
    StartImageException,
)
from raytracker.image_request import ImageRequest
from raytracker.job_table import JobItem, JobTable, check_image_id
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import ERROR, SUCCESS, Layout, Ledger

OSML_FIELDS = [
    "image_id",
    "job_id",
    "image_url",
    "image_read_role",
    "model_invoke_mode",
    "start_time",
    "expire_time",
    "end_time",
    "region_success",
    "region_error",
    "region_count",
    "width",
    "height",
    "extents",
    "tile_size",
    "tile_overlap",
    "model_name",
    "outputs",
    "processing_duration",
    "feature_properties",
    "feature_distillation_option",
    "roi_wkt",
]
FULL: dict[str, Any] = {
    "image_id": "job:s3://bucket/image.tif",
    "job_id": "job",
    "image_url": "s3://bucket/image.tif",
    "image_read_role": "arn:aws:iam::012345678910:role/reader",
    "model_invoke_mode": "SM_ENDPOINT",
    "start_time": 1_700_000_000_000,
    "expire_time": 1_700_086_400,
    "end_time": 1_700_000_060_000,
    "region_success": 3,
    "region_error": 1,
    "region_count": 4,
    "width": 4096,
    "height": 2048,
    "extents": '{"north": 1.5}',
    "tile_size": "(512, 512)",
    "tile_overlap": "(64, 64)",
    "model_name": "model",
    "outputs": '[{"type": "S3"}]',
    "processing_duration": 60,
    "feature_properties": "[]",
    "feature_distillation_option": '{"algorithm_type": "NMS"}',
    "roi_wkt": "POINT (0 0)",
}
TRACKED = {"tracker_run": "run-1", "tracker_owner": "owner-1", "tracker_seq": 7}


@pytest.fixture
def table(aws_env: None) -> Iterator[JobTable]:
    with mock_aws():
        jobs = JobTable("jobs")
        jobs.create()
        yield jobs


def stored(table: JobTable) -> dict[str, Any]:
    item = table.read_item({"image_id": "image"})
    assert item is not None
    return item


def test_fields_are_osmls_in_its_order_then_the_trackers() -> None:
    """Positional construction and anything that lists the fields keep working."""
    names = [f.name for f in fields(JobItem)]
    assert names[:23] == ["ddb_key", *OSML_FIELDS]
    assert all(name.startswith("tracker_") for name in names[23:])
    assert JobItem("image", "job").job_id == "job"


def test_the_key_is_the_image_id() -> None:
    """As OSML's."""
    assert JobItem("image").ddb_key == DDBKey(hash_key="image_id", hash_value="image")
    assert isinstance(JobItem("image"), DDBItem)


def test_all_attributes_survive_the_table(table: JobTable) -> None:
    """With their types; maps too."""
    item = JobItem(**FULL, **TRACKED, tracker_ledger="AAE=", tracker_errors={"3": "boom"})
    table.put_ddb_item(item)
    again = table.get_image_request(item.image_id)
    assert again == item
    assert type(again.width) is int


def test_unknown_attributes_are_ignored() -> None:
    """A later OSML, or anyone, may add some; OSML's newest leaves extents out."""
    item = JobItem.from_ddb({"image_id": "image", "width": Decimal(5), "new": {"a": 1}})
    assert item == JobItem("image", width=5)


def test_it_prints_in_a_line() -> None:
    """Its status, and how far it is: tiles beside regions. A ledger has up to 400 KB."""
    assert repr(JobItem("image")) == "<JobItem 'image': STARTED>"
    ledger = Ledger(Layout.of([4, 4]))
    ledger.merge([(0, SUCCESS + ERROR + SUCCESS)], {1: "ValueError: x"})
    item = JobItem("image", region_count=2, tracker_ledger=to_text(ledger.encode()))
    assert repr(item) == "<JobItem 'image': STARTED, 2 of 8 tiles, 0 of 2 regions>"
    ended = JobItem("image", region_count=1200, region_success=1100, region_error=100)
    assert repr(ended) == "<JobItem 'image': PARTIAL, 1,100 of 1,200 regions, 100 failed>"
    assert repr(JobItem("image", tracker_ledger="eA==")) == "<JobItem 'image': STARTED>"  # damaged


def test_a_dictionary_of_it_counts_tiles() -> None:
    """Of two regions none may be settled for most of the time."""
    ledger = Ledger(Layout.of([4, 4]))
    ledger.merge([(0, SUCCESS + ERROR + SUCCESS)], {1: "ValueError: x"})
    item = JobItem("image", region_count=2, tracker_ledger=to_text(ledger.encode()))
    counts = {"tile_count": 8, "tile_success": 2, "tile_error": 1, "tile_pending": 5}
    assert item.to_dict().items() >= counts.items()
    assert not counts.keys() & JobItem("image").to_dict().keys()  # an item of OSML's has no tiles


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({}, "STARTED"),
        ({"region_count": 4}, "STARTED"),
        ({"region_count": 4, "region_success": 0, "region_error": 0}, "STARTED"),
        ({"region_count": 4, "region_success": 1, "region_error": 0}, "IN_PROGRESS"),
        ({"region_count": 4, "region_success": 0, "region_error": 3}, "IN_PROGRESS"),
        ({"region_success": 1}, "IN_PROGRESS"),
        ({"region_count": 4, "region_success": 4, "region_error": 0}, "SUCCESS"),
        ({"region_count": 4, "region_success": 1, "region_error": 3}, "PARTIAL"),
        ({"region_count": 4, "region_success": 0, "region_error": 4}, "FAILED"),
        ({"end_time": 1, "region_success": 0, "region_error": 0}, "FAILED"),
        ({"end_time": 1, "region_count": 4, "region_success": 1, "region_error": 0}, "FAILED"),
        ({"region_count": Decimal(4), "region_success": Decimal(4)}, "SUCCESS"),
        ({"region_count": 4, "region_success": 4, "tracker_state": "CANCELLED"}, "CANCELLED"),
        ({"tracker_state": "STOPPED"}, "FAILED"),
        ({"region_count": 4, "tracker_ends": False}, "STARTED"),
        ({"region_count": 4, "region_success": 4, "tracker_ends": False}, "IN_PROGRESS"),
        ({"region_count": 4, "region_error": 4, "tracker_ends": False}, "IN_PROGRESS"),
        ({"region_count": 4, "region_success": 4, "tracker_ends": True}, "SUCCESS"),
        ({"end_time": 1, "region_count": 1, "region_success": 1, "tracker_ends": False}, "SUCCESS"),
        ({"end_time": 1, "region_count": 4, "region_error": 4, "tracker_ends": False}, "FAILED"),
        ({"tracker_state": "CANCELLED", "tracker_ends": False}, "CANCELLED"),
    ],
)
def test_status(attributes: dict[str, Any], status: str) -> None:
    """OSML's rules; the tracker's state wins."""
    assert JobItem("image", **attributes).status == status


def test_to_dict_is_json_with_all_of_osmls_attributes() -> None:
    """None included; of the tracker's only what a person reads."""
    item = JobItem("image", width=Decimal(5), **TRACKED, tracker_errors={"3": "boom"},
                   tracker_ledger="eA==")  # fmt: skip
    shown = json.loads(json.dumps(item.to_dict()))
    assert list(shown)[:22] == OSML_FIELDS
    assert (shown["width"], shown["height"]) == (5, None)
    assert {name: shown[name] for name in list(shown)[22:]} == {
        "tracker_run": "run-1",
        "tracker_errors": {"3": "boom"},
        "tracker_state": None,
        "status": "STARTED",
    }


def test_from_image_request() -> None:
    """As OSML fills an item before it opens the image."""
    request = ImageRequest.from_external_message(
        {
            "jobId": "job",
            "imageUrls": ["s3://bucket/image.tif"],
            "imageReadRole": "arn:aws:iam::1:role/r",
            "outputs": [{"type": "S3", "bucket": "b", "prefix": "p"}],
            "imageProcessor": {"name": "model", "type": "HTTP_ENDPOINT"},
            "imageProcessorTileSize": 512,
            "imageProcessorTileOverlap": 32,
            "featureProperties": [{"sensor": "x"}],
            "regionOfInterest": "POINT (1 2)",
        }
    )
    item = JobItem.from_image_request(request)
    assert item.to_put() == {
        "image_id": "job:s3://bucket/image.tif",
        "job_id": "job",
        "image_url": "s3://bucket/image.tif",
        "image_read_role": "arn:aws:iam::1:role/r",
        "model_name": "model",
        "model_invoke_mode": "HTTP_ENDPOINT",
        "tile_size": "(512, 512)",
        "tile_overlap": "(32, 32)",
        "outputs": '[{"type": "S3", "bucket": "b", "prefix": "p"}]',
        "feature_properties": '[{"sensor": "x"}]',
        "roi_wkt": "POINT (1 2)",
    }


def test_an_item_from_a_request_can_be_stored(table: JobTable) -> None:
    """Its enum is stored as a string."""
    item = JobItem.from_image_request(ImageRequest(image_id="image"))
    table.start_image_request(item)
    assert stored(table)["model_invoke_mode"] == "NONE"
    assert "roi_wkt" not in stored(table)


@pytest.mark.parametrize("image_id", ["a", "x" * 2048, "ü" * 1024])
def test_image_ids_that_dynamodb_takes(image_id: str) -> None:
    """Up to 2,048 bytes of UTF-8."""
    check_image_id(image_id)


@pytest.mark.parametrize("image_id", ["", "x" * 2049, "ü" * 1025, "\ud800", None, 5])
def test_image_ids_that_dynamodb_does_not_take(image_id: Any, table: JobTable) -> None:
    """Refused before anything is sent."""
    with pytest.raises(InvalidImageId):
        check_image_id(image_id)
    with pytest.raises(StartImageException, match="image_id") as err:
        table.start_image_request(JobItem(image_id))
    assert isinstance(err.value.__cause__, InvalidImageId)

"""What depends on the engine, on a DynamoDB Local: conditions, reserved words, TTL, races."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from raytracker.ddb import ConditionFailed, DDBHelper, DDBItem
from raytracker.errors import (
    CompleteRegionException,
    EndImageException,
    StartImageException,
    TableError,
    TableMismatch,
)
from raytracker.image_request import ImageRequest
from raytracker.job_table import JobItem, JobTable

REGION = "us-east-1"
KEY = {"image_id": "image"}


@pytest.fixture
def table(dynamodb_local: str) -> JobTable:
    jobs = JobTable(f"jobs-{uuid.uuid4()}", endpoint_url=dynamodb_local, region_name=REGION)
    jobs.create()
    return jobs


def tracked(table: JobTable, **attributes: Any) -> JobItem:
    counts = {"region_count": 4, "region_success": 0, "region_error": 0, "start_time": 1000}
    run = {"tracker_run": "run-1", "tracker_owner": "owner-1", "tracker_seq": 7}
    item = JobItem(**{**KEY, **counts, **run, **attributes})
    table.put_ddb_item(item)
    return item


def test_an_image_from_request_to_end(table: JobTable) -> None:
    """OSML's sequence of calls, with its results."""
    message = {"jobId": "job", "imageUrls": ["s3://b/i.tif"], "imageProcessor": {"name": "m"}}
    item = JobItem.from_image_request(ImageRequest.from_external_message(message))
    table.start_image_request(item)
    assert table.get_image_request(item.image_id) == item
    assert item.status == "STARTED"

    item.region_count, item.width, item.height, item.extents = 3, 100, 50, "{}"
    table.update_image_request(item)
    for error in (False, True, False):
        assert not table.is_image_request_complete(table.get_image_request(item.image_id))
        counted = table.complete_region_request(item.image_id, error)
    assert table.is_image_request_complete(counted)

    ended = table.end_image_request(item.image_id)
    assert ended == table.get_image_request(item.image_id)
    assert (ended.region_success, ended.region_error, ended.status) == (2, 1, "PARTIAL")
    assert ended.end_time is not None


def test_reserved_words_do_not_break_an_update(table: JobTable) -> None:
    """OSML's own expression is refused for several words; ours names them all."""

    class Odd(DDBItem):
        def __init__(self, **attributes: Any) -> None:
            self.ddb_key = JobItem("image").ddb_key
            self.attributes = attributes

        def to_update(self) -> dict[str, Any]:
            return self.attributes

    words = ("outputs", "status", "width", "count", "name", "region", "size", "state", "values")
    odd = Odd(**{word: number for number, word in enumerate(words)})
    expression, values = DDBHelper.get_update_params(odd.to_update(), odd)
    with pytest.raises(ClientError, match="reserved"):
        table.update_ddb_item(odd, expression, values)
    assert table.update_ddb_item(odd) == {**KEY, **odd.attributes}


def test_a_failed_condition_shows_the_item_that_is_there(table: JobTable) -> None:
    """Bytes, maps and numbers, as Python knows them; None where there is no item."""
    item = tracked(table, tracker_errors={"3": "boom"})
    table.table.update_item(
        Key=KEY, UpdateExpression="SET b = :b", ExpressionAttributeValues={":b": b"\0\xff"}
    )
    for write in (
        lambda: table.conditional_put(KEY, "attribute_not_exists(#k)", {"#k": "image_id"}, {}),
        lambda: table.conditional_update(
            KEY, "SET #s = :s", "#s < :s", {"#s": "tracker_seq"}, {":s": 3}
        ),
    ):
        with pytest.raises(ConditionFailed) as err:
            write()
        assert err.value.old == {**item.to_put(), "b": b"\0\xff"}
    with pytest.raises(ConditionFailed) as err:
        table.conditional_update({"image_id": "none"}, "SET a = :s", "a < :s", {}, {":s": 3})
    assert err.value.old is None


def test_a_flush_costs_what_its_item_weighs(table: JobTable) -> None:
    """One write capacity unit a started KB."""
    tracked(table)
    for size, wcu in ((10, 1), (10_000, 10)):
        written = table.conditional_update(
            KEY, "SET tracker_ledger = :l", "tracker_owner = :me", {},
            {":l": b"x" * size, ":me": "owner-1"}, return_values="NONE",
        )  # fmt: skip
        assert wcu <= written.wcu <= wcu + 1
        assert written.attributes == {}


def test_osmls_writes_refuse_an_item_that_is_a_trackers(table: JobTable) -> None:
    """By a condition in each write, whose old item says which run it is."""
    item = tracked(table)
    for exception, call in (
        (StartImageException, lambda: table.start_image_request(JobItem("image"))),
        (CompleteRegionException, lambda: table.complete_region_request("image", True)),
        (EndImageException, lambda: table.end_image_request("image")),
    ):
        with pytest.raises(exception, match="run run-1"):
            call()
        assert table.get_image_request("image") == item
    assert table.update_image_request(JobItem("image", width=5, region_count=9)) == (
        JobItem.from_ddb({**item.to_put(), "width": 5})
    )
    tracked(table, end_time=5)
    assert table.start_image_request(JobItem("image")).tracker_run is None
    assert "tracker_run" not in (table.read_item(KEY) or {})


def test_refusals_name_the_cure(table: JobTable, dynamodb_local: str) -> None:
    """In the wording of this engine, too."""
    with pytest.raises(TableError, match="larger tiles"):
        table.conditional_put(
            {**KEY, "a": b"x" * 410_000}, "attribute_not_exists(image_id)", {}, {}
        )
    tracked(table, tracker_ledger="x" * 300_000)
    with pytest.raises(TableError, match="larger tiles"):
        table.conditional_update(
            KEY, "SET a = :a", "attribute_exists(image_id)", {}, {":a": b"x" * 200_000}
        )
    with pytest.raises(TableError, match="raytracker table create nowhere"):
        JobTable("nowhere", dynamodb_local, REGION).read_item(KEY)
    for key in ({"id": "a"}, {**KEY, "range": "r"}, {"image_id": 5}):
        with pytest.raises(TableError, match="another key"):
            table.read_item(key)


def test_an_image_id_may_have_2048_bytes(table: JobTable) -> None:
    """The engine's limit is the one that is checked."""
    item = JobItem("ü" * 1024)
    table.start_image_request(item)
    assert table.get_image_request(item.image_id) == item
    with pytest.raises(TableError):
        table.conditional_put({"image_id": "x" * 2049}, "attribute_not_exists(image_id)", {}, {})


def test_many_may_create_the_table_at_once(dynamodb_local: str) -> None:
    """Each returns when it is there, with its TTL."""
    name = f"jobs-{uuid.uuid4()}"
    tables = [JobTable(name, dynamodb_local, REGION) for _ in range(8)]
    with ThreadPoolExecutor(len(tables)) as pool:
        list(pool.map(JobTable.create, tables))
    client = tables[0].client.meta.client
    assert client.describe_time_to_live(TableName=name)["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "ENABLED",
        "AttributeName": "expire_time",
    }
    tables[0].create()


@pytest.mark.parametrize("operation", ["CreateTable", "UpdateTimeToLive"])
def test_another_may_be_quicker_at_creating(dynamodb_local: str, operation: str) -> None:
    """Between our look and our request."""
    ours = JobTable(f"jobs-{uuid.uuid4()}", dynamodb_local, REGION)
    theirs = JobTable(ours.table_name, dynamodb_local, REGION)
    seen = []

    def overtake(**_: Any) -> None:
        seen.append(operation)
        theirs.create(set_ttl=True)

    events = ours.client.meta.client.meta.events
    events.register(f"before-call.dynamodb.{operation}", overtake)
    ours.create()
    ours.create()
    assert seen == [operation]


def test_create_says_what_does_not_fit(table: JobTable) -> None:
    """Another TTL attribute, another key."""
    client: Any = table.client.meta.client
    for enabled, name in ((False, "expire_time"), (True, "ttl")):
        client.update_time_to_live(
            TableName=table.table_name,
            TimeToLiveSpecification={"Enabled": enabled, "AttributeName": name},
        )
    with pytest.raises(TableMismatch, match="TTL on ttl"):
        table.create()
    other = f"other-{uuid.uuid4()}"
    client.create_table(
        TableName=other,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(TableMismatch, match=r"HASH key id \(N\)"):
        JobTable(other, table.endpoint_url, REGION).create()


def test_one_writer_serves_many_threads(table: JobTable) -> None:
    """A pool of coordinators shares it."""
    tracked(table)

    def add(_: int) -> None:
        table.conditional_update(
            KEY, "SET #n = if_not_exists(#n, :zero) + :one", "attribute_exists(image_id)",
            {"#n": "count"}, {":zero": 0, ":one": 1}, return_values="NONE",
        )  # fmt: skip

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(200)))
    item = table.read_item(KEY)
    assert item is not None
    assert item["count"] == 200

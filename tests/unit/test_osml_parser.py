"""A process that imports OSML: it replaces botocore's JSON parser, and binary attributes stay text.

Each test runs with botocore's parser and with OSML's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.parsers import PROTOCOL_PARSERS

from raytracker.ddb import ConditionFailed
from raytracker.errors import ImageExists, InvalidLayout, TrackerSuperseded
from raytracker.job_table import Flush, JobItem, JobTable, OwnerMoved, ledger_of
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import MAX_CLASSES_BYTES, Layout, Ledger

LAYOUT = Layout.of([2, 1, 1])
KEY = {"image_id": "scene"}


@pytest.fixture(params=["botocore", "OSML"])
def table(
    moto_table: JobTable, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> JobTable:
    """A job table in moto, in a process with the one or the other parser."""
    if request.param == "OSML":
        monkeypatch.setattr(
            PROTOCOL_PARSERS["json"],
            "_handle_json_body",
            lambda self, raw, shape: self._parse_body_as_json(raw),
        )
    return moto_table


@pytest.fixture
def older(table: JobTable) -> JobTable:
    """The table with an image as older versions stored it: the ledger is Binary."""
    table.start(JobItem("scene"), run="first", layout=LAYOUT)
    table.claim("scene", "first", "me")
    table.flush("scene", "first", "me", 1, flush(b"\2\1\2\0"))
    _store_binary(table, encoded(b"\2\1\2\0"))
    return table


def _store_binary(table: JobTable, ledger: bytes) -> None:
    table.table.update_item(
        Key=KEY,
        UpdateExpression="SET tracker_ledger = :l",
        ExpressionAttributeValues={":l": ledger},
    )


def encoded(tiles: bytes, layout: Layout = LAYOUT) -> bytes:
    ledger = Ledger(layout)
    ledger.merge([(0, tiles)], {})
    return ledger.encode()


def flush(tiles: bytes) -> Flush:
    ledger = Ledger(LAYOUT)
    ledger.merge([(0, tiles)], {1: "clouds"})
    end = int(time.time() * 1000) if ledger.settled else None
    counts = ledger.region_success, ledger.region_error
    return Flush(*counts, ledger.encode(), ledger.reasons(), None, end, 5, 10**10)


def raw(table: JobTable) -> dict[str, Any]:
    """The item as DynamoDB has it, with the types of its attributes."""
    client = boto3.client("dynamodb")
    item: dict[str, Any] = client.get_item(
        TableName=table.table_name, Key={"image_id": {"S": "scene"}}
    )["Item"]
    return item


def types(attribute: Any) -> set[str]:
    """The types in an attribute, and in what is in it."""
    ((kind, value),) = attribute.items()
    inside = {"M": lambda: value.values(), "L": lambda: value}.get(kind, list)()
    return {kind}.union(*map(types, inside))


def tiles(table: JobTable) -> bytes:
    item = table.read("scene")
    assert item is not None
    return ledger_of(item).tile_outcomes()


def test_a_run_from_start_to_redrive(table: JobTable) -> None:
    """Each write and each read; none leaves an attribute that is Binary."""
    table.start(JobItem("scene", tracker_grid="{}"), run="first", layout=LAYOUT)
    stored = [raw(table)]
    assert ledger_of(table.claim("scene", "first", "me")) == Ledger(LAYOUT)
    assert table.flush("scene", "first", "me", 1, flush(b"\2\1\2\2")) > 0
    stored.append(raw(table))
    job = table.get_image_request("scene")
    assert (job.status, table.is_image_request_complete(job)) == ("PARTIAL", True)
    assert tiles(table) == b"\2\1\2\2"
    table.resume(job, "second", redrive=True)
    stored.append(raw(table))
    assert tiles(table) == b"\2\0\2\2"
    table.start(JobItem("scene"), run="third", layout=LAYOUT, replacing=table.read("scene"))
    stored.append(raw(table))
    assert tiles(table) == bytes(4)
    for item in stored:
        assert item["tracker_ledger"].keys() == {"S"}
        assert not types({"M": item}) & {"B", "BS"}


def test_what_is_refused_is_understood(table: JobTable) -> None:
    """By the item that DynamoDB shows with the refusal."""
    table.start(JobItem("scene"), run="first", layout=LAYOUT)
    with pytest.raises(ImageExists):
        table.start(JobItem("scene"), run="other", layout=LAYOUT)
    table.claim("scene", "first", "me")
    with pytest.raises(OwnerMoved):
        table.flush("scene", "first", "another", 1, flush(b"\2\0\0\0"))
    with pytest.raises(TrackerSuperseded):
        table.claim("scene", "other", "another")


def test_an_older_item_is_read(older: JobTable) -> None:
    """By everything that reads."""
    text = to_text(encoded(b"\2\1\2\0"))
    assert tiles(older) == b"\2\1\2\0"
    assert older.get_image_request("scene").tracker_ledger == text
    assert older.query_items(JobItem("scene"))[0]["tracker_ledger"] == encoded(b"\2\1\2\0")
    with pytest.raises(ConditionFailed) as refused:
        older.conditional_put(KEY, "attribute_not_exists(image_id)", {}, {})
    assert refused.value.old is not None
    assert JobItem.from_ddb(refused.value.old).tracker_ledger == text
    assert ledger_of(older.claim("scene", "first", "me")).tile_outcomes() == b"\2\1\2\0"
    older.resume(older.get_image_request("scene"), "second")
    assert ledger_of(older.claim("scene", "second", "you")).tile_outcomes() == b"\2\1\2\0"
    older.update_image_request(JobItem("scene", width=5))


@pytest.mark.parametrize(
    "write",
    [
        lambda t: t.flush("scene", "first", "me", 2, flush(b"\2\1\2\2")),
        lambda t: t.resume(t.read("scene"), "second", redrive=True),
        lambda t: t.start(JobItem("scene"), run="2", layout=LAYOUT, replacing=t.read("scene")),
    ],
    ids=["flush", "redrive", "restart"],
)
def test_what_writes_the_ledger_writes_text(
    older: JobTable, write: Callable[[JobTable], object]
) -> None:
    """Also where it was Binary."""
    assert raw(older)["tracker_ledger"].keys() == {"B"}
    write(older)
    assert raw(older)["tracker_ledger"].keys() == {"S"}


@pytest.mark.parametrize("redrive", [False, True])
def test_a_ledger_that_would_not_fit_as_text_is_not_resumed(older: JobTable, redrive: bool) -> None:
    """As bytes it fits; the text names the image and the cure, and nothing is written."""
    layout = Layout.of(1_300_000)
    _store_binary(older, Ledger(layout).encode())
    read = older.get_image_request("scene")
    with pytest.raises(InvalidLayout, match=r"image 'scene': 1300000 tiles .*restart it with larg"):
        older.resume(read, "second", redrive=redrive)
    assert older.get_image_request("scene") == read


def test_an_item_that_could_be_started_can_be_resumed(table: JobTable) -> None:
    """What the run has written since is not counted twice."""
    layout = Layout.of(1_108_656)  # the most that fits beside this id
    table.start(JobItem("scene"), run="first" * 8, layout=layout)
    table.claim("scene", "first" * 8, "me" * 16)
    errors = dict.fromkeys(range(100), "x" * 200)
    what = Flush(10**6, 10**5, Ledger(layout).encode(), errors, "STOPPED", 10**13, 10**5, 10**10)
    what = what._replace(classes=b"x" * MAX_CLASSES_BYTES)
    table.flush("scene", "first" * 8, "me" * 16, 1, what)
    table.resume(table.get_image_request("scene"), "second" * 8)


def test_binary_attributes_of_others_are_bytes(table: JobTable) -> None:
    """Wherever they are in an item, and in sets."""
    item = {**KEY, "B": b"\0", "m": {"l": [b"\1", {b"\2", b"\3"}]}, "BS": ["text"]}
    table.table.put_item(Item=item)
    assert table.read_item(KEY) == table.query_items(JobItem("scene"))[0] == item

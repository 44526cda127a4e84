from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from raytracker.ddb import ConditionFailed, DDBItem
from raytracker.errors import (
    CompleteRegionException,
    DDBUpdateException,
    EndImageException,
    GetImageRequestItemException,
    IsImageCompleteException,
    JobVanished,
    StartImageException,
)
from raytracker.job_table import EXPIRY_SECONDS, JobItem, JobTable

THE_TRACKERS = [f.name for f in fields(JobItem) if f.name.startswith("tracker_")]
TRACKED = {"tracker_run": "run-1", "tracker_owner": "owner-1", "tracker_seq": 7}


@pytest.fixture
def table(aws_env: None) -> Iterator[JobTable]:
    with mock_aws():
        jobs = JobTable("jobs")
        jobs.create()
        yield jobs


@pytest.fixture
def put(table: JobTable) -> Callable[..., JobItem]:
    """Puts an item of four regions into the table, past all conditions."""

    def put(**attributes: Any) -> JobItem:
        counts = {"region_count": 4, "region_success": 0, "region_error": 0, "start_time": 1000}
        item = JobItem(**{"image_id": "image", **counts, **attributes})
        table.put_ddb_item(item)
        return item

    return put


def stored(table: JobTable) -> dict[str, Any]:
    item = table.read_item({"image_id": "image"})
    assert item is not None
    return item


def test_start(table: JobTable) -> None:
    """Times and counters are set, on the item that was passed, which is what is stored."""
    before = int(time.time() * 1000)
    item = JobItem("image", region_success=9)
    started = table.start_image_request(item)
    after = int(time.time() * 1000)
    assert started is item
    assert table.get_image_request("image") == item
    assert item.start_time is not None
    assert before <= item.start_time <= after
    assert item.expire_time == item.start_time // 1000 + EXPIRY_SECONDS
    assert (item.processing_duration, item.region_success, item.region_error) == (0, 0, 0)
    assert item.region_count is None


def test_start_overwrites_an_item_that_is_no_trackers(
    table: JobTable, put: Callable[..., JobItem]
) -> None:
    """As OSML does."""
    put(region_success=3, width=7)
    table.start_image_request(JobItem("image"))
    assert stored(table)["region_success"] == 0
    assert "width" not in stored(table)


def test_start_refuses_an_item_that_a_run_is_tracking(
    table: JobTable, put: Callable[..., JobItem]
) -> None:
    """The text says which run; the item stays."""
    before = put(**TRACKED).to_put()
    with pytest.raises(StartImageException, match="image image .* run run-1"):
        table.start_image_request(JobItem("image"))
    assert stored(table) == before


def test_start_overwrites_what_an_ended_run_left(
    table: JobTable, put: Callable[..., JobItem]
) -> None:
    """The new item is no tracker's, also when it was made from the old one."""
    left = {"str": "x/1/y", "int": 1, "bool": False, "dict[str, str]": {"0": "x"}}
    types = {f.name: str(f.type).removesuffix(" | None") for f in fields(JobItem)}
    put(**{name: left[types[name]] for name in THE_TRACKERS}, end_time=5)
    table.start_image_request(table.get_image_request("image"))
    assert not [name for name in stored(table) if name.startswith("tracker_")]


@pytest.mark.parametrize("error", [False, True])
def test_complete_region_counts_one(
    table: JobTable, put: Callable[..., JobItem], error: bool
) -> None:
    """As a success or an error; the item comes back."""
    put(region_success=1, region_error=1)
    item = table.complete_region_request("image", error)
    assert (item.region_success, item.region_error) == ((1, 2) if error else (2, 1))
    assert table.get_image_request("image") == item


def test_complete_region_refuses_an_item_that_is_a_trackers(
    table: JobTable, put: Callable[..., JobItem]
) -> None:
    """While it runs the next flush would undo it; after its end the counts are final."""
    for attributes in ({}, {"end_time": 5}):
        put(**TRACKED, **attributes)
        with pytest.raises(CompleteRegionException, match="run run-1, and only its tracker"):
            table.complete_region_request("image", False)
        assert stored(table)["region_success"] == 0


def test_complete_region_of_no_item(table: JobTable) -> None:
    """It is refused, and no item is made."""
    with pytest.raises(CompleteRegionException, match="table jobs has no item for image image"):
        table.complete_region_request("image", False)
    assert table.read_item({"image_id": "image"}) is None


def test_complete_region_of_an_item_without_counters(table: JobTable) -> None:
    """As in OSML, DynamoDB's error is the cause."""
    table.put_ddb_item(JobItem("image"))
    with pytest.raises(CompleteRegionException) as err:
        table.complete_region_request("image", False)
    assert isinstance(err.value.__cause__, ClientError)


@pytest.mark.parametrize(
    ("count", "success", "error", "complete"),
    [(2, 1, 1, True), (2, 1, 0, False), (2, 2, 1, False), (Decimal(2), Decimal(2), 0, True)],
)
def test_is_complete(count: Any, success: Any, error: Any, complete: bool) -> None:
    """Static, and exactly OSML's comparison."""
    item = JobItem("image", region_count=count, region_success=success, region_error=error)
    assert JobTable.is_image_request_complete(item) is complete


@pytest.mark.parametrize("missing", ["region_count", "region_success", "region_error"])
def test_is_complete_needs_all_counts(missing: str) -> None:
    """The text names the image."""
    counts = {"region_count": 1, "region_success": 1, "region_error": 0, missing: None}
    with pytest.raises(IsImageCompleteException, match=f"image has.*{missing} None"):
        JobTable.is_image_request_complete(JobItem("image", **counts))


def test_get(table: JobTable, put: Callable[..., JobItem]) -> None:
    """The item, as it is."""
    item = put()
    assert table.get_image_request("image") == item


def test_get_of_no_item(table: JobTable) -> None:
    """The cause tells it from a failure of DynamoDB."""
    with pytest.raises(GetImageRequestItemException, match="no item for image image") as err:
        table.get_image_request("image")
    assert isinstance(err.value.__cause__, JobVanished)


def test_get_from_no_table(table: JobTable) -> None:
    """boto3's error is the cause, as in OSML; the text is ours."""
    with pytest.raises(GetImageRequestItemException, match="table create nowhere") as err:
        JobTable("nowhere").get_image_request("image")
    assert isinstance(err.value.__cause__, ClientError)


def test_end_sets_the_end_and_the_duration_only(
    table: JobTable, put: Callable[..., JobItem]
) -> None:
    """What others write between its read and its write stays."""
    started = int((time.time() - 90) * 1000)
    put(start_time=started, width=1)
    real_get = table.get_image_request

    def get_and_be_overtaken(image_id: str) -> JobItem:
        item = real_get(image_id)
        table.complete_region_request("image", False)
        table.update_image_request(JobItem("image", region_count=9))
        return item

    table.get_image_request = get_and_be_overtaken
    ended = table.end_image_request("image")
    assert ended == real_get("image")
    assert ended.end_time is not None
    assert abs(ended.end_time - time.time() * 1000) < 10_000
    assert ended.processing_duration in range(90, 100)
    assert (ended.region_success, ended.region_count, ended.width) == (1, 9, 1)


@pytest.mark.parametrize("attributes", [{}, {"end_time": 5}])
def test_end_refuses_an_item_that_is_a_trackers(
    table: JobTable, put: Callable[..., JobItem], attributes: dict[str, Any]
) -> None:
    """It would end a job that goes on."""
    before = put(**TRACKED, **attributes).to_put()
    with pytest.raises(EndImageException, match="run run-1, and only its tracker"):
        table.end_image_request("image")
    assert stored(table) == before


def test_end_refuses_a_run_that_starts_after_its_read(
    table: JobTable, put: Callable[..., JobItem]
) -> None:
    """The condition is in the write."""
    untracked = put()
    put(**TRACKED)
    table.get_image_request = lambda image_id: untracked
    with pytest.raises(EndImageException, match="run run-1"):
        table.end_image_request("image")
    assert "end_time" not in stored(table)


def test_end_of_no_item(table: JobTable) -> None:
    """It is refused, and no item is made."""
    with pytest.raises(EndImageException, match="no item for image image"):
        table.end_image_request("image")
    assert table.read_item({"image_id": "image"}) is None


def test_update_writes_everything_but_the_counters(
    table: JobTable, put: Callable[..., JobItem]
) -> None:
    """OSML writes back the counters that it read, and undoes what was counted since."""
    item = put(start_time=int((time.time() - 30) * 1000))
    table.complete_region_request("image", False)
    item.width, item.region_count, item.outputs = 5, 9, "[]"
    updated = table.update_image_request(item)
    assert updated == table.get_image_request("image")
    assert (updated.width, updated.region_count, updated.outputs) == (5, 9, "[]")
    assert (updated.region_success, updated.region_error) == (1, 0)
    assert item.processing_duration == updated.processing_duration
    assert updated.processing_duration in range(30, 40)
    assert item.region_success == 0


def test_update_accepts_decimals(table: JobTable, put: Callable[..., JobItem]) -> None:
    """OSML's callers pass them."""
    put()
    item = JobItem("image", width=Decimal(5), start_time=Decimal(1000))
    updated = table.update_image_request(item)
    assert (updated.width, updated.start_time) == (5, 1000)


def test_update_of_a_trackers_item_leaves_what_is_the_trackers(
    table: JobTable, put: Callable[..., JobItem]
) -> None:
    """What describes the image is written; counts, times and the tracker's attributes stay."""
    before = put(**TRACKED, tracker_ledger="eA==", expire_time=50).to_put()
    described = {"width": 9, "extents": "{}", "outputs": "[]", "roi_wkt": "POINT (0 0)"}
    item = JobItem(
        "image",
        **described,
        start_time=9,
        end_time=9,
        expire_time=9,
        region_count=9,
        region_success=9,
        region_error=9,
        **dict.fromkeys(THE_TRACKERS, "mine"),
    )
    table.update_image_request(item)
    assert stored(table) == {**before, **described}


def test_update_of_no_item(table: JobTable) -> None:
    """OSML makes an item without a start; here it is refused."""
    with pytest.raises(JobVanished, match="table jobs has no item for image image"):
        table.update_image_request(JobItem("image", width=5))
    assert table.read_item({"image_id": "image"}) is None


def test_update_of_nothing(table: JobTable, put: Callable[..., JobItem]) -> None:
    """Counters alone are nothing."""
    put()
    with pytest.raises(DDBUpdateException):
        table.update_image_request(JobItem("image", region_success=3))


def test_processing_duration_is_in_whole_seconds() -> None:
    """Since an epoch in milliseconds, which may be a Decimal."""
    started = int((time.time() - 2.5) * 1000)
    assert JobTable.get_processing_duration(started) == 2
    assert JobTable.get_processing_duration(Decimal(started)) == 2


def test_the_methods_go_through_the_helpers(table: JobTable) -> None:
    """A subclass that overrides one, with OSML's arguments, sees every access."""
    seen = []

    class Watched(JobTable):
        def put_ddb_item(self, ddb_item: DDBItem, condition_expression: Any = None) -> Any:
            seen.append("put")
            return super().put_ddb_item(ddb_item, condition_expression)

        def get_ddb_item(self, ddb_item: DDBItem) -> Any:
            seen.append("get")
            return super().get_ddb_item(ddb_item)

        def update_ddb_item(
            self, ddb_item: DDBItem, update_exp: Any = None, update_attr: Any = None
        ) -> Any:
            seen.append("update")
            return super().update_ddb_item(ddb_item, update_exp, update_attr)

    watched = Watched("jobs")
    watched.start_image_request(JobItem("image", region_count=1))
    watched.complete_region_request("image", False)
    watched.update_image_request(JobItem("image", width=1))
    watched.get_image_request("image")
    watched.end_image_request("image")
    assert seen == ["put", "update", "update", "get", "get", "update"]


def test_a_failing_helper_is_the_cause(table: JobTable) -> None:
    """OSML chains it too."""
    boom = RuntimeError("boom")

    def fail(*args: Any) -> Any:
        raise boom

    table.put_ddb_item = table.get_ddb_item = table.update_ddb_item = fail
    for exception, call in (
        (StartImageException, lambda: table.start_image_request(JobItem("image"))),
        (CompleteRegionException, lambda: table.complete_region_request("image", True)),
        (GetImageRequestItemException, lambda: table.get_image_request("image")),
    ):
        with pytest.raises(exception, match="boom") as err:
            call()
        assert err.value.__cause__ is boom
    with pytest.raises(EndImageException, match="boom") as ended:
        table.end_image_request("image")
    assert isinstance(ended.value.__cause__, GetImageRequestItemException)


def test_a_table_pickles_as_its_settings(table: JobTable) -> None:
    """It travels with Ray's tasks."""
    again = pickle.loads(pickle.dumps(table))
    assert isinstance(again, JobTable)
    assert vars(again) == {"table_name": "jobs", "endpoint_url": None, "region_name": None}


def test_a_trackers_write_sees_the_old_item(table: JobTable, put: Callable[..., JobItem]) -> None:
    """What a claim or a flush that is refused decides by."""
    item = put(**TRACKED, tracker_ledger="eA==")
    with pytest.raises(ConditionFailed) as err:
        table.conditional_update(
            {"image_id": "image"}, "SET tracker_seq = :s", "tracker_owner = :me", {},
            {":s": 8, ":me": "another"},
        )  # fmt: skip
    assert err.value.old is not None
    assert JobItem.from_ddb(err.value.old) == item

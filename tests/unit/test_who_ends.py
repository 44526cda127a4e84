"""An image that ends only when somebody says so: `tracker_ends` is False in its item."""

from __future__ import annotations

import pytest

from raytracker.job_table import Flush, JobItem, JobTable
from raytracker.ledger import Layout, Ledger

LAYOUT = Layout.of(2)


def start(table: JobTable, ends: bool | None, replacing: JobItem | None = None) -> None:
    job = JobItem("scene", tracker_ends=ends)
    table.start(job, run="first", layout=LAYOUT, replacing=replacing)


def flush(table: JobTable, run: str, tiles: bytes, end_time: int | None) -> None:
    ledger = Ledger(LAYOUT)
    ledger.merge([(0, tiles)], {})
    counts = ledger.region_success, ledger.region_error
    table.claim("scene", run, "owner")
    what = Flush(*counts, ledger.encode(), {}, None, end_time, 5, 10**10)
    table.flush("scene", run, "owner", 1, what)


def status(table: JobTable) -> tuple[bool | None, str]:
    item = table.get_image_request("scene")
    return item.tracker_ends, item.status


@pytest.mark.parametrize(("ends", "stored"), [(False, False), (True, None), (None, None)])
def test_only_an_image_that_waits_for_its_end_says_so(
    moto_table: JobTable, ends: bool | None, stored: bool | None
) -> None:
    """All others end when they are settled."""
    start(moto_table, ends)
    assert status(moto_table) == (stored, "STARTED")


def test_a_settled_image_goes_on_until_it_is_ended(moto_table: JobTable) -> None:
    """Assembly may come in between; a resume and a redrive of it still wait for the end."""
    start(moto_table, False)
    flush(moto_table, "first", b"\2\1", None)
    assert status(moto_table) == (False, "IN_PROGRESS")
    moto_table.resume(moto_table.get_image_request("scene"), "second")
    flush(moto_table, "second", b"\2\1", 10**13)
    assert status(moto_table) == (False, "PARTIAL")
    moto_table.resume(moto_table.get_image_request("scene"), "third", redrive=True)
    flush(moto_table, "third", b"\2\2", None)
    assert status(moto_table) == (False, "IN_PROGRESS")
    flush(moto_table, "third", b"\2\2", 10**13)
    assert status(moto_table) == (False, "SUCCESS")


def test_a_restart_decides_anew(moto_table: JobTable) -> None:
    """Nothing of the run before is left."""
    start(moto_table, False)
    start(moto_table, None, replacing=moto_table.get_image_request("scene"))
    assert status(moto_table) == (None, "STARTED")

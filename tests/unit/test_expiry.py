"""How long an item lives: as long as its run does, and `keep_for` after its last write."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from raytracker.errors import JobVanished
from raytracker.job_table import KEEP_SECONDS, Flush, JobItem, JobTable
from raytracker.ledger import Layout, Ledger

LAYOUT = Layout.of(2)
HOUR = 3600


@pytest.fixture
def table(moto_table: JobTable) -> JobTable:
    """A table with a run that is claimed, and whose item expires at some other time."""
    moto_table.start(JobItem("scene"), run="first", layout=LAYOUT, keep_for=60)
    moto_table.claim("scene", "first", "me", keep_for=60)
    return moto_table


def expire_time(table: JobTable) -> int | None:
    return table.get_image_request("scene").expire_time


def start(table: JobTable, **options: int | None) -> None:
    table.start(
        JobItem("scene", expire_time=5),
        run="second",
        layout=LAYOUT,
        replacing=table.read("scene"),
        **options,
    )


def claim(table: JobTable, **options: int | None) -> None:
    table.claim("scene", "first", "you", **options)


def resume(table: JobTable, **options: int | None) -> None:
    table.resume(table.get_image_request("scene"), "second", **options)


def flush(table: JobTable, keep_for: int | None = KEEP_SECONDS) -> None:
    until = None if keep_for is None else int(time.time() + keep_for)
    what = Flush(0, 0, Ledger(LAYOUT).encode(), {}, None, None, 5, until)
    table.flush("scene", "first", "me", 1, what)


@pytest.mark.parametrize("write", [start, claim, resume, flush])
def test_each_write_of_a_run_puts_the_expiry_off(
    table: JobTable, write: Callable[..., None]
) -> None:
    """By a week where nothing else is asked for."""
    before = time.time()
    write(table, keep_for=HOUR)
    assert int(before + HOUR) <= (expire_time(table) or 0) <= time.time() + HOUR


@pytest.mark.parametrize("write", [start, claim, resume, flush])
def test_a_week_is_the_default(table: JobTable, write: Callable[..., None]) -> None:
    """Friday's failures can be redriven on Monday."""
    before = time.time()
    write(table)
    assert KEEP_SECONDS == 7 * 24 * HOUR
    assert int(before + KEEP_SECONDS) <= (expire_time(table) or 0) <= time.time() + KEEP_SECONDS


@pytest.mark.parametrize("write", [start, claim, resume, flush])
def test_an_item_may_be_kept_for_ever(table: JobTable, write: Callable[..., None]) -> None:
    """Without the attribute, DynamoDB's TTL leaves it alone; it may have had one before."""
    assert expire_time(table) is not None
    write(table, keep_for=None)
    assert expire_time(table) is None


def test_who_misses_an_item_is_told_of_ttl(table: JobTable) -> None:
    """Nobody deleted it, as far as he knows."""
    table.delete_ddb_item(JobItem("scene"))
    for ask in (claim, flush):
        with pytest.raises(JobVanished, match=r"'scene' is not in table .* TTL .* keep_for"):
            ask(table)
    with pytest.raises(JobVanished, match=r"has no item for image scene.* TTL .*expire_time"):
        table.update_image_request(JobItem("scene", width=5))

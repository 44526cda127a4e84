"""Which images `raytracker redrive` and `raytracker resume` would run again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from raytracker.job_table import JobItem, JobTable
from tests.support.on_call import invoke, put


@pytest.fixture
def table(moto_table: JobTable, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobTable]:
    """A job table that the command finds."""
    monkeypatch.setenv("RAYTRACKER_TABLE", moto_table.table_name)
    return moto_table


def test_only_what_was_broken_off_goes_on(table: JobTable) -> None:
    """Cancelled, stopped, silent or left: shown before it is asked for; what is done is not."""
    now = int(time.time())
    put(table, "lives")
    put(table, "silent", tracker_alive_until=now - 1)
    put(table, "left", tracker_alive_until=None)
    put(table, "cancelled", tracker_state="CANCELLED", end_time=now * 1000)
    put(table, "stopped", tracker_state="STOPPED", end_time=now * 1000)
    put(table, "partial", region_success=3, region_error=1, end_time=now * 1000)
    table.put_ddb_item(JobItem("osml", start_time=1, region_count=4, region_success=1))

    def shown(command: str, *options: str) -> set[str]:
        lines = invoke(command, "m:f", *options, stdin="n\n", status=2).stderr.splitlines()
        return {line.split(":")[0] for line in lines[:-1]}

    assert shown("resume") == {"silent", "left", "cancelled", "stopped"}
    assert shown("resume", "--silent") == {"silent", "left"}
    assert shown("resume", "--status", "CANCELLED", "--status", "FAILED") == {
        "cancelled",
        "stopped",
    }
    assert shown("redrive") == {"stopped", "partial"}
    assert shown("redrive", "--status", "CANCELLED") == {"cancelled"}
    assert "no image fits" in invoke("resume", "m:f", "--status", "PARTIAL").stderr


def test_a_damaged_item_is_left_out_of_a_redrive(table: JobTable) -> None:
    """The others are not to wait for it."""
    for image_id, ledger in (("good", None), ("damaged", "not base64")):
        more = {} if ledger is None else {"tracker_ledger": ledger}
        put(table, image_id, region_error=1, region_success=3, **more)
    asked = invoke("redrive", "m:f", "--reason", "x", "--status", "PARTIAL", status=0)
    assert "left out: image 'damaged'" in asked.stderr
    assert "no image fits" in asked.stderr


@pytest.mark.parametrize(
    "chosen", [["--reason", "clouds"], ["--class", "ValueError"], ["--silent"], ["--since", "2d"]]
)
def test_images_are_named_or_chosen(table: JobTable, chosen: list[str]) -> None:
    """One that is named would run again though it isn't of those that are chosen."""
    put(table, "partial", region_success=3, region_error=1, end_time=int(time.time()) * 1000)
    before = table.read("partial")
    result = invoke("redrive", "detect.py:detect", "partial", *chosen, "--yes", status=2)
    assert "give one or the other" in result.stderr
    assert table.read("partial") == before

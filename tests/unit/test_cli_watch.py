"""Watching images until they have ended."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from raytracker.cli import watching
from raytracker.cli.watching import Watched
from raytracker.errors import TableUnavailable
from raytracker.job_table import JobTable
from tests.support import on_call
from tests.support.on_call import NOW, invoke


@pytest.fixture
def table(moto_table: JobTable, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobTable]:
    """A job table that the command finds."""
    monkeypatch.setenv("RAYTRACKER_TABLE", moto_table.table_name)
    return moto_table


def put(table: JobTable, image_id: str, **more: Any) -> None:
    """Of regions only, without a ledger."""
    on_call.put(table, image_id, tracker_ledger=None, **more)


def passing(monkeypatch: pytest.MonkeyPatch, *steps: Any) -> list[float]:
    """Has something happen while the command waits; returns how long it waited each time."""
    waited: list[float] = []
    coming = iter(steps)

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        next(coming)()

    monkeypatch.setattr(watching.time, "sleep", sleep)
    monkeypatch.setattr(watching, "LINE_SECONDS", 0.0)
    return waited


def test_lines_until_all_have_ended(table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each image when it changed; the exit status is that of the worst."""
    put(table, "a", region_success=1)
    put(table, "b", region_success=2)
    waited = passing(
        monkeypatch,
        lambda: put(table, "a", region_success=3),
        lambda: put(table, "a", region_success=4, end_time=int(NOW * 1000)),
        lambda: put(table, "b", region_success=3, region_error=1, end_time=int(NOW * 1000)),
    )
    done = invoke("watch", "a", "b", "--every", "1", status=3)
    assert waited == [1.0, 1.0, 1.0]
    lines = done.stdout.splitlines()
    assert [line.split(",")[0] for line in lines if line.startswith("a:")] == [
        "a: IN_PROGRESS",
        "a: IN_PROGRESS",
        "a: SUCCESS",
    ]
    assert any(line.startswith("b: PARTIAL, 4/4 regions, 1 failed") for line in lines)


def test_all_that_go_on(table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those that come; what has ended before is not shown."""
    put(table, "old", end_time=int(NOW * 1000))
    put(table, "runs", region_success=1)

    def ends() -> None:
        put(table, "runs", region_success=4, end_time=int(NOW * 1000))
        put(table, "comes", region_success=4, end_time=int(NOW * 1000))

    passing(monkeypatch, ends)
    done = invoke("watch", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["image_id"], row["done"]) for row in rows] == [("runs", 1), ("runs", 4)]
    assert rows[0]["total"] == 4
    assert "no image of table" in invoke("watch").stderr


def test_an_image_that_is_not_there(table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the beginning, or not any more."""
    assert "is not in table" in invoke("watch", "nowhere", status=2).stderr
    put(table, "goes", region_success=1)
    passing(monkeypatch, lambda: table.table.delete_item(Key={"image_id": "goes"}))
    assert "'goes' is not in table" in invoke("watch", "goes", status=2).stderr


def test_a_rate_is_of_the_last_minute_and_silence_has_none(table: JobTable) -> None:
    """Whoever is silent may never come to an end."""
    now = NOW
    watched = Watched(lambda: now)
    put(table, "a", region_success=1)
    job = table.read("a")
    assert job is not None
    assert watched.see(job).rate is None
    now += 10
    put(table, "a", region_success=3)
    job = table.read("a")
    assert job is not None
    seen = watched.see(job)
    assert seen.rate == pytest.approx(0.2)
    assert seen._replace(silent=False).left == pytest.approx(5)
    assert seen._replace(silent=True).left is None
    now += 100
    assert watched.see(job).rate is None


@pytest.mark.parametrize("width", [80, 200])
def test_bars_fit_a_terminal(table: JobTable, width: int) -> None:
    """A line for each image, whatever its name."""
    put(table, "a" * 30, region_success=1)
    put(table, "evil\x1b[2J", region_success=3, region_error=1)
    watched = Watched()
    jobs = [table.read("a" * 30), table.read("evil\x1b[2J")]
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    seen = [watched.see(job) for job in jobs if job is not None]
    console.print(watching._table([], width), end="")  # none goes on
    console.print(watching._table(seen, width))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[2J" not in shown
    assert "1/4 regions" in shown
    assert "a" * 30 in shown
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
    assert len(shown.splitlines()) == (2 if width == 200 else 4)
    assert all(len(line) <= width for line in shown.splitlines())


def test_a_stale_run_has_an_exit_status_of_its_own(table: JobTable) -> None:
    """And no time left; one that lives, or has ended, has not."""
    on_call.put(table, "lives", processing_duration=60)
    on_call.put(table, "silent", tracker_alive_until=int(NOW - 600), processing_duration=60)
    on_call.put(table, "over", end_time=int(NOW * 1000), region_success=4)
    invoke("status", "lives", "--stale")
    invoke("status", "silent")
    shown = json.loads(invoke("status", "silent", "--stale", "--json", status=6).stdout)
    assert (shown["silent"], shown["eta_seconds"]) == (True, None)
    assert json.loads(invoke("status", "lives", "--json").stdout)["eta_seconds"] == 60
    invoke("status", "over", "--stale")


def test_a_table_that_is_away_is_asked_again(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and what was seen stays."""
    put(table, "a", region_success=1)
    read = JobTable.read

    def away() -> None:
        def unavailable(*_: Any) -> Any:
            raise TableUnavailable("no answer")

        monkeypatch.setattr(JobTable, "read", unavailable)

    def back() -> None:
        monkeypatch.setattr(JobTable, "read", read)
        put(table, "a", region_success=4, end_time=int(NOW * 1000))

    passing(monkeypatch, away, back)
    done = invoke("watch", "a")
    assert "no answer; asking again" in done.stderr
    assert done.stdout.splitlines()[-1].startswith("a: SUCCESS")


def test_an_interrupt_ends_the_looking_only(
    table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so."""
    put(table, "a", region_success=1)

    def interrupt() -> None:
        raise KeyboardInterrupt

    passing(monkeypatch, interrupt)
    assert "the images go on" in invoke("watch", "a", status=130).stderr

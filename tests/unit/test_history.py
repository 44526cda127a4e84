"""The last runs of an image, as its item keeps them."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker.job_table import JobItem, JobTable, Starter, runs_of
from raytracker.job_table.history import MAX_RUNS, noted
from raytracker.job_table.size import HISTORY_BYTES
from raytracker.ledger import Layout
from tests.support.in_process import invoke, job_in
from tests.support.on_call import ELSEWHERE, put, stored
from tests.support.world import World, report

ANN = Starter("head-1", 4711, "ann", "07000000", 1_700_000_000_000, "elsewhere").to_text()
BOB = ELSEWHERE._replace(user="bob").to_text()


def test_a_resume_notes_the_run_before(moto_table: JobTable) -> None:
    """By whom, from when to when, how it ended, and how far it had come; the newest first."""
    job_in(moto_table, "sep", "CANCELLED")
    moto_table.resume(stored(moto_table, "scene-1"), "second" * 5, started_by=ANN)
    now = time.time()
    runs = runs_of(stored(moto_table, "scene-1"), now)
    assert [(run.run, run.status, run.started_by) for run in runs] == [
        ("secondse", "IN_PROGRESS", "ann@head-1"),
        ("run", "CANCELLED", ""),
    ]
    assert runs[0].end_time is None
    assert runs[1].end_time == 1_700_000_000_000
    assert runs[1][-3:] == (1, 1, 3)


@pytest.mark.parametrize(
    ("alive", "status"), [(None, "INTERRUPTED"), (-10, "INTERRUPTED"), (100, "SUPERSEDED")]
)
def test_how_a_run_ended_that_said_nothing(
    moto_table: JobTable, alive: int | None, status: str
) -> None:
    """One that was silent had been broken off; one that lived lost the image to another."""
    until = None if alive is None else int(time.time() + alive)
    put(moto_table, "scene", tracker_alive_until=until)
    moto_table.resume(stored(moto_table, "scene"), "next", started_by=BOB)
    last, before = runs_of(stored(moto_table, "scene"), time.time())
    assert (last.status, last.started_by) == ("IN_PROGRESS", "bob@node-7")
    assert (before.status, before.started_by, before.tile_success) == (status, "ann@node-7", 2)
    assert before.end_time is not None or alive is None


def test_a_restart_keeps_what_was_before(moto_table: JobTable) -> None:
    """And forgets what is older than the ten before."""
    for number in range(MAX_RUNS + 3):
        read = moto_table.read("scene")
        moto_table.start(JobItem("scene"), run=f"run-{number}", layout=Layout.of(4), replacing=read)
    runs = runs_of(stored(moto_table, "scene"), time.time())
    assert [run.run for run in runs] == [f"run-{number}" for number in range(12, 1, -1)]


def test_it_takes_no_write_more_and_a_repeated_one_notes_it_once() -> None:
    """It is part of the resume, whose answer may be lost."""
    world = World()
    report(coordinator := world.open(), 1)
    world.serve(coordinator, until=5)
    writes = len(world.table.writes)
    read = world.item
    world.table.fates.append("lose_response")
    with pytest.raises(Exception, match="lost"):
        world.table.resume(read, "next")
    world.table.resume(read, "next")
    assert len(world.table.writes) == writes + 1
    assert [run.run for run in runs_of(world.item, world.clock.time())] == ["next", "run"]


@given(
    texts=st.lists(st.text(max_size=50), min_size=3, max_size=3),
    numbers=st.lists(st.none() | st.integers(0, 2**53), min_size=5, max_size=5),
)
def test_it_stays_within_what_the_item_has_reserved(
    texts: list[str], numbers: list[int | None]
) -> None:
    """Whatever names and numbers are; the oldest runs go first."""
    known = json.dumps([[*(text[:40] for text in texts), *numbers]] * MAX_RUNS)
    user = Starter(texts[0], 1, texts[1], "", 0, "").to_text()
    job = JobItem("x", tracker_run=texts[2] or "r", tracker_started_by=user, tracker_history=known)
    text = noted(job, 0.0) or ""
    assert len(text.encode()) <= HISTORY_BYTES
    again = runs_of(JobItem("x", tracker_run="r", tracker_history=text), 0.0)
    assert [run.run for run in again[:2]] == ["r", job.tracker_run[:8]]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[[1]]", "5", '{"a": 1}', "[5]", "[" * 10_000, "[[[],[],[],1,2,3,4,5]]", "null",
     '[["a","b","c",1.5,2,3,4,5]]', '[["a","b","c",true,2,3,4,5]]',
     '[["' + "a" * 50 + '","b","c",1,2,3,4,5]]'],
)  # fmt: skip
def test_what_somebody_else_wrote_there_is_none(text: str) -> None:
    """It breaks no command, and is gone with the next run."""
    job = JobItem("x", tracker_run="r", tracker_history=text)
    assert [run.run for run in runs_of(job, 0.0)] == ["r"]
    assert len(json.loads(noted(job, 0.0) or "")) == 1


def test_an_item_of_nobodys_run_has_no_runs(moto_table: JobTable) -> None:
    """Such as OSML's."""
    moto_table.start_image_request(JobItem("osml", region_count=4))
    assert runs_of(stored(moto_table, "osml"), time.time()) == []


def test_status_shows_them(moto_table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words where there was more than one, and as JSON."""
    monkeypatch.setenv("RAYTRACKER_TABLE", moto_table.table_name)
    put(moto_table, "scene")
    assert "runs " not in invoke("status", "scene").stdout
    moto_table.resume(stored(moto_table, "scene"), "next", started_by=BOB)
    shown = invoke("status", "scene").stdout.splitlines()
    [at] = [number for number, line in enumerate(shown) if line.startswith("runs ")]
    assert "IN_PROGRESS, " in shown[at]
    assert shown[at].endswith("2 of 4 tiles, bob@node-7")
    assert "SUPERSEDED" in shown[at + 1]
    assert shown[at + 1].endswith("2 of 4 tiles, ann@node-7")
    last, before = json.loads(invoke("status", "scene", "--json").stdout)["history"]
    assert (last["run"], last["started_by"], last["end_time"]) == ("next", "bob@node-7", None)
    assert (before["status"], before["tile_success"], before["tile_count"]) == ("SUPERSEDED", 2, 4)

"""Taking an image over: who runs it, whether that lives, and how long that is waited for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker import JobItem
from raytracker.errors import ImageInUse
from raytracker.job_table import ALIVE_SECONDS, Starter, alive_until, is_alive
from raytracker.ledger import Layout
from raytracker.run import How, begin, once_free
from tests.support.simulated_table import SimulatedTable

NOW = 1_800_000_000.0
ELSEWHERE = Starter("worker-7", 4711, "ada", "01000000", 1_799_999_000_000, "another machine")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that a sleep sets forward."""
    clock = SimpleNamespace(now=NOW)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    clock.time = clock.monotonic = lambda: clock.now
    clock.sleep = sleep
    monkeypatch.setattr("raytracker.run.taking.time", clock)
    return clock


def item(until: float | None, who: Starter | None = ELSEWHERE, **others: Any) -> JobItem:
    told = None if who is None else who.to_text()
    alive = None if until is None else int(until)
    return JobItem(
        "scene", tracker_run="r", tracker_started_by=told, tracker_alive_until=alive, **others
    )


def never() -> JobItem | None:
    raise AssertionError("it was waited for")


@pytest.mark.parametrize(
    "free",
    [
        item(None),
        item(NOW - 1),
        item(NOW + 100, end_time=1),
        item(NOW + 100, Starter.this("01")),
        JobItem("scene", tracker_alive_until=int(NOW + 100)),
        JobItem("scene", tracker_run="r", tracker_alive_until="soon"),  # type: ignore[arg-type]
    ],
)
def test_what_nobody_runs_is_taken_at_once(clock: SimpleNamespace, free: JobItem) -> None:
    """It was left, it is silent, it has ended, or it is this very process's."""
    assert once_free(free, never) is free
    assert clock.now == NOW


def test_a_process_that_has_gone_from_here_is_not_waited_for(clock: SimpleNamespace) -> None:
    """So a retry on the same machine begins at once; one that is there is waited for."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    its = item(NOW + 100, Starter.this("01")._replace(pid=child.pid))
    with pytest.raises(ImageInUse, match=f"process {child.pid}"):
        once_free(its, lambda: item(NOW + 200, Starter.of(its)), say=lambda text: None)
    child.communicate()
    assert once_free(its, never) is its


def test_the_number_of_a_process_elsewhere_means_nothing(clock: SimpleNamespace) -> None:
    """Nor one on a machine of the same name, or in another container."""
    here = Starter.this("01")
    for who in (here._replace(place="another boot"), here._replace(host="another")):
        assert not who._replace(pid=2**22 + 1).has_gone
        assert not who.is_here
    assert here._replace(pid=2**22 + 1).has_gone


def test_silence_is_waited_for(clock: SimpleNamespace) -> None:
    """Until the run may be taken for dead; it is said for whom."""
    told: list[str] = []
    mine = item(NOW + 100)
    assert once_free(mine, lambda: mine, say=told.append) is mine
    assert clock.now == NOW + 100
    [text] = told
    assert "ada on worker-7 (process 4711, Ray job 01000000, since 2027-01-15 07:43:20 UTC)" in text
    assert "waiting 100 s" in text


def test_a_clock_that_is_ahead_is_not_waited_for_ever(clock: SimpleNamespace) -> None:
    """Nor what a stranger wrote."""
    mine = item(NOW + 10**9)
    assert once_free(mine, lambda: mine, say=lambda text: None) is mine
    assert clock.now == NOW + ALIVE_SECONDS


def test_a_run_that_gives_a_sign_of_life_is_left_alone(clock: SimpleNamespace) -> None:
    """The text says whose it is, and what to do."""
    items = iter([item(NOW + 100), item(NOW + 130)])
    with pytest.raises(ImageInUse, match=r"'scene' is run by ada on worker-7.*take_over=True"):
        once_free(item(NOW + 100), lambda: next(items), say=lambda text: None)
    assert clock.now < NOW + 10


def test_a_run_that_leaves_meanwhile_is_taken(clock: SimpleNamespace) -> None:
    """At once."""
    left = item(None)
    assert once_free(item(NOW + 100), lambda: left, say=lambda text: None) is left
    assert clock.now < NOW + 10


def test_who_wants_it_anyway_gets_it(clock: SimpleNamespace) -> None:
    """Without waiting."""
    assert once_free(item(NOW + 100), never, take_over=True).tracker_run == "r"


@given(st.none() | st.text() | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(Starter._fields), inner),
).map(json.dumps))  # fmt: skip
def test_whatever_the_item_says_is_read(text: str | None) -> None:
    """It is data from outside."""
    who = Starter.of(JobItem("scene", tracker_started_by=text))
    assert who is None or len(str(who)) < 1000
    assert who is None or who.has_gone in (True, False)


def test_the_item_says_who_runs_it() -> None:
    """Host, process, user, job and since when; and until when it may be taken for alive."""
    table = SimulatedTable()
    begin(JobItem("scene"), 3, table, "error", None, False, How())
    job = table.read("scene")
    assert job is not None
    who = Starter.of(job)
    assert who is not None
    assert (who.pid, who.is_here) == (os.getpid(), True)
    assert abs(who.since - (job.start_time or 0)) < 5000
    assert is_alive(job, job.start_time / 1000)
    assert job.tracker_alive_until == alive_until(job.start_time / 1000)


@pytest.mark.parametrize("if_exists", ["resume", "restart"])
def test_a_sign_of_life_between_the_look_and_the_write_is_seen(if_exists: Any) -> None:
    """The condition of the write names what was read: the live run goes on."""
    table = SimulatedTable()
    job = JobItem("scene", tracker_started_by=Starter.this("01").to_text())
    table.start(job, run="theirs", layout=Layout.of(3))
    table.items["scene"]["tracker_alive_until"] = 5
    looks: list[Callable[[], object]] = [
        lambda: None,
        lambda: table.items["scene"].update(tracker_alive_until=alive_until(4e9)),
    ]
    read = table.read_item

    def looked(key: Any) -> Any:
        found = read(key)
        if looks:
            looks.pop()()
        return found

    table.read_item = looked  # type: ignore[method-assign]
    begin(JobItem("scene"), 3, table, if_exists, None, False, How())
    assert looks == []
    assert table.items["scene"]["tracker_run"] != "theirs"

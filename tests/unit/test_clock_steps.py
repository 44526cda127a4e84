"""A clock that is set back, or forth: what the item says of times stays in order."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker import JobItem, JobTable
from raytracker.actor.pacing import Steady
from raytracker.job_table import ALIVE_SECONDS
from raytracker.ledger import Layout
from tests.support.simulated_table import SimulatedClock, SimulatedTable
from tests.support.world import World, report

DAY = 86_400


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-DAY, DAY)), max_size=20))
def test_a_steady_clock_never_goes_back(steps: list[tuple[float, float]]) -> None:
    """Nor is it slower than the time that passes."""
    clock = SimulatedClock()
    steady = Steady(clock)
    before = steady.time()
    for seconds, step in steps:
        clock.now += seconds
        clock.step = step
        now = steady.time()
        assert now >= before + seconds - 1e-3
        assert now >= clock.time()
        before = now


@pytest.mark.parametrize("step", [-10 * DAY, -10.0, 3600.0])
@pytest.mark.parametrize("when", ["before the claim", "while it runs"])
def test_the_times_of_an_item_stay_in_order(step: float, when: str) -> None:
    """The start is another machine's; the clock of the actor's is set before, or meanwhile."""
    world = World()
    start = world.clock.time()
    world.table.items["scene"]["start_time"] = int(start * 1000)
    if when == "before the claim":
        world.clock.step = step
    coordinator = world.open(keep_for=3600)
    coordinator.step()
    world.clock.step = step
    world.clock.now += 60
    report(coordinator, *range(9))
    world.serve(coordinator, until=5)
    item = world.item
    assert item.expire_time is not None
    assert item.expire_time >= int(start + 60) + 3600 - ALIVE_SECONDS
    assert (item.tracker_alive_until or 0) > start + 60
    report(coordinator, 9)
    world.serve(coordinator, until=0)
    item = world.item
    assert (item.end_time or 0) >= int(start * 1000)
    assert (item.processing_duration or 0) >= 60


def test_an_item_does_not_expire_by_a_clock_that_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever claims or resumes it has read how late it was at least."""
    table = SimulatedTable()
    table.start(JobItem(image_id="scene"), run="run", layout=Layout.of(2), keep_for=60)
    started = time.time()
    monkeypatch.setattr(time, "time", lambda: started - DAY)
    claimed = table.claim("scene", "run", "me", keep_for=60)
    assert (claimed.expire_time or 0) >= int(started) + 58
    table.resume(claimed, "another", keep_for=60)
    read = table.read("scene")
    assert read is not None
    assert (read.expire_time or 0) >= int(started) + 58
    table.start(
        JobItem(image_id="scene"), run="3rd", layout=Layout.of(2), keep_for=60, replacing=read
    )
    read = table.read("scene")
    assert read is not None
    assert (read.expire_time or 0) >= int(started) + 58


def test_osmls_methods_end_no_job_before_its_start(
    moto_table: JobTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They took the clock's word for it."""
    started = moto_table.start_image_request(JobItem(image_id="scene", region_count=1))
    now = time.time()
    monkeypatch.setattr("raytracker.job_table.table.time.time", lambda: now - 3600)
    ended = moto_table.end_image_request("scene")
    assert ended.end_time == started.start_time
    assert ended.processing_duration == 0

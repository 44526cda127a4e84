"""How often one coordinator writes: no more than it must; time is simulated."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker.actor import Batch
from raytracker.actor.pacing import LONGEST_FOR_AGE_SECONDS, Pacing
from raytracker.job_table import SIGN_SECONDS
from tests.support.world import World, ask, report


def test_flushes_keep_their_interval() -> None:
    """However many reports come, there is one flush an interval."""
    world = World(1000)
    coordinator = world.open()
    coordinator.step()
    for number in range(950):
        report(coordinator, number)
        world.serve(coordinator, until=0.01)
    assert len(world.table.writes) - 1 == 9  # in 9.5 s


def test_the_interval_grows_with_the_cost() -> None:
    """A flush of 100 WCU is made each 4 s at 25 WCU a second."""
    world = World(1000)
    world.table.wcu = 100.0
    coordinator = world.open(max_wcu_per_second=25)
    coordinator.step()
    for number in range(200):
        report(coordinator, number)
        world.serve(coordinator, until=0.1)
    assert len(world.table.writes) - 1 == 5  # at 1, 5, 9, 13 and 17 s


@pytest.mark.parametrize(("age", "pause"), [(0, 1), (49, 1), (100, 2), (1000, 20), (9999, 30)])
def test_the_interval_grows_with_the_age_of_the_job(age: float, pause: float) -> None:
    """To 2 % of the time since the claim, and to half a minute at most."""
    pacing = Pacing(1.0, 25.0, None, now=5.0)
    pacing.claimed(1000.0)
    pacing.flushed(1000.0 + age, wcu=1)
    assert pacing.next(sole=False) == pytest.approx(1000.0 + age + pause)
    assert pacing.next(sole=True) == 1000.0 + age + 1


def test_age_alone_stretches_no_longer_pause() -> None:
    """Who wants a flush each two minutes, or has a costly item, gets just that."""
    for interval, wcu, pause in ((120.0, 1.0, 120.0), (1.0, 400.0, 40.0)):
        pacing = Pacing(interval, 10.0, None, now=0.0)
        pacing.flushed(100_000.0, wcu)
        assert pacing.next(sole=False) == pacing.next(sole=True) == 100_000.0 + pause


def test_a_long_job_writes_less_often() -> None:
    """Two hours of steady reports: 50 s at the interval, then 2 % of the age, then 30 s."""
    world = World(8000)
    coordinator = world.open()
    coordinator.step()
    for number in range(7200):
        report(coordinator, number)
        world.serve(coordinator, until=1)
    assert len(world.table.writes) - 1 == pytest.approx(50 + 172 + 190, rel=0.05)


def test_what_only_the_actor_holds_does_not_wait_for_the_age() -> None:
    """Its sender is gone: were this process killed before the flush, it would be lost."""
    world = World(1000)
    coordinator = world.open()
    coordinator.step()
    world.clock.now += 5000
    report(coordinator, 0)
    world.serve(coordinator, until=0)
    report(coordinator, 1)
    assert ask(coordinator).flush_in == LONGEST_FOR_AGE_SECONDS
    coordinator.report(Batch([(2, b"\2")], {}, sole=True))
    assert ask(coordinator).flush_in == 1
    world.table.fates.append("lose_request")
    world.serve(coordinator, until=1.5)
    assert world.item.region_success == 3
    report(coordinator, 3)
    assert ask(coordinator).flush_in > 25


def test_the_answer_tells_when_the_next_flush_is() -> None:
    """So that nobody asks before: then it is durable, and not a moment earlier."""
    world = World()
    coordinator = world.open()
    assert report(coordinator, 0).flush_in == 0  # the claim comes first
    coordinator.step()
    assert ask(coordinator).flush_in == 1
    world.table.fates.append("lose_request")
    world.serve(coordinator, until=1)
    answer = ask(coordinator)
    assert 0 < answer.flush_in <= 0.1
    assert answer.durable < answer.received
    world.serve(coordinator, until=answer.flush_in)
    answer = ask(coordinator)
    assert (answer.durable, answer.flush_in) == (answer.received, 0)


def test_an_open_item_is_renewed_long_before_it_expires() -> None:
    """As long as its coordinator lives, though nothing is reported; once in each 40 % of it."""
    world = World()
    coordinator = world.open(keep_for=1000.0)
    report(coordinator, 1)
    world.serve(coordinator, until=2)
    writes = len(world.table.writes)
    for _ in range(100):
        world.serve(coordinator, until=50)
        expires = world.item.expire_time
        assert expires is not None
        assert expires - world.clock.time() > 500
    assert len(world.table.writes) - writes == 5000 // 400
    assert world.item.region_success == 1


def test_an_item_that_is_kept_for_ever_is_given_no_expiry() -> None:
    """Neither by the claim, nor by a flush; and nothing renews it."""
    world = World()
    coordinator = world.open(keep_for=None)
    report(coordinator, 1)
    world.serve(coordinator, until=2)
    assert world.item.expire_time is None
    assert coordinator.due() is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),  # the tile
            st.sampled_from([1, 2, 3]),
            st.booleans(),  # urgent
            st.booleans(),  # sole
            st.floats(0, 40),  # seconds until the next report
        ),
        max_size=30,
    ),
    st.booleans(),
)
def test_no_flush_writes_what_the_one_before_wrote(
    reports: list[tuple[int, int, bool, bool, float]], ends: bool
) -> None:
    """Whatever is reported, and however often: each tells something new, or that it lives."""
    world, seen = World(ends=ends), []
    coordinator = world.open(keep_for=None)

    def note() -> None:
        item: dict[str, Any] = world.table.items["scene"]
        names = ("tracker_ledger", "tracker_errors", "tracker_state", "end_time")
        minute = int(world.clock.now // SIGN_SECONDS)
        seen.append([minute, *(item.get(name) for name in names)])

    coordinator.step()
    note()
    world.table.after_write = note
    for tile, outcome, urgent, sole, pause in reports:
        batch = Batch([(tile, bytes([outcome]))], {}, sole=sole)
        coordinator.report(batch, urgent=urgent)
        world.serve(coordinator, until=pause)
    world.serve(coordinator)
    assert all(a != b for a, b in pairwise(seen))

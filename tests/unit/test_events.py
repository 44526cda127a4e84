"""Events: what is told of an image, when, and by whom it cannot be disturbed."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker.actor import Coordinator, aside
from raytracker.actor.aside import Aside, pickled
from raytracker.events import (
    Ended,
    Event,
    FirstError,
    Flushed,
    FlushFailed,
    RegionSettled,
    RunStarted,
)
from raytracker.ledger import Layout, Outcome, settled_since
from tests.support.waiting import wait_until
from tests.support.world import World, report

SOMETHING = FlushFailed("scene", "run", 0, "reason")


def listen(coordinator: Coordinator) -> list[Any]:
    told: list[Event] = []
    coordinator.news.subscribe(told.append)
    return told


def kinds(told: list[Event]) -> list[str]:
    return [type(event).__name__ for event in told]


# --- of a coordinator ---


def test_an_image_tells_of_itself_from_its_start_to_its_end() -> None:
    world = World(3)
    coordinator = world.open()
    told = listen(coordinator)
    coordinator.step()
    report(coordinator, 0, 2, error={1: "clouds"})
    world.serve(coordinator, until=0)
    started, *regions, error, flushed, ended = told
    assert isinstance(started, RunStarted)
    assert (started.region_count, started.tile_count, started.region_success) == (3, 3, 0)
    assert [(each.region, each.outcome) for each in regions] == [
        (0, Outcome.SUCCESS),
        (1, Outcome.ERROR),
        (2, Outcome.SUCCESS),
    ]
    assert (error.region, error.tile, error.reason) == (1, 0, "clouds")
    assert (flushed.region_success, flushed.region_error, flushed.reports) == (2, 1, 1)
    assert (ended.status, ended.region_success, ended.region_error) == ("PARTIAL", 2, 1)
    assert {(each.image_id, each.run) for each in told} == {("scene", "run")}
    assert ended.time == world.item.end_time


def test_nothing_is_told_before_it_is_durable() -> None:
    world = World()
    coordinator = world.open()
    told = listen(coordinator)
    coordinator.step()
    report(coordinator, 3)
    world.clock.now += 1
    world.table.fates.append("lose_request")
    coordinator.step()
    assert kinds(told) == ["RunStarted", "FlushFailed"]
    world.serve(coordinator, until=5)
    assert kinds(told)[2:4] == ["RegionSettled", "Flushed"]


def test_an_actor_that_takes_over_tells_what_the_one_before_did_not() -> None:
    """And of nothing that the item held before."""
    world = World()
    first = world.open()
    report(first, 0, error={1: "clouds 1"})
    world.serve(first, until=2)
    second = world.open()
    told = listen(second)
    report(second, 0, 5, error={1: "clouds 1", 2: "clouds 2"})
    world.serve(second, until=2)
    assert [each.region for each in told if isinstance(each, RegionSettled)] == [2, 5]
    assert not [each for each in told if isinstance(each, FirstError)]
    assert (told[0].region_success, told[0].region_error) == (1, 1)


def test_a_region_that_succeeds_after_all_is_told_again() -> None:
    world = World([2, 2])
    coordinator = world.open()
    told = listen(coordinator)
    report(coordinator, error={0: "lost", 1: "lost"})
    world.serve(coordinator, until=2)
    report(coordinator, 0)
    world.serve(coordinator, until=5)
    report(coordinator, 1)
    world.serve(coordinator, until=5)
    regions = [each for each in told if isinstance(each, RegionSettled)]
    assert [(each.region, each.tile_error, each.outcome) for each in regions] == [
        (0, 2, Outcome.ERROR),
        (0, 1, Outcome.ERROR),
        (0, 0, Outcome.SUCCESS),
    ]


def test_a_cancelled_image_says_so_once() -> None:
    world = World()
    coordinator = world.open()
    told = listen(coordinator)
    coordinator.end("CANCELLED")
    world.serve(coordinator)
    world.serve(listening := world.open(), until=0)
    assert [each.status for each in told if isinstance(each, Ended)] == ["CANCELLED"]
    assert not listen(listening)


def test_who_is_told_may_call_the_coordinator_and_fail() -> None:
    """It is told under no lock, and what it raises is nothing to the count."""
    world = World(2)
    coordinator = world.open()

    def disturb(event: Event) -> None:
        coordinator.status()
        report(coordinator, 0, 1)
        raise RuntimeError

    coordinator.news.subscribe(disturb)
    world.serve(coordinator)
    assert world.item.status == "SUCCESS"


def test_regions_are_looked_for_only_where_somebody_wants_them() -> None:
    world = World()
    coordinator = world.open()
    told: list[Event] = []
    coordinator.news.subscribe(told.append, regions=False)
    report(coordinator, *range(10))
    world.serve(coordinator)
    assert kinds(told) == ["RunStarted", "Flushed", "Ended"]


@given(st.data())
def test_what_was_settled_is_found_as_by_looking_at_each_region(data: Any) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    layout = Layout.of(sizes)
    states = st.lists(st.integers(0, 3), min_size=sum(sizes), max_size=sum(sizes)).map(bytes)
    before, after = data.draw(states), data.draw(states)
    expected = []
    for region, tiles in enumerate(layout.regions()):
        was, now = (each[tiles.start : tiles.stop] for each in (before, after))
        if 0 not in now and (0 in was or was.count(1) != now.count(1)):
            expected.append((region, len(tiles), now.count(1)))
    assert list(settled_since(layout, before, after)) == expected


# --- of a user's subscriber ---


def test_a_subscriber_is_called_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another, also after one that raised; which is logged once."""
    calls: list[tuple[int, str]] = []

    def subscriber(event: Event) -> None:
        calls.append((event.time, threading.current_thread().name))
        raise RuntimeError("no")

    monkeypatch.setattr(aside.pickle, "loads", lambda _: subscriber)
    events = Aside()
    for time in range(3):
        events.put(b"x", FlushFailed("scene", "run", time, ""))
    wait_until(lambda: events.idle)
    assert calls == [(time, "raytracker-events") for time in range(3)]


def test_an_exception_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also that of a subscriber that cannot be loaded where the actor runs."""
    events = Aside()
    for _ in range(3):
        events.put(b"no pickle", SOMETHING)
    wait_until(lambda: events.idle)
    [record] = [record for record in caplog.records if record.name == aside.__name__]
    assert record.message == "image scene: on_event failed"


def test_what_a_slow_subscriber_leaves_is_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    goes_on, count = threading.Event(), aside.MAX_WAITING + 5
    monkeypatch.setattr(aside.pickle, "loads", lambda _: lambda event: goes_on.wait(30))
    events = Aside()
    for _ in range(count):
        events.put(b"x", SOMETHING)  # none of these waits
    assert events.dropped in (4, 5)  # one may be with the subscriber
    assert len([record for record in caplog.records if record.name == aside.__name__]) == 1
    goes_on.set()


def test_what_is_no_subscriber_is_refused() -> None:
    with pytest.raises(TypeError, match=r"on_event=3: it is called as on_event\(event\)"):
        pickled(3)  # type: ignore[arg-type]
    lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickled(lambda event: lock)
    large = bytes(20_000)
    with pytest.raises(ValueError, match="bytes with what it refers to, of 16384 at most"):
        pickled(lambda event: large)
    assert pickled(None) is None


def test_flushed_says_what_it_took() -> None:
    world = World()
    coordinator = world.open()
    told = listen(coordinator)
    coordinator.step()
    report(coordinator, 1)
    report(coordinator, 2)
    world.serve(coordinator, until=2)
    assert [(each.reports, each.wcu) for each in told if isinstance(each, Flushed)] == [(2, 1.0)]


def test_the_first_error_of_a_class_is_told_though_its_text_is_not_kept() -> None:
    """Only the texts of the lowest hundred tiles are; one of each class is told."""
    world = World(300)
    coordinator = world.open()
    told = listen(coordinator)
    report(coordinator, error={tile: f"ValueError: {tile}" for tile in range(200)})
    world.serve(coordinator, until=2)
    report(coordinator, error={250: "KeyError: 'a'", 251: "KeyError: 'b'"})
    world.serve(coordinator, until=5)
    errors = [(each.region, each.reason) for each in told if isinstance(each, FirstError)]
    assert errors == [(0, "ValueError: 0"), (250, "KeyError")]

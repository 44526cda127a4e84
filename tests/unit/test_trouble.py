"""What a coordinator says while its table is away or refuses; time is simulated."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest

from raytracker.actor import Batch, Coordinator
from raytracker.actor.trouble import ASKED_RETRY_SECONDS, REFUSED_RETRY_SECONDS
from raytracker.errors import CredentialsRefused, TableError, TableUnavailable
from tests.support.world import World, ask, progress, report

PLACE = "node 10.0.0.7, process 4242"


@pytest.mark.parametrize("claimed", [False, True])
def test_a_table_that_is_away_is_named(claimed: bool) -> None:
    """After five seconds, with the image, the cause, the place and since when; then it heals."""
    world = World()
    world.clock.now += 3600 * 31 - world.clock.time() % 86400  # 07:00:00 UTC
    coordinator = world.open(place=PLACE)
    if claimed:
        coordinator.step()
    report(coordinator, 1)
    world.clock.now += 1
    world.table.fates.extend(["lose_request"] * 10_000)
    world.serve(coordinator, until=4.9)
    assert coordinator.status().trouble is None
    assert ask(coordinator).trouble is None
    world.serve(coordinator, until=0.2)
    told = coordinator.status().trouble
    assert isinstance(told, TableUnavailable)
    assert isinstance(ask(coordinator).trouble, TableUnavailable)
    assert isinstance(coordinator.view().trouble, TableUnavailable)
    for part in ("'scene'", "lost", PLACE, "since 07:00:01 UTC"):
        assert part in str(told)
    if claimed:
        assert progress(coordinator).trouble == str(told)
    else:
        assert coordinator.status().progress is coordinator.view().encoded is None
    world.table.fates.clear()
    world.serve(coordinator, until=5)
    assert coordinator.status().trouble is ask(coordinator).trouble is None
    assert progress(coordinator).trouble is None
    assert world.item.region_success == 1


def test_it_is_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """A warning each half minute at most while it lasts, and one line when it is over."""
    caplog.set_level(logging.INFO, logger="raytracker")
    world = World()
    coordinator = world.open(place=PLACE)
    world.table.fates.extend(["lose_request"] * 3)
    world.serve(coordinator, until=4)
    assert not caplog.records  # a moment's failure is none of anybody's business
    world.table.fates.extend(["lose_request"] * 10_000)
    report(coordinator, 1)
    world.serve(coordinator, until=100)
    world.table.fates.clear()
    world.serve(coordinator, until=100)
    levels = [record.levelname for record in caplog.records]
    assert levels in (["WARNING"] * 3 + ["INFO"], ["WARNING"] * 4 + ["INFO"])
    assert PLACE in caplog.text
    assert "is written again" in caplog.records[-1].getMessage()


def _tries(world: World, coordinator: Coordinator, fate: str, seconds: float) -> list[float]:
    """Returns when, in seconds from now, requests were made that met this fate."""
    began, times = world.clock.now, []
    while (due := coordinator.due()) is not None and due <= began + seconds:
        world.clock.now = max(world.clock.now, due)
        world.table.fates.append(fate)  # type: ignore[arg-type]
        times.append(world.clock.now - began)
        coordinator.step()
    return times


def test_a_refusal_is_told_at_once_and_tried_again_slowly() -> None:
    """Somebody must change something first; the text says where and since when."""
    world = World()
    coordinator = world.open(place=PLACE)
    assert len(_tries(world, coordinator, "refuse", 100)) <= 100 / (REFUSED_RETRY_SECONDS / 2) + 1
    told = coordinator.status().trouble
    assert type(told) is TableError
    for part in ("'scene'", "refused", PLACE, "UTC"):
        assert part in str(told)


def test_other_credentials_may_come_soon() -> None:
    """A refusal for credentials is told as that, tried again in a second, then less often."""
    world = World()
    coordinator = world.open()
    times = _tries(world, coordinator, "refuse_credentials", 300)
    assert isinstance(coordinator.status().trouble, CredentialsRefused)
    pauses = [b - a for a, b in pairwise(times)]
    for pause, most in zip(pauses, [1, 2, 4, 8, 16, *[REFUSED_RETRY_SECONDS] * 99], strict=False):
        assert most / 2 <= pause <= most
    world.serve(coordinator, until=REFUSED_RETRY_SECONDS)
    assert coordinator.status().trouble is None
    assert len(_tries(world, coordinator, "ok", 0)) == 0


def test_one_trouble_after_another_is_one() -> None:
    """Told are the latest cause, and when the first came."""
    world = World()
    coordinator = world.open()
    world.table.fates.append("refuse")
    world.serve(coordinator, until=0)
    since = str(coordinator.status().trouble).split("since ")[1][:8]
    world.table.fates.extend(["lose_request"] * 10_000)
    world.serve(coordinator, until=60)
    told = coordinator.status().trouble
    assert isinstance(told, TableUnavailable)
    assert f"since {since} UTC: lost" in str(told)


def test_what_is_refused_is_asked_again_when_somebody_asks() -> None:
    """Its pause is half a minute; who mended it and waits need not wait for that."""
    world = World()
    coordinator = world.open()
    world.table.fates.append("refuse")
    coordinator.step()
    before = coordinator.status()
    assert isinstance(before.trouble, TableError)
    assert before.failures == 1
    due = coordinator.due()
    assert due == world.clock.now + ASKED_RETRY_SECONDS
    world.serve(coordinator, until=ASKED_RETRY_SECONDS)
    after = coordinator.status()
    assert (after.trouble, after.failures) == (None, 1)


def test_what_is_refused_is_asked_once_a_second_at_most() -> None:
    """However often somebody looks; and whoever flushes is told of a failure of after that."""
    world = World()
    coordinator = world.open()
    world.table.fates.extend(["refuse"] * 100)
    for _ in range(100):
        coordinator.report(Batch.of({}, {}), urgent=True)
        world.serve(coordinator, until=0.1)
    assert 9 <= coordinator.status().failures <= 11

"""Errors of attempts that Ray may repeat: nothing yet, until somebody finds out."""

from __future__ import annotations

import pytest

from raytracker.actor import Batch, Coordinator, Tentative
from raytracker.errors import UnknownRegion
from raytracker.job_table import ledger_of
from raytracker.ledger import ERROR, RETURNED, SUCCESS
from tests.support.world import World, ask, progress, report


def error(first: int, task: str = "a1", attempt: int = 0, count: int = 1) -> Tentative:
    return Tentative(first, count, f"{task} failed at attempt {attempt}", task, attempt)


def tell(coordinator: Coordinator, *errors: Tentative) -> None:
    coordinator.report(Batch([], {}, tentative=errors))


@pytest.fixture
def world() -> World:
    return World([2, 2, 1])


@pytest.fixture
def coordinator(world: World) -> Coordinator:
    coordinator = world.open()
    coordinator.step()
    return coordinator


def test_an_error_that_may_not_be_final_is_kept_aside(
    world: World, coordinator: Coordinator
) -> None:
    """It is not counted and not written; and the process has still something to find out."""
    assert coordinator.idle
    tell(coordinator, error(0))
    tell(coordinator, error(0))  # sent again
    assert coordinator.tentative() == [error(0)]
    assert progress(coordinator).tile_error == 0
    assert (coordinator.durable, coordinator.idle) == (True, False)
    assert ask(coordinator).received == 0
    world.serve(coordinator, until=60)
    assert len(world.table.writes) == 1  # the claim


def test_one_that_was_final_counts(world: World, coordinator: Coordinator) -> None:
    """With its reason, and it is flushed soon: nobody else holds it."""
    world.clock.now += 5000
    tell(coordinator, error(2, count=2))
    coordinator.resolve("a1", 0, final=True)
    assert coordinator.tentative() == []
    assert progress(coordinator).region_error == 1
    assert ask(coordinator).flush_in <= 1
    world.serve(coordinator, until=1)
    assert (world.item.region_error, coordinator.idle) == (1, True)
    assert world.item.tracker_errors == {"2": "a1 failed at attempt 0"}
    assert ledger_of(world.item).classes_of_failed() == ["reported"] * 2


def test_one_that_was_repeated_is_forgotten(world: World, coordinator: Coordinator) -> None:
    """The tiles are pending as before."""
    tell(coordinator, error(2), error(3))
    coordinator.resolve("a1", 0, final=False)
    assert (coordinator.tentative(), coordinator.idle) == ([], True)
    assert progress(coordinator).tile_pending == 5


def test_a_later_attempt_takes_its_place(coordinator: Coordinator) -> None:
    """What an earlier attempt said is nothing, whenever it comes; another task's stays."""
    tell(coordinator, error(0), error(1), error(2, task="b2"), error(1, attempt=2))
    tell(coordinator, error(0, attempt=1))
    assert coordinator.tentative() == [error(1, attempt=2), error(2, task="b2")]
    coordinator.resolve("a1", 0, final=True)  # asked before the later attempt was known
    assert progress(coordinator).tile_error == 0
    coordinator.resolve("a1", 2, final=True)
    assert progress(coordinator).tile_error == 1
    assert coordinator.tentative() == [error(2, task="b2")]


@pytest.mark.parametrize("final", [True, False])
def test_an_image_does_not_end_before_it_is_known(
    world: World, coordinator: Coordinator, final: bool
) -> None:
    """Tasks that swallowed the error have returned: all is settled, and may be so otherwise."""
    tell(coordinator, error(2))
    coordinator.report(Batch([(0, RETURNED * 5)], {}))
    world.serve(coordinator, until=20)
    assert (world.item.region_success, world.item.end_time) == (3, None)
    assert progress(coordinator).status == "IN_PROGRESS"
    coordinator.resolve("a1", 0, final=final)
    world.serve(coordinator, until=22)
    assert world.item.end_time is not None
    assert world.item.region_error == int(final)
    assert progress(coordinator).status == ("PARTIAL" if final else "SUCCESS")


@pytest.mark.parametrize(
    ("told", "left"),
    [(SUCCESS * 2, 0), (ERROR * 2, 0), (ERROR + SUCCESS, 0), (RETURNED * 2, 1), (b"\0\2", 1)],
)
def test_one_whose_tiles_somebody_spoke_of_is_forgotten(
    coordinator: Coordinator, told: bytes, left: int
) -> None:
    """The repeated attempt succeeded, or its error was told as final; a mere return is neither."""
    tell(coordinator, error(0, count=2))
    coordinator.report(Batch([(0, told)], {}))
    assert len(coordinator.tentative()) == left
    assert coordinator.idle == (not left and coordinator.durable)
    coordinator.resolve("a1", 0, final=True)
    assert progress(coordinator).tile_success == told.count(SUCCESS)


def test_one_that_comes_before_the_claim_is_kept(world: World) -> None:
    """As any report is."""
    coordinator = world.open()
    tell(coordinator, error(0))
    assert coordinator.tentative() == []
    coordinator.resolve("a1", 0, final=True)
    coordinator.step()
    assert coordinator.tentative() == [error(0)]


def test_an_ended_image_finds_nothing_out(world: World, coordinator: Coordinator) -> None:
    """Whatever comes of its tasks, it changes nothing any more."""
    tell(coordinator, error(0))
    coordinator.end("CANCELLED")
    world.serve(coordinator)
    assert (coordinator.tentative(), coordinator.idle) == ([], True)
    coordinator.resolve("a1", 0, final=True)
    assert progress(coordinator).tile_error == 0


def test_tiles_that_there_are_none_of_are_refused(coordinator: Coordinator) -> None:
    """As those of any report are, and nothing of that batch is taken."""
    with pytest.raises(UnknownRegion):
        coordinator.report(Batch([(0, SUCCESS)], {}, tentative=[error(4, count=2)]))
    assert coordinator.tentative() == []
    assert progress(coordinator).tile_success == 0
    report(coordinator, 0)

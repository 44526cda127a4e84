"""Who may write: coordinators of one image that claim, are fenced, superseded or resumed."""

from __future__ import annotations

import pytest

from raytracker.errors import (
    JobVanished,
    LedgerError,
    TableUnavailable,
    TrackerSuperseded,
)
from raytracker.job_table import JobItem, ledger_of
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import Layout
from tests.support.world import World, progress, report


def test_a_new_owner_fences_the_old_one() -> None:
    """After a takeover nothing of the old process is written, and it says that it is a leftover."""
    world = World()
    old, new = world.open(), world.open()
    old.step()
    report(old, 1)
    world.serve(old, until=2)
    report(old, 2, 3)
    new.step()
    assert progress(new).region_success == 1
    report(new, 4)
    world.clock.now += 1
    old.step()
    assert old.moved
    world.serve(new, until=2)
    assert ledger_of(world.item).tile_outcomes() == bytes([0, 2, 0, 0, 2, 0, 0, 0, 0, 0])


def test_a_delayed_claim_does_not_take_the_image_back() -> None:
    """A claim of a dead process that arrives late fails, since the owner has changed."""
    world = World()
    first, old, new = world.open(), world.open(), world.open()
    first.step()
    world.table.fates.extend(["ok", "hold_back"])
    old.step()
    new.step()
    world.table.deliver()
    assert world.table.writes[-1] == "refused"
    assert world.item.tracker_owner == new.owner


def test_a_claim_whose_answer_is_lost_is_ours() -> None:
    """The repeated claim finds our uuid in the item, and goes on from there."""
    world = World()
    coordinator = world.open()
    world.table.fates.extend(["ok", "lose_response"])
    report(coordinator, 1)
    world.serve(coordinator, until=5)
    assert world.item.tracker_owner == coordinator.owner
    assert world.item.region_success == 1


def test_a_claim_is_not_made_twice() -> None:
    """A second claim that the network held back would lower the number under our own flushes."""
    world = World()
    coordinator = world.open()
    world.table.fates.extend(["ok", "lose_response"])
    coordinator.step()  # it got through, unknown to us
    world.table.fates.extend(["ok", "hold_back"])
    coordinator.step()  # the item shows our uuid: a write here would be held back
    world.table.fates.clear()
    coordinator.step()
    report(coordinator, 1)
    world.table.fates.append("hold_back")
    world.serve(coordinator, until=1)
    report(coordinator, 2, 3)
    world.serve(coordinator, until=9)
    assert world.item.region_success == 3
    while world.table.held_back:
        world.table.deliver()
    assert world.item.region_success == 3


def test_two_runs_of_one_process_have_two_owners() -> None:
    """A held-back flush of the old run does not pass for one of the new run."""
    world = World()
    old = world.open()
    old.step()
    report(old, *range(7))
    world.table.fates.append("hold_back")
    world.clock.now += 1
    old.step()
    world.table.start(
        JobItem(image_id="scene"), run="second", layout=Layout.of(10), replacing=world.item
    )
    new = world.open(run="second")
    new.step()
    world.table.deliver()
    assert world.item.region_success == 0
    world.serve(old, until=5)
    assert isinstance(old.status().fault, TrackerSuperseded)
    assert isinstance(report(old, 8).fault, TrackerSuperseded)
    assert old.due() is None


def test_a_deleted_item_ends_the_run() -> None:
    """Nothing is written any more, and callers learn why."""
    world = World()
    coordinator = world.open()
    coordinator.step()
    del world.table.items["scene"]
    report(coordinator, 1)
    world.serve(coordinator, until=5)
    assert isinstance(report(coordinator, 2).fault, JobVanished)
    assert coordinator.finished
    assert "scene" not in world.table.items


def test_a_superseded_process_that_starts_again_claims_nothing() -> None:
    """Ray's restart of an actor whose run was superseded cannot bring the run back."""
    world = World()
    world.table.start(
        JobItem(image_id="scene"), run="second", layout=Layout.of(10), replacing=world.item
    )
    coordinator = world.open()
    report(coordinator, 1)
    world.serve(coordinator, until=5)
    assert isinstance(coordinator.status().fault, TrackerSuperseded)
    assert world.item.tracker_owner is None


@pytest.mark.parametrize(
    "damage", ["", to_text(b"RTL\x01\x00garbage"), "nonsense", "bm9uc2Vuc2U=", 5]
)
def test_an_unreadable_ledger_ends_the_run(damage: object) -> None:
    """It is not overwritten: somebody may want to look at it."""
    world = World()
    world.table.items["scene"]["tracker_ledger"] = damage
    coordinator = world.open()
    report(coordinator, 1)
    world.serve(coordinator, until=5)
    assert isinstance(report(coordinator, 2).fault, LedgerError)
    assert world.table.items["scene"]["tracker_ledger"] == damage


def test_a_resume_goes_on_from_the_item() -> None:
    """A new run starts from what was durable; the old one writes nothing more."""
    world = World()
    old = world.open()
    report(old, 1, error={2: "clouds"})
    world.serve(old, until=2)
    world.table.resume(world.item, "second")
    new = world.open(run="second")
    report(new, *range(3, 10), 0)
    report(old, 0)
    world.serve(old, until=2)
    assert isinstance(old.status().fault, TrackerSuperseded)
    world.serve(new, until=2)
    assert (world.item.region_success, world.item.region_error) == (9, 1)
    assert world.item.end_time is not None


def test_a_redrive_runs_errors_again() -> None:
    """Failed tiles are pending in the new run, and the job is not ended any more."""
    world = World(3)
    coordinator = world.open()
    report(coordinator, 0, 1, error={2: "clouds"})
    world.serve(coordinator)
    world.table.resume(world.item, "second", redrive=True)
    assert world.item.end_time is None
    assert (world.item.region_error, world.item.tracker_errors) == (0, None)
    new = world.open(run="second")
    report(new, 2)
    world.serve(new, until=1)
    assert (world.item.status, world.item.region_success) == ("SUCCESS", 3)


def test_a_redrive_does_not_lose_a_flush_in_between() -> None:
    """A flush after the read makes the redrive read again."""
    world = World(3)
    coordinator = world.open()
    report(coordinator, 0)
    world.serve(coordinator, until=2)
    read = world.item
    report(coordinator, 1)
    world.serve(coordinator, until=2)
    with pytest.raises(TableUnavailable, match="changed since it was read"):
        world.table.resume(read, "second", redrive=True)
    world.table.resume(world.item, "second", redrive=True)
    assert world.item.region_success == 2


def test_a_redrive_does_not_lose_a_flush_of_the_same_second() -> None:
    """It leaves the sign of life as it was, which is told in whole seconds; its number tells."""
    world = World(3)
    coordinator = world.open(flush_interval=0.01)
    report(coordinator, 0)
    world.serve(coordinator, until=0.1)
    read = world.item
    report(coordinator, 1)
    world.serve(coordinator, until=0.1)
    assert (world.item.region_success, read.region_success) == (2, 1)
    assert world.item.tracker_alive_until == read.tracker_alive_until
    with pytest.raises(TableUnavailable, match="changed since it was read"):
        world.table.resume(read, "second", redrive=True)
    assert world.item.region_success == 2

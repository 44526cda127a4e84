"""One coordinator against a table that loses, delays and refuses requests; time is simulated."""

from __future__ import annotations

import pytest

from raytracker.actor import Ack, Batch, Status
from raytracker.actor.trouble import LONGEST_RETRY_SECONDS
from raytracker.errors import TableError
from raytracker.job_table import ledger_of
from raytracker.ledger import ERROR, SUCCESS, Ledger
from tests.support.world import World, progress, report


def test_a_settled_image_ends_in_one_flush() -> None:
    """All reports of a short image become durable, counted and ended, with one write."""
    world = World()
    coordinator = world.open()
    report(coordinator, *range(9), error={9: "clouds"})
    world.serve(coordinator, until=0)
    assert world.table.writes == ["update", "update"]  # the claim and the flush
    item = world.item
    assert (item.region_success, item.region_error, item.status) == (9, 1, "PARTIAL")
    assert item.end_time == int(world.clock.time() * 1000)
    assert item.tracker_errors == {"9": "clouds"}
    assert ledger_of(item).failed() == {9: "clouds"}
    assert coordinator.finished


def test_the_class_of_a_failed_tile_is_in_the_item() -> None:
    """Told before the claim or after; a view has it, the next process, and a later run."""
    world = World()
    coordinator = world.open()
    told = [(0, ERROR * 2 + SUCCESS, "KeyError")]
    coordinator.report(Batch([(0, ERROR * 2 + SUCCESS)], {0: "KeyError: 5"}, classes=told))
    world.serve(coordinator, until=1)
    assert ledger_of(world.item).classes_of_failed() == ["KeyError"] * 2
    again = world.open()
    again.step()
    again.report(Batch([(1, SUCCESS), (9, ERROR)], {}, classes=[(9, ERROR, "out of memory")]))
    view = again.view()
    assert view.encoded is not None
    ledger = Ledger.decode(view.encoded, view.reasons, view.classes)
    assert ledger.classes_of_failed() == ["KeyError", "out of memory"]
    world.serve(again, until=1)
    assert ledger_of(world.item) == ledger
    world.table.resume(world.item, "next")
    assert ledger_of(world.item) == ledger
    world.table.resume(world.item, "redrive", redrive=True)
    assert world.item.tracker_classes is None


def test_a_report_before_the_claim_is_not_lost() -> None:
    """The actor takes reports while its table is away, and answers that they are not durable."""
    world = World()
    coordinator = world.open()
    first, second = report(coordinator, 1), report(coordinator, 2)
    assert (first.received, second.received, second.durable) == (1, 2, 0)
    assert coordinator.status() == Status(None, None, None)
    world.table.fates.extend(["lose_request"] * 5)
    world.serve(coordinator, until=60)
    assert progress(coordinator).region_success == 2
    assert coordinator.report(Batch.of({}, {})).durable >= 2
    assert world.item.region_success == 2


def test_only_an_acknowledged_flush_makes_durable() -> None:
    """A lost response leaves the mark where it was, though the item holds the reports."""
    world = World()
    coordinator = world.open()
    coordinator.step()
    mark = report(coordinator, 3).received
    world.table.fates.append("lose_response")
    world.clock.now += 1
    coordinator.step()
    assert world.item.region_success == 1
    assert coordinator.report(Batch.of({}, {})).durable < mark
    world.serve(coordinator, until=5)
    assert coordinator.report(Batch.of({}, {})).durable >= mark
    assert world.item.region_success == 1


def test_what_comes_during_a_flush_is_not_covered_by_it() -> None:
    """The mark is that of the copy which was written, not of what was merged meanwhile."""
    world = World()
    coordinator = world.open()
    coordinator.step()
    report(coordinator, 1)
    acks: list[Ack] = []
    world.table.after_write = lambda: acks.append(report(coordinator, 2))
    world.clock.now += 1
    coordinator.step()
    world.table.after_write = lambda: None
    answer = coordinator.report(Batch.of({}, {}))
    assert answer.durable < acks[0].received
    world.serve(coordinator, until=2)
    assert world.item.region_success == 2


def test_a_delayed_older_flush_is_refused() -> None:
    """A flush that the network held back does not land on a newer one."""
    world = World()
    coordinator = world.open()
    coordinator.step()
    report(coordinator, *range(5))
    world.table.fates.append("hold_back")
    world.clock.now += 1
    coordinator.step()
    report(coordinator, *range(5, 8))
    world.serve(coordinator, until=5)
    assert world.item.region_success == 8
    world.table.deliver()
    assert world.table.writes[-1] == "refused"
    assert world.item.region_success == 8


def test_an_urgent_report_is_flushed_at_once() -> None:
    """A caller that waits for durability does not wait for the interval."""
    world = World()
    coordinator = world.open()
    coordinator.step()
    coordinator.report(Batch.of({1: 2}, {}), urgent=True)
    world.serve(coordinator, until=0)
    assert world.item.region_success == 1


def test_nothing_new_is_not_written() -> None:
    """Repeated reports, questions and idle time cost nothing, but for one sign of life a minute."""
    world = World()
    coordinator = world.open()
    report(coordinator, 1)
    world.serve(coordinator, until=2)
    writes = len(world.table.writes)
    for _ in range(3):
        report(coordinator, 1)
        coordinator.report(Batch.of({1: 1}, {}), urgent=True)
        world.serve(coordinator, until=15)
    coordinator.status()
    world.serve(coordinator, until=3600)
    assert len(world.table.writes) == writes + 1


def test_who_is_heard_from_is_alive_in_the_item() -> None:
    """For some two minutes from then on; one write a minute while nothing changes, then none."""
    world = World()
    coordinator = world.open()
    coordinator.heard()
    world.serve(coordinator, until=70)
    begun = len(world.table.writes)
    for _ in range(30):
        coordinator.heard()
        world.serve(coordinator, until=20)
        left = (world.item.tracker_alive_until or 0) - world.clock.time()
        assert 60 <= left <= 150
    heard = len(world.table.writes)
    assert heard - begun <= 11
    world.serve(coordinator, until=3600)
    assert len(world.table.writes) - heard <= 1
    assert (world.item.tracker_alive_until or 0) < world.clock.time()


def test_who_leaves_is_not_waited_for() -> None:
    """The item says at once that nobody goes on with the run, until somebody does."""
    world = World()
    coordinator = world.open()
    world.serve(coordinator)
    coordinator.left()
    world.serve(coordinator, until=0.1)
    assert world.item.tracker_alive_until is None
    report(coordinator, 1)
    world.serve(coordinator, until=1)
    assert world.item.tracker_alive_until is not None


def test_an_ended_image_has_no_sign_of_life() -> None:
    """Nobody need be waited for."""
    world = World(1)
    coordinator = world.open()
    report(coordinator, 0)
    world.serve(coordinator)
    assert world.item.status == "SUCCESS"
    assert world.item.tracker_alive_until is None


def test_an_ended_image_is_left_to_expire() -> None:
    """Nobody touches an ended item."""
    world = World(1)
    coordinator = world.open()
    report(coordinator, 0)
    world.serve(coordinator)
    assert coordinator.due() is None


def test_an_outage_is_caught_up_by_one_flush() -> None:
    """Reports go on while the table is away; it is right one capped backoff after its return."""
    world = World(100)
    coordinator = world.open()
    coordinator.step()
    world.table.fates.extend(["lose_request"] * 10_000)
    for number in range(60):
        assert report(coordinator, number).fault is None
        world.serve(coordinator, until=1)
    tried = 10_000 - len(world.table.fates)
    assert 60 / LONGEST_RETRY_SECONDS <= tried <= 60
    world.table.fates.clear()
    writes = len(world.table.writes)
    world.serve(coordinator, until=LONGEST_RETRY_SECONDS)
    assert world.item.region_success == 60
    assert len(world.table.writes) == writes + 1


def test_a_refusal_is_shown_and_heals() -> None:
    """What will not heal by itself is shown, tried again slowly, and forgotten once it is over."""
    world = World()
    coordinator = world.open()
    coordinator.step()
    report(coordinator, 1)
    world.table.fates.append("refuse")
    world.serve(coordinator, until=2)
    assert isinstance(coordinator.report(Batch.of({}, {})).trouble, TableError)
    assert "refused" in str(progress(coordinator).trouble)
    world.serve(coordinator, until=30)
    assert coordinator.report(Batch.of({}, {})).trouble is None
    assert world.item.region_success == 1


def test_a_defect_of_ours_does_not_kill_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    """An unforeseen exception is logged, shown as trouble, and tried again."""
    world = World()
    coordinator = world.open()

    def fail() -> None:
        raise ZeroDivisionError("unforeseen")

    world.table.after_write = fail
    report(coordinator, 1)
    world.serve(coordinator, until=1)
    assert "unforeseen" in str(coordinator.report(Batch.of({}, {})).trouble)
    world.table.after_write = lambda: None
    world.serve(coordinator, until=35)
    assert world.item.region_success == 1


def test_the_rate_and_the_time_left() -> None:
    """Tiles settled a second, over the last half minute."""
    world = World(100)
    coordinator = world.open()
    coordinator.step()
    for number in range(20):
        report(coordinator, number)
        world.serve(coordinator, until=1)
    seen = progress(coordinator)
    assert seen.tiles_per_second == pytest.approx(0.95)
    assert seen.eta_seconds == pytest.approx(80 / 0.95)


def test_the_answer_tells_when_the_image_is_about_to_end() -> None:
    """At the present rate, or because few tiles are left: reporters then hurry."""
    world = World(regions=10_000)
    coordinator = world.open()
    assert not report(coordinator, 0).ends_soon  # nothing is known yet
    world.serve(coordinator, until=1)
    for second in range(8):
        world.clock.now += 1
        answer = report(coordinator, *range(1000 * second, 1000 * second + 1000))
        assert not answer.ends_soon
    world.clock.now += 1
    assert report(coordinator, *range(8000, 9700)).ends_soon  # 300 are left, of 1,000 a second
    world.clock.now += 100
    assert not coordinator.report(Batch.of({}, {})).ends_soon  # nothing came for long
    assert report(coordinator, *range(9700, 9992)).ends_soon  # 8 are left

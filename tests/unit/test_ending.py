"""How an image ends: by itself or when told, early, and closed against what comes later."""

from __future__ import annotations

import pytest

from raytracker.actor import Batch, Spec
from raytracker.errors import JobCancelled, JobEnded, RaytrackerError, TableUnavailable
from raytracker.job_table import ledger_of
from raytracker.reporter.held import Held
from tests.support.world import World, ask, progress, report


def test_cancel_ends_the_job_as_it_stands() -> None:
    """Its counts stay, later reports are refused, and it is durable."""
    world = World()
    coordinator = world.open()
    coordinator.step()
    report(coordinator, 1, error={2: "clouds"})
    coordinator.end("CANCELLED")
    refused = report(coordinator, 3)
    assert isinstance(refused.fault, JobCancelled)
    assert not progress(coordinator).durable
    world.serve(coordinator, until=0)
    assert progress(coordinator).status == "CANCELLED"
    assert progress(coordinator).durable
    item = world.item
    assert (item.status, item.region_success, item.region_error) == ("CANCELLED", 1, 1)
    assert item.end_time is not None
    again = world.open()
    again.step()
    assert isinstance(report(again, 3).fault, JobCancelled)


def test_cancelling_an_ended_job_changes_nothing() -> None:
    """A job that has ended stays what it is."""
    world = World(2)
    coordinator = world.open()
    report(coordinator, 0, 1)
    world.serve(coordinator)
    writes = len(world.table.writes)
    coordinator.end("CANCELLED")
    world.serve(coordinator)
    assert world.item.status == "SUCCESS"
    assert len(world.table.writes) == writes


def test_an_image_that_is_settled_is_not_cancelled() -> None:
    """It ends as its counts say, and nobody is told otherwise meanwhile."""
    world = World(2)
    coordinator = world.open()
    coordinator.end("CANCELLED")  # nothing is known yet
    report(coordinator, 0, 1)
    coordinator.step()
    again = world.open()
    again.step()
    report(again, 0, 1)
    again.end("CANCELLED")
    assert report(again, 0).fault is None
    world.serve(again)
    assert world.item.status == "SUCCESS"


# --- the flush with the end closes the ledger ---


def test_a_success_that_comes_before_the_end_counts() -> None:
    """A retry that worked: the image is not settled yet, so the error is not the last word."""
    world = World(2)
    coordinator = world.open()
    report(coordinator, error={1: "clouds"})
    world.serve(coordinator, until=2)
    assert report(coordinator, 0, 1).ended is None
    world.serve(coordinator, until=1)
    assert (world.item.status, world.item.region_success) == ("SUCCESS", 2)


def test_news_of_an_ended_image_is_not_counted() -> None:
    """It is answered so, with the image and the cure; the item stays, whatever comes."""
    world = World(2)
    coordinator = world.open()
    report(coordinator, 0, error={1: "clouds"})
    world.serve(coordinator)
    writes, before = len(world.table.writes), world.item
    answer = report(coordinator, 1)
    assert isinstance(answer.ended, JobEnded)
    assert "'scene'" in str(answer.ended)
    assert "redrive" in str(answer.ended)
    assert (answer.fault, answer.durable) == (None, answer.received)
    assert progress(coordinator).region_error == 1
    world.serve(coordinator, until=60)
    assert (len(world.table.writes), world.item) == (writes, before)


def test_what_is_known_is_no_news_of_an_ended_image() -> None:
    """A report that is repeated, or concludes less than was told, is answered as any other."""
    world = World(2)
    coordinator = world.open()
    report(coordinator, 0, error={1: "clouds"})
    world.serve(coordinator)
    assert report(coordinator, 0, error={1: "another reason"}).ended is None
    assert coordinator.report(Batch.of({0: 3, 1: 3}, {})).ended is None
    assert ask(coordinator).ended is None


def test_what_comes_during_the_last_flush_is_late() -> None:
    """It may be durable already, and `wait` on its way with it; the mark says when to let go."""
    world = World(2)
    coordinator = world.open()
    coordinator.step()
    report(coordinator, 0, error={1: "clouds"})
    answers = []
    world.table.after_write = lambda: answers.append(report(coordinator, 1))
    world.serve(coordinator)
    assert isinstance(answers[0].ended, JobEnded)
    assert answers[0].durable < answers[0].received == ask(coordinator).durable
    assert world.item.status == "PARTIAL"


@pytest.mark.parametrize("fate", ["lose_response", "lose_request"])
def test_an_end_whose_answer_is_lost_is_the_end(fate: str) -> None:
    """Nobody can tell whether it got through, so it is written again as it was."""
    world = World(2)
    coordinator = world.open()
    coordinator.step()
    report(coordinator, 0, error={1: "clouds"})
    world.table.fates.append(fate)  # type: ignore[arg-type]
    world.serve(coordinator, until=0)
    late = report(coordinator, 1)
    assert isinstance(late.ended, JobEnded)
    assert late.durable < late.received
    world.serve(coordinator, until=5)
    assert ask(coordinator).durable >= late.received
    assert (world.item.status, progress(coordinator).region_error) == ("PARTIAL", 1)


def test_what_comes_late_is_held_until_the_end_is_durable() -> None:
    """Also where all else is durable by then, as it is of an image that is told to end."""
    world = World(2, ends=False)
    coordinator = world.open()
    report(coordinator, 0, error={1: "clouds"})
    world.serve(coordinator, until=1)
    coordinator.end(None)
    world.table.fates.append("lose_request")
    coordinator.step()
    late = report(coordinator, 1)
    assert late.ended
    assert late.durable < late.received
    world.serve(coordinator)
    assert ask(coordinator).durable >= late.received


def test_the_next_owner_takes_what_a_lost_end_did_not() -> None:
    """Only what is durable is ended: the reporter still holds the news, and tells it again."""
    world = World(2)
    first = world.open()
    first.step()
    report(first, 0, error={1: "clouds"})
    world.table.fates.append("lose_request")
    first.step()
    assert report(first, 1).ended
    second = world.open()
    second.step()
    answer = report(second, 0, 1)
    assert (answer.ended, answer.durable < answer.received) == (None, True)
    world.serve(second)
    assert world.item.status == "SUCCESS"


def test_who_reports_to_an_ended_image_before_the_claim_is_told_as_well() -> None:
    """Asked under another name, a reporter sends again what it holds; what is known is no news."""
    world = World(2)
    coordinator = world.open()
    report(coordinator, 0, error={1: "clouds"})
    world.serve(coordinator)
    again = world.open()
    late, same = (Held(Spec("scene", "run", world.table)) for _ in range(2))
    late.add([(1, b"\2")], {})
    same.add([(0, b"\2")], {})
    answered = []
    for held in (late, same):
        batch = held.take()
        held.acknowledge(again.report(batch), batch)
    again.step()
    for held in (late, late, same, same):
        batch = held.take()
        answer = again.report(batch)
        held.acknowledge(answer, batch)
        answered.append(answer.ended is not None)
    assert answered == [False, True, False, False]
    assert [len(held.outcomes) for held in (late, same)] == [0, 0]


def test_a_report_of_no_tile_before_the_claim_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged; what came with it, before and after, is counted."""
    world = World(2)
    coordinator = world.open()
    report(coordinator, 0)
    report(coordinator, 7)
    report(coordinator, 1)
    world.serve(coordinator)
    assert (world.item.status, world.item.region_success) == ("SUCCESS", 2)
    assert "tile 7" in caplog.text


# --- who ends ---


def test_an_image_that_does_not_end_by_itself_stays_open() -> None:
    """Settled, it is durable at once, and IN_PROGRESS; a late error still counts."""
    world = World(2, ends=False)
    coordinator = world.open(flush_interval=60.0)
    report(coordinator, 0, 1)
    world.serve(coordinator, until=0)
    assert (world.item.region_success, world.item.end_time, world.item.status) == (
        2, None, "IN_PROGRESS",
    )  # fmt: skip
    seen = progress(coordinator)
    assert (seen.durable, seen.status, seen.tile_pending) == (True, "IN_PROGRESS", 0)
    assert (coordinator.idle, coordinator.finished) == (True, False)
    coordinator.report(Batch.of({1: 3}, {}))
    assert coordinator.idle
    world.serve(coordinator, until=100)
    assert len(world.table.writes) == 2


def test_told_to_end_it_ends_as_its_counts_say() -> None:
    """At once; and then it is closed."""
    world = World(2, ends=False)
    coordinator = world.open()
    coordinator.report(Batch.of({0: 3, 1: 3}, {}))
    world.serve(coordinator, until=5)
    assert report(coordinator, error={1: "inside"}).ended is None  # while it is open
    coordinator.end(None)
    assert not progress(coordinator).durable
    world.serve(coordinator, until=0)
    assert (world.item.status, world.item.tracker_errors) == ("PARTIAL", {"1": "inside"})
    assert world.item.end_time is not None
    assert progress(coordinator).status == "PARTIAL"
    assert coordinator.finished
    assert report(coordinator, 1).ended
    coordinator.end(None)
    coordinator.end("CANCELLED")
    world.serve(coordinator)
    assert world.item.status == "PARTIAL"


def test_an_image_with_pending_tiles_is_not_ended_as_its_counts_say() -> None:
    """The text names the image, and how many are pending."""
    world = World(3, ends=False)
    coordinator = world.open()
    with pytest.raises(TableUnavailable, match="'scene': its item is not claimed yet"):
        coordinator.end(None)
    coordinator.step()
    report(coordinator, 0)
    with pytest.raises(RaytrackerError, match="'scene': 2 of 3 tiles are pending"):
        coordinator.end(None)
    world.serve(coordinator, until=2)
    assert world.item.end_time is None
    report(coordinator, 1, 2)
    world.serve(coordinator, until=2)
    assert world.item.end_time is None


def test_an_image_that_ends_by_itself_may_be_told_to() -> None:
    """It changes nothing."""
    world = World(1)
    coordinator = world.open()
    coordinator.step()
    report(coordinator, 0)
    coordinator.end(None)
    world.serve(coordinator)
    assert (world.item.status, len(world.table.writes)) == ("SUCCESS", 2)


def test_an_open_settled_image_can_be_cancelled_and_resumed() -> None:
    """What was to come after its tiles did not; a resume takes that up again."""
    world = World(2, ends=False)
    coordinator = world.open()
    report(coordinator, 0, 1)
    world.serve(coordinator, until=1)
    coordinator.end("CANCELLED")
    assert isinstance(report(coordinator, 1).fault, JobCancelled)
    world.serve(coordinator)
    assert (world.item.status, world.item.end_time is None) == ("CANCELLED", False)
    world.table.resume(world.item, "second")
    assert world.item.end_time is None
    again = world.open(run="second")
    again.step()
    assert again.idle
    again.end(None)
    world.serve(again)
    assert world.item.status == "SUCCESS"


def test_each_owner_knows_who_ends() -> None:
    """It stands in the item: a process that was restarted does not end what is left open."""
    world = World(2, ends=False)
    first = world.open()
    report(first, 0, 1)
    world.serve(first, until=1)
    second = world.open()
    second.step()
    assert (second.idle, second.finished) == (True, False)
    world.serve(second, until=100)
    assert world.item.end_time is None
    assert ledger_of(world.item).settled

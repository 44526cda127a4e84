"""Messages to SNS topics: what an item holds of them, and that each is sent at least once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker import JobItem
from raytracker.actor import Batch, Coordinator
from raytracker.errors import InvalidLayout
from raytracker.job_table import BEGINNING, Topics, ledger_of
from raytracker.job_table.outbox import Entry, Outbox, outbox_bytes
from raytracker.job_table.size import check_size
from raytracker.ledger import ERROR, SUCCESS, Layout
from raytracker.status_monitor import Message
from tests.support.world import World, report

IMAGE = "arn:aws:sns:us-east-1:123456789012:images"
REGION = "arn:aws:sns:us-east-1:123456789012:regions"


class Subscribed(World):
    """A world whose image has topics."""

    def __init__(self, regions: int | list[int] = 3) -> None:
        super().__init__(regions)
        topics = Topics.of(IMAGE, REGION).to_text()
        self.table.items["scene"] |= {
            "job_id": "job",
            "tracker_topics": topics,
            "tracker_outbox": BEGINNING,
        }


def send(coordinator: Coordinator, most: int = 100) -> list[tuple[str, str]]:
    """Sends what may be sent, as the poster does; returns the texts, and their ids."""
    sent = []
    for entry, message in coordinator.news.unsent()[:most]:
        assert message is not None
        sent.append(
            (message.body.removeprefix("StatusMonitor update: "), message.attributes["message_id"])
        )
        coordinator.news.outbox.sent(entry)
    return sent


def texts(sent: list[tuple[str, str]]) -> list[str]:
    return [text for text, _ in sent]


ALL = [
    "STARTED job: Started image request",
    "IN_PROGRESS job: Processing regions",
    "SUCCESS job: Completed region processing",
    "PARTIAL job: Completed region processing",
    "FAILED job: Completed region processing",
    "PARTIAL job: Completed image processing",
]


def outcome(coordinator: Coordinator) -> None:
    """Of two tiles in each of three regions none fails, one, and both."""
    report(coordinator, 0, 1, 2, error={3: "clouds", 4: "clouds", 5: "clouds"})


def test_messages_are_sent_in_order_and_leave_the_item() -> None:
    """The image's beginning, its regions, its end; then nothing is left to do."""
    world = Subscribed([2, 2, 2])
    coordinator = world.open()
    outcome(coordinator)
    world.serve(coordinator, until=0)
    assert not coordinator.finished
    assert world.item.status == "PARTIAL"
    assert texts(send(coordinator)) == ALL
    world.serve(coordinator, until=0)
    assert world.item.tracker_outbox is None
    assert coordinator.finished
    assert coordinator.due() is None


def test_nothing_is_sent_that_is_not_durable() -> None:
    world = Subscribed()
    coordinator = world.open()
    coordinator.step()
    send(coordinator)
    report(coordinator, 0)
    world.table.fates.append("lose_request")
    world.clock.now += 2
    coordinator.step()
    assert send(coordinator) == []
    world.serve(coordinator, until=5)
    assert texts(send(coordinator)) == ["SUCCESS job: Completed region processing"]


@pytest.mark.parametrize("before_it_died", range(7))
def test_what_a_killed_actor_did_not_send_the_next_one_does(before_it_died: int) -> None:
    """However much it had sent; what it sent goes twice, with the same id."""
    world = Subscribed([2, 2, 2])
    first = world.open()
    outcome(first)
    world.serve(first, until=0)
    sent = send(first, before_it_died)
    second = world.open()
    world.clock.now += 3
    world.serve(second, until=0)
    again = send(second)
    assert texts(again) == ALL
    assert again[:before_it_died] == sent
    world.serve(second, until=0)
    assert world.item.tracker_outbox is None


def test_an_actor_that_died_before_its_flush_has_told_nothing() -> None:
    world = Subscribed()
    first = world.open()
    first.step()
    send(first)
    report(first, 0)
    second = world.open()
    world.serve(second, until=0)
    assert texts(send(second)) == ALL[:2]


def test_an_id_is_of_one_message_only() -> None:
    """Also where a region succeeds after all, and where the image is started anew."""
    world = Subscribed([2, 2])
    coordinator = world.open()
    report(coordinator, 1, error={0: "clouds"})
    world.serve(coordinator, until=2)
    ids = [each for _, each in send(coordinator)]
    report(coordinator, 0)
    world.serve(coordinator, until=2)
    report(coordinator, 2, 3)
    world.serve(coordinator, until=2)
    ids += [each for _, each in send(coordinator)]
    world.table.items["scene"] |= {"tracker_outbox": BEGINNING}
    world.table.items["scene"]["start_time"] += 1
    coordinator = world.open()
    coordinator.step()
    again = [each for _, each in send(coordinator)]
    assert len(set(ids + again)) == len(ids) + len(again) == 8


@pytest.mark.parametrize(
    ("state", "text"),
    [("CANCELLED", "FAILED job: Cancelled"), ("STOPPED", "FAILED job: Stopped: too many tiles")],
)
def test_an_early_end_is_a_failure_to_who_knows_osml(state: str, text: str) -> None:
    world = Subscribed()
    coordinator = world.open()
    coordinator.end(state)
    world.serve(coordinator, until=0)
    assert texts(send(coordinator))[-1].startswith(text)


def test_an_image_without_topics_is_written_no_more_often() -> None:
    world = World()
    coordinator = world.open()
    report(coordinator, *range(10))
    world.serve(coordinator)
    assert (world.table.writes, coordinator.finished) == (["update", "update"], True)
    assert coordinator.news.unsent() == []


def test_what_somebody_else_wrote_does_no_harm() -> None:
    """A region that is none, and what is no outbox."""
    world = Subscribed()
    world.table.items["scene"]["tracker_outbox"] = "7@1 END@ x@1 0@12345678901234567890 @ 1@2"
    coordinator = world.open()
    coordinator.step()
    [(_, nothing), (entry, message)] = coordinator.news.unsent()
    assert (nothing, entry) == (None, Entry("1", 2))
    assert message is not None
    assert Topics.parse("http://somewhere -") == Topics.parse("x") == Topics.parse(None) == Topics()


# --- the parts ---


def test_a_region_that_is_told_again_goes_once_and_behind() -> None:
    """Also when the message before is sent in that moment."""
    outbox = Outbox()
    first, other, again = Entry("1", 10), Entry("2", 10), Entry("1", 20)
    outbox.flushing(first, other)
    outbox.flushed()
    assert outbox.flushing(again) == "2@10 1@20"
    assert outbox.unsent() == [other]
    outbox.sent(first)
    outbox.flushed()
    assert outbox.unsent() == [other, again]


def test_topics_are_what_osml_s_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_STATUS_TOPIC", IMAGE)
    assert Topics.of(None, None) == (IMAGE, None)
    assert Topics.of("", REGION) == (None, REGION)
    assert Topics.parse(Topics.of("", REGION).to_text()) == (None, REGION)
    assert Topics.of("", "").to_text() is None


def test_what_is_no_topic_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^status_topic='images': give the ARN of an SNS topic"):
        Topics.of("images", None)
    monkeypatch.setenv("REGION_STATUS_TOPIC", "regions")
    with pytest.raises(ValueError, match=r"^REGION_STATUS_TOPIC='regions': "):
        Topics.of(None, None)


def test_the_item_has_room_for_the_outbox() -> None:
    """What it may grow to is reserved at the start, or the image is refused."""
    topics, regions = Topics.of(IMAGE, REGION).to_text(), 9_999
    outbox = Outbox(BEGINNING)
    text = outbox.flushing(*(Entry(str(n), 10**13) for n in range(regions)), Entry("END", 10**13))
    assert text is not None
    assert len(text) <= outbox_bytes(topics, regions)
    attributes = JobItem(image_id="scene", tracker_topics=topics).to_put()
    check_size(attributes, Layout.of(10_000))
    with pytest.raises(InvalidLayout, match="20000 regions"):
        check_size(attributes, Layout.of(20_000))
    check_size(JobItem(image_id="scene").to_put(), Layout.of(20_000))


# --- whatever happens ---

OPERATIONS = st.one_of(
    st.tuples(st.just("report"), st.integers(0, 5), st.sampled_from([ERROR, SUCCESS])),
    st.tuples(st.just("fate"), st.sampled_from(["lose_request", "lose_response", "hold_back"])),
    st.tuples(st.just("send"), st.integers(1, 4)),
    st.sampled_from([("step",), ("kill",), ("deliver",)]),
)


@given(st.lists(OPERATIONS, max_size=40))
def test_each_message_is_sent_at_least_once(operations: list[tuple[Any, ...]]) -> None:
    """Whoever is killed, and whatever requests are lost or late; doubles are doubles, by their id.

    What a region was said last is how it ended, and the image's end comes after all of it.
    """
    world = Subscribed([2, 2, 2])
    coordinator = world.open()
    told: dict[int, bytes] = {}
    sent: list[Message] = []

    def send(most: int) -> None:
        for entry, message in coordinator.news.unsent()[:most]:
            assert message is not None
            sent.append(message)
            coordinator.news.outbox.sent(entry)

    for what, *arguments in operations:
        if what == "report":
            tile, outcome = arguments
            told[tile] = max(told.get(tile, ERROR), outcome)
            coordinator.report(Batch([(tile, outcome)], {}))
        elif what == "fate":
            world.table.fates.append(arguments[0])
        elif what == "send":
            send(*arguments)
        elif what == "deliver" and world.table.held_back:
            world.table.deliver()
        elif what == "step" and coordinator.due() is not None:
            world.clock.now += 2
            coordinator.step()
        elif what == "kill":
            coordinator = world.open()
    world.table.fates.clear()
    spans = [(tile, told.get(tile, SUCCESS)) for tile in range(6)]
    coordinator.report(Batch(spans, {}))  # a reporter tells a new actor again what it holds
    for _ in range(20):
        world.serve(coordinator, until=5)
        send(100)
    assert coordinator.finished
    assert world.item.tracker_outbox is None
    by_id = {message.attributes["message_id"]: message for message in sent}
    assert all(by_id[message.attributes["message_id"]] == message for message in sent)
    outcomes = ledger_of(world.item).tile_outcomes()
    last = {message.attributes.get("region_id"): message for message in sent}
    for region in range(3):
        failed = outcomes[2 * region : 2 * region + 2].count(ERROR)
        assert (
            last[f"{region}-job"].attributes["status"] == ("SUCCESS", "PARTIAL", "FAILED")[failed]
        )
    assert sent[-1].body.endswith("Completed image processing")
    assert sent[-1].attributes["status"] == world.item.status

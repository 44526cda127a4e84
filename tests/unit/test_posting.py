"""Who sends the messages of images to SNS, and who waits for that."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from raytracker.actor import Coordinator, posting
from raytracker.actor.posting import Poster, Sender
from raytracker.run import posted as waiting
from raytracker.run.posted import posted
from tests.support.waiting import wait_until
from tests.support.world import report
from tests.unit.test_outbox import IMAGE, REGION, Subscribed


class Topics:
    """What stands for SNS: refuses so many messages at first, and what a topic never takes."""

    def __init__(self, refuses: int = 0, never: str = "-") -> None:
        self.refuses, self.never = refuses, never
        self.tries = 0
        self.taken: list[dict[str, Any]] = []

    def publish(self, **message: Any) -> None:
        self.tries += 1
        if self.tries <= self.refuses or message["TopicArn"].startswith(self.never):
            raise ConnectionError("SNS is away")
        self.taken.append(message)

    @property
    def texts(self) -> list[str]:
        return [message["Message"].split(": ")[1] for message in self.taken]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "FIRST_RETRY_SECONDS", 0.02)


def ended(world: Subscribed) -> Coordinator:
    coordinator = world.open()
    report(coordinator, 0, 1, 2)
    world.serve(coordinator, until=0)
    return coordinator


ALL = ["STARTED job", "IN_PROGRESS job", *["SUCCESS job"] * 4]


def test_what_sns_refuses_is_sent_again_in_order(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, with the image; and each message is taken once."""
    sns, coordinator, done = Topics(refuses=3), ended(Subscribed()), threading.Event()
    monkeypatch.setattr(posting, "_client", lambda region: sns)
    poster = Poster({"key": coordinator}.get, lambda *_: done.set())
    poster.wake("key")
    poster.wake("key")  # which does not hurry it
    assert done.wait(15)
    assert sns.texts == ALL
    [record] = [each for each in caplog.records if each.name == posting.__name__]
    assert record.message.endswith("tried again: ConnectionError: SNS is away")
    assert record.image_id == "scene"  # type: ignore[attr-defined]


def test_an_image_whose_topic_is_away_does_not_hold_up_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad, good = Subscribed(), Subscribed()
    elsewhere = "arn:aws:sns:us-east-1:123456789012:gone"
    bad.table.items["scene"]["tracker_topics"] = f"{elsewhere} -"
    sns = Topics(never=elsewhere)
    monkeypatch.setattr(posting, "_client", lambda region: sns)
    hosted = {"bad": ended(bad), "good": ended(good)}
    done: list[str] = []
    poster = Poster(hosted.get, lambda key, _: done.append(key))
    poster.wake("bad")
    wait_until(lambda: sns.tries)
    poster.wake("good")
    wait_until(lambda: done)
    assert (done, sns.texts) == (["good"], ALL)


def test_an_image_that_another_process_has_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sns, coordinator = Topics(), ended(Subscribed())
    monkeypatch.setattr(posting, "_client", lambda region: sns)
    coordinator.superseded("another")
    Sender().send_all(coordinator)
    assert sns.taken == []


def test_a_fifo_topic_knows_doubles_by_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """And has the messages of an image in order, whatever characters its id has."""
    world, sns = Subscribed(), Topics()
    world.table.items["scene"]["tracker_topics"] = f"{IMAGE}.fifo {REGION}"
    monkeypatch.setattr(posting, "_client", lambda region: sns)
    Sender().send_all(ended(world))
    for message in sns.taken:
        said = message["MessageAttributes"]["message_id"]["StringValue"]
        is_fifo = message["TopicArn"].endswith(".fifo")
        assert message.get("MessageDeduplicationId") == (said if is_fifo else None)
        assert len(message.get("MessageGroupId", "")) == (64 if is_fifo else 0)


def test_who_waits_for_an_end_waits_for_its_messages_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waiting, "is_connected", lambda: True)

    def told() -> list[int]:
        return [each.levelno for each in caplog.records if each.name == waiting.__name__]

    answers = [False, None, True]
    run: Any = SimpleNamespace(image_id="scene", spec=SimpleNamespace(run="run"))
    run.ask = lambda *_, **__: answers.pop(0)
    posted(run)
    assert (answers, told()) == ([], [])
    run.ask = lambda *_, **__: False
    posted(run, 0.05)
    assert told() == [logging.WARNING]

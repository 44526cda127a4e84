"""What a process holds, and when it asks the actor about it."""

from __future__ import annotations

import threading

import pytest

from raytracker import JobTable
from raytracker.actor import Ack, Batch, Spec
from raytracker.actor.host import LINGER_SECONDS
from raytracker.ledger import ERROR, SUCCESS, Outcome, Outcomes, Span
from raytracker.reporter import Reporter
from raytracker.reporter.held import MOST_NEWS, Held


@pytest.mark.parametrize("flush_interval", [0.1, 1.0, 60.0, 3600.0])
def test_the_actor_is_asked_while_it_lingers(flush_interval: float) -> None:
    """However rarely it flushes: who asks an actor that is gone would start it again."""
    held = Held(Spec("scene", "run", JobTable("jobs"), flush_interval=flush_interval))
    held.add([(0, SUCCESS)], {})
    batch, nothing_new = held.take(), Batch.of({}, {})
    for _ in range(20):
        held.acknowledge(Ack("owner", 1, 0, False, 0.0, None, None, None), batch)
        held.send_at = 100.0
        due = held.due()
        assert due is not None
        assert 100 < due < 100 + LINGER_SECONDS
        batch = nothing_new
    held.acknowledge(Ack("owner", 1, 1, False, 0.0, None, None, None), nothing_new)
    assert held.due() is None


def held_by(image: str = "scene") -> Held:
    return Held(Spec(image, "run", JobTable("jobs")))


def test_what_is_put_aside_is_sent_once() -> None:
    """However many reports come between two calls, and however often of the same tile."""
    held = held_by()
    for number in [*range(MOST_NEWS), *range(2 * MOST_NEWS)]:
        held.add([(number, ERROR)], {number: "broken"})
        held.add([(number, ERROR)], {number: "broken"})
    held.add([(1, SUCCESS)], {})
    assert held.waits
    batch = held.take()
    assert not held.waits
    sent = Outcomes(batch.spans)
    assert [sent[number] for number in range(3)] == [Outcome.ERROR, Outcome.SUCCESS, Outcome.ERROR]
    assert len(sent) == len(held.outcomes) == 2 * MOST_NEWS
    held.add([(0, ERROR)], {0: "broken"})
    assert not held.take()


def test_what_a_signal_handler_reports_while_it_looks_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It runs between any two steps, with the lock in hand."""
    held = held_by()
    joined = Outcomes.join

    def signalled(outcomes: Outcomes, first: int, said: bytes) -> list[Span]:
        news = joined(outcomes, first, said)
        if first == 0:
            held.add([(5, SUCCESS)], {})
        return news

    held.add([(0, SUCCESS)], {})
    with monkeypatch.context() as patch:
        patch.setattr(Outcomes, "join", signalled)
        first = held.take()
    assert list(first.spans) == [(0, SUCCESS)]
    assert list(held.take().spans) == [(5, SUCCESS)]


def test_who_reports_nothing_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No outcome, or only of tiles that are pending: no thread is started for it."""
    monkeypatch.setattr("raytracker.reporter.sending.check_connected", lambda: None)
    before = threading.active_count()
    reporter, spec = Reporter(), held_by().spec
    reporter.report(spec, [], {})
    reporter.report(spec, [(0, bytes(3))], {})
    assert threading.active_count() == before


def test_a_signal_while_it_looks_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between what is held and what is to be sent: both get it in the end."""
    held = held_by()
    joined = Outcomes.join

    def interrupted(outcomes: Outcomes, first: int, said: bytes) -> list[Span]:
        news = joined(outcomes, first, said)
        if first == 2:
            raise KeyboardInterrupt
        return news

    for number in range(4):
        held.add([(number, ERROR)], {number: "broken"})
    with monkeypatch.context() as patch:
        patch.setattr(Outcomes, "join", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _ = held.outcomes
    batch = held.take()
    assert list(batch.spans) == [(0, ERROR * 4)]
    assert batch.reasons == dict.fromkeys(range(4), "broken")

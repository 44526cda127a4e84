"""What a process holds, and when it asks the actor about it."""

from __future__ import annotations

import threading

import pytest

from raytracker import JobTable
from raytracker.actor import Ack, Batch, Spec, Tentative
from raytracker.errors import JobCancelled, JobEnded, RaytrackerError
from raytracker.ledger import ERROR, SUCCESS, Classes, Outcome, Outcomes, Span
from raytracker.reporter import Reporter
from raytracker.reporter.held import (
    FIRST_POLL_SECONDS,
    LONGEST_OVERDUE_SECONDS,
    LONGEST_POLL_SECONDS,
    MOST_NEWS,
    TENTATIVE_SECONDS,
    URGENT_POLL_SECONDS,
    Held,
)


def ack(
    received: int = 1,
    durable: int = 0,
    *,
    owner: str = "owner",
    flush_in: float = 0.0,
    ended: JobEnded | None = None,
    fault: RaytrackerError | None = None,
) -> Ack:
    return Ack(owner, received, durable, False, flush_in, ended, fault, None)


def held_by(image: str = "scene") -> Held:
    return Held(Spec(image, "run", JobTable("jobs")))


@pytest.mark.parametrize("flush_in", [0.2, 1.0, 25.0])
def test_nobody_asks_before_the_flush(flush_in: float) -> None:
    """The actor's answer tells when that comes; then it is asked, and let go of what it has."""
    held = held_by()
    held.add([(0, SUCCESS)], {})
    held.acknowledge(ack(flush_in=flush_in), held.take())
    held.answered_at = 100.0
    due = held.due()
    assert due is not None
    assert 100 + flush_in < due < 100 + 1.2 * flush_in + 0.1
    held.acknowledge(ack(durable=1, flush_in=flush_in), Batch([], {}))
    assert held.due() is None


@pytest.mark.parametrize("flush_in", [60.0, 3600.0])
def test_the_actor_is_asked_now_and_then(flush_in: float) -> None:
    """It may have been killed, and is told again by whoever asks."""
    held = held_by()
    held.add([(0, SUCCESS)], {})
    held.acknowledge(ack(flush_in=flush_in), held.take())
    assert held.due() == LONGEST_POLL_SECONDS


def test_an_overdue_flush_is_asked_for_less_and_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as while the table is away; unless somebody waits for it."""
    held = held_by()
    held.add([(0, SUCCESS)], {})
    held.acknowledge(ack(), held.take())
    pauses = []
    for _ in range(20):
        pauses.append(held.due())
        held.acknowledge(ack(), Batch([], {}))
    assert pauses[0] == FIRST_POLL_SECONDS
    assert pauses[-1] == LONGEST_OVERDUE_SECONDS
    assert pauses == sorted(pauses)
    held.flushers = 1
    assert held.due() == URGENT_POLL_SECONDS


def test_what_a_driver_holds_is_let_go_at_the_receipt() -> None:
    """Not before; and nothing that is reported by somebody else goes with it."""
    held = held_by()
    held.add([(0, ERROR)], {0: "clouds"}, held_elsewhere=True)
    batch = held.take(ends=True)
    assert batch == Batch([(0, ERROR)], {0: "clouds"}, sole=False, tentative=[])
    assert held.holds
    held.acknowledge(ack(received=1, durable=0), batch)
    assert not held.holds
    assert held.due() is None
    held.add([(0, SUCCESS)], {}, held_elsewhere=True)
    held.add([(1, SUCCESS)], {})
    held.acknowledge(ack(received=2, durable=1), held.take())
    assert list(held.outcomes.spans()) == [(1, SUCCESS)]
    held.send_all_again()
    assert list(held.take().spans) == [(1, SUCCESS)]


def test_classes_go_with_the_errors_that_are_news() -> None:
    """And again, until the errors are durable; a success has none."""
    held = held_by()
    told = [(0, ERROR * 4, "KeyError")]
    held.add([(2, SUCCESS)], {})
    held.add([(0, ERROR * 4)], {0: "KeyError"}, told)
    batch = held.take()
    classes = Classes()
    for span in batch.classes:
        classes.join(*span)
    assert classes.of_failed(ERROR * 4) == ["KeyError", "KeyError", None, "KeyError"]
    held.acknowledge(ack(received=1, durable=0), batch)
    assert held.take().classes == ()
    held.add([(0, ERROR * 4)], {0: "ValueError"}, [(0, ERROR * 4, "ValueError")])
    assert held.take().classes == ()
    held.acknowledge(ack(received=1, durable=0, owner="another"), Batch([], {}))
    assert held.take().classes == batch.classes
    held.acknowledge(ack(received=1, durable=1, owner="another"), batch)
    assert not held.holds
    held.send_all_again()
    assert held.take().classes == ()
    held.add([(9, ERROR)], {9: "KeyError"}, [(9, ERROR, "KeyError")], held_elsewhere=True)
    held.miss(OSError())
    batch = held.take()
    assert batch.classes == ((9, ERROR, "KeyError"),)
    held.acknowledge(ack(received=2, durable=1, owner="another"), batch)
    held.send_all_again()
    assert held.take().classes == ()


def test_what_a_driver_holds_goes_again_until_the_receipt() -> None:
    """When the call failed, when it is not known what became of it, when another owner answers."""
    held = held_by()
    held.add([(0, ERROR)], {0: "clouds"}, held_elsewhere=True)
    for lose in (lambda: held.miss(OSError()), held.forget_calls):
        assert held.take() == Batch([(0, ERROR)], {0: "clouds"}, False, [])
        lose()
    held.add([(1, SUCCESS)], {})
    first = held.take()
    held.add([(2, SUCCESS)], {}, held_elsewhere=True)
    held.acknowledge(ack(owner="one"), first)
    held.acknowledge(ack(owner="other"), Batch([], {}))
    assert list(held.take().spans) == [(1, SUCCESS * 2)]


def test_a_flush_waits_for_what_was_let_go() -> None:
    """Inside an attempt; elsewhere nothing was let go before it was durable."""
    held = held_by()
    held.add([(0, SUCCESS)], {}, held_elsewhere=True)
    assert not held.is_durable(received=False)
    held.acknowledge(ack(received=7, durable=6), held.take())
    assert held.is_durable(received=False)
    assert not held.is_durable(received=True)
    held.flushers = 1
    assert held.due() is not None
    held.acknowledge(ack(received=9, durable=9), Batch([], {}))
    assert held.is_durable(received=True)
    assert held.due() is None


def test_a_batch_that_nobody_else_holds_says_so() -> None:
    """If its process may end: what is put aside for a driver does not count, a repetition does."""
    held = held_by()
    held.add([(0, SUCCESS)], {})
    assert not held.take(ends=False).sole
    held.send_all_again()
    assert held.take(ends=True).sole
    assert not held.take(ends=True).sole
    held.add([(0, SUCCESS)], {}, held_elsewhere=True)
    assert not held.take(ends=True).sole


def tentative(attempt: int, first: int = 0) -> Tentative:
    return Tentative(first, 1, "clouds", "0f", attempt)


def test_an_error_that_may_not_be_final_is_told_again() -> None:
    """For as long as the actor may not have found out: when another owner answers, or none does."""
    held = held_by()
    held.add_tentative(tentative(0))
    assert held.waits
    held.acknowledge(ack(owner="one"), held.take())
    assert held.is_durable(received=False)  # no flush waits for it
    assert held.take().tentative == []
    assert held.due() is not None
    held.acknowledge(ack(owner="two"), Batch([], {}))
    again = held.take()
    assert again.tentative == [tentative(0)]
    held.miss(OSError())
    assert held.take().tentative == [tentative(0)]
    held.answered_at = 100.0
    held.acknowledge(ack(owner="two"), again)
    held.answered_at = 100 + TENTATIVE_SECONDS - 1
    held.acknowledge(ack(owner="two"), Batch([], {}))
    assert held.holds
    held.answered_at = 100 + TENTATIVE_SECONDS + 1
    held.acknowledge(ack(owner="two"), Batch([], {}))
    assert not held.holds


def test_a_later_attempt_takes_the_place_of_an_earlier_one() -> None:
    """So there is at most one for each tile."""
    held = held_by()
    for attempt in range(5):
        held.add_tentative(tentative(attempt))
        held.add_tentative(tentative(attempt, first=3))
    assert held.take().tentative == [tentative(4), tentative(4, first=3)]


def test_news_of_an_ended_image_is_let_go_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Once, however often it comes."""
    held = held_by()
    for number in range(2):
        held.add([(number, SUCCESS)], {})
        held.acknowledge(ack(3, 3, ended=JobEnded("image 'scene' has ended")), held.take())
        assert not held.holds
    assert [record.getMessage() for record in caplog.records] == ["image 'scene' has ended"]


def test_what_ended_the_run_lets_go_of_all() -> None:
    """Nothing of it is counted any more."""
    held = held_by()
    held.add([(0, SUCCESS)], {})
    batch = held.take()
    held.add([(1, SUCCESS)], {}, held_elsewhere=True)
    held.add_tentative(tentative(0))
    held.acknowledge(ack(fault=JobCancelled("over")), batch)
    assert not held.holds
    assert not held.waits
    assert held.due() is None
    assert isinstance(held.fault, JobCancelled)


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
    monkeypatch.setattr("raytracker.reporter.reporting.check_connected", lambda: None)
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

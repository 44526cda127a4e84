"""Which reports wait for a receipt; time is passed in."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from raytracker.reporter.receipts import (
    AWAITED,
    CHEAP,
    FIRST_GUESS_SECONDS,
    LONGEST_CALL_SECONDS,
    MOST_WAITS,
    Receipts,
    Way,
)


def reports(receipts: Receipts, times: list[float], *, ends: bool = False) -> list[Way]:
    """Makes reports at these times, with calls that take no time of them; returns their ways."""
    ways = []
    for now in times:
        ways.append(receipts.way(now, ends=ends))
        if ways[-1] is Way.WAIT:
            receipts.waited(now, answered=True)
    return ways


def test_tasks_that_do_nothing_are_not_held_up() -> None:
    """A process waits with its first report; then never, while they come thick and fast."""
    ways = reports(Receipts(), [number * 0.0005 for number in range(1000)])
    assert ways == [Way.WAIT] + [Way.ASIDE] * 999


def test_errors_are_never_held_aside() -> None:
    """Whoever runs the task may return at once, and be taken for a success."""
    receipts = Receipts()
    reports(receipts, [0.0, 0.0005])
    assert receipts.way(0.001, ends=False, is_error=True) is Way.SUBMIT
    assert receipts.way(0.0015, ends=False) is Way.ASIDE
    assert receipts.way(1000.0, ends=False, is_error=True) is Way.WAIT


def test_tiles_that_take_their_time_wait() -> None:
    """Each of them: it is some thirty times what a call takes."""
    pause = 1.01 * CHEAP * FIRST_GUESS_SECONDS
    assert set(reports(Receipts(), [number * pause for number in range(100)])) == {Way.WAIT}
    late = reports(Receipts(), [number * pause * 0.98 for number in range(100)])
    assert late == [Way.WAIT] + [Way.ASIDE] * 99


def test_a_burst_after_a_long_tile_waits() -> None:
    """The pause before it pays for as many receipts as it is worth, and for few in all."""
    receipts, price = Receipts(), CHEAP * FIRST_GUESS_SECONDS
    assert reports(receipts, [0.0]) == [Way.WAIT]
    burst = reports(receipts, [5.5 * price + number * 1e-5 for number in range(100)])
    assert burst == [Way.WAIT] * 5 + [Way.ASIDE] * 95
    later = reports(receipts, [1e6 + number * 1e-5 for number in range(100)])
    assert later.count(Way.WAIT) == MOST_WAITS


def test_what_a_call_takes_is_learnt() -> None:
    """Of all calls, also of those that nobody waited for; one odd one tells little."""
    receipts = Receipts()
    for _ in range(50):
        receipts.answered(0.001)
    receipts.answered(10.0)  # of an actor that had to start
    assert reports(receipts, [0.0, 1.0, 2.0]) == [Way.WAIT] * 3
    for _ in range(50):
        receipts.answered(0.05)
    assert reports(receipts, [3.0, 4.0, 5.6]) == [Way.ASIDE, Way.ASIDE, Way.WAIT]


def test_long_tasks_wait_however_slow_calls_are() -> None:
    """What takes longer than a call can take is no reason to give up receipts."""
    receipts = Receipts()
    for _ in range(50):
        receipts.answered(60.0)
    pause = 1.01 * CHEAP * LONGEST_CALL_SECONDS
    assert reports(receipts, [0.0, pause, 2 * pause]) == [Way.WAIT] * 3


def test_the_wait_is_not_counted_as_work() -> None:
    """Else slow calls would make themselves cheap."""
    receipts = Receipts()
    assert receipts.way(0.0, ends=False) is Way.WAIT
    receipts.waited(5.0, answered=True)
    assert receipts.way(5.01, ends=False) is Way.ASIDE


def test_what_ends_is_submitted() -> None:
    """Each report, at once; and every now and then one waits, so that calls do not pile up."""
    ways = reports(Receipts(), [number * 0.0005 for number in range(1000)], ends=True)
    assert set(ways) == {Way.SUBMIT, Way.WAIT}
    awaited = [number for number, way in enumerate(ways) if way is Way.WAIT]
    assert awaited[0] == 0
    assert all(after - before <= AWAITED for before, after in pairwise(awaited))
    assert len(awaited) == 1 + 999 // AWAITED


def test_an_actor_that_does_not_answer_is_waited_for_once() -> None:
    """Until an answer comes, to whatever call."""
    for ends, otherwise in ((False, Way.ASIDE), (True, Way.SUBMIT)):
        receipts = Receipts()
        assert receipts.way(0.0, ends=ends) is Way.WAIT
        receipts.waited(2.0, answered=False)
        assert set(reports(receipts, [10.0 + n for n in range(1000)], ends=ends)) == {otherwise}
        receipts.answered(0.002)
        assert receipts.way(2000.0, ends=ends) is Way.WAIT


@given(
    st.lists(st.floats(0, 2), max_size=60), st.lists(st.floats(0, 0.1), min_size=60, max_size=60)
)
def test_waiting_takes_a_small_part_of_the_time(pauses: list[float], calls: list[float]) -> None:
    """Whatever the pauses and calls: no more than the last call makes likely, each time."""
    receipts, now, expected, waited, worked = Receipts(), 0.0, FIRST_GUESS_SECONDS, 0.0, 0.0
    for number, (pause, call) in enumerate(zip(pauses, calls, strict=False)):
        now += pause
        if receipts.way(now, ends=False) is Way.WAIT:
            waited += expected if number else 0.0  # the first is free
            now += call
            receipts.waited(now, answered=True)
            receipts.answered(call)
            expected += 0.2 * (call - expected)
        worked += pause
        assert waited <= worked / CHEAP + 1e-9

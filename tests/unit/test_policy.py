"""What is decided of tasks without Ray: how many, how long, how often, how much may fail."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from raytracker.errors import TaskTimeout
from raytracker.ledger import ERROR, RETURNED, SUCCESS, Layout, Ledger
from raytracker.mapping.policy import Bound, Retries, TimeLimit, Tolerance

# --- how many ---


def test_a_bound_follows_the_cluster() -> None:
    """Four for each CPU that is there now; it is asked about once a second, not at each task."""
    now, cpus, asked = [0.0], [1.0], []

    def ask() -> float:
        asked.append(now[0])
        return cpus[0]

    bound = Bound(None, ask, clock=lambda: now[0])
    assert bound.now() == 4
    cpus[0] = 17.0
    now[0] = 0.5
    assert bound.now() == 4
    now[0] = 1.0
    assert bound.now() == 68
    assert asked == [0.0, 1.0]


def test_a_cluster_without_a_cpu_is_given_some_tasks() -> None:
    """An autoscaler starts nodes only for tasks that wait for one."""
    assert Bound(None, lambda: 0.0).now() == 4


def test_a_cluster_that_does_not_answer_stays_as_large() -> None:
    """The head node may be restarting."""
    now, answers = [0.0], [8.0]
    bound = Bound(None, answers.pop, clock=lambda: now[0])
    assert bound.now() == 32
    now[0] = 5.0
    assert bound.now() == 32


def test_a_bound_that_is_given_stays() -> None:
    """The cluster is not asked."""

    def ask() -> float:
        raise AssertionError

    assert Bound(3, ask).now() == 3
    with pytest.raises(ValueError, match="max_in_flight=0"):
        Bound(0, ask)


# --- how long ---


def test_a_block_that_takes_too_long_is_interrupted() -> None:
    """By an exception that says how long it may take; what was set before is set again."""
    before = signal.getsignal(signal.SIGALRM)
    started = time.monotonic()
    with pytest.raises(TaskTimeout, match=r"longer than 0\.2 s"), TimeLimit(0.2).applied():
        time.sleep(30)
    assert time.monotonic() - started < 10
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_block_in_time_is_left_alone() -> None:
    """Neither during nor after it does a signal come."""
    with TimeLimit(0.2).applied():
        pass
    time.sleep(0.3)
    with TimeLimit().applied():
        pass


def test_a_block_that_holds_the_gil_ends_its_process() -> None:
    """A call into C that does not come back is ended with its process, when it is time for that."""
    program = (
        "import raytracker.mapping.policy as p\n"
        "p.GRACE_SECONDS = 0.5\n"
        "with p.TimeLimit(0.1).applied():\n"
        "    sum(range(10**11))\n"  # one call
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_is_more_than_nothing(seconds: float) -> None:
    """The message names it."""
    with pytest.raises(ValueError, match=f"timeout={seconds}"):
        TimeLimit(seconds)


# --- how often ---


@pytest.mark.parametrize(
    ("most", "exceptions", "attempt", "over"),
    [
        (3, False, 0, True),
        (3, None, 0, True),
        (3, True, 2, False),
        (3, True, 3, True),
        (0, True, 0, True),
        (-1, True, 1000, False),
        (3, [ValueError], 0, False),
        (3, [KeyError], 0, True),
        (3, (KeyError, ValueError), 3, True),
    ],
)
def test_which_attempt_is_the_last(
    most: int, exceptions: bool | list[type[Exception]] | None, attempt: int, over: bool
) -> None:
    """As Ray has it: only what `retry_exceptions` names is tried again, `max_retries` times."""
    assert Retries.of(most, exceptions).are_over(ValueError("bad"), attempt) == over


# --- how much may fail ---


def ledger_of(regions: list[int], outcomes: bytes) -> Ledger:
    ledger = Ledger(Layout.of(regions))
    ledger.merge([(0, outcomes)], {})
    return ledger


def test_errors_of_the_ledger_are_tolerated_up_to_a_count() -> None:
    """Regions, or tiles where those are mapped; whoever reported them, and whenever."""
    ledger = ledger_of([2, 2, 1], ERROR + RETURNED + ERROR + ERROR + SUCCESS)  # 2 regions, 3 tiles
    assert not Tolerance(2).is_exceeded(ledger, of_tiles=False)
    assert Tolerance(1).is_exceeded(ledger, of_tiles=False)
    assert not Tolerance(3).is_exceeded(ledger, of_tiles=True)
    assert Tolerance(2).is_exceeded(ledger, of_tiles=True)


def test_errors_of_the_ledger_are_tolerated_up_to_a_percentage() -> None:
    """Of the image's tiles, whatever is mapped."""
    ledger = ledger_of([2, 2, 1], ERROR + RETURNED + ERROR + ERROR + SUCCESS)
    for of_tiles in (False, True):
        assert not Tolerance(None, 60).is_exceeded(ledger, of_tiles=of_tiles)
        assert Tolerance(None, 59.9).is_exceeded(ledger, of_tiles=of_tiles)
        assert Tolerance(5, 59.9).is_exceeded(ledger, of_tiles=of_tiles)
    assert not Tolerance()


@pytest.mark.parametrize(
    ("tolerance", "text"),
    [
        (Tolerance(2), "2 regions"),
        (Tolerance(None, 20), "20 % of the tiles"),
        (Tolerance(2, 20), "2 regions and 20 % of the tiles"),
    ],
)
def test_limits_are_told_in_words(tolerance: Tolerance, text: str) -> None:
    """Those that there are."""
    assert tolerance.text(of_tiles=False) == text


def test_limits_out_of_range_are_refused() -> None:
    """The message names the limit and its value."""
    with pytest.raises(ValueError, match="tolerated_failure_count=-1"):
        Tolerance(-1)
    with pytest.raises(ValueError, match="tolerated_failure_percentage=101"):
        Tolerance(None, 101)

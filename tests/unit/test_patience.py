"""How long a request to the table is repeated, and waited for."""

from __future__ import annotations

import threading
import time

import pytest

from raytracker.errors import TableUnavailable
from raytracker.run.patience import in_time


def test_a_read_that_is_never_answered_is_not_waited_for() -> None:
    """A connection that swallows all takes seconds to give up."""
    released = threading.Event()
    began = time.monotonic()
    with pytest.raises(TableUnavailable, match=r"did not answer within 0\.2 s"):
        in_time(lambda: released.wait(10), 0.2)
    assert time.monotonic() - began < 1
    released.set()


def test_a_read_is_repeated_and_its_failure_told() -> None:
    """What DynamoDB said last, once the time is over; the answer, if it comes before."""

    def away() -> None:
        raise TableUnavailable("nobody listens")

    with pytest.raises(TableUnavailable, match="nobody listens"):
        in_time(away, 0.3)
    answers = iter([TableUnavailable("busy"), "there"])

    def read() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert in_time(read, 5) == "there"


def test_another_error_is_raised_as_it_is() -> None:
    """No such table, say."""
    with pytest.raises(ZeroDivisionError):
        in_time(lambda: 1 // 0, 5)

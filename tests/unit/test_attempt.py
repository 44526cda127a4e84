"""What a task tells while it runs, and what it fails with."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from raytracker.actor import Spec
from raytracker.errors import TaskFailed
from raytracker.job_table import JobTable
from raytracker.ledger import ERROR, SUCCESS, Outcomes, reason_of
from raytracker.mapping import attempt
from raytracker.mapping.failure import cause_of, check_result, portable

SPEC = Spec("scene", "run", JobTable("jobs", region_name="us-east-1"))


def test_successes_are_passed_on_and_errors_kept() -> None:
    """An error of an attempt is nothing yet; what was told goes back whole."""
    with attempt.running(SPEC) as this:
        assert not this.has_told
        assert this.add([(3, SUCCESS + ERROR + SUCCESS), (9, ERROR)], {4: "clouds", 9: "haze"}) == [
            (3, SUCCESS + b"\0" + SUCCESS)
        ]
        assert this.has_told
        spans, reasons = this.errors()
        assert [Outcomes(spans)[tile] for tile in (3, 4, 5, 9)] == [0, *ERROR, 0, *ERROR]
        assert reasons == {4: "clouds", 9: "haze"}
        spans, reasons = this.told()
        assert [Outcomes(spans)[tile] for tile in (3, 4, 9)] == [*SUCCESS, *ERROR, *ERROR]
        assert reasons == {4: "clouds", 9: "haze"}


def test_a_success_takes_an_error_back() -> None:
    """Within the attempt, too: then no error is left."""
    with attempt.running(SPEC) as this:
        this.add([(3, ERROR)], {3: "clouds"})
        assert this.add([(3, SUCCESS)], {}) == [(3, SUCCESS)]
        assert not Outcomes(this.errors()[0])


def test_an_attempt_is_of_one_run() -> None:
    """Another image's reports, and those after it, have nothing to do with it."""
    other = Spec("another", "run", SPEC.table)
    with attempt.running(SPEC) as this:
        assert attempt.current(Spec("scene", "run", SPEC.table)) is this
        assert attempt.current(other) is None
    assert attempt.current(SPEC) is None


class TwoArguments(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class NoPickle(Exception):
    def __reduce__(self) -> str:
        raise RuntimeError("no pickle")


class Locked(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TwoArguments("this", "that"), "TwoArguments: this and that"),
        (NoPickle("bad"), "NoPickle: bad"),
        (Locked("bad"), "Locked: bad"),
        (NoText("bad"), reason_of(NoText("bad"))),
    ],
)
def test_an_exception_that_does_not_travel_is_told_in_words(error: Exception, reason: str) -> None:
    """Type and text go on; so does where it was raised."""
    try:
        raise error
    except Exception as err:
        sent = portable(err)
    assert (type(sent), str(sent)) == (TaskFailed, reason)
    assert sent.__traceback__ is error.__traceback__


def test_an_exception_that_travels_is_left_alone() -> None:
    """Itself, not a copy."""
    error = ValueError("bad")
    assert portable(error) is error


def test_a_cause_is_found_under_its_wrapping() -> None:
    """Ray wraps what a task raises, once for each task that it goes through."""

    class Wrapping(Exception):
        cause: object = None

    inner, outer, error = Wrapping(), Wrapping(), ValueError("bad")
    outer.cause, inner.cause = inner, error
    assert cause_of(outer) is error
    assert cause_of(error) is error


async def coroutine() -> None: ...


async def async_generator() -> object:  # type: ignore[misc]
    yield


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: (n for n in [1]), "a generator"),
        (async_generator, "a generator"),
        (coroutine, "a coroutine"),
    ],
)
def test_the_promise_of_a_result_is_none(make: Callable[[], object], kind: str) -> None:
    """What has not run has done nothing."""
    result = make()
    with pytest.raises(TypeError, match=f"returned {kind}"):
        check_result(result)
    if kind == "a coroutine":
        result.close()  # type: ignore[attr-defined]
    check_result([1, 2])

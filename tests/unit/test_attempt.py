"""What a task tells while it runs, and what it fails with."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from ray import exceptions as rays

from raytracker.actor import Spec
from raytracker.errors import TaskFailed, TaskTimeout
from raytracker.job_table import JobTable
from raytracker.ledger import ERROR, SUCCESS, Outcomes, class_of, reason_of
from raytracker.mapping import attempt
from raytracker.mapping.failure import cause_of, check_result, failed_by, portable

SPEC = Spec("scene", "run", JobTable("jobs", region_name="us-east-1"))


def test_successes_are_passed_on_and_errors_kept() -> None:
    """An error of an attempt is nothing yet; what was told goes back whole."""
    with attempt.running(SPEC) as this:
        assert not this.has_told
        assert this.add([(3, SUCCESS + ERROR + SUCCESS), (9, ERROR)], {4: "clouds", 9: "haze"}) == [
            (3, SUCCESS + b"\0" + SUCCESS)
        ]
        assert this.has_told
        spans, reasons, _ = this.errors()
        assert [Outcomes(spans)[tile] for tile in (3, 4, 5, 9)] == [0, *ERROR, 0, *ERROR]
        assert reasons == {4: "clouds", 9: "haze"}
        spans, reasons, _ = this.told()
        assert [Outcomes(spans)[tile] for tile in (3, 4, 9)] == [*SUCCESS, *ERROR, *ERROR]
        assert reasons == {4: "clouds", 9: "haze"}


def test_the_classes_of_errors_go_back_as_well() -> None:
    """Of all of them, not of the first hundred; a success has none to pass on."""
    with attempt.running(SPEC) as this:
        for tile in range(300):
            this.add([(tile, ERROR)], {tile: "clouds"}, [(tile, ERROR, "clouds")])
        assert this.errors()[2] == ((0, ERROR * 300, "clouds"),)
        assert this.told()[2] == this.errors()[2]
        assert this.successes()[2] == ()


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (rays.OutOfMemoryError("the node ran low"), "out of memory"),
        (rays.WorkerCrashedError(), "worker died"),
        (rays.ActorDiedError(), "worker died"),
        (rays.RayActorError(error_msg="The actor died because its node has died."), "node lost"),
        (rays.NodeDiedError("gone"), "node lost"),
        (rays.TaskCancelledError(), "cancelled"),
        (TaskTimeout("longer than 1 s"), "TaskTimeout"),
        (ValueError("no"), "ValueError"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), "OutOfMemoryError"),
    ],
)
def test_what_no_task_can_say_has_a_word_for_a_class(error: Exception, name: str) -> None:
    """Ray's own errors, with their name behind it; anything else is of its type's class."""
    reason = failed_by(error)
    assert class_of(reason) == name
    assert reason_of(error)[:20] in reason


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

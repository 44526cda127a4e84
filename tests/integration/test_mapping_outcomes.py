"""What `map_unordered` counts: what tasks told, what they failed with, and that they returned."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import ray

from raytracker import ImageTracker, JobTable, Outcome
from raytracker.actor import find
from raytracker.errors import TaskFailed
from raytracker.ledger import ERROR, RETURNED, SUCCESS
from tests.support.jobs import counts

pytestmark = pytest.mark.usefixtures("ray_cluster")


def tell_own_tiles(tracker: ImageTracker, region: int) -> None:
    if region == 0:
        one = threading.Thread(target=tracker.report, args=(0, True, "clouds"), kwargs={"tile": 2})
        one.start()
        one.join()
    if region == 1:
        try:
            with tracker.tile(1, 0):
                raise ValueError("swallowed by the task")
        except ValueError:
            pass
    if region == 2:
        tracker.report(2, tile=0)
        tracker.report(2, tile=1, error=True, reason="haze")
        raise RuntimeError("after two tiles")


def test_a_task_may_report_its_own_tiles(job_table: JobTable) -> None:
    """What it said itself counts, also an error that it swallowed; returning settles the rest."""
    tracker = ImageTracker.start("scene", regions=[4, 4, 4], table=job_table)
    process = ray.remote(tell_own_tiles)
    for _ in tracker.map_unordered(process, ((r, (tracker, r)) for r in range(3))):
        pass
    assert counts(tracker.wait(30)) == (3, 0, 3)
    assert tracker.tile_outcomes() == b"".join(
        [
            *(RETURNED, RETURNED, ERROR, RETURNED),
            *(ERROR, RETURNED, RETURNED, RETURNED),
            *(SUCCESS, ERROR, ERROR, ERROR),
        ]
    )
    assert tracker.failed() == {0: "clouds", 1: "ValueError: swallowed by the task", 2: "haze"}


def test_a_task_may_report_tiles_of_others(job_table: JobTable) -> None:
    """An error of another key's tile is an error there, whatever that key's own task returns."""
    tracker = ImageTracker.start("scene", regions=[2, 2], table=job_table)

    @ray.remote
    def process(tracker: ImageTracker, region: int) -> None:
        if region == 0:
            tracker.report(1, error=True, reason="a shadow", tile=1)

    for _ in tracker.map_unordered(process, ((r, (tracker, r)) for r in range(2))):
        pass
    assert counts(tracker.wait(30)) == (2, 1, 1)
    assert tracker.failed() == {1: "a shadow"}


def test_an_attempt_that_is_repeated_has_said_nothing(job_table: JobTable, tmp_path: Path) -> None:
    """Errors that it told are forgotten; successes stay; only the last attempt's errors count."""
    tracker = ImageTracker.start("scene", regions=[3, 3, 3], table=job_table)

    @ray.remote(max_retries=1, retry_exceptions=[KeyError])
    def process(tracker: ImageTracker, region: int, path: Path) -> None:
        first = not path.exists()
        path.touch()
        if first:
            tracker.report(region, tile=0)
            tracker.report(region, tile=1, error=True, reason="at first")
            with tracker.tile(region, 2):
                raise KeyError("at first")
        if region:
            tracker.report(2, tile=1, error=True, reason="at last")
        if region == 1:
            raise KeyError("at last")

    items = ((r, (tracker, r, tmp_path / str(r))) for r in range(2))
    errors = {key: error for key, _, error in tracker.map_unordered(process, items)}
    assert errors[0] is None
    assert isinstance(errors[1], KeyError)
    assert tracker.outcomes() == [Outcome.SUCCESS, Outcome.ERROR, Outcome.PENDING]
    assert tracker.tile_outcomes() == b"".join(
        [SUCCESS, RETURNED, RETURNED, SUCCESS, ERROR, ERROR, b"\0", ERROR, b"\0"]
    )
    assert tracker.failed() == {1: "KeyError: 'at last'"}
    assert tracker.ledger().reasons()[7] == "at last"


def test_an_exception_that_is_not_repeated_ends_its_task(job_table: JobTable) -> None:
    """Where `retry_exceptions` names others, or nothing, what its attempt told counts."""
    tracker = ImageTracker.start("scene", regions=[2, 2, 2], table=job_table)

    def process(tracker: ImageTracker, region: int) -> None:
        tracker.report(2, tile=region, error=True, reason=f"by {region}")
        raise KeyError(region)

    for region, options in enumerate([{}, {"retry_exceptions": [ValueError]}]):
        remote = ray.remote(process).options(max_retries=5, **options)
        for _ in tracker.map_unordered(remote, [(region, (tracker, region))]):
            pass
    assert counts(tracker.wait(30)) == (3, 0, 3)
    assert tracker.failed()[2] == "by 0"


def test_an_error_of_a_nested_task_outranks_the_return(job_table: JobTable) -> None:
    """The task that waited for it returns, and knows nothing of it."""
    tracker = ImageTracker.start("scene", regions=[2, 2], table=job_table)

    @ray.remote(num_cpus=0)
    def tile(tracker: ImageTracker, region: int, tile: int) -> None:
        tracker.report(region, error=bool(region), reason="bad" if region else None, tile=tile)

    @ray.remote
    def process(tracker: ImageTracker, region: int) -> None:
        ray.get([tile.remote(tracker, region, number) for number in range(2)])

    for _ in tracker.map_unordered(process, ((r, (tracker, r)) for r in range(2))):
        pass
    assert counts(tracker.wait(30)) == (2, 1, 1)
    assert tracker.failed() == {1: "bad"}


@pytest.mark.parametrize("way", ["reported", "raised"])
def test_an_error_told_last_is_not_outrun_by_the_return(job_table: JobTable, way: str) -> None:
    """By one quick report after another; or in a block, of which Ray has to be asked."""
    tracker = ImageTracker.start("scene", regions=[3], table=job_table)

    @ray.remote(num_cpus=0)
    def tiles(tracker: ImageTracker) -> None:
        tracker.report(0, tile=0)
        if way == "reported":
            tracker.report(0, tile=1, error=True, reason="bad")
            return
        with tracker.tile(0, 1):
            raise ValueError("bad")

    @ray.remote
    def process(tracker: ImageTracker) -> None:
        with suppress(ValueError):
            ray.get(tiles.remote(tracker))

    list(tracker.map_unordered(process, [(0, (tracker,))]))
    assert counts(tracker.wait(60)) == (1, 0, 1)
    assert "bad" in tracker.failed()[0]


def numbers() -> Iterator[int]:
    yield 1


async def later() -> None: ...


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: (n for n in [1]), "the task returned a generator"),
        (numbers, "the task returned a generator"),
        (later, "the task returned a coroutine"),
        (threading.Lock, "cannot pickle '_thread.lock' object"),
    ],
)
def test_a_result_that_is_none_is_an_error(
    job_table: JobTable, make: Callable[[], Any], reason: str
) -> None:
    """For the consumer and in the ledger alike, in words."""
    tracker = ImageTracker.start("scene", regions=1, table=job_table)

    @ray.remote
    def process() -> Any:
        return make()

    [(key, result, error)] = tracker.map_unordered(process, [(0, ())])
    assert (key, result) == (0, None)
    assert isinstance(error, TypeError)
    assert reason in str(error)
    assert counts(tracker.wait(30)) == (1, 0, 1)
    assert reason in tracker.failed()[0]


def test_a_result_that_does_not_unpack_here_is_an_error_of_the_consumer(
    job_table: JobTable,
) -> None:
    """The task did what it should, and its region is a success."""
    tracker = ImageTracker.start("scene", regions=1, table=job_table)

    @ray.remote
    def process() -> Any:
        class OnlyHere:
            def __reduce__(self) -> Any:
                return int, ("no number",)

        return OnlyHere()

    [(_, result, error)] = tracker.map_unordered(process, [(0, ())])
    assert result is None
    assert "no number" in str(error)
    assert counts(tracker.wait(30)) == (1, 1, 0)


class TwoArguments(Exception):
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class OnlyThere(Exception):
    """Unpacks in the process that packed it, as one whose module the driver lacks."""

    def __reduce__(self) -> Any:
        return unpack_in, (os.getpid(), str(self))


def unpack_in(pid: int, text: str) -> OnlyThere:
    if os.getpid() != pid:
        raise ModuleNotFoundError("somebody's")
    return OnlyThere(text)


def test_exceptions_that_do_not_travel_have_a_reason(job_table: JobTable) -> None:
    """Of whatever kind; others come to the consumer as they were raised."""
    tracker = ImageTracker.start("scene", regions=4, table=job_table)
    reasons = "TwoArguments: this and that", "NoText: ", "OnlyThere: there", "ValueError: as it was"

    @ray.remote
    def process(region: int) -> None:
        if region == 0:
            raise TwoArguments("this", "that")
        raise (NoText(), OnlyThere("there"), ValueError("as it was"))[region - 1]

    errors = {k: e for k, _, e in tracker.map_unordered(process, ((r, (r,)) for r in range(4)))}
    assert [type(errors[r]) for r in range(4)] == [*[TaskFailed] * 3, ValueError]
    assert counts(tracker.wait(30)) == (4, 0, 4)
    for region, text in enumerate(reasons):
        assert text in tracker.failed()[region]


def test_a_failure_by_a_nested_task_names_what_that_raised(job_table: JobTable) -> None:
    """Not the first line of Ray's traceback of it."""
    tracker = ImageTracker.start("scene", regions=1, table=job_table)

    @ray.remote(num_cpus=0)
    def nested() -> None:
        raise ValueError("deep down")

    @ray.remote
    def process() -> None:
        ray.get(nested.remote())

    [(_, _, error)] = tracker.map_unordered(process, [(0, ())])
    assert type(error) is ValueError
    tracker.wait(30)
    assert tracker.failed() == {0: "ValueError: deep down"}


def test_a_killed_worker_is_an_error_of_its_region(job_table: JobTable) -> None:
    """What a task cannot report, the driver does; with the class of all tiles of its region."""
    tracker = ImageTracker.start("scene", regions=[1, 2, 1], table=job_table)

    @ray.remote(max_retries=0)
    def process(region: int) -> None:
        if region == 1:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)

    errors = {k: e for k, _, e in tracker.map_unordered(process, ((r, (r,)) for r in range(3)))}
    assert type(errors[1]).__name__ == "WorkerCrashedError"
    assert counts(tracker.wait(30)) == (3, 2, 1)
    assert "WorkerCrashedError" in tracker.failed()[1]
    assert tracker.ledger().classes_of_failed() == ["worker died"] * 2


def test_the_driver_reports_what_a_worker_could_not_send(job_table: JobTable) -> None:
    """A worker that is cut off from the actor after its task: the result brings its reports."""
    tracker = ImageTracker.start("scene", regions=[2, 2], table=job_table)

    @ray.remote(max_calls=1)  # a process of its own, which ends with the task
    def process(tracker: ImageTracker, region: int) -> None:
        from raytracker.reporter.sending import Parcel, Sender

        Sender.dispatch = lambda *args: Parcel(received=True)  # type: ignore[method-assign]
        if region:
            tracker.report(1, error=True, reason="clouds", tile=1)

    list(tracker.map_unordered(process, ((r, (tracker, r)) for r in range(2))))
    assert counts(tracker.wait(30)) == (2, 1, 1)
    assert tracker.failed() == {1: "clouds"}


def test_the_driver_is_told_what_a_task_told_before_it_failed(job_table: JobTable) -> None:
    """The exception brings it, whatever became of the worker and of the actor that it told."""
    tracker = ImageTracker.start("scene", regions=[2, 2], table=job_table)

    @ray.remote(max_calls=1, max_retries=0)
    def process(tracker: ImageTracker, region: int) -> None:
        from raytracker.reporter.sending import Parcel, Sender

        Sender.dispatch = lambda *args: Parcel(received=True)  # type: ignore[method-assign]
        tracker.report(region, tile=0)
        raise ValueError("after one tile") if region else Unpackable("after one tile")

    errors = [
        err for *_, err in tracker.map_unordered(process, ((r, (tracker, r)) for r in (0, 1)))
    ]
    assert sorted(type(err).__name__ for err in errors) == ["TaskFailed", "ValueError"]
    assert all(not vars(err) for err in errors)  # nothing of it is left for the consumer
    tracker.wait(30)
    assert tracker.tile_outcomes() == (SUCCESS + ERROR) * 2


class Unpackable(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("not to be packed")


def test_the_driver_holds_what_the_actor_knows_until_it_is_durable(job_table: JobTable) -> None:
    """The workers have gone, and the actor dies before its flush: then the driver alone knows."""
    tracker = ImageTracker.start("scene", regions=4, table=job_table, flush_interval=60)

    @ray.remote
    def process(tracker: ImageTracker, region: int) -> int:
        tracker.report(region)
        tracker.progress()  # now the actor has it
        return os.getpid()

    items = ((r, (tracker, r)) for r in range(3))
    workers = {pid for _, pid, _ in tracker.map_unordered(process, items)}
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    ray.kill(find(tracker._run.spec), no_restart=False)
    tracker.report(3)  # not before: a settled image is flushed at once
    assert counts(tracker.wait(30)) == (4, 4, 0)


def test_what_a_failed_attempt_told_is_held_by_its_worker(job_table: JobTable) -> None:
    """The driver did not get it, and the actor dies before its flush."""
    tracker = ImageTracker.start("scene", regions=[2], table=job_table, flush_interval=60)

    @ray.remote(max_retries=0)
    def process(tracker: ImageTracker) -> None:
        tracker.report(0, tile=0)
        tracker.progress()  # now the actor has it
        ray.kill(find(tracker._run.spec), no_restart=False)
        assert tracker.progress().tile_success == 1  # the next one has it again
        raise ValueError("after one tile")

    for _ in tracker.map_unordered(process, [(0, (tracker,))]):
        pass
    tracker.wait(30)
    assert tracker.tile_outcomes() == SUCCESS + ERROR

"""What runs in Ray's workers: tasks and methods that sleep, report, fail, and note what they do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ray

from raytracker import ImageTracker
from tests.chaos.journal import ERROR, RETURNED, SUCCESS, Journal
from tests.chaos.plan import Key, Task


class Broken(Exception):
    """What a failing attempt raises; the text tells whose it was."""


def mapped(tracker: ImageTracker, journal: Journal, label: str, task: Task, retries: int) -> None:
    """A task of `map_unordered`: it may report some tiles itself, the tracker does the rest."""
    journal.note("begin", dict.fromkeys(task.numbers, ERROR))
    time.sleep(task.seconds / 2)
    attempt = _attempt()
    raises = attempt < task.failures
    is_repeated = raises and attempt < retries  # then its errors are nothing yet
    untold = dict.fromkeys(task.numbers, RETURNED)
    for tile, failed in task.inside:
        number = task.numbers[tile]
        del untold[number]
        if failed:
            reason = f"{label}: tile {number} inside"
            if not is_repeated:
                journal.note("may", {number: ERROR}, reason)
            tracker.report(task.key, tile=tile, error=True, reason=reason)
        else:
            with _noted(journal, {number: SUCCESS}):
                tracker.report(task.key, tile=tile)
    time.sleep(task.seconds / 2)
    if raises:
        error = _broken(label, task)
        if not is_repeated:
            journal.note("may", dict.fromkeys(task.numbers, ERROR), reason_of(error))
        raise error
    if untold:
        journal.note("may", untold)


def reporting(
    tracker: ImageTracker, journal: Journal, label: str, task: Task, retries: int
) -> None:
    """A task that reports its tiles itself, and is nobody else's business."""
    journal.note("begin", dict.fromkeys(task.numbers, ERROR))
    time.sleep(task.seconds)
    _report(tracker, journal, label, task, _attempt(), retries)
    if task.flushes:
        failed = {task.numbers[tile] for tile, failed in task.inside if failed}
        tracker.flush(40)
        succeeded = dict.fromkeys({*task.numbers} - failed, SUCCESS)
        if succeeded:
            journal.note("durable", succeeded)


class Hand:
    """A user's actor, sync or threaded."""

    def work(self, tracker: ImageTracker, journal: Journal, label: str, task: Task) -> None:
        """Does what `reporting` does."""
        journal.note("begin", dict.fromkeys(task.numbers, ERROR))
        time.sleep(task.seconds)
        _report(tracker, journal, label, task, 0, 0)


class AsyncHand:
    """A user's actor whose methods run on an event loop."""

    async def work(self, tracker: ImageTracker, journal: Journal, label: str, task: Task) -> None:
        """Does what `reporting` does."""
        journal.note("begin", dict.fromkeys(task.numbers, ERROR))
        await asyncio.sleep(task.seconds)
        _report(tracker, journal, label, task, 0, 0)


def _report(
    tracker: ImageTracker, journal: Journal, label: str, task: Task, attempt: int, retries: int
) -> None:
    """Reports the tiles of a task, and raises where this attempt at it fails."""
    raises = attempt < task.failures
    counts = not raises or attempt >= retries  # an error, that is: else another attempt comes
    left = dict.fromkeys(task.numbers, SUCCESS)
    for tile, failed in task.inside:
        number = task.numbers[tile]
        del left[number]
        error = Broken(f"{label}: tile {number} inside") if failed else None
        with suppress(Broken):
            _watched(tracker, journal, (task.key, tile), [number], error, counts)
    if raises:
        _watched(tracker, journal, task.key, task.numbers, _broken(label, task), counts)
    elif not task.inside:
        _watched(tracker, journal, task.key, task.numbers, None)
    elif left:
        with _noted(journal, left):
            for number in left:
                tracker.report(task.key, tile=task.numbers.index(number))


def _watched(
    tracker: ImageTracker,
    journal: Journal,
    key: Any,
    numbers: Sequence[int],
    error: Broken | None,
    counts: bool = True,
) -> None:
    """Has the tracker watch a block that ends, or raises the error."""
    outcomes = dict.fromkeys(numbers, ERROR if error else SUCCESS)
    watching = tracker.tile(*key) if isinstance(key, tuple) else tracker.region(key)
    with _noted(journal, outcomes, error and reason_of(error), counts or not error), watching:
        if error:
            raise error


def reason_of(error: BaseException) -> str:
    """Returns the reason that a tracker is to give for an exception."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def key_arguments(key: Key) -> dict[str, int]:
    """Returns a key as the arguments of `report`."""
    return {"region": key[0], "tile": key[1]} if isinstance(key, tuple) else {"region": key}


@contextmanager
def _noted(
    journal: Journal, outcomes: Mapping[int, int], reason: str | None = None, counts: bool = True
) -> Iterator[None]:
    """Notes before the block that these are about to be reported, and after it that they were."""
    if counts:
        journal.note("may", outcomes, reason)
    try:
        yield
    finally:
        if counts:
            journal.note("told", outcomes, reason)


def _broken(label: str, task: Task) -> Broken:
    return Broken(f"{label}: {task.key} does not work")


def _attempt() -> int:
    worker = ray.get_runtime_context().worker
    return worker.core_worker.get_current_task_attempt_number()

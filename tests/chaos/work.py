"""What runs in Ray's workers: tasks that sleep, report, fail, and note what they do."""

from __future__ import annotations

import time

import ray

from raytracker import ImageTracker
from tests.chaos.journal import ERROR, SUCCESS, Journal
from tests.chaos.plan import Key, Task


class Broken(Exception):
    """What a failing attempt raises; the text tells whose it was."""


def mapped(tracker: ImageTracker, journal: Journal, label: str, task: Task) -> None:
    """A task of `map_unordered`: it may report some tiles itself, the tracker does the rest."""
    journal.note("begin", dict.fromkeys(task.numbers, ERROR))
    time.sleep(task.seconds / 2)
    untold = dict.fromkeys(task.numbers, SUCCESS)
    for tile, failed in task.inside:
        number = task.numbers[tile]
        del untold[number]
        outcome, reason = (ERROR, f"{label}: tile {number} inside") if failed else (SUCCESS, None)
        journal.note("may", {number: outcome}, reason)
        tracker.report(task.key, tile=tile, error=failed, reason=reason)
        journal.note("told", {number: outcome}, reason)
    time.sleep(task.seconds / 2)
    if _attempt() < task.failures:
        error = _broken(label, task)
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
    if isinstance(task.key, tuple):
        watching = tracker.tile(*task.key, retries=retries)
    else:
        watching = tracker.region(task.key, retries=retries)
    attempt = _attempt()
    outcomes, error = dict.fromkeys(task.numbers, SUCCESS), None
    if attempt < task.failures:
        outcomes, error = dict.fromkeys(task.numbers, ERROR), _broken(label, task)
    reason = None if error is None else reason_of(error)
    if error is None or attempt >= retries:
        journal.note("may", outcomes, reason)
    try:
        with watching:
            if error:
                raise error
    finally:
        if error is None or attempt >= retries:
            journal.note("told", outcomes, reason)
    if task.flushes:
        tracker.flush(40)
        journal.note("durable", outcomes, reason)


def reason_of(error: BaseException) -> str:
    """Returns the reason that a tracker is to give for an exception."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def key_arguments(key: Key) -> dict[str, int]:
    """Returns a key as the arguments of `report`."""
    return {"region": key[0], "tile": key[1]} if isinstance(key, tuple) else {"region": key}


def _broken(label: str, task: Task) -> Broken:
    return Broken(f"{label}: {task.key} does not work")


def _attempt() -> int:
    worker = ray.get_runtime_context().worker
    return worker.core_worker.get_current_task_attempt_number()

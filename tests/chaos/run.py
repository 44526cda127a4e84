"""One run of one image, driven to its end in one of three ways, with a journal of what it told."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import ray

from raytracker import ImageTracker, JobItem
from raytracker.errors import JobVanished, TrackerSuperseded
from tests.chaos.journal import ERROR, SUCCESS, Journal, Known
from tests.chaos.plan import ALWAYS, Task, Work, tasks_for
from tests.chaos.scanner import Scanner
from tests.chaos.work import key_arguments, mapped, reason_of, reporting

FLUSH_SECONDS = 90
WAIT_SECONDS = 90
SETTLE_SECONDS = 1.0


class Run:
    """A tracker, the work that it tracks, and the journal of it.

    Args:
        tracker: Of the run.
        work: What is to be done.
        label: Tells this run's reasons from another's.
        folder: Where the journal is.
        scanner: Is told what `flush` confirmed; None in another process.

    Attributes:
        job: What `wait` returned, once the run has ended.
        refused: What told its driver that another run has taken over, or that the item is gone.
        failure: Any other exception.
    """

    def __init__(
        self,
        tracker: ImageTracker,
        work: Work,
        label: str,
        folder: Path,
        scanner: Scanner | None = None,
    ) -> None:
        self.tracker = tracker
        self.work = work
        self.label = label
        self.journal = Journal(folder / f"{tracker.image_id}.{label}.journal")
        self.job: JobItem | None = None
        self.refused: Exception | None = None
        self.failure: BaseException | None = None
        self._scanner = scanner
        self._unconfirmed: dict[int, int] = {}
        self._thread = threading.Thread(target=self._drive, daemon=True)

    def start(self) -> None:
        """Drives it in the background."""
        self._thread.start()

    def join(self) -> None:
        """Waits until it is done; an exception that it should not meet is raised."""
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self.failure:
            raise self.failure

    def drive(self) -> None:
        """Drives it until the image has ended, or the tracker is refused."""
        self._drive()
        self._raise()

    def _drive(self) -> None:
        try:
            {"map": self._map, "tasks": self._tasks, "driver": self._report}[self.work.mode]()
            self.job = self.tracker.wait(WAIT_SECONDS)
        except (TrackerSuperseded, JobVanished) as err:
            self.refused = err
        except BaseException as err:
            self.failure = err

    def known(self, killed: Collection[int]) -> Known:
        """Returns what the journal tells."""
        return Known.of(self.journal, self.work.tile_count, killed)

    def _options(self) -> dict[str, Any]:
        work = self.work
        return {
            "num_cpus": 1,
            "max_retries": work.max_retries,
            "retry_exceptions": work.retry_exceptions,
            "scheduling_strategy": "SPREAD",
        }

    def _map(self) -> None:
        function = ray.remote(mapped).options(**self._options())
        tasks = {task.key: task for task in self.work.tasks}
        items = (
            (key, (self.tracker, self.journal, self.label, task)) for key, task in tasks.items()
        )
        results = self.tracker.map_unordered(function, items)
        for done, (key, _, error) in enumerate(results, 1):
            self._told(tasks[key], error)
            if done % self.work.flush_every == 0:
                self._flush()

    def _tasks(self) -> None:
        """Runs tasks that report, and again those whose report died with their worker."""
        waiting = list(self.work.tasks)
        retries = self.work.max_retries if self.work.retry_exceptions else 0
        function = ray.remote(reporting).options(**self._options())
        while waiting:
            running = {
                function.remote(self.tracker, self.journal, self.label, task, retries): task
                for task in waiting
            }
            while running:
                [reference], _ = ray.wait(list(running))
                task = running.pop(reference)
                try:
                    ray.get(reference)
                except Exception as err:
                    self._tell_error(task, err)
            self._flush()
            waiting = self._pending()

    def _pending(self) -> list[Task]:
        """Returns tasks for the tiles that stay pending, once living workers have had their say."""
        end = time.monotonic() + SETTLE_SECONDS
        while (pending := self.tracker.pending_tiles()) and time.monotonic() < end:
            time.sleep(0.05)
        failing = {n for task in self.work.tasks if task.failures == ALWAYS for n in task.numbers}
        tasks = tasks_for(random.Random(0), self.work.sizes, pending, failing=0.0, seconds=0.1)
        return [
            Task(t.key, t.numbers, t.seconds, ALWAYS if failing & {*t.numbers} else 0)
            for t in tasks
        ]

    def _report(self) -> None:
        """Reports from the driver itself."""
        for done, task in enumerate(self.work.tasks, 1):
            time.sleep(task.seconds / 4)
            if task.failures == ALWAYS:
                self._tell_error(task, RuntimeError(f"{self.label}: {task.key} was no good"))
            else:
                outcomes = dict.fromkeys(task.numbers, SUCCESS)
                self.journal.note("may", outcomes)
                self.tracker.report(**key_arguments(task.key))
                self.journal.note("told", outcomes)
                self._unconfirmed |= outcomes
            if done % self.work.flush_every == 0:
                self._flush()

    def _tell_error(self, task: Task, error: Exception) -> None:
        if isinstance(cause := getattr(error, "cause", error), (TrackerSuperseded, JobVanished)):
            raise cause
        reason, outcomes = reason_of(cause), dict.fromkeys(task.numbers, ERROR)
        self.journal.note("may", outcomes, reason)
        self.tracker.report(**key_arguments(task.key), error=True, reason=reason)
        self.journal.note("told", outcomes, reason)
        self._unconfirmed |= outcomes

    def _told(self, task: Task, error: BaseException | None) -> None:
        """Notes what `map_unordered` has reported of a task."""
        if error is not None:
            outcomes = dict.fromkeys(task.numbers, ERROR)
            self.journal.note("told", outcomes, reason_of(error))
        else:
            outcomes = dict.fromkeys(task.numbers, SUCCESS)
            outcomes |= {task.numbers[t]: ERROR for t, failed in task.inside if failed}
            self.journal.note("told", outcomes)
        self._unconfirmed |= outcomes

    def _flush(self) -> None:
        self.tracker.flush(FLUSH_SECONDS)
        if self._scanner:
            self._scanner.confirm(self.tracker.image_id, self.tracker.run, self._unconfirmed)
        self._unconfirmed = {}

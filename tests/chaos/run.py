"""One run of one image, driven to its end as its work says, with a journal of what it told."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

import ray

from raytracker import ImageTracker, JobItem
from raytracker.errors import JobVanished, TableError, TrackerSuperseded
from raytracker.mapping.failure import failed_by
from tests.chaos import hands
from tests.chaos.draw import tasks_for
from tests.chaos.journal import ERROR, RETURNED, SUCCESS, Journal, Known
from tests.chaos.killer import Killer
from tests.chaos.plan import ALWAYS, Task, Work
from tests.chaos.scanner import Scanner
from tests.chaos.work import key_arguments, mapped, reason_of

FLUSH_SECONDS = 90
WAIT_SECONDS = 90
SETTLE_SECONDS = 1.0
OWED_SECONDS = 45.0  # Ray is asked of errors that another attempt may better; that takes seconds
RENEWAL_SECONDS = 20.0

T = TypeVar("T")


class Lost(Exception):
    """Outcomes that no process which died had to tell, and that nobody has told."""


class Left(Exception):
    """The driver is to leave in mid-run."""


class Run:
    """A tracker, the work that it tracks, and the journal of it.

    Args:
        tracker: Of the run.
        work: What is to be done.
        label: Tells this run's reasons from another's.
        folder: Where the journal is.
        scanner: Is told what `flush` confirmed; None in another process.
        killer: Knows who was killed; None in another process.
        leave_after: So many results; then `drive` raises Left. None: it goes to the end.

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
        killer: Killer | None = None,
        leave_after: int | None = None,
    ) -> None:
        self.tracker = tracker
        self.work = work
        self.label = label
        self.journal = Journal(folder / f"{tracker.image_id}.{label}.journal")
        self.job: JobItem | None = None
        self.refused: Exception | None = None
        self.failure: BaseException | None = None
        self._scanner = scanner
        self._killer = killer
        self._leave_after = leave_after
        self._results = 0
        self._unconfirmed: dict[int, int] = {}
        self._thread = threading.Thread(target=self._drive, daemon=True)

    @property
    def name(self) -> str:
        """Its tracker's run."""
        return self.tracker.run

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
            {"map": self._map, "driver": self._report}.get(self.work.mode, self._tasks)()
            self.job = renewing(lambda: self.tracker.wait(WAIT_SECONDS))
        except (TrackerSuperseded, JobVanished) as err:
            self.refused = err
        except BaseException as err:
            self.failure = err

    def known(self, closed: float | None = None) -> Known:
        """Returns what the journal tells.

        Args:
            closed: When the image ended, in seconds since the epoch.
        """
        return Known.of(self.journal, self.work.tile_count, self._may_have_died, closed)

    def _may_have_died(self, process: Sequence[int]) -> bool:
        """Whether what a process told may have been lost with it.

        Whoever ends in order has told the image's actor; so it may be lost with that one.
        """
        if self._killer is None or self._killer.has_killed(process):
            return True
        ends = self.work.mode in ("ending", "actors") and process[0] != os.getpid()
        return ends and self._killer.actors > 0

    def _map(self) -> None:
        function = ray.remote(**hands.options(self.work))(mapped)
        tasks = {task.key: task for task in self.work.tasks}
        items = (
            (key, (self.tracker, self.journal, self.label, task, self.work.retries))
            for key, task in tasks.items()
        )
        for key, _, error in self.tracker.map_unordered(function, items):
            self._told(tasks[key], error)
            self._taken()

    def _tasks(self) -> None:
        """Has tasks or actors report, and runs again those whose report died with them."""
        waiting = list(self.work.tasks)
        while waiting:
            arguments = (self.tracker, self.journal, self.label)
            for task, error in hands.done(self.work, waiting, *arguments):
                if error:
                    self._tell_error(task, error)
                else:
                    self.journal.note("taken", dict.fromkeys(task.numbers, SUCCESS))
                self._taken()
            self.flush()
            waiting = self._lost()

    def _lost(self) -> list[Task]:
        """Returns tasks for what stays pending, once all had their say who live or ended in order.

        Raises:
            Lost: Nobody died who had to tell it.
        """
        began = time.monotonic()
        while pending := renewing(self.tracker.pending_tiles):
            told = self.journal.best("told", lambda process: not self._may_have_died(process))
            firsts = [0, *accumulate(self.work.sizes)]
            owed = [(r, t) for r, t in pending if firsts[r] + t in told]
            if time.monotonic() - began > (OWED_SECONDS if owed else SETTLE_SECONDS):
                if owed:
                    raise Lost(f"{owed} were told by processes that nobody killed, and are pending")
                break
            time.sleep(0.05)
        failing = {n for task in self.work.tasks if task.failures == ALWAYS for n in task.numbers}
        tasks = tasks_for(random.Random(0), self.work.sizes, pending, failing=0.0, seconds=0.1)
        return [
            Task(t.key, t.numbers, t.seconds, ALWAYS if failing & {*t.numbers} else 0)
            for t in tasks
        ]

    def _report(self) -> None:
        """Reports from the driver itself."""
        for task in self.work.tasks:
            time.sleep(task.seconds / 4)
            if task.failures == ALWAYS:
                self._tell_error(task, RuntimeError(f"{self.label}: {task.key} was no good"))
            else:
                outcomes = dict.fromkeys(task.numbers, SUCCESS)
                self.journal.note("may", outcomes)
                self.tracker.report(**key_arguments(task.key))
                self.journal.note("told", outcomes)
                self._unconfirmed |= outcomes
            self._taken()

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
            self.journal.note("told", outcomes, failed_by(error))
        else:
            outcomes = dict.fromkeys(task.numbers, RETURNED)
            outcomes |= {task.numbers[t]: ERROR if bad else SUCCESS for t, bad in task.inside}
            self.journal.note("told", outcomes)
        self._unconfirmed |= outcomes

    def _taken(self) -> None:
        """Counts a result: now and then it is flushed, and at one the driver may have to leave."""
        self._results += 1
        if self._results % self.work.flush_every == 0:
            self.flush()
        if self._results == self._leave_after:
            raise Left

    def flush(self) -> None:
        """Has all that was reported made durable, and notes that it is."""
        renewing(lambda: self.tracker.flush(FLUSH_SECONDS))
        if self._unconfirmed:
            self.journal.note("durable", self._unconfirmed)
        if self._scanner:
            self._scanner.confirm(self.tracker.image_id, self.tracker.run, self._unconfirmed)
        self._unconfirmed = {}


def renewing(call: Callable[[], T]) -> T:
    """Returns what a call returns; makes it again while the table refuses the credentials.

    Somebody is about to renew them; nothing else is done about it.
    """
    end = time.monotonic() + RENEWAL_SECONDS
    while True:
        try:
            return call()
        except TableError as err:
            if "credentials" not in str(err) or time.monotonic() > end:
                raise
        time.sleep(0.2)

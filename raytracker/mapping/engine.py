"""Tasks in bounded number, and what became of each: one engine, whoever drives it.

A driver drives it with two threads: one that draws items and submits their tasks, one that takes
what has finished. In a worker the thread that waits does both in turn: only while it is in Ray's
own `get` or `wait` does Ray give its CPU to the tasks that it waits for.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import ray

from ..errors import JobStopped, RayNotInitialized
from ..ledger import ERROR, RETURNED, Ledger, Outcomes, Span, reason_of
from ..ray_runtime import cluster, is_connected
from ..run import Run, end_early
from .failure import cause_of
from .policy import ASK_SECONDS, GRACE_SECONDS, Bound, Tolerance
from .task import Given, Item, Key, Task

STOP_SECONDS = 30.0
LEAVE_POLL_SECONDS = 0.1
SLOW_SECONDS = 0.05  # an item that takes longer to draw holds other things up


class Finished(NamedTuple):
    """A task that has finished.

    Attributes:
        key: Its item's key.
        result: A reference of what it returned; None if it failed.
        error: What it failed with, or None.
    """

    key: Key
    result: Any
    error: BaseException | None


class Engine:
    """Submits tasks, takes what has finished, and reports it.

    It reports what a task cannot: that its worker was killed, ran out of memory or was lost with
    its node; that it returned, once Ray holds the result. And once more what the task told itself,
    because a worker may be killed before its own report is durable.

    Args:
        run: The run whose tiles the items are.
        task: What submits the task of an item.
        items: As `ImageTracker.map_unordered` takes them.
        bound: How many tasks may be submitted and not finished.
        tolerance: How much may fail.

    Attributes:
        finished: What has finished, in that order; at the end None, or what ended it early.
    """

    def __init__(
        self, run: Run, task: Task, items: Iterable[Given], bound: Bound, tolerance: Tolerance
    ) -> None:
        self.finished: queue.SimpleQueue[Finished | BaseException | None] = queue.SimpleQueue()
        self._run = run
        self._task = task
        self._items: Iterator[Given] = iter(items)
        self._bound = bound
        self._failures = _Failures(run, tolerance)
        self._cluster = cluster()
        self._changed = threading.Condition()
        self.leaves = threading.Event()  # this process ends, and Ray with it
        self._ended = threading.Event()
        self._in_flight: dict[Any, tuple[Item, Any]] = {}  # by what it told: item, result
        self._more = True  # items may come
        self._items_error: BaseException | None = None
        self._taking = threading.Lock()  # several threads of a worker may wait
        run.maps.append(self)

    @property
    def under_way(self) -> bool:
        """Whether anything is still to come."""
        return not self._ended.is_set()

    @property
    def in_flight(self) -> int:
        """How many tasks are submitted and not taken."""
        return len(self._in_flight)

    def end(self, error: BaseException | None = None) -> None:
        """Submits and takes no more; the consumer is told the error."""
        with self._changed:
            if self._ended.is_set():
                return
            self._ended.set()
            self._changed.notify_all()
        self._run.maps.remove(self)
        self.finished.put(error)

    def cancel(self) -> None:
        """Cancels what is left of an ended one; ends the workers of what does not come to Python.

        That may take some seconds, but not once `leaves` is set.
        """
        left = list(self._in_flight)
        for force in (False, True):
            if not left or not is_connected():
                return
            for told in left:
                ray.cancel(told, force=force)
            left = self._left_of(left)

    def _left_of(self, cancelled: list[Any]) -> list[Any]:
        """Waits for what was cancelled; returns what does not end."""
        left, deadline = cancelled, time.monotonic() + GRACE_SECONDS
        while left and time.monotonic() < deadline:
            if self.leaves.is_set():
                return []
            ended, left = ray.wait(
                left, num_returns=len(left), timeout=LEAVE_POLL_SECONDS, fetch_local=False
            )
            _answers([*ended, *(self._in_flight[told][1] for told in ended)])
        return left

    def pump(self, seconds: float) -> None:
        """Submits what may be, and takes what has finished; waits so long for that, at most."""
        while self._wants_items and self._has_room():
            started = time.monotonic()
            self._submit()
            if time.monotonic() - started > SLOW_SECONDS:
                seconds = 0.0  # there is room for more, but see to what finished meanwhile
                break
        self.take(seconds)

    # --- drawing and submitting ---

    def feed(self) -> None:
        """Draws items and submits their tasks until there are none: the life of a thread."""
        try:
            while self._wants_items:
                if self._has_room():
                    self._submit()
                else:
                    with self._changed:
                        self._changed.wait_for(
                            lambda: self._has_room() or not self._wants_items, ASK_SECONDS
                        )
        except BaseException as err:  # of an iterator that raises whatever it likes
            self._has_drawn_all(err)

    @property
    def _wants_items(self) -> bool:
        return self._more and not self._ended.is_set()

    def _has_room(self) -> bool:
        return self.in_flight < self._bound.now()

    def _submit(self) -> None:
        """Draws an item and submits its task."""
        try:
            item = Item.of(next(self._items), self._run.layout)
            if self._ended.is_set():
                return
            self._check_cluster()
            told, result = self._task.submit(item)
        except StopIteration:
            self._has_drawn_all(None)
        except Exception as err:
            self._has_drawn_all(err)
        else:
            with self._changed:
                self._in_flight[told] = item, result
                self._changed.notify_all()
            if self._ended.is_set():
                ray.cancel(told)

    def _has_drawn_all(self, error: BaseException | None) -> None:
        with self._changed:
            self._more, self._items_error = False, error
            self._changed.notify_all()

    def _check_cluster(self) -> None:
        if cluster() != self._cluster:  # or Ray would start another by itself
            raise RayNotInitialized("the cluster of these tasks has gone")

    # --- taking ---

    def take(self, seconds: float) -> bool:
        """Takes what has finished; waits so long for it, at most. Returns whether anything had."""
        with self._taking:
            if self._ended.is_set():
                return False
            try:
                self._check_cluster()
                ready = self._ready(seconds)
                if ready:
                    self._take(ready)
                elif not (self._more or self._in_flight):
                    self.end(self._items_error)
            except Exception as err:
                self.end(err)
        return bool(ready)

    def _ready(self, seconds: float) -> list[Any]:
        with self._changed:
            if not self._in_flight:
                self._changed.wait_for(lambda: self._in_flight or not self._wants_items, seconds)
            in_flight = list(self._in_flight)
        if not in_flight:
            return []
        # What tasks told is small and comes with their end; their results stay where they are.
        ready, _ = ray.wait(in_flight, timeout=seconds, fetch_local=False)
        if ready:  # and whatever else is by now
            ready, _ = ray.wait(in_flight, num_returns=len(in_flight), timeout=0, fetch_local=False)
        return ready

    def _take(self, ready: list[Any]) -> None:
        spans: list[Span] = []
        reasons: dict[int, str] = {}
        finished: list[Finished] = []
        for told, answer in zip(ready, _answers(ready), strict=True):
            item, result = self._in_flight[told]
            first, count = item.tiles.start, len(item.tiles)
            if isinstance(answer, BaseException):
                _answers([result])  # or Ray logs it as an error that nobody looked at
                error = cause_of(answer)
                spans.append((first, ERROR * count))
                reasons[first] = reason_of(error)
                finished.append(Finished(item.key, None, error))
            else:
                its_spans, its_reasons = answer or ((), {})
                untold = Outcomes(its_spans).untold(first, RETURNED * count)
                spans += [*its_spans, (first, untold)]
                reasons.update(its_reasons)
                finished.append(Finished(item.key, result, None))
            self._failures.of_tiles |= isinstance(item.key, tuple)
        self._run.report(spans, reasons, wait=False)
        with self._changed:
            for told in ready:
                del self._in_flight[told]
            self._changed.notify_all()
        for one in finished:
            self.finished.put(one)
        if self._failures.are_too_many(spans):
            raise self._stopped()

    def _stopped(self) -> JobStopped:
        """Ends the job as it stands, durably; returns what the consumer is told."""
        for told in list(self._in_flight):
            ray.cancel(told)
        end_early(self._run, "STOPPED", STOP_SECONDS)
        return self._failures.stopped()


class _Failures:
    """What failed of the image, in this run and before it, as far as this process knows."""

    def __init__(self, run: Run, tolerance: Tolerance) -> None:
        self.of_tiles = False  # whether tiles are mapped, not regions
        self._run = run
        self._tolerance = tolerance
        self._ledger = Ledger(run.layout) if tolerance else None
        self._knows_earlier = False

    def are_too_many(self, spans: Sequence[Span]) -> bool:
        """Whether they are more than is tolerated, with what is told now."""
        ledger = self._ledger
        if ledger is None:
            return False
        ledger.merge(spans, {})
        if ledger.tile_error and not self._knows_earlier:
            status = self._run.status()
            if status is not None and status.progress is not None:  # else it would wait for that
                ledger.merge([(0, self._run.ledger().tile_outcomes())], {})
                self._knows_earlier = True
        return self._tolerance.is_exceeded(ledger, of_tiles=self.of_tiles)

    def stopped(self) -> JobStopped:
        """Returns what says so."""
        ledger = self._ledger
        assert ledger is not None
        layout = ledger.layout
        return JobStopped(
            f"image {self._run.image_id!r} was stopped: {ledger.region_error} of its "
            f"{layout.region_count} regions and {ledger.tile_error} of its {layout.tile_count} "
            f"tiles failed; tolerated are {self._tolerance.text(of_tiles=self.of_tiles)}"
        )


def _answers(ready: list[Any]) -> list[Any]:
    """Returns what each of these references holds, or the exception that stands in its place."""
    with suppress(Exception):
        return list(ray.get(ready))  # all at once is quicker
    return [_answer(one) for one in ready]


def _answer(ready: Any) -> Any:
    try:
        return ray.get(ready)
    except Exception as err:
        return err

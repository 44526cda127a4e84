"""Tasks in bounded number, and what became of each: one engine, whoever drives it.

A driver drives it with two threads: one that draws items and submits their tasks, one that takes
what has finished. In a worker the thread that waits does both in turn: only while it is in Ray's
own `get` or `wait` does Ray give its CPU to the tasks that it waits for.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from math import inf
from typing import Any

from ..errors import JobStopped, RayNotInitialized
from ..ledger import ClassSpan, Ledger, Span
from ..ray_runtime import cluster, holding_connection, in_worker
from ..run import Run, end_early
from .answers import Answers, Called, Waited, look_at
from .policy import ASK_SECONDS, GRACE_SECONDS, Bound, Tolerance
from .source import Finished, Source

STOP_SECONDS = 30.0
LEAVE_POLL_SECONDS = 0.5
SLOW_SECONDS = 0.05  # an item that takes longer to draw holds other things up


class Engine:
    """Submits tasks, takes what has finished, and reports it.

    It reports what a task cannot: that its worker was killed, ran out of memory or was lost with
    its node; that it returned, once Ray holds the result. And once more what the task told itself,
    because a worker may be killed before its own report is durable.

    Args:
        run: The run whose tiles they are for.
        source: Where tasks come from, and what their answers mean.
        bound: How many tasks may be submitted and not finished; None: the source says so.
        tolerance: How much may fail.

    Attributes:
        finished: What has finished, in that order; at the end None, or what ended it early.
    """

    def __init__(self, run: Run, source: Source, bound: Bound | None, tolerance: Tolerance) -> None:
        self.finished: queue.SimpleQueue[Finished | BaseException | None] = queue.SimpleQueue()
        self._run = run
        self._source = source
        self._bound = bound
        self._failures = _Failures(run, tolerance)
        self._cluster = cluster()
        self._answers: Answers = Waited() if in_worker() else Called()
        self._freed: queue.SimpleQueue[None] = queue.SimpleQueue()  # something each time; quick
        self._ending = threading.Lock()
        self._ended = False
        self._in_flight: dict[Any, tuple[Any, Any]] = {}  # by what it told: item, result
        self._more = True  # items may come
        self._items_error: BaseException | None = None
        self._pumping = threading.Lock()  # several threads of a worker may wait
        source.wake = self._has_freed
        run.maps.append(self)

    @property
    def under_way(self) -> bool:
        """Whether anything is still to come."""
        return not self._ended

    @property
    def trouble(self) -> str | None:
        """Why nothing goes on at present, or None."""
        return self._source.trouble

    @property
    def in_flight(self) -> int:
        """How many tasks are submitted and not taken."""
        return len(self._in_flight)

    def end(self, error: BaseException | None = None) -> None:
        """Submits and takes no more; the consumer is told the error."""
        with self._ending:
            if self._ended:
                return
            self._ended = True
        self._run.maps.remove(self)
        self._source.close()
        self._has_freed()
        self._answers.wake()
        self.finished.put(error)

    def cancel(self) -> None:
        """Cancels what is left of an ended one; ends the workers of what does not come to Python.

        That takes as long as they do, but no longer than the connection.
        """
        with suppress(RayNotInitialized):
            for seconds in (GRACE_SECONDS, inf):
                with self._connected():
                    for told, (item, _) in self._in_flight.items():
                        self._source.cancel(item, told, force=seconds == inf)
                deadline = time.monotonic() + seconds
                while self._awaited and time.monotonic() < deadline:
                    ended = self._answers.get(LEAVE_POLL_SECONDS)
                    with self._connected():
                        for told, answer in ended.items():
                            item, result = self._in_flight.pop(told)
                            self._source.left(item, answer)
                            if isinstance(answer, BaseException) and result is not None:
                                look_at(result)

    @property
    def _awaited(self) -> bool:
        """Whether there are answers that must be seen, also when nothing more is wanted."""
        return any(self._source.is_awaited(item) for item, _ in list(self._in_flight.values()))

    def pump(self, seconds: float) -> None:
        """Submits what may be, and takes what has finished; waits so long for that, at most."""
        with self._pumping:
            while self._wants_items and self._has_room():
                started = time.monotonic()
                if not self._submit():
                    break
                if time.monotonic() - started > SLOW_SECONDS:
                    seconds = 0.0  # there is room for more, but see to what finished meanwhile
                    break
            self.take(seconds)

    # --- drawing and submitting ---

    def feed(self) -> None:
        """Draws items and submits their tasks until there are none: the life of a thread."""
        try:
            while self._wants_items:
                if not (self._has_room() and self._submit()):
                    with suppress(queue.Empty):
                        self._freed.get(timeout=ASK_SECONDS)
        except BaseException as err:  # of an iterator that raises whatever it likes
            self._has_drawn_all(err)

    def _has_freed(self) -> None:
        """There may be room for an item; tells it to `feed`."""
        if self._freed.empty():
            self._freed.put(None)

    @property
    def _wants_items(self) -> bool:
        return self._more and not self._ended

    def _has_room(self) -> bool:
        return self._bound is None or self.in_flight < self._bound.now()

    def _submit(self) -> bool:
        """Draws an item and submits its task; returns whether there was one."""
        try:
            item = self._source.next()
            if item is None:
                return False
            with self._connected():
                if not self._ended:
                    told, result = self._source.submit(item)
                    self._in_flight[told] = item, result
                    self._answers.expect(told)
        except StopIteration:
            self._has_drawn_all(None)
        except Exception as err:
            self._has_drawn_all(err)
        return True

    def _has_drawn_all(self, error: BaseException | None) -> None:
        self._items_error = error
        self._more = False
        self._answers.wake()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """The block runs while the connection of these tasks stands, and that stays meanwhile."""
        with holding_connection():
            if cluster() != self._cluster:  # or Ray would start another by itself
                raise RayNotInitialized("the cluster of these tasks has gone")
            yield

    # --- taking ---

    def take(self, seconds: float) -> bool:
        """Takes what has finished; waits so long for it, at most. Returns whether anything had."""
        ready: dict[Any, Any] = {}
        if self._ended:
            return False
        try:
            ready = self._answers.get(seconds)
            if ready and not any(isinstance(each, BaseException) for each in ready.values()):
                spans = self._take(ready)  # that takes no Ray
            else:
                with self._connected():
                    spans = self._take(ready)
            if self._failures.are_too_many(spans):
                raise self._stopped()
            if not (self._more or self._awaited):
                self.end(self._items_error)
        except Exception as err:
            self.end(err)
        return bool(ready)

    def _take(self, ready: Mapping[Any, Any]) -> list[Span]:
        """Reports what has finished, and hands it on; returns what became of its tiles."""
        spans: list[Span] = []
        reasons: dict[int, str] = {}
        classes: list[ClassSpan] = []
        finished: list[Finished] = []
        for told, answer in ready.items():
            item, result = self._in_flight[told]
            if isinstance(answer, BaseException) and result is not None:
                look_at(result)
            verdict = self._source.judge(item, answer, result)
            spans += verdict.spans
            reasons.update(verdict.reasons)
            classes += verdict.classes
            if verdict.finished is not None:
                finished.append(verdict.finished)
            self._failures.of_tiles |= verdict.of_tiles
        self._run.failing.note(reasons)
        try:
            if spans:
                self._run.report(spans, reasons, classes, wait=False)
        finally:
            for told in ready:
                del self._in_flight[told]
            self._has_freed()
        for one in finished:
            self.finished.put(one)
        return spans

    def _stopped(self) -> JobStopped:
        """Ends the job as it stands, durably; returns what the consumer is told.

        What is in flight is cancelled as ever, once that is done: a cancel that meets a task which
        Ray is about to hand to a worker ends this process with Ray's words.
        """
        self._more = False
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

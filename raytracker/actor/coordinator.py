"""One image in one process: its ledger, the claim on its item, and the flushes.

The coordinator knows the job table but not Ray. Whoever hosts it calls `report`, `status`, `end`
and `resolve` from anywhere (they never wait for DynamoDB), and `step` from one thread at a time,
whenever `due` says so. Time is passed in, so that tests can simulate it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from functools import partial

from ..errors import (
    JobEnded,
    JobVanished,
    LedgerError,
    RaytrackerError,
    TableUnavailable,
    TrackerSuperseded,
)
from ..events import Flushed
from ..job_table import KEEP_SECONDS, Flush, OwnerMoved, RunTable, latest_sign, ledger_of
from ..ledger import Ledger, encode_outcomes
from ..logs import about
from ..progress import Progress
from .early import Early
from .ending import Ending
from .messages import Ack, Batch, LedgerView, Status, Tentative, ended_late
from .news import News
from .pacing import Clock, Pacing, Rate, Steady
from .signs import Signs
from .tentatives import Tentatives
from .trouble import Trouble

logger = logging.getLogger(__name__)


class Coordinator:
    """Collects the outcomes of one image and makes them durable.

    Args:
        image_id: The image.
        run: The run it belongs to; another run in the item ends this coordinator.
        table: The job table.
        flush_interval: Seconds between flushes, at least.
        max_wcu_per_second: Write capacity that the flushes use, at most, on average.
        keep_for: Seconds that the item lives after its last write, which is repeated as long as
            the image has not ended; None: for ever.
        place: The node and process that this is, for people; empty: not told.
        clock: The module `time`, or a simulation of it.
        rng: Source of jitter; None: the module's.

    Attributes:
        owner: The owner as which it claims, and flushes.
        moved: Whether another process has claimed the image since.
        last_used: When somebody asked for the image, in monotonic seconds.
        news: Tells subscribers what becomes durable; never under the lock.
    """

    def __init__(
        self,
        image_id: str,
        run: str,
        table: RunTable,
        *,
        flush_interval: float = 1.0,
        max_wcu_per_second: float = 25.0,
        keep_for: int | None = KEEP_SECONDS,
        place: str = "",
        clock: Clock = time,
        rng: random.Random | None = None,
    ) -> None:
        self.image_id, self.run = image_id, run
        # One for each run, not for each process: a flush of an older run that the network held back
        # must not pass for one of the run that this process serves now.
        self.owner = uuid.uuid4().hex
        self.moved = False
        self.last_used = clock.monotonic()
        self.news = News(image_id, run)
        self._signs = Signs(self.last_used)
        self._table = table
        self._keep_for = keep_for
        self._clock = clock
        self._steady = Steady(clock)

        self._lock = threading.Lock()
        self._ledger: Ledger | None = None  # None until claimed
        self._early = Early()  # what came before that
        self._answers_as = self.owner
        # Marks: each report that told something new has a number.
        self._received = 0
        self._durable = 0  # of the last acknowledged flush
        self._urgent = self._sole = 0  # up to there it is to be flushed now, and soon
        self._tentatives = Tentatives()
        self._fault: RaytrackerError | None = None
        self._trouble = Trouble(image_id, place, clock, (rng or random).uniform, run)
        self._pacing = Pacing(flush_interval, max_wcu_per_second, keep_for, self.last_used)
        self._rate = Rate()

        self._ending = Ending(image_id)
        self._settled_durably = False
        self._start_time: int | None = None
        self._seq = 0

    # --- what reporters call; nothing here waits for the table ---

    def report(self, batch: Batch, *, urgent: bool = False) -> Ack:
        """Takes a batch, and says what of all that came before is durable.

        Args:
            batch: The outcomes; an empty one asks for the marks only.
            urgent: Flush now, not at the end of the interval.

        Raises:
            UnknownRegion: The image has no such tile.
        """
        with self._lock:
            now = self.last_used = self._clock.monotonic()
            self._signs.hear(now)
            ledger, ended = self._ledger, None
            fault = self._fault or self._ending.early(ledger)
            if fault is None and batch:
                if ledger is None:
                    self._early.add(batch)
                    self._received += 1
                else:
                    ended = self._take(ledger, batch)
            if urgent:
                self._urgent = self._received
                self._trouble.asked()
            due = self._due() if self._dirty() or ledger is None else None
            return Ack(
                self._answers_as,
                self._received,
                self._durable,
                ledger is not None and self._rate.ends_soon(now, ledger),
                0.0 if due is None else max(0.0, due - now),
                ended,
                fault,
                self._trouble.shown(),
                self._trouble.failures,
            )

    def heard(self) -> None:
        """Takes note that a process of the run lives."""
        with self._lock:
            self._signs.hear(self._clock.monotonic())

    def left(self) -> None:
        """Takes note that nobody goes on with the run."""
        with self._lock:
            self._signs.leave()

    def end(self, state: str | None) -> None:
        """Ends the job; `status` shows when that is durable. One that has ended stays as it is.

        Args:
            state: CANCELLED or STOPPED: as it stands. None: as its counts say, all being settled.

        Raises:
            RaytrackerError: It is to end as its counts say, and tiles are pending.
            TableUnavailable: The same, and the item is not claimed yet: ask again.
        """
        with self._lock:
            self.last_used = self._clock.monotonic()
            self._trouble.asked()
            if state is not None:
                self._ending.ask_early(state)
            elif self._ledger is not None:
                self._ending.ask(self._ledger)
            else:
                raise self._trouble.shown() or TableUnavailable(
                    f"image {self.image_id!r}: its item is not claimed yet"
                )

    def superseded(self, by: str) -> None:
        """Ends this run: the caller has given the item to another, and saw that acknowledged."""
        with self._lock:
            self._fault = self._fault or TrackerSuperseded(
                f"image {self.image_id!r} was taken over by run {by}; run {self.run} has ended"
            )

    def status(self) -> Status:
        """Returns how the image stands."""
        with self._lock:
            if not (self._fault or self._ending.durable):  # the item tells as much of an ended one
                self.last_used = self._clock.monotonic()
            self._trouble.asked()
            progress = None if self._ledger is None else self._progress(self._ledger)
            return Status(progress, self._fault, self._trouble.shown(), self._trouble.failures)

    def view(self) -> LedgerView:
        """Returns a copy of the ledger."""
        with self._lock:
            ledger, fault, trouble = self._ledger, self._fault, self._trouble.shown()
            if ledger is None:
                return LedgerView(None, {}, fault, trouble)
            tiles, reasons, classes = ledger.tile_outcomes(), ledger.reasons(), ledger.classes()
        encoded = encode_outcomes(ledger.layout, tiles)
        return LedgerView(encoded, reasons, fault, trouble, classes.encode(tiles))

    # --- what the host calls, of its own accord ---

    def tentative(self) -> list[Tentative]:
        """Returns the errors that may not be final: whether they are is to be found out."""
        with self._lock:
            return list(self._open_errors())

    def resolve(self, task: str, attempt: int, final: bool) -> None:
        """Has an attempt's errors count, or forgets them.

        Args:
            task: The task's id, as in `Tentative`.
            attempt: The attempt.
            final: Whether Ray does not repeat it.
        """
        with self._lock:
            errors = self._open_errors().take(task, attempt)
            if final and self._ledger is not None and not self._ending.closed:
                for error in errors:
                    self._take(self._ledger, error.final())
            if self._ledger is not None:
                self._see_open_errors(self._ledger)

    def due(self) -> float | None:
        """Returns the monotonic time, in seconds, at which `step` has something to do, or None."""
        with self._lock:
            return self._due()

    def step(self) -> None:
        """Claims the item, or flushes the ledger. Waits for the table; raises nothing."""
        try:
            if self._ledger is None:
                self._claim()
            else:
                self._flush(self._ledger)
        except (JobVanished, TrackerSuperseded, LedgerError) as err:
            with self._lock:
                self._fault = err
            self.news.failed(err, self._steady.time())
        except OwnerMoved:
            self.moved = True
        except Exception as err:
            if not isinstance(err, RaytrackerError):  # a defect of ours must not end the thread
                logger.exception("image %s", self.image_id, extra=about(self.image_id, self.run))
            with self._lock:
                self._trouble.failed(err)
            self.news.failed(err, self._steady.time())
        else:
            with self._lock:
                self._trouble.healed()
        self._trouble.log()

    @property
    def claimed(self) -> bool:
        """Whether the item has been claimed, and so what it holds is known."""
        with self._lock:
            return self._ledger is not None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: ended and durable, or ended by another run."""
        with self._lock:
            ended = self._ending.durable and self.news.outbox.is_empty
            return self.moved or self._fault is not None or ended

    @property
    def durable(self) -> bool:
        """Whether all that was received is durable."""
        with self._lock:
            return self._ledger is not None and not self._dirty()

    @property
    def idle(self) -> bool:
        """Whether all that was received is durable, and nothing of it is still to be found out."""
        with self._lock:
            return self._ledger is not None and not (self._dirty() or self._open_errors())

    # --- inside; all but claim and flush with the lock held ---

    def _claim(self) -> None:
        keep, now = self._keep_for, self._steady.time()
        job = self._table.claim(self.image_id, self.run, self.owner, keep_for=keep, now=now)
        ledger = ledger_of(job)
        self.news.claimed(job, ledger, now)
        with self._lock:
            self._ledger = ledger
            self._start_time = job.start_time
            self._steady.at_least(latest_sign(job))
            self._ending.claimed(job)
            self._settled_durably = ledger.settled
            self._pacing.claimed(self._clock.monotonic(), job.spent)
            before = self._received
            late = self._early.give(partial(self._take, ledger), self.image_id, ledger.layout)
            if any(late):
                self._answers_as = uuid.uuid4().hex  # have them come again, to be told so
            # Equal to what the item holds: then all that came before the claim is durable.
            self._durable = 0 if self._received > before else self._received

    def _flush(self, ledger: Ledger) -> None:
        with self._lock:
            now = max(int(self._steady.time() * 1000), self._start_time or 0)
            reports = self._received - self._durable
            if self._ending.close(ledger, now):
                self._received += 1  # what comes late must be held until this is durable
            # Mark, copy and counts under one lock: what is acknowledged is what was copied.
            mark = self._received
            settled, status = ledger.settled, self._ending.status(ledger)
            tiles, reasons, classes = ledger.tile_outcomes(), ledger.reasons(), ledger.classes()
            success, error = ledger.region_success, ledger.region_error
            state, end_time, ends = self._ending.state, self._ending.end_time, self._ending.closed
            until = now if end_time is None else end_time
            alive = None if ends else self._signs.until(now / 1000)
            self._seq += 1  # numbers this payload: a delayed older one cannot land on it
        flush = Flush(
            region_success=success,
            region_error=error,
            ledger=encode_outcomes(ledger.layout, tiles),
            errors=reasons,
            state=state,
            end_time=end_time,
            processing_duration=max(0, until - (self._start_time or until)) // 1000,
            expire_time=None if self._keep_for is None else int(now / 1000 + self._keep_for),
            alive_until=alive,
            spent=self._pacing.spent,
            outbox=self.news.flushing(tiles, end_time, now),
            classes=classes.encode(tiles),
        )
        started = self._clock.monotonic()
        wcu = self._table.flush(self.image_id, self.run, self.owner, self._seq, flush)
        with self._lock:
            self._durable = mark
            self._settled_durably, self._ending.durable = settled, ends
            self._signs.written(alive)
            self._pacing.flushed(started, wcu)
        seconds = self._clock.monotonic() - started
        told = Flushed(self.image_id, self.run, now, success, error, reports, seconds, wcu)
        self.news.flushed(tiles, flush, status, told)

    def _take(self, ledger: Ledger, batch: Batch) -> JobEnded | None:
        """Merges a batch, unless the ledger is closed; then returns what to answer to news."""
        if self._ending.closed:
            return ended_late(self.image_id) if ledger.is_news(batch.spans) else None
        for error in batch.tentative:
            ledger.layout.check(error.first, error.count)
        if ledger.merge(batch.spans, batch.reasons, batch.classes):
            self._received += 1
            self._rate.add(self._clock.monotonic(), ledger.tile_settled)
        for error in batch.tentative:
            self._tentatives.add(error)
        if batch.sole:
            self._sole = self._received
        self._see_open_errors(ledger)
        return None

    def _open_errors(self) -> Tentatives:
        if self._ending.closed or self._fault:
            self._tentatives.clear()
        elif self._ledger is not None:
            self._tentatives.forget_told(self._ledger)
        return self._tentatives

    def _see_open_errors(self, ledger: Ledger) -> None:
        # A task that swallowed another's error has returned, and so the tiles are settled.
        self._ending.is_open = ledger.settled and bool(self._tentatives and self._open_errors())

    def _due(self) -> float | None:
        if self._fault or self.moved:
            return None
        if self._ending.durable and not self.news.outbox.is_stale:
            return None
        if self._trouble.retry_at is not None:
            return self._trouble.retry_at
        ledger = self._ledger
        if ledger is None or self._ending.durable or self._ending.wanted(ledger):
            return self._pacing.last
        if self._urgent > self._durable or (ledger.settled and not self._settled_durably):
            return self._pacing.last
        times = [self._pacing.renewal, self._signs.due(self._pacing.last)]
        if self._received > self._durable:
            times.append(self._pacing.next(sole=self._sole > self._durable))
        return min((at for at in times if at is not None), default=None)

    def _dirty(self) -> bool:
        return self._received > self._durable or self._ending.wanted(self._ledger)

    def _progress(self, ledger: Ledger) -> Progress:
        trouble = self._trouble.shown()
        return Progress.of(
            ledger,
            status=self._ending.status(ledger),
            durable=not self._dirty(),
            tiles_per_second=self._rate.per_second(self._clock.monotonic(), ledger.tile_settled),
            ended_early=self._ending.state,
            trouble=str(trouble) if trouble else None,
        )

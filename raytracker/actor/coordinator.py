"""One image in one process: its ledger, the claim on its item, and the flushes.

The coordinator knows the job table but not Ray. Whoever hosts it calls `report`, `status` and
`end` from anywhere (they never wait for DynamoDB), and `step` from one thread at a time,
whenever `due` says so. Time is passed in, so that tests can simulate it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from ..errors import (
    JobCancelled,
    JobStopped,
    JobVanished,
    LedgerError,
    RaytrackerError,
    TableError,
    TableUnavailable,
    TrackerSuperseded,
)
from ..job_table import EXPIRY_SECONDS, Flush, JobItem, OwnerMoved, RunTable, ledger_of
from ..ledger import Ledger, Span, encode_outcomes, spans_of
from ..progress import Progress

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 4.0
REFUSED_RETRY_SECONDS = 30.0
RATE_WINDOW_SECONDS = 30.0
SOON_SECONDS = 1.0  # longer than a reporter's pause, so that each has learnt of it
SOON_TILES = 10


class Clock(Protocol):
    """What the coordinator needs of the module `time`."""

    def time(self) -> float:
        """Returns seconds since the epoch."""

    def monotonic(self) -> float:
        """Returns seconds that never go back."""


class Batch(NamedTuple):
    """Outcomes on their way to the actor, and reasons by tile number."""

    spans: Sequence[Span]
    reasons: Mapping[int, str]

    @classmethod
    def of(cls, outcomes: Mapping[int, int], reasons: Mapping[int, str]) -> Batch:
        """Returns the batch of these outcomes, by tile number."""
        return cls(list(spans_of(outcomes)), reasons)

    def __bool__(self) -> bool:
        return bool(self.spans or self.reasons)


class Ack(NamedTuple):
    """The answer to a report.

    Attributes:
        owner: The process that answers. When it changes, all that is not durable goes again.
        received: The mark of what this process has received, this report included.
        durable: The mark up to which that is in DynamoDB.
        ends_soon: Whether so few tiles are pending that the image may end within a moment.
        fault: Why this run takes no more reports, or None.
        trouble: Why nothing becomes durable at present, or None.
    """

    owner: str
    received: int
    durable: int
    ends_soon: bool
    fault: RaytrackerError | None
    trouble: RaytrackerError | None


def ended_early(image_id: str, state: str) -> RaytrackerError:
    """Returns what a report to a job that was cancelled or stopped raises."""
    if state == "STOPPED":
        return JobStopped(f"image {image_id!r} was stopped: too many of its tasks failed")
    return JobCancelled(f"image {image_id!r} was cancelled; it takes no more reports")


class Coordinator:
    """Collects the outcomes of one image and makes them durable.

    Args:
        image_id: The image.
        run: The run it belongs to; another run in the item ends this coordinator.
        table: The job table.
        flush_interval: Seconds between flushes, at least.
        max_wcu_per_second: Write capacity that the flushes use, at most, on average.
        clock: The module `time`, or a simulation of it.
        rng: Source of jitter; None: the module's.
    """

    def __init__(
        self,
        image_id: str,
        run: str,
        table: RunTable,
        *,
        flush_interval: float = 1.0,
        max_wcu_per_second: float = 25.0,
        clock: Clock = time,
        rng: random.Random | None = None,
    ) -> None:
        self.image_id = image_id
        self.run = run
        # One for each run that a process opens, not one for each process: a flush of an older run
        # that the network held back must not pass for one of the run that this process serves now.
        self.owner = uuid.uuid4().hex
        self._table = table
        self._flush_interval = flush_interval
        self._max_wcu_per_second = max_wcu_per_second
        self._clock = clock
        self._jitter = (rng or random).uniform

        self._lock = threading.Lock()
        self._ledger: Ledger | None = None  # None until claimed
        self._early: list[Batch] = []  # what came before that
        self._received = 0  # mark: rises with each report that told something new
        self._durable = 0  # mark of the last acknowledged flush
        self._state: str | None = None  # what the counts can't say
        self._ended_durably = False
        self._urgent = False
        self._end_as: str | None = None  # CANCELLED or STOPPED, once somebody wants that
        self._fault: RaytrackerError | None = None
        self._trouble: RaytrackerError | None = None
        self.moved = False

        self._seq = 0
        self._start_time: int | None = None
        self._end_time: int | None = None
        self._failures = 0
        self._not_before = clock.monotonic()
        self._last_write = self._not_before
        self._interval = flush_interval
        self._settled_at: deque[tuple[float, int]] = deque()
        self.last_used = self._not_before

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
            self.last_used = self._clock.monotonic()
            fault = self._fault or self._ended_early()
            if fault is None and batch:
                if self._ledger is None:
                    self._early.append(batch)
                    self._received += 1
                else:
                    self._merge(self._ledger, batch)
            self._urgent |= urgent and self._dirty()
            return Ack(
                self.owner,
                self._received,
                self._durable,
                self._ledger is not None and self._ends_soon(self._ledger),
                fault,
                self._trouble,
            )

    def end(self, state: str) -> None:
        """Ends the job as it stands, as CANCELLED or STOPPED; `status` shows when it is durable.

        A job that has ended stays as it is.
        """
        with self._lock:
            self.last_used = self._clock.monotonic()
            if not self._ended_durably:
                self._end_as = self._end_as or state

    def status(self) -> Progress | RaytrackerError:
        """Returns how far the image has come, or why that cannot be told.

        TableUnavailable, before the claim: ask again. Anything else ended this run, or keeps it
        from being claimed.
        """
        with self._lock:
            if self._fault:
                return self._fault
            if not self._ended_durably:  # of an ended image the item tells as much
                self.last_used = self._clock.monotonic()
            if self._ledger is None:
                return self._trouble or self._unclaimed()
            return self._progress(self._ledger)

    def view(self) -> tuple[bytes, dict[int, str]] | RaytrackerError:
        """Returns what `Ledger.decode` makes the ledger of, or an error as `status` does."""
        with self._lock:
            if self._fault:
                return self._fault
            if self._ledger is None:
                return self._trouble or self._unclaimed()
            layout, tiles = self._ledger.layout, self._ledger.tile_outcomes()
            reasons = self._ledger.reasons()
        return encode_outcomes(layout, tiles), reasons

    # --- what the host's thread calls ---

    def due(self) -> float | None:
        """Returns the monotonic time, in seconds, at which `step` has something to do, or None."""
        with self._lock:
            if self._fault or self.moved:
                return None
            if self._failures or self._ledger is None:
                return self._not_before
            if not self._dirty():
                if self._ended_durably:
                    return None
                return self._last_write + EXPIRY_SECONDS / 2  # or it would expire under us
            if self._urgent or self._wants_end():
                return self._not_before
            return self._last_write + self._interval

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
        except OwnerMoved:
            self.moved = True
        except TableUnavailable as err:
            logger.info("image %s: %s; trying again", self.image_id, err)
            backoff = FIRST_RETRY_SECONDS * 2 ** min(self._failures, 10)
            self._retry_in(min(LONGEST_RETRY_SECONDS, backoff), trouble=None)
        except TableError as err:
            self._retry_in(REFUSED_RETRY_SECONDS, trouble=err)
        except Exception as err:  # a defect of ours: show it, and keep the thread alive
            logger.exception("image %s", self.image_id)
            self._retry_in(
                REFUSED_RETRY_SECONDS, trouble=TableError(f"{type(err).__name__}: {err}")
            )
        else:
            with self._lock:
                self._failures = 0
                self._trouble = None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: ended and durable, or ended by another run."""
        with self._lock:
            return self.moved or self._fault is not None or self._ended_durably

    @property
    def idle(self) -> bool:
        """Whether all that was received is durable."""
        with self._lock:
            return self._ledger is not None and not self._dirty()

    # --- inside ---

    def _claim(self) -> None:
        job = self._table.claim(self.image_id, self.run, self.owner)
        ledger = ledger_of(job)
        with self._lock:
            self._ledger = ledger
            self._state = job.tracker_state
            self._start_time, self._end_time = job.start_time, job.end_time
            self._ended_durably = job.end_time is not None
            if self._ended_durably:
                self._end_as = None
            self._last_write = self._clock.monotonic()
            self._not_before = self._last_write
            changed = False
            if not self._state:
                for batch in self._early:
                    changed |= ledger.merge(batch.spans, batch.reasons)
            self._early.clear()
            # Equal to what the item holds: then all that came before the claim is durable.
            self._durable = 0 if changed else self._received

    def _flush(self, ledger: Ledger) -> None:
        with self._lock:
            # Mark, copy and counts under one lock: what is acknowledged is what was copied.
            mark = self._received
            tiles, reasons = ledger.tile_outcomes(), ledger.reasons()
            success, error = ledger.region_success, ledger.region_error
            if not ledger.settled:
                self._state = self._state or self._end_as
            ends = ledger.settled or self._state is not None
            now = int(self._clock.time() * 1000)
            if ends and self._end_time is None:
                self._end_time = now
            until = self._end_time if self._end_time is not None else now
            self._seq += 1  # numbers this payload: a delayed older one cannot land on it
            self._urgent = False
            flush = Flush(
                region_success=success,
                region_error=error,
                ledger=b"",
                errors=reasons,
                state=self._state,
                end_time=self._end_time,
                processing_duration=max(0, until - (self._start_time or until)) // 1000,
                expire_time=now // 1000 + EXPIRY_SECONDS,
            )
        encoded = encode_outcomes(ledger.layout, tiles)
        started = self._clock.monotonic()
        wcu = self._table.flush(
            self.image_id, self.run, self.owner, self._seq, flush._replace(ledger=encoded)
        )
        with self._lock:
            self._durable = mark
            self._urgent &= self._received > mark  # who asked meanwhile has what he asked for
            self._ended_durably = ends
            if ends:
                self._end_as = None
            self._last_write = started
            self._not_before = started
            self._interval = max(self._flush_interval, wcu / self._max_wcu_per_second)

    def _merge(self, ledger: Ledger, batch: Batch) -> None:
        if ledger.merge(batch.spans, batch.reasons):
            self._received += 1
            now = self._clock.monotonic()
            settled = ledger.tile_success + ledger.tile_error
            if not self._settled_at or now - self._settled_at[-1][0] > RATE_WINDOW_SECONDS / 60:
                self._settled_at.append((now, settled))
            while now - self._settled_at[0][0] > RATE_WINDOW_SECONDS:
                self._settled_at.popleft()

    def _dirty(self) -> bool:
        return self._received > self._durable or self._wants_end()

    def _wants_end(self) -> bool:
        ledger = self._ledger
        settled = ledger is not None and ledger.settled
        return (self._end_as is not None or settled) and not self._ended_durably

    def _ended_early(self) -> RaytrackerError | None:
        state = self._state or self._end_as
        return None if state is None else ended_early(self.image_id, state)

    def _unclaimed(self) -> RaytrackerError:
        return TableUnavailable(f"image {self.image_id!r}: its item is not claimed yet")

    def _retry_in(self, seconds: float, trouble: RaytrackerError | None) -> None:
        with self._lock:
            self._failures += 1
            self._trouble = trouble
            self._not_before = self._clock.monotonic() + seconds * self._jitter(0.5, 1.0)

    def _rate(self, ledger: Ledger) -> float:
        """Returns the tiles settled a second, of late."""
        if not self._settled_at:
            return 0.0
        since, before = self._settled_at[0]
        seconds = self._clock.monotonic() - since
        settled = ledger.tile_success + ledger.tile_error
        return (settled - before) / seconds if seconds > 0 else 0.0

    def _ends_soon(self, ledger: Ledger) -> bool:
        pending = ledger.layout.tile_count - ledger.tile_success - ledger.tile_error
        return pending <= max(SOON_TILES, self._rate(ledger) * SOON_SECONDS)

    def _progress(self, ledger: Ledger) -> Progress:
        counted = JobItem(
            image_id=self.image_id,
            region_count=ledger.layout.region_count,
            region_success=ledger.region_success,
            region_error=ledger.region_error,
            tracker_state=self._state,
        )
        return Progress.of(
            ledger,
            status=counted.status,
            durable=not self._dirty(),
            tiles_per_second=self._rate(ledger),
            ended_early=self._state,
            trouble=str(self._trouble) if self._trouble else None,
        )

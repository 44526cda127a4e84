"""Waiting for an image's end, noticing that it will not come, and bringing it about."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from ..actor import Status, ended_early
from ..errors import (
    ActorUnavailable,
    CredentialsRefused,
    ImageStalled,
    RaytrackerError,
    TableError,
    TableUnavailable,
    WaitTimeout,
)
from ..job_table import JobItem, ledger_of
from ..logs import about
from ..ray_runtime import in_worker, is_connected, what_runs
from .patience import START_SECONDS
from .posted import POST_SECONDS, posted
from .run import CALL_SECONDS, POLL_SECONDS, Run

logger = logging.getLogger(__name__)

TABLE_POLL_SECONDS = 1.0
FIRST_WARN_SECONDS, WARN_SECONDS = 8.0, 60.0
CERTAIN_STALL_SECONDS = 60.0
LOOK_SECONDS = 1.0
HINT_SECONDS = 0.5
GRACE_SECONDS = 10.0  # a renewal of credentials takes no longer


class Wait:
    """One `ImageTracker.wait`; the arguments are its."""

    def __init__(self, run: Run, timeout: float | None, stall_timeout: float | None) -> None:
        self._run = run
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._stall = Stall(run, stall_timeout)
        self._status: Status | None = None
        self._read_at = 0.0
        self._warn_at = time.monotonic() + FIRST_WARN_SECONDS
        self._refused_since: float | None = None
        self._away: TableUnavailable | None = None
        self._failures: int | None = None  # of the actor's requests, before this was asked

    def result(self) -> JobItem:
        """Waits; returns or raises what `ImageTracker.wait` does."""
        while True:
            self._status = self._run.ask("status", timeout=self._left(CALL_SECONDS))
            job = self._ended(self._status)
            if job is not None:
                if job.tracker_outbox and job.end_time is not None:
                    posted(self._run, self._left(POST_SECONDS))
                return job
            if self._left(1.0) <= 0:
                raise WaitTimeout(f"{self._missing()} after {self._timeout:g} s{self._why()}")
            self._warn()
            if self._stall.is_so(self._status):
                raise ImageStalled(
                    f"{self._missing()}; {self._stall.text}: resume it, or run these regions again"
                    f"{self._why()}"
                )
            self._pause()

    def _left(self, most: float) -> float:
        """Returns the seconds until the time-out, or `most` if that is less."""
        if self._deadline is None:
            return most
        return max(0.0, min(most, self._deadline - time.monotonic()))

    def _pause(self) -> None:
        # A worker's maps are driven on this thread, through Ray, which then sees that it waits.
        maps = list(self._run.maps) if is_connected() and in_worker() else []
        for one in maps:
            one.pump(POLL_SECONDS)
        if not maps:
            time.sleep(POLL_SECONDS)

    def _ended(self, status: Status | None) -> JobItem | None:
        if status is None:
            return self._ended_in_table()
        if status.fault:
            raise status.fault
        if self._failures is None:
            self._failures = status.failures
        if status.failures > self._failures or not status.trouble:  # it may have been mended
            self._check_refused(status.trouble)
        return self._item() if _is_over(status, self._run.spec.ends) else None

    def _check_refused(self, trouble: RaytrackerError | None) -> None:
        """Raises what DynamoDB refuses; credentials may be about to be renewed."""
        if not isinstance(trouble, TableError):
            self._refused_since = None
            return
        now = time.monotonic()
        self._refused_since = self._refused_since or now
        if not isinstance(trouble, CredentialsRefused) or now - self._refused_since > GRACE_SECONDS:
            raise trouble

    def _ended_in_table(self) -> JobItem | None:
        """Asks the item, which alone says how an image stands that no actor knows."""
        self._run.check_reachable()
        if time.monotonic() < self._read_at or self._left(1.0) <= 0:
            return None
        self._read_at = time.monotonic() + TABLE_POLL_SECONDS
        item = self._item()
        if item is None or item.end_time is not None:
            return item
        if ledger_of(item).settled:
            if not self._run.spec.ends:
                return item
            # A resume that read the item while tiles were pending takes the end away, even if the
            # run before has settled them meanwhile. Nobody has anything to report then.
            if is_connected() and item.tracker_ends is not False:
                with suppress(ActorUnavailable):  # it is tried again
                    self._run.ask("open", start=True, timeout=self._left(CALL_SECONDS))
        return None

    def _item(self) -> JobItem | None:
        """Returns the run's item; None where the table does not answer before the time-out."""
        try:
            item = self._run.read(self._left(START_SECONDS))
        except TableUnavailable as err:
            if self._left(1.0) > 0:
                raise
            self._away = err
            return None
        self._away = None
        return item

    def _why(self) -> str:
        """Returns what is wrong, as the end of a sentence."""
        if self._status is None:
            why = self._run.silence() or self._away
            return f" ({why})" if why else ""
        return f" ({self._status.trouble})" if self._status.trouble else ""

    def _warn(self) -> None:
        why = self._why()
        if why and time.monotonic() >= self._warn_at:
            self._warn_at = time.monotonic() + WARN_SECONDS
            extra = about(self._run.image_id, self._run.spec.run)
            logger.warning("image %s: waiting%s", self._run.image_id, why, extra=extra)

    def _missing(self) -> str:
        pending = self._run.pending(timeout=HINT_SECONDS)
        name, count = self._run.image_id, self._run.layout.region_count
        if pending is None:
            return f"image {name!r}: not all of its {count} regions are known to be settled"
        if not pending:
            return f"image {name!r}: its {count} regions are settled, but it has not ended durably"
        return (
            f"image {name!r}: {len(pending)} of {count} regions are not settled, "
            f"the first of them {pending[:10]}"
        )


class Stall:
    """Whether an image's end can't come any more, because nothing is left that could report.

    Args:
        run: The image.
        timeout: Seconds without progress after which nothing that shows in Ray is taken for
            nothing at all; None: only what is certain counts, after a minute.
    """

    def __init__(self, run: Run, timeout: float | None) -> None:
        self._run = run
        self._timeout = timeout
        self._since = self._looked = self._told = time.monotonic()
        self._seen: object = None
        self.text = ""

    def is_so(self, status: Status | None) -> bool:
        """Looks about once a second; returns whether it is so, `text` then says why."""
        now = time.monotonic()
        after = CERTAIN_STALL_SECONDS if self._timeout is None else self._timeout
        if now - self._looked < min(LOOK_SECONDS, after / 10):
            return False
        self._looked = now
        if self._moves(status):
            self._since = now
        if now - self._since <= after:
            return False
        runs = what_runs(certain=self._timeout is None)
        if runs.visible:
            self._since = now
            return False
        if self._timeout is None and not runs.nothing:
            self._tell(f"what may still report: {runs}")
            return False
        self.text = f"nothing runs in the cluster, and nothing was reported for {after:g} s"
        return True

    def _moves(self, status: Status | None) -> bool:
        """Whether there was progress, or what is missing is not a report."""
        if not is_connected() or self._run.maps:
            return True
        progress = status.progress if status else None
        if status is not None and (progress is None or status.trouble):
            return True  # reports may wait for a claim
        before, self._seen = self._seen, progress and (progress.tile_success, progress.tile_error)
        return before != self._seen

    def _tell(self, what: str) -> None:
        if time.monotonic() - self._told > CERTAIN_STALL_SECONDS:
            self._told = time.monotonic()
            logger.warning(
                "image %s: nothing was reported for a while; %s",
                self._run.image_id,
                what,
                extra=about(self._run.image_id, self._run.spec.run),
            )


def end_settled(run: Run, timeout: float) -> JobItem:
    """Ends a settled image that was begun with `ends=False`; see `ImageTracker.end`."""
    deadline = time.monotonic() + timeout
    _end(run, None, timeout)
    job = run.read(max(HINT_SECONDS, deadline - time.monotonic()))
    if job.tracker_outbox:
        posted(run)
    return job


def end_early(run: Run, state: str, timeout: float) -> None:
    """Ends the job as it stands, and returns when that is durable; an ended job stays as it is.

    Args:
        run: The job.
        state: CANCELLED or STOPPED.
        timeout: Seconds to wait.

    Raises:
        ActorUnavailable: The actor cannot be reached.
        WaitTimeout: It was not durable in time.
        TrackerSuperseded, JobVanished, LedgerError: What ended this run.
    """
    status = _end(run, state, timeout)
    posted(run)
    if status.progress is not None and (early := status.progress.ended_early):
        run.fail(ended_early(run.image_id, early))


def _end(run: Run, state: str | None, timeout: float) -> Status:
    """Has the actor end the job until that is durable; returns how it stands then."""
    deadline = time.monotonic() + timeout

    def left() -> float:
        return max(HINT_SECONDS, min(CALL_SECONDS, deadline - time.monotonic()))

    run.deliver(min(CALL_SECONDS, timeout))
    failures: int | None = None
    while True:
        # Told again until it shows: an actor that died meanwhile has forgotten it.
        [refused] = run.ask("end", state, start=True, timeout=left()) or (None,)
        status: Status | None = run.ask("status", timeout=left())
        if status is not None:
            if status.fault:
                raise status.fault
            failures = status.failures if failures is None else failures
            if isinstance(status.trouble, TableError) and status.failures > failures:
                raise status.trouble
            if _is_over(status, ends=True):
                return status
            # Not claimed is what it was: it may have been since.
            if isinstance(refused, TableUnavailable):
                refused = None
            if refused is not None and status.progress is not None:
                raise refused
        if time.monotonic() >= deadline:
            what = state or "ended"
            why = refused or (status.trouble if status else None)
            raise WaitTimeout(
                f"image {run.image_id!r}: not {what} after {timeout:g} s"
                + (f" ({why})" if isinstance(why, RaytrackerError) else "")
            )
        time.sleep(POLL_SECONDS)


def _is_over(status: Status, ends: bool) -> bool:
    """Whether the image has ended, or is settled where its end is somebody's to tell; durably."""
    progress = status.progress
    if progress is None or not progress.durable:
        return False
    return progress.status not in ("STARTED", "IN_PROGRESS") or (
        not ends and not progress.tile_pending
    )

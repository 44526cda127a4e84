"""Waiting for an image's end, noticing that it will not come, and bringing it about early."""

from __future__ import annotations

import time
from contextlib import suppress

import ray

from ..actor import Status, ended_early
from ..errors import (
    ActorUnavailable,
    ImageStalled,
    TableError,
    WaitTimeout,
)
from ..job_table import JobItem, ledger_of
from ..ray_runtime import is_connected
from .run import POLL_SECONDS, Run

FLUSH_SECONDS = 30.0
TABLE_POLL_SECONDS = 1.0


class Wait:
    """One `ImageTracker.wait`; the arguments are its."""

    def __init__(self, run: Run, timeout: float | None, stall_timeout: float | None) -> None:
        self._run = run
        self._timeout = timeout
        self._stall_timeout = stall_timeout
        self._since = self._looked = time.monotonic()  # of the last progress; of the last look
        self._seen: object = None
        self._read_at = 0.0

    def result(self) -> JobItem:
        """Waits; returns or raises what `ImageTracker.wait` does."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while True:
            status = self._run.ask("status")
            job = self._ended(status)
            if job is not None:
                return job
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(f"{self._missing()} after {self._timeout:g} s")
            self._check_stall(status)
            time.sleep(POLL_SECONDS)

    def _ended(self, status: Status | None) -> JobItem | None:
        if status is None:
            self._run.check_reachable()
            # No actor knows the image: the item alone says how it stands.
            if time.monotonic() >= self._read_at:
                self._read_at = time.monotonic() + TABLE_POLL_SECONDS
                item = self._run.read()
                if item.end_time is not None:
                    return item
                self._have_it_ended(item)
            return None
        if status.fault:
            raise status.fault
        if _is_over(status):
            return self._run.read()
        if isinstance(status.trouble, TableError):
            if status.progress is None:
                raise status.trouble
            self._run.flush(FLUSH_SECONDS)  # raises what the trouble is, or finds it healed
        return None

    def _have_it_ended(self, item: JobItem) -> None:
        """Has an actor serve an image that is settled, and whose end is not in the item.

        A resume that read the item while tiles were pending takes the end away, even if the run
        before has settled them meanwhile. Nobody has anything to report then.
        """
        if is_connected() and ledger_of(item).settled:
            with suppress(ActorUnavailable):  # it is tried again
                self._run.ask("open", start=True)

    def _check_stall(self, status: Status | None) -> None:
        now = time.monotonic()
        if self._stall_timeout is None or now - self._looked < min(1.0, self._stall_timeout / 10):
            return
        self._looked = now
        progress = None if status is None else status.progress
        seen = None if progress is None else (progress.tile_success, progress.tile_error)
        if seen != self._seen or self._run.maps or _something_runs():
            self._seen, self._since = seen, now
        elif now - self._since > self._stall_timeout and self._run.ledger().pending():
            raise ImageStalled(
                f"{self._missing()}; nothing runs in the cluster, and nothing was reported for "
                f"{self._stall_timeout:g} s: resume it, or run these regions again"
            )

    def _missing(self) -> str:
        pending, run = self._run.ledger().pending(), self._run
        return (
            f"image {run.image_id!r}: {len(pending)} of {run.layout.region_count} "
            f"regions are not settled, the first of them {pending[:10]}"
        )


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
    deadline = time.monotonic() + timeout
    run.deliver()
    while True:
        # Told again until it shows: an actor that died meanwhile has forgotten it.
        run.ask("end", state, start=True)
        status: Status | None = run.ask("status")
        if status is not None:
            if status.fault:
                raise status.fault
            if isinstance(status.trouble, TableError) and status.progress is None:
                raise status.trouble
            if _is_over(status):
                if status.progress is not None and (early := status.progress.ended_early):
                    run.fail(ended_early(run.image_id, early))
                return
        if time.monotonic() >= deadline:
            raise WaitTimeout(f"image {run.image_id!r}: not {state} after {timeout:g} s")
        time.sleep(POLL_SECONDS)


def _is_over(status: Status) -> bool:
    """Whether the image has ended, and that is durable."""
    progress = status.progress
    if progress is None:
        return False
    return progress.durable and progress.status not in ("STARTED", "IN_PROGRESS")


def _something_runs() -> bool:
    if not is_connected():
        return True  # and cannot be seen from here
    free = ray.available_resources()
    return any(
        free.get(name, 0.0) < count
        for name, count in ray.cluster_resources().items()
        if name in ("CPU", "GPU")
    )

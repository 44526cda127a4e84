"""What keeps a run alive as long as somebody holds its handle: its actor is called now and then.

Nobody else may call it for hours: a driver prepares, tasks are queued. The actor, which keeps the
item from expiring, must not take that for the end.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref

from ..actor import Spec, call, find
from ..job_table import JobItem
from ..logs import about
from ..ray_runtime import holding_connection, in_a_line, is_connected
from .run import Run

logger = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 60.0  # an actor stays for five idle minutes
SHARE = 4  # so many calls in the time that an item is kept


class Keeper:
    """Calls the actors of runs from a thread of its own, until each has ended or is dropped."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # With what opens it, for when it has gone, and the seconds between calls.
        self._runs: dict[weakref.ref[Run], tuple[Spec, float]] = {}
        self._thread: threading.Thread | None = None

    def keep(self, run: Run) -> None:
        """Keeps a run alive as long as this very object is held by somebody."""
        kept_for = run.spec.keep_for
        pause = LONGEST_PAUSE_SECONDS
        if kept_for is not None:
            pause = min(pause, kept_for / SHARE)
        with self._changed:
            self._runs[weakref.ref(run)] = run.spec, pause
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, daemon=True, name="raytracker-keep"
                )
                self._thread.start()
            self._changed.notify()  # the pause may be shorter now

    def _serve(self) -> None:
        round_at = time.monotonic()
        while True:
            with self._changed:
                while (left := round_at + self._pause() - time.monotonic()) > 0:
                    self._changed.wait(left)
                kept = [(reference, spec) for reference, (spec, _) in self._runs.items()]
            round_at = time.monotonic()
            for reference, spec in kept:
                if not _call(reference, spec):
                    self._forget(reference)

    def drop(self, run: Run) -> None:
        """Keeps a run alive no more."""
        self._forget(weakref.ref(run))

    def _forget(self, reference: weakref.ref[Run]) -> None:
        with self._changed:
            self._runs.pop(reference, None)

    def _pause(self) -> float:
        return min((pause for _, pause in self._runs.values()), default=LONGEST_PAUSE_SECONDS)


def _call(reference: weakref.ref[Run], spec: Spec) -> bool:
    """Calls a run's actor; returns whether it is to be called again."""
    run = reference()
    if run is None:
        _tell_left(spec)
        return False
    try:
        return not run.knock()
    except Exception as err:  # whatever it is, it may be over by the next time
        _note(run.spec, err)
        return True


def _tell_left(spec: Spec) -> None:
    """Tells a run's actor, if it has one, that this process does not go on with it."""
    try:
        with holding_connection():
            handle = find(spec) if is_connected() else None
            if handle is not None:
                call(handle, "left", spec)
    except Exception as err:  # its silence says the same, later
        _note(spec, err)


def _note(spec: Spec, error: Exception) -> None:
    extra = about(spec.image_id, spec.run)
    logger.info("image %s: its actor: %s", spec.image_id, in_a_line(error), extra=extra)


_keeper = Keeper()


def keep(run: Run, before: JobItem | None) -> None:
    """Has an actor open a run that has just begun, and keeps it alive while somebody holds it.

    Args:
        run: The run; this very object.
        before: As in `Run.begin`.
    """
    run.begin(before)
    _keeper.keep(run)


def leave(run: Run) -> None:
    """Has others know that this process does not go on with a run; they need not wait for it."""
    _keeper.drop(run)
    _tell_left(run.spec)

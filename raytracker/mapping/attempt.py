"""The attempt of a task that runs in this process under `map_unordered`, if one does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from ..actor import Spec
from ..errors import TaskTimeout
from ..ledger import Outcomes, Span

GRACE_SECONDS = 5.0


@dataclass(eq=False)
class Attempt:
    """What a task reported while it ran; travels back to the driver with its result."""

    spec: Spec
    outcomes: Outcomes = field(default_factory=Outcomes)
    reasons: dict[int, str] = field(default_factory=dict)

    def add(self, spans: Iterable[Span], reasons: Mapping[int, str]) -> None:
        """Notes what is reported."""
        for span in spans:
            self.outcomes.join(*span)
        self.reasons.update(reasons)


# Of the process, not of the thread: a worker runs one task at a time, and what a thread of that
# task reports belongs to it as well.
_attempts: list[Attempt] = []


@contextmanager
def running(spec: Spec) -> Iterator[Attempt]:
    """Collects what is reported of this run while the block lasts."""
    attempt = Attempt(spec)
    _attempts.append(attempt)
    try:
        yield attempt
    finally:
        _attempts.remove(attempt)


@contextmanager
def limited(timeout: float | None) -> Iterator[None]:
    """Raises TaskTimeout in the block when it takes longer than `timeout` seconds.

    A block that does not come back to Python, such as a call into C, is not interrupted by that:
    some seconds later the whole worker process ends, and Ray reports it as crashed.
    """
    if timeout is None or threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only, where a worker runs its tasks
        return

    def expire(number: int, frame: FrameType | None) -> None:
        raise TaskTimeout(f"the task took longer than {timeout:g} s")

    last_resort = threading.Timer(timeout + GRACE_SECONDS, os._exit, (1,))
    last_resort.daemon = True
    before = signal.signal(signal.SIGALRM, expire)
    last_resort.start()
    signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        last_resort.cancel()
        signal.signal(signal.SIGALRM, before)


def current(spec: Spec) -> Attempt | None:
    """Returns the attempt that is running here for this run, or None."""
    for attempt in reversed(_attempts):
        if attempt.spec.key == spec.key:
            return attempt
    return None

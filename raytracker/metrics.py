"""What becomes of images, as Ray's metrics: seen at the Prometheus port of each node.

Prometheus has them with `ray_` before the name, and `_total` behind that of a counter. None is by
image: a label for each of a million images would be what a monitoring system dies of.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

from ray.util.metrics import Counter, Gauge, Histogram

from .events import Ended, Event, Flushed, FlushFailed, RunStarted

_FLUSH_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5]


class _Instruments(NamedTuple):
    regions: Any
    images: Any
    reports: Any
    flush_seconds: Any
    flush_failures: Any
    wcu: Any
    lag: Any
    dropped: Any
    busy_seconds: Any
    worker_seconds: Any


@cache
def _instruments() -> _Instruments:
    """Returns this process's, made at first use: most processes need none."""
    return _Instruments(
        Counter(
            "raytracker_regions", "Regions that were settled, durably, by outcome.", ("outcome",)
        ),
        Counter("raytracker_images", "Images that have ended, by status.", ("status",)),
        Counter("raytracker_reports", "Batches of reports that were made durable."),
        Histogram("raytracker_flush_seconds", "How long flushes took, in seconds.", _FLUSH_SECONDS),
        Counter("raytracker_flush_failures", "Claims and flushes that failed."),
        Counter("raytracker_wcu", "Write capacity units that flushes took."),
        Gauge(
            "raytracker_lag_seconds",
            "Age of the oldest report that is not durable, of all images of an actor, in seconds.",
        ),
        Gauge("raytracker_events_dropped", "Events for which on_event was too slow."),
        Counter(
            "raytracker_busy_seconds", "For how long functions and models computed, in seconds."
        ),
        Counter(
            "raytracker_worker_seconds",
            "For how long tasks and workers were at chunks of tiles, or waited for more, in "
            "seconds.",
        ),
    )


class ImageMetrics:
    """Counts what becomes of one image in its actor; a subscriber of its events."""

    def __init__(self) -> None:
        self._success = self._error = 0
        self._oldest: float | None = None  # report that is not durable, in monotonic seconds
        self._last = 0.0

    def reported(self, now: float) -> None:
        """Notes a report that is not durable yet, now in monotonic seconds."""
        self._last = now
        if self._oldest is None:
            self._oldest = now

    def lag(self, now: float) -> float:
        """Returns how old the oldest report is that is not durable, in seconds."""
        oldest = self._oldest
        return 0.0 if oldest is None else max(0.0, now - oldest)

    def __call__(self, event: Event) -> None:
        """Counts an event."""
        found = _instruments()
        if isinstance(event, RunStarted):
            self._success, self._error = event.region_success, event.region_error
        elif isinstance(event, Flushed):
            self._flushed(event, found)
        elif isinstance(event, FlushFailed):
            found.flush_failures.inc()
        elif isinstance(event, Ended):
            found.images.inc(tags={"status": event.status})

    def _flushed(self, event: Flushed, found: _Instruments) -> None:
        copied = time.monotonic() - event.seconds  # what came later is not in this flush
        self._oldest = copied if self._last > copied else None
        found.flush_seconds.observe(event.seconds)
        _add(found.reports, event.reports)
        _add(found.wcu, event.wcu)
        success, error = event.region_success, event.region_error
        _add(found.regions, success - self._success, {"outcome": "success"})
        _add(found.regions, error - self._error, {"outcome": "error"})
        self._success, self._error = success, error


def set_levels(images: Iterable[ImageMetrics], dropped: int) -> None:
    """Notes what an actor has not done yet.

    Args:
        images: Those that it hosts.
        dropped: Events that were dropped so far.
    """
    now = time.monotonic()
    with suppress(Exception):  # whatever Ray has: the caller serves the images
        _instruments().lag.set(max((image.lag(now) for image in images), default=0.0))
        _instruments().dropped.set(dropped)


def worked(busy_seconds: float, seconds: float) -> None:
    """Notes what a chunk of tiles took, see `run.Worked`."""
    _add(_instruments().busy_seconds, busy_seconds)
    _add(_instruments().worker_seconds, seconds)


def _add(counter: Any, value: float, tags: dict[str, str] | None = None) -> None:
    if value > 0:  # Ray refuses less; an error that a success replaced is counted as both
        counter.inc(value, tags=tags)

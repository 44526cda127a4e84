"""Where the subscribers that a user gave are called: beside all else, in a thread of their own."""

from __future__ import annotations

import logging
import pickle
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import ray

from ..events import Event, Subscriber
from ..logs import about
from ..ray_runtime import in_a_line

logger = logging.getLogger(__name__)

MAX_WAITING = 10_000  # events, of all images of a process
MAX_BYTES = 16 * 1024  # of a subscriber: it travels in each call of the actor
LOG_SECONDS = 30.0


def pickled(subscriber: Subscriber | None) -> bytes | None:
    """Returns a subscriber as it travels to the actor; None where there is none.

    Raises:
        TypeError: It cannot be called, or not be pickled.
        ValueError: It is too large.
    """
    if subscriber is None:
        return None
    if not callable(subscriber):
        raise TypeError(f"on_event={subscriber!r:.200}: it is called as on_event(event)")
    try:
        data: bytes = ray.cloudpickle.dumps(subscriber)
    except Exception as err:
        raise TypeError(
            f"on_event={subscriber!r:.200} runs in the image's actor, and cannot be pickled: "
            f"{in_a_line(err)}"
        ) from err
    if len(data) > MAX_BYTES:
        raise ValueError(
            f"on_event={subscriber!r:.200} is {len(data)} bytes with what it refers to, of "
            f"{MAX_BYTES} at most: have it load that when it is called"
        )
    return data


class Aside:
    """Calls subscribers one after another, however long they take.

    What is too much for its queue is dropped, and counted; what a subscriber raises is logged, once
    for each kind of exception.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._events: queue.Queue[tuple[bytes, Event]] = queue.Queue(MAX_WAITING)
        self._subscribers: dict[bytes, Callable[[Event], Any]] = {}
        self._logged: set[tuple[bytes, type[BaseException]]] = set()
        self._logged_at: float | None = None
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, subscriber: bytes, event: Event) -> None:
        """Has a subscriber called with an event; returns at once.

        Args:
            subscriber: What `pickled` returned.
            event: The event.
        """
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, daemon=True, name="raytracker-events"
                )
                self._thread.start()
            try:
                self._events.put_nowait((subscriber, event))
            except queue.Full:
                self._dropped(event)

    @property
    def idle(self) -> bool:
        """Whether all events have been handled."""
        return self._events.unfinished_tasks == 0

    def _dropped(self, event: Event) -> None:
        self.dropped += 1
        now = time.monotonic()
        if self._logged_at is None or now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            logger.warning(
                "image %s: on_event is too slow, %d events were dropped so far",
                event.image_id,
                self.dropped,
                extra=about(event.image_id, event.run),
            )

    def _serve(self) -> None:
        while True:
            subscriber, event = self._events.get()
            try:
                self._called(subscriber)(event)
            except Exception as err:
                if (subscriber, type(err)) not in self._logged:
                    self._logged.add((subscriber, type(err)))
                    extra = about(event.image_id, event.run)
                    logger.exception("image %s: on_event failed", event.image_id, extra=extra)
            finally:
                self._events.task_done()

    def _called(self, subscriber: bytes) -> Callable[[Event], Any]:
        # Here and not earlier: to load it may import modules of the user's, or fail.
        if subscriber not in self._subscribers:
            self._subscribers[subscriber] = pickle.loads(subscriber)
        return self._subscribers[subscriber]

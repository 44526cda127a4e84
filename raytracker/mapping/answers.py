"""How it comes to be known what tasks answered: Ray calls, or it is waited for in Ray."""

from __future__ import annotations

import queue
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

import ray

IDLE_SECONDS = 0.05


class Answers(Protocol):
    """What references hold, as soon as it is there."""

    def expect(self, reference: Any) -> None:
        """Waits for this one, too."""

    def get(self, seconds: float) -> dict[Any, Any]:
        """Returns what is there, or what comes first within so many seconds, and forgets it.

        By reference: what it holds, or the exception that stands in its place.
        """

    def wake(self) -> None:
        """Has `get` return at once, this time."""


class Called(Answers):
    """Ray calls when an answer is there: no thread is in Ray while another shuts it down."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Any, Future[Any]] | None] = queue.SimpleQueue()

    def expect(self, reference: Any) -> None:
        """As in `Answers`."""

        def put(future: Future[Any]) -> None:
            self._queue.put((reference, future))

        reference.future().add_done_callback(put)

    def get(self, seconds: float) -> dict[Any, Any]:
        """As in `Answers`."""
        came: dict[Any, Any] = {}
        with suppress(queue.Empty):
            entry = self._queue.get(timeout=seconds) if seconds > 0 else self._queue.get_nowait()
            while True:
                if entry is not None:
                    reference, future = entry
                    came[reference] = future.exception() or future.result()
                entry = self._queue.get_nowait()
        return came

    def wake(self) -> None:
        """As in `Answers`."""
        self._queue.put(None)


class Waited(Answers):
    """It is waited for in Ray: only then has Ray a worker's CPU for those that it waits for."""

    def __init__(self) -> None:
        self._expected: dict[Any, None] = {}

    def expect(self, reference: Any) -> None:
        """As in `Answers`."""
        self._expected[reference] = None

    def get(self, seconds: float) -> dict[Any, Any]:
        """As in `Answers`."""
        expected = list(self._expected)
        if not expected:  # what is to come needs a moment
            time.sleep(min(seconds, IDLE_SECONDS))
            return {}
        # What tasks told is small and comes with their end; their results stay where they are.
        ready, _ = ray.wait(expected, timeout=seconds, fetch_local=False)
        if ready:  # and whatever else is by now
            ready, _ = ray.wait(expected, num_returns=len(expected), timeout=0, fetch_local=False)
        for reference in ready:
            del self._expected[reference]
        return dict(zip(ready, _held_by(ready), strict=True))

    def wake(self) -> None:
        """Does nothing: the only thread that could ask for it is the one that waits."""


def look_at(reference: Any) -> None:
    """Has Ray not log a failure that nobody looked at."""
    _held_by([reference])


def _held_by(ready: list[Any]) -> list[Any]:
    with suppress(Exception):
        return list(ray.get(ready))  # all at once is quicker
    return [_one(reference) for reference in ready]


def _one(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except Exception as err:
        return err

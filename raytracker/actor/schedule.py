"""When each of many is due: what the reporter sends next, what the actor flushes next."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Schedule(Generic[K]):
    """The times at which keys are due, of which the earliest is found at once.

    To set a time and to take a key cost the logarithm of how many there are. Not thread-safe: its
    owner holds a lock.
    """

    def __init__(self) -> None:
        self._times: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []  # also times that were changed since
        self._order = count()

    def __len__(self) -> int:
        return len(self._times)

    def set(self, key: K, due: float | None) -> bool:
        """Sets when a key is due; None: it isn't. Returns whether it is now the first of all."""
        if due is None:
            self._times.pop(key, None)
            return False
        if self._times.get(key) != due:
            self._times[key] = due
            heapq.heappush(self._heap, (due, next(self._order), key))
        return self.first() == due

    def first(self) -> float | None:
        """Returns when the first of all is due; None if none is."""
        while self._heap:
            due, _, key = self._heap[0]
            if self._times.get(key) == due:
                return due
            heapq.heappop(self._heap)
        return None

    def take(self, now: float) -> K | None:
        """Takes out and returns the first key that is due by now; None if none is."""
        due = self.first()
        if due is None or due > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._times[key]
        return key

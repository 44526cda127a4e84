"""When an image is flushed next, and how fast its tiles settle: plain arithmetic."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from ..job_table import Spent
from ..ledger import Ledger

AGE_SHARE = 0.02  # of the time since the claim: a long job is in no hurry
LONGEST_FOR_AGE_SECONDS = 30.0
RENEW_AFTER = 0.4  # of the item's time to live: before it is half over, whatever holds that up
RATE_WINDOW_SECONDS = 30.0
SOON_SECONDS = 1.0  # longer than a reporter's pause, so that each has learnt of it
SOON_TILES = 10


class Clock(Protocol):
    """What is needed of the module `time`."""

    def time(self) -> float:
        """Returns seconds since the epoch."""

    def monotonic(self) -> float:
        """Returns seconds that never go back."""


class Steady:
    """The time of day, which goes on here though the machine's clock is set back.

    Else an image would end before it began, and its item have expired when it is written.

    Args:
        clock: The module `time`, or a simulation of it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now, self._read_at = clock.time(), clock.monotonic()

    def time(self) -> float:
        """Returns seconds since the epoch, which never go back."""
        read_at = self._clock.monotonic()
        self._now = max(self._clock.time(), self._now + read_at - self._read_at)
        self._read_at = read_at
        return self._now

    def at_least(self, seconds: float) -> None:
        """Takes note that it is so late already, as another machine's clock said."""
        self._now = max(self.time(), seconds)


class Pacing:
    """The pauses between the flushes of one image; all times are monotonic seconds.

    Args:
        flush_interval: Seconds between flushes, at least.
        max_wcu_per_second: Write capacity that the flushes use, at most, on average.
        keep_for: Seconds that the item lives after its last write; None: for ever.
        now: The time.

    Attributes:
        last: When the last write began.
        spent: What all writes to the item cost.
    """

    def __init__(
        self, flush_interval: float, max_wcu_per_second: float, keep_for: float | None, now: float
    ) -> None:
        self.last = self._claimed = now
        self._interval = flush_interval
        self._max_wcu_per_second = max_wcu_per_second
        self._keep_for = keep_for
        self._wcu = 0.0
        self.spent = Spent()

    def claimed(self, now: float, spent: Spent | None = None) -> None:
        """Notes that the item was claimed, and what it had cost by then."""
        self.last = self._claimed = now
        self.spent = spent or Spent()

    def flushed(self, now: float, wcu: float) -> None:
        """Notes a flush that began at `now`, and what it took."""
        self.last, self._wcu = now, wcu
        self.spent = self.spent.plus(wcu)

    def next(self, *, sole: bool) -> float:
        """Returns when the next flush is due.

        Args:
            sole: Whether something is to be flushed that nobody else may hold.
        """
        pause = max(self._interval, self._wcu / self._max_wcu_per_second)
        if not sole:
            age = self.last - self._claimed
            pause = max(pause, min(AGE_SHARE * age, LONGEST_FOR_AGE_SECONDS))
        return self.last + pause

    @property
    def renewal(self) -> float | None:
        """When the item is to be written lest it expires; None: it does not expire."""
        return None if self._keep_for is None else self.last + RENEW_AFTER * self._keep_for


class Rate:
    """How many tiles were settled a second, of late."""

    def __init__(self) -> None:
        self._settled_at: deque[tuple[float, int]] = deque()

    def add(self, now: float, settled: int) -> None:
        """Notes how many tiles are settled by now."""
        seen = self._settled_at
        if not seen or now - seen[-1][0] > RATE_WINDOW_SECONDS / 60:
            seen.append((now, settled))
        while now - seen[0][0] > RATE_WINDOW_SECONDS:
            seen.popleft()

    def per_second(self, now: float, settled: int) -> float:
        """Returns the tiles settled a second, so many being settled now."""
        if not self._settled_at:
            return 0.0
        since, before = self._settled_at[0]
        return (settled - before) / (now - since) if now > since else 0.0

    def ends_soon(self, now: float, ledger: Ledger) -> bool:
        """Returns whether so few tiles are pending that they may be settled within a moment."""
        settled = ledger.tile_settled
        soon = max(SOON_TILES, self.per_second(now, settled) * SOON_SECONDS)
        return ledger.layout.tile_count - settled <= soon

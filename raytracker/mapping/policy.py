"""What is decided of tasks without Ray: how many, how long, how often, how much may fail."""

from __future__ import annotations

import faulthandler
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from ..errors import TaskTimeout
from ..ledger import Ledger
from ..numeric import check_number

GRACE_SECONDS = 5.0
TASKS_PER_CPU = 4  # more than run, so that none waits for its driver, and an autoscaler sees them
ASK_SECONDS = 1.0


class Bound:
    """How many tasks may be submitted and not finished; it follows a cluster that grows.

    Args:
        most: So many; None: four for each CPU.
        cpus: Returns how many CPUs there are; asked about once a second.
        clock: Returns seconds that never go back.

    Raises:
        ValueError: `most` is below 1.
    """

    def __init__(
        self,
        most: int | None,
        cpus: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if most is not None:
            check_number("max_in_flight", most, 1, whole=True)
        self._cpus = None if most is not None else cpus
        self._clock = clock
        self._now = most or TASKS_PER_CPU
        self._asked_at: float | None = None

    @property
    def at_a_time(self) -> int:
        """How many of them run at a time, about."""
        return self.now() if self._cpus is None else self.now() // TASKS_PER_CPU

    def now(self) -> int:
        """Returns how many may be at this moment."""
        if self._cpus is None:
            return self._now
        if self._asked_at is None or self._clock() - self._asked_at >= ASK_SECONDS:
            self._asked_at = self._clock()
            with suppress(Exception):  # a cluster that does not answer just now is no smaller one
                self._now = TASKS_PER_CPU * max(1, int(self._cpus()))
        return self._now


@dataclass(frozen=True)
class TimeLimit:
    """How long an attempt of a task may take.

    Args:
        seconds: From when it begins to run; None: as long as it takes.

    Raises:
        ValueError: It is not more than 0.
    """

    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None:
            check_number("timeout", self.seconds, exclusive=True)

    def times(self, count: int) -> TimeLimit:
        """Returns the limit of so many, one after another."""
        return self if self.seconds is None else TimeLimit(self.seconds * count)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Raises TaskTimeout in the block when it takes longer.

        A block that does not come back to Python, such as a call into C, is not interrupted by
        that: some seconds later the whole process ends, and Ray reports it as crashed.
        """
        if self.seconds is None or threading.current_thread() is not threading.main_thread():
            yield  # signals reach the main thread only, where a worker runs its tasks
            return

        def expire(number: int, frame: FrameType | None) -> None:
            raise TaskTimeout(f"the task took longer than {self.seconds:g} s")

        before = signal.signal(signal.SIGALRM, expire)
        # Unlike a timer of Python's, it does not wait for a call that holds the GIL.
        faulthandler.dump_traceback_later(self.seconds + GRACE_SECONDS, exit=True, file=2)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()
            signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Retries:
    """How often Ray tries a task again when it raises.

    Attributes:
        most: So often; below 0: always.
        exceptions: On which: all (True), none (False), or these types.
    """

    most: int
    exceptions: bool | tuple[type[BaseException], ...]

    @classmethod
    def of(cls, most: int, exceptions: bool | Sequence[type[BaseException]] | None) -> Retries:
        """Returns them from a task's options `max_retries` and `retry_exceptions`."""
        if isinstance(exceptions, Sequence):
            return cls(most, tuple(exceptions))
        return cls(most, bool(exceptions))

    def are_over(self, error: BaseException, attempt: int) -> bool:
        """Whether an attempt that raises this is the last.

        Args:
            error: What it raises.
            attempt: How often Ray has tried the task before.
        """
        if isinstance(self.exceptions, tuple):
            repeated = isinstance(error, self.exceptions)
        else:
            repeated = self.exceptions
        return not repeated or 0 <= self.most <= attempt


@dataclass(frozen=True)
class Tolerance:
    """How much may fail before the image is stopped; in the words of AWS Step Functions.

    Args:
        count: So many regions may be errors, or tiles, where those are mapped; None: any number.
        percentage: So many of a hundred tiles of the image may be errors; None: all.

    Raises:
        ValueError: The count is below 0, or the percentage not between 0 and 100.
    """

    count: int | None = None
    percentage: float | None = None

    def __post_init__(self) -> None:
        if self.count is not None:
            check_number("tolerated_failure_count", self.count, whole=True)
        if self.percentage is not None:
            check_number("tolerated_failure_percentage", self.percentage, 0, 100)

    def __bool__(self) -> bool:
        """Whether there is a limit."""
        return self.count is not None or self.percentage is not None

    def is_exceeded(self, ledger: Ledger, *, of_tiles: bool) -> bool:
        """Whether more failed than is tolerated, in this run or before it.

        Args:
            ledger: What is known of the image.
            of_tiles: Whether tiles are mapped, not regions.
        """
        failed = ledger.tile_error if of_tiles else ledger.region_error
        return (self.count is not None and failed > self.count) or (
            self.percentage is not None
            and ledger.tile_error * 100 > self.percentage * ledger.layout.tile_count
        )

    def text(self, *, of_tiles: bool) -> str:
        """Returns the limits in words; the argument is that of `is_exceeded`."""
        limits = (
            (self.count, f"{self.count} {'tiles' if of_tiles else 'regions'}"),
            (self.percentage, f"{self.percentage} % of the tiles"),
        )
        return " and ".join(text for value, text in limits if value is not None)

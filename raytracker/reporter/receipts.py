"""When a report waits for the actor's receipt: where that is cheap, and where it is needed.

A report that waited is in the actor, whatever becomes of this process afterwards. A call takes
milliseconds: nothing to a tile that took a second, and ten times the work to a task that did none.
"""

from __future__ import annotations

from enum import Enum

CHEAP = 30  # a pause of so many calls pays for a wait, which then costs 3 % at most
FIRST_GUESS_SECONDS = 0.003
LONGEST_CALL_SECONDS = 0.1  # what takes longer waited for something else, such as a restart
SMOOTHING = 0.2  # the weight of the newest call
WAIT_SECONDS = 2.0  # an actor that is restarting must not hold a task up for long
ENDING_WAIT_SECONDS = 5.0
MOST_WAITS = 32  # that one pause pays for
AWAITED = 256  # of as many submitted calls one is waited for, so that they do not pile up


class Way(Enum):
    """How a report goes to the actor."""

    ASIDE = "held, for the reporter's thread to send"
    SUBMIT = "submitted by its caller, which goes on"
    WAIT = "submitted by its caller, which waits for the receipt"


class Receipts:
    """What the reports of one process cost, and so which way the next one goes.

    Not thread-safe: the reporter holds a lock. Times are in monotonic seconds, and passed in.
    """

    def __init__(self) -> None:
        self._call_seconds = FIRST_GUESS_SECONDS
        self._last: float | None = None  # report
        self._credit = 0.0  # seconds that are left of a pause, for waits to use up
        self._unawaited = 0
        self._timed_out = False

    def way(self, now: float, *, ends: bool, is_error: bool = False) -> Way:
        """Returns the way of a report that is made now.

        Args:
            now: The time.
            ends: Whether Ray may end this process as soon as what it runs has returned. A call
                that was submitted before still arrives then; what is held aside is lost.
            is_error: Whether it is an error of a worker's. The task may have been started by one
                that returns, which is a success of its tiles unless this arrives before.
        """
        price = CHEAP * self._call_seconds
        pause = price if self._last is None else now - self._last  # the first has always one
        self._last = now
        if pause >= price:  # one tile that took long may pay for the reports of all it has found
            self._credit = min(pause, MOST_WAITS * price)
        cheap = self._credit >= price
        if ends or is_error:
            self._unawaited += 1
            return Way.WAIT if self._may_wait(cheap or self._unawaited >= AWAITED) else Way.SUBMIT
        return Way.WAIT if self._may_wait(cheap) else Way.ASIDE

    def _may_wait(self, worth_it: bool) -> bool:
        # An actor that does not answer is waited for once, not by each report.
        return worth_it and not self._timed_out

    def waited(self, now: float, *, answered: bool) -> None:
        """Notes that a report waited until now; the time until the next one counts from here."""
        self._last, self._unawaited = now, 0
        self._credit = max(0.0, self._credit - CHEAP * self._call_seconds)
        self._timed_out = not answered

    def answered(self, seconds: float) -> None:
        """Notes that a call was answered, whoever made it, and what it took."""
        self._timed_out = False
        seconds = min(seconds, LONGEST_CALL_SECONDS)
        self._call_seconds += SMOOTHING * (seconds - self._call_seconds)

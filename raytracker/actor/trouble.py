"""What is wrong between one image and its table: how it is told, and when to try again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ..errors import CredentialsRefused, RaytrackerError, TableError, TableUnavailable
from ..logs import about
from .pacing import Clock

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 4.0
FIRST_CREDENTIALS_SECONDS = 1.0  # a new client may see others
REFUSED_RETRY_SECONDS = 30.0
ASKED_RETRY_SECONDS = 1.0  # while somebody asks: it may have been mended
UNREACHABLE_SECONDS = 5.0  # before that it is nothing to tell of
LOG_SECONDS = 30.0


class Trouble:
    """The failures since the last success.

    Not thread-safe: its owner holds a lock, but for `log`, which one thread calls without it.

    Args:
        image_id: The image.
        place: The node and process that speak to the table, for people.
        clock: The module `time`, or a simulation of it.
        jitter: Returns a number between two others.
        run: The run, for log records.

    Attributes:
        retry_at: When to try again, in monotonic seconds; None: nothing is wrong.
        failures: How many there were in all.
    """

    def __init__(
        self,
        image_id: str,
        place: str,
        clock: Clock,
        jitter: Callable[[float, float], float],
        run: str = "",
    ) -> None:
        self.retry_at: float | None = None
        self.failures = 0
        self._image_id = image_id
        self._extra = about(image_id, run)
        self._place = place
        self._clock = clock
        self._jitter = jitter
        self._error: Exception | None = None
        self._alike = 0  # failures of one kind, one after another
        self._since = self._failed_at = 0.0
        self._since_utc = ""
        self._logged_at: float | None = None

    def failed(self, error: Exception) -> None:
        """Notes a failure of a claim or a flush."""
        now = self._clock.monotonic()
        if self._error is None:
            self._since = now
            self._since_utc = time.strftime("%H:%M:%S UTC", time.gmtime(self._clock.time()))
        self._alike = self._alike + 1 if type(error) is type(self._error) else 1
        self._error = error
        self._failed_at = now
        self.failures += 1
        self.retry_at = now + self._pause(error) * self._jitter(0.5, 1.0)

    def asked(self) -> None:
        """Notes that somebody asks: what is refused for long is tried again soon."""
        if self.retry_at is not None and not isinstance(self._error, TableUnavailable):
            self.retry_at = min(self.retry_at, self._failed_at + ASKED_RETRY_SECONDS)

    def healed(self) -> None:
        """Notes a success."""
        self._error = self.retry_at = None

    def shown(self) -> RaytrackerError | None:
        """Returns what callers are told, which a moment's failure is not yet; None: nothing."""
        error, kind = self._error, TableError
        if error is None:
            return None
        if isinstance(error, TableUnavailable):
            if self._clock.monotonic() - self._since < UNREACHABLE_SECONDS:
                return None
            return TableUnavailable(self._text("its table is not reached", error))
        if isinstance(error, TableError):
            kind = type(error)
        return kind(self._text("its table refuses requests", error))

    def _text(self, what: str, error: Exception) -> str:
        place = f" from {self._place}" if self._place else ""
        cause = error if isinstance(error, RaytrackerError) else f"{type(error).__name__}: {error}"
        return f"image {self._image_id!r}: {what}{place} since {self._since_utc}: {cause}"

    def log(self) -> None:
        """Logs, now and then, what is shown; and once that it is over."""
        now, error = self._clock.monotonic(), self.shown()
        if error is None:
            if self._error is None and self._logged_at is not None:
                self._logged_at = None
                text = "image %s: its table is written again"
                logger.info(text, self._image_id, extra=self._extra)
        elif self._logged_at is None or now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            logger.warning("%s", error, extra=self._extra)

    def _pause(self, error: Exception) -> float:
        doubled: float = 2 ** min(self._alike - 1, 10)
        if isinstance(error, TableUnavailable):
            return min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * doubled)
        if isinstance(error, CredentialsRefused):
            return min(REFUSED_RETRY_SECONDS, FIRST_CREDENTIALS_SECONDS * doubled)
        return REFUSED_RETRY_SECONDS

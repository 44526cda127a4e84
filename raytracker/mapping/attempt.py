"""The attempt of a task that runs in this process under `map_unordered`, if one does."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from ..actor import Spec
from ..ledger import ERROR, SUCCESS, Classes, ClassSpan, Outcomes, Span, lowest_reasons

Told = tuple[Sequence[Span], Mapping[int, str], Sequence[ClassSpan]]

_ERRORS = bytes(byte if byte == ERROR[0] else 0 for byte in range(256))
_SUCCESSES = bytes(byte if byte == SUCCESS[0] else 0 for byte in range(256))


class Attempt:
    """What a task told while it ran; travels back to the driver with its result.

    Successes are told to others at once. An error is kept: Ray may try the task again, and then
    this attempt has said nothing.

    Args:
        spec: The image and run.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._lock = threading.RLock()  # the task may have threads, and signal handlers
        self._outcomes = Outcomes()
        self._reasons: dict[int, str] = {}
        self._classes = Classes()

    def add(
        self,
        spans: Iterable[Span],
        reasons: Mapping[int, str],
        classes: Sequence[ClassSpan] = (),
    ) -> list[Span]:
        """Notes what is told; returns what of it may be passed on at once."""
        with self._lock:
            for span in spans:
                self._outcomes.join(*span)
            self._reasons = lowest_reasons({**self._reasons, **reasons})
            for known_as in classes:
                self._classes.join(*known_as)
        return list(_only(_SUCCESSES, spans))

    def told(self) -> Told:
        """Returns all that was told."""
        with self._lock:
            classes = tuple(self._classes.spans())
            return list(self._outcomes.spans()), dict(self._reasons), classes

    @property
    def has_told(self) -> bool:
        """Whether anything was told."""
        return bool(self._outcomes)

    def errors(self) -> Told:
        """Returns what was kept."""
        spans, reasons, classes = self.told()
        return list(_only(_ERRORS, spans)), reasons, classes

    def successes(self) -> Told:
        """Returns what was passed on."""
        return list(_only(_SUCCESSES, self.told()[0])), {}, ()


def _only(table: bytes, spans: Iterable[Span]) -> Iterator[Span]:
    for first, outcomes in spans:
        left = outcomes.translate(table)
        if left.strip(b"\0"):
            yield first, left


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


def current(spec: Spec) -> Attempt | None:
    """Returns the attempt that is running here for this run, or None."""
    for attempt in reversed(_attempts):
        if attempt.spec.key == spec.key:
            return attempt
    return None

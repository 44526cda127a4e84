"""Errors of attempts that Ray may repeat, kept aside until it is known whether it does."""

from __future__ import annotations

from collections.abc import Iterator

from ..ledger import Ledger
from .messages import Tentative


class Tentatives:
    """What the latest attempt of each task gave as errors that may not be final.

    Not thread-safe: its owner holds a lock.
    """

    def __init__(self) -> None:
        self._attempts: dict[str, tuple[int, dict[Tentative, None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._attempts)

    def __iter__(self) -> Iterator[Tentative]:
        for _, errors in self._attempts.values():
            yield from errors

    def add(self, error: Tentative) -> None:
        """Takes an error: what an earlier attempt of its task said is nothing any more."""
        attempt, errors = self._attempts.get(error.task, (-1, {}))
        if error.attempt > attempt:
            self._attempts[error.task] = error.attempt, {error: None}
        elif error.attempt == attempt:
            errors[error] = None

    def forget_told(self, ledger: Ledger) -> None:
        """Drops the errors of tiles of which somebody has told an error or a success."""
        for task, (attempt, errors) in list(self._attempts.items()):
            left = {e: None for e in errors if not ledger.told(e.first, e.count)}
            if left:
                self._attempts[task] = attempt, left
            else:
                del self._attempts[task]

    def take(self, task: str, attempt: int) -> list[Tentative]:
        """Takes out and returns the errors of an attempt, if that is its task's latest."""
        if self._attempts.get(task, (None,))[0] != attempt:
            return []
        return list(self._attempts.pop(task)[1])

    def clear(self) -> None:
        """Drops all."""
        self._attempts.clear()

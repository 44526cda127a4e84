"""Signs of life: whether anybody goes on with a run, and what its item says of that."""

from __future__ import annotations

from ..job_table import SIGN_SECONDS, alive_until


class Signs:
    """What the processes of a run told of themselves. Not thread-safe: its owner holds a lock.

    Args:
        now: The time, in monotonic seconds.
    """

    def __init__(self, now: float) -> None:
        self._heard_at = now
        self._leaves = self._left_durably = False

    def hear(self, now: float) -> None:
        """Notes that one of them lives."""
        self._heard_at = now
        self._leaves = self._left_durably = False

    def leave(self) -> None:
        """Notes that nobody goes on with the run, as far as one of them knows."""
        self._leaves = True

    def until(self, now: float) -> int | None:
        """Returns until when the run may be taken for alive, in epoch s; None: it has left."""
        return None if self._leaves else alive_until(now)

    def written(self, until: int | None) -> None:
        """Notes that the item says so."""
        self._left_durably = self._leaves and until is None

    def due(self, last: float) -> float | None:
        """Returns when the item is to say so anew, the last write having begun at `last`."""
        if self._leaves:
            return None if self._left_durably else last
        return last + SIGN_SECONDS if self._heard_at > last else None

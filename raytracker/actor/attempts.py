"""Which attempts of tasks were the last: what Ray tells of them, looked at now and then.

An error that an attempt told is nothing yet while Ray may try the task once more. How often it
does is the task's own; Ray tells it to nobody, but it does tell which attempts there were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

LOOK_SECONDS = 1.0  # so often do the owners of tasks tell Ray how these stand
UNKNOWN_SECONDS = 30.0

Attempt = tuple[str, int]  # a task's id, and which of its attempts


class Attempts:
    """Decides which attempts were the last; asked again until each is decided."""

    def __init__(self) -> None:
        self._unknown: dict[Attempt, float] = {}  # since when
        self._ended: dict[Attempt, float] = {}

    def decide(
        self, asked: Iterable[Attempt], known: Mapping[str, Mapping[int, bool]], now: float
    ) -> tuple[dict[Attempt, bool], list[Attempt]]:
        """Takes one look at what Ray knows.

        An attempt with a later one was not the last. One that has ended was, if a look a while
        after still shows none after it. One that Ray does not know of is taken for the last in
        the end: what it knows may be switched off, or pushed out by other tasks.

        Args:
            asked: All that is still open.
            known: The attempts of each task, and whether each has ended.
            now: In monotonic seconds.

        Returns:
            Whether each attempt was the last, of those decided; and those of them that Ray does
            not know.
        """
        unknown, ended = self._unknown, self._ended
        self._unknown, self._ended = {}, {}  # what is not asked any more is forgotten
        last: dict[Attempt, bool] = {}
        lost: list[Attempt] = []
        for one in asked:
            task, number = one
            attempts = known.get(task, {})
            if any(other > number for other in attempts):
                last[one] = False
            elif number not in attempts:
                since = self._unknown[one] = unknown.get(one, now)
                if now - since >= UNKNOWN_SECONDS:
                    last[one] = True
                    lost.append(one)
            elif attempts[number]:
                since = self._ended[one] = ended.get(one, now)
                if now - since >= LOOK_SECONDS:
                    last[one] = True
        return last, lost

"""What every process reported, noted in a file before and after: the oracle's source."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

PENDING, RETURNED, ERROR, SUCCESS = range(4)  # in this order the greater one wins
_RANKS = bytes([PENDING, ERROR, SUCCESS, RETURNED])

Event = Literal["begin", "may", "told", "taken", "durable", "left", "made", "raised", "exited"]


class Journal:
    """The journal of one run: lines appended by its driver and its tasks.

    A line is whole or not there, whatever dies; and unlike what is in memory it stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, event: Event, outcomes: Mapping[int, int], reason: str | None = None) -> None:
        """Appends a line.

        Args:
            event: "begin": an attempt at these tiles begins. "may": they are about to be reported.
                "told": they have been, to the reporter of this process. "taken": the driver has
                the result of their task. "durable": `flush` confirmed them.
                "left": the driver is about to end. Of scenes: "made": a model was. "raised",
                "exited": the function is about to, at this tile alone.
            outcomes: Tile number to outcome.
            reason: Of the lowest-numbered one.
        """
        line = {"event": event, "at": time.time(), "process": [os.getpid(), os.getppid()]}
        line |= {"reason": reason, "outcomes": list(outcomes.items())}
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(file, json.dumps(line).encode() + b"\n")
        finally:
            os.close(file)

    def lines(self) -> list[dict[str, Any]]:
        """Returns all lines, in order."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def best(
        self,
        event: Event,
        by: Callable[[Sequence[int]], bool] = lambda process: True,
        *,
        until: float = math.inf,
    ) -> dict[int, int]:
        """Returns the best outcome of each tile in the lines of an event.

        Args:
            event: Which.
            by: Is given a process's pid, and its parent's; lines of others do not count.
            until: Nor do lines that were written later, in seconds since the epoch.
        """
        best: dict[int, int] = {}
        for line in self.lines():
            if line["event"] == event and line["at"] <= until and by(line["process"]):
                for number, outcome in line["outcomes"]:
                    best[number] = max(best.get(number, PENDING), outcome)
        return best


class Known:
    """The oracle: what the item must show of each tile at least, and what it may show.

    Where a process was killed between a report and its flush, it has a choice; elsewhere it must
    show the best of what was told.

    Args:
        tile_count: The tiles of the image.
    """

    def __init__(self, tile_count: int) -> None:
        self.must = [PENDING] * tile_count
        self.may: list[set[int]] = [set() for _ in range(tile_count)]
        self.reasons: dict[int, set[str]] = {}
        self._told_reasons: set[int] = set()
        self._without_reason: set[int] = set()
        self.killed_at: set[int] = set()

    @classmethod
    def of(
        cls,
        journal: Journal,
        tile_count: int,
        died: Callable[[Sequence[int]], bool],
        closed: float | None,
    ) -> Known:
        """Returns what a journal tells.

        Args:
            journal: The run's.
            tile_count: The tiles of the image.
            died: Whether a process, given its pid and its parent's, may have died before what it
                told was durable.
            closed: When the image ended, in seconds since the epoch; what is told after that
                changes nothing.
        """
        known = cls(tile_count)
        for line in journal.lines():
            outcomes = {int(n): outcome for n, outcome in line["outcomes"]}
            late = closed is not None and line["at"] > closed
            known.learn(line["event"], outcomes, line["reason"], died(line["process"]), late)
        return known

    def learn(
        self,
        event: Event,
        outcomes: Mapping[int, int],
        reason: str | None = None,
        died: bool = False,
        late: bool = False,
    ) -> None:
        """Adds what a line tells; the arguments are those of `of`, for this line."""
        if event == "begin":
            if died:  # somebody may say so, with a reason of Ray's
                self.killed_at.update(outcomes)
                self._allow(dict.fromkeys(outcomes, ERROR))
            return
        if event not in ("may", "told", "durable"):
            return
        self._allow(outcomes)
        if reason is not None:
            self.reasons.setdefault(min(outcomes), set()).add(clip(reason))
        if not late and (event == "durable" or (event == "told" and not died)):
            self._demand(outcomes)
            of_others = {number for number, outcome in outcomes.items() if outcome == ERROR}
            if reason is not None:
                of_others.discard(min(outcomes))
                self._told_reasons.add(min(outcomes))
            self._without_reason |= of_others

    def after(self, before: Known, seen: Iterable[int], *, redrive: bool) -> None:
        """Adds what a resume found in the item.

        Args:
            before: What the run before may have made durable.
            seen: The tiles as they were last seen of it.
            redrive: Whether its errors are pending again.
        """
        self.killed_at |= before.killed_at
        for number, reasons in ({} if redrive else before.reasons).items():
            self.reasons.setdefault(number, set()).update(reasons)
        for number, outcomes in enumerate(before.may):
            self.may[number] |= outcomes - {ERROR} if redrive else outcomes
        self._demand({n: o for n, o in enumerate(seen) if not (redrive and o == ERROR)})

    def forgive_errors(self) -> None:
        """Allows an error of any tile: a driver that was killed may have known of one."""
        everywhere = dict.fromkeys(range(len(self.may)), ERROR)
        self._allow(everywhere)
        self.killed_at.update(everywhere)

    def _allow(self, outcomes: Mapping[int, int]) -> None:
        for number, outcome in outcomes.items():
            self.may[number].add(outcome)

    def _demand(self, outcomes: Mapping[int, int]) -> None:
        for number, outcome in outcomes.items():
            self.must[number] = max(self.must[number], outcome)

    def demands_reason(self, number: int) -> bool:
        """Whether a tile that is an error has a reason: whoever told it gave one for it."""
        return number in self._told_reasons - self._without_reason

    def allows_reason(self, number: int, text: str) -> bool:
        """Whether somebody may have given this reason."""
        return number in self.killed_at or text in self.reasons.get(number, ())


def ranks(tiles: bytes) -> bytes:
    """Returns the outcomes of a ledger's tiles in the numbers of this module, which have order."""
    return bytes(_RANKS[outcome] for outcome in tiles)


def clip(reason: str) -> str:
    """Returns the first 200 bytes of a reason, as items keep them."""
    return reason.encode("utf-8", "replace")[:200].decode("utf-8", "ignore")

"""What every process reported, noted in a file before and after: the oracle's source."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

PENDING, RETURNED, ERROR, SUCCESS = range(4)  # in this order the greater one wins
_RANKS = bytes([PENDING, ERROR, SUCCESS, RETURNED])

Event = Literal["begin", "may", "told", "durable"]


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
                "told": they have been, to the reporter of this process. "durable": `flush`
                confirmed them.
            outcomes: Tile number to outcome.
            reason: Of the lowest-numbered one.
        """
        line = {"event": event, "process": [os.getpid(), os.getppid()], "reason": reason}
        line["outcomes"] = list(outcomes.items())
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


class Known:
    """The oracle: what the item must show of each tile at least, and may show at most.

    Where a process was killed between a report and its flush, both are right; elsewhere they are
    equal, and the item has no choice.

    Args:
        tile_count: The tiles of the image.
    """

    def __init__(self, tile_count: int) -> None:
        self.must = [PENDING] * tile_count
        self.may = [PENDING] * tile_count
        self.reasons: dict[int, set[str]] = {}
        self.told_reasons: set[int] = set()
        self.killed_at: set[int] = set()

    @classmethod
    def of(cls, journal: Journal, tile_count: int, killed: Collection[int]) -> Known:
        """Returns what a journal tells.

        Args:
            journal: The run's.
            tile_count: The tiles of the image.
            killed: The processes that were killed; a raylet's takes its workers with it.
        """
        known = cls(tile_count)
        for line in journal.lines():
            outcomes = {int(n): outcome for n, outcome in line["outcomes"]}
            died = not killed.isdisjoint(line["process"])
            known._learn(line["event"], outcomes, line["reason"], died)
        return known

    def _learn(
        self, event: Event, outcomes: Mapping[int, int], reason: str | None, died: bool
    ) -> None:
        if event == "begin":
            if died:  # somebody may say so, with a reason of Ray's
                self.killed_at.update(outcomes)
                self._raise(self.may, dict.fromkeys(outcomes, ERROR))
            return
        self._raise(self.may, outcomes)
        if reason is not None:
            self.reasons.setdefault(min(outcomes), set()).add(clip(reason))
        if event == "durable" or (event == "told" and not died):
            self._raise(self.must, outcomes)
            if reason is not None:
                self.told_reasons.add(min(outcomes))

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
        may = enumerate(before.may)
        seen = enumerate(seen)
        self._raise(self.may, {n: o for n, o in may if not (redrive and o == ERROR)})
        self._raise(self.must, {n: o for n, o in seen if not (redrive and o == ERROR)})

    def forgive_errors(self) -> None:
        """Allows an error of any tile: a driver that was killed may have known of one."""
        everywhere = dict.fromkeys(range(len(self.may)), ERROR)
        self._raise(self.may, everywhere)
        self.killed_at.update(everywhere)

    @staticmethod
    def _raise(tiles: list[int], outcomes: Mapping[int, int]) -> None:
        for number, outcome in outcomes.items():
            tiles[number] = max(tiles[number], outcome)

    def allows_reason(self, number: int, text: str) -> bool:
        """Whether somebody may have given this reason."""
        return number in self.killed_at or text in self.reasons.get(number, ())


def ranks(tiles: bytes) -> bytes:
    """Returns the outcomes of a ledger's tiles in the numbers of this module, which have order."""
    return bytes(_RANKS[outcome] for outcome in tiles)


def clip(reason: str) -> str:
    """Returns the first 200 bytes of a reason, as items keep them."""
    return reason.encode("utf-8", "replace")[:200].decode("utf-8", "ignore")

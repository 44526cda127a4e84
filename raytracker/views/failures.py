"""The failed tiles of an image, and why they failed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

from ..job_table import JobItem
from ..ledger import ERROR, Ledger

MAX_RANGES = 10  # of tile numbers, in a line


class Group(NamedTuple):
    """Failed tiles that have a reason in common.

    Attributes:
        reason: That of the first; None: theirs are not kept.
        tiles: Their numbers in the image, in order.
        alike: Whether others of them have another reason, different in its numbers only.
    """

    reason: str | None
    tiles: list[int]
    alike: bool

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """First and last number of each run of neighbours."""
        ends = [k for k, (a, b) in enumerate(pairwise(self.tiles), 1) if b != a + 1]
        return [
            (self.tiles[start], self.tiles[stop - 1])
            for start, stop in pairwise((0, *ends, len(self.tiles)))
        ]


def groups_of(ledger: Ledger) -> list[Group]:
    """Returns the failed tiles by reason, the most first; those whose reason isn't kept last."""
    found: dict[str, list[int]] = {}
    texts: dict[str, set[str]] = {}
    kept, unknown = ledger.reasons(), list[int]()
    for tile in failed_tiles(ledger):
        reason = kept.get(tile)
        if reason is None:
            unknown.append(tile)
            continue
        kind = re.sub(r"\d+", "0", reason)
        found.setdefault(kind, []).append(tile)
        texts.setdefault(kind, set()).add(reason)
    groups = [Group(kept[tiles[0]], tiles, len(texts[kind]) > 1) for kind, tiles in found.items()]
    groups.sort(key=lambda group: (-len(group.tiles), group.tiles[0]))
    return [*groups, *([Group(None, unknown, False)] if unknown else [])]


def failed_tiles(ledger: Ledger) -> Iterator[int]:
    """Yields the numbers of the tiles that are errors, in order."""
    outcomes = ledger.tile_outcomes()
    at = outcomes.find(ERROR)
    while at >= 0:
        yield at
        at = outcomes.find(ERROR, at + 1)


def failures_of(job: JobItem, ledger: Ledger) -> dict[str, Any]:
    """Returns the failed tiles of an image, by reason, JSON-ready."""
    groups = groups_of(ledger)
    return {
        "image_id": job.image_id,
        "status": job.status,
        "tile_count": ledger.layout.tile_count,
        "tile_error": ledger.tile_error,
        "complete": all(group.reason is not None for group in groups),
        "groups": [
            {
                "reason": group.reason,
                "alike": group.alike,
                "tile_error": len(group.tiles),
                "tiles": group.ranges,
            }
            for group in groups
        ],
    }


def failed_rows(ledger: Ledger) -> Iterator[tuple[int, int, int, str | None]]:
    """Yields region, tile in the region, number in the image and reason of each failed tile."""
    reasons = ledger.reasons()
    for number in failed_tiles(ledger):
        yield *ledger.layout.locate(number), number, reasons.get(number)


def ranges_text(ranges: list[tuple[int, int]]) -> str:
    """Returns ranges as people write them: 0-7, 12, 20-25."""
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in ranges[:MAX_RANGES]]
    more = len(ranges) - len(shown)
    return ", ".join(shown) + (f", and {more:,} more" if more else "")

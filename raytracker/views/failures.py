"""The failed tiles of an image, and why they failed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ..job_table import JobItem
from ..ledger import ERROR, Ledger, class_of

MAX_RANGES = 10  # of tile numbers, in a line
MOST = 3  # classes in a line


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


class OfClass(NamedTuple):
    """Failed tiles of one class.

    Attributes:
        name: The class; None: it is not known.
        tiles: Their numbers in the image, in order.
        groups: The same by reason, the most first; those whose reason isn't kept last.
    """

    name: str | None
    tiles: list[int]
    groups: list[Group]


def ranges_of(tiles: Sequence[int]) -> list[tuple[int, int]]:
    """Returns first and last number of each run of neighbours."""
    ends = [k for k, (a, b) in enumerate(pairwise(tiles), 1) if b != a + 1]
    return [(tiles[start], tiles[stop - 1]) for start, stop in pairwise((0, *ends, len(tiles)))]


def classes_in(ledger: Ledger) -> list[OfClass]:
    """Returns the failed tiles by class, the most first; those whose class isn't known last.

    A reason that is kept tells the class as well, as in items that older versions wrote.
    """
    found: dict[str | None, list[int]] = {}
    reasons = ledger.reasons()
    for tile, name in zip(failed_tiles(ledger), ledger.classes_of_failed(), strict=True):
        if name is None and tile in reasons:
            name = class_of(reasons[tile])
        found.setdefault(name, []).append(tile)
    classes = [OfClass(name, tiles, _groups(tiles, reasons)) for name, tiles in found.items()]
    return sorted(classes, key=lambda each: (each.name is None, -len(each.tiles), each.tiles[0]))


def _groups(tiles: Sequence[int], reasons: Mapping[int, str]) -> list[Group]:
    found: dict[str | None, list[int]] = {}
    for tile in tiles:
        kind = re.sub(r"\d+", "0", reasons[tile]) if tile in reasons else None
        found.setdefault(kind, []).append(tile)
    groups = [
        Group(reasons.get(alike[0]), alike, len({reasons.get(tile) for tile in alike}) > 1)
        for alike in found.values()
    ]
    return sorted(groups, key=lambda each: (each.reason is None, -len(each.tiles), each.tiles[0]))


def failed_tiles(ledger: Ledger) -> Iterator[int]:
    """Yields the numbers of the tiles that are errors, in order."""
    outcomes = ledger.tile_outcomes()
    at = outcomes.find(ERROR)
    while at >= 0:
        yield at
        at = outcomes.find(ERROR, at + 1)


def failures_of(job: JobItem, ledger: Ledger) -> dict[str, Any]:
    """Returns the failed tiles of an image, by class and by reason, JSON-ready."""
    classes = classes_in(ledger)
    groups = [(each.name, group) for each in classes for group in each.groups]
    return {
        "image_id": job.image_id,
        "status": job.status,
        "tile_count": ledger.layout.tile_count,
        "tile_error": ledger.tile_error,
        "complete": all(group.reason is not None for _, group in groups),
        "classes": [
            {"class": name, "tile_error": len(tiles), "tiles": ranges_of(tiles)}
            for name, tiles, _ in classes
        ],
        "groups": [
            {
                "class": name,
                "reason": group.reason,
                "alike": group.alike,
                "tile_error": len(group.tiles),
                "tiles": ranges_of(group.tiles),
            }
            for name, group in groups
        ],
    }


class FailedTile(NamedTuple):
    """A failed tile: region, tile in the region, number in the image, reason and class."""

    region: int
    tile: int
    number: int
    reason: str | None
    class_name: str | None


def failed_rows(ledger: Ledger) -> Iterator[FailedTile]:
    """Yields what is known of each failed tile, in order."""
    reasons = ledger.reasons()
    for number, name in zip(failed_tiles(ledger), ledger.classes_of_failed(), strict=True):
        reason = reasons.get(number)
        name = class_of(reason) if name is None and reason is not None else name
        yield FailedTile(*ledger.layout.locate(number), number, reason, name)


def times(count: int) -> str:
    """Returns how often something was, as it stands before it."""
    return f"{count:,} \N{MULTIPLICATION SIGN}"


def classes_text(classes: Sequence[OfClass]) -> str:
    """Returns the classes that most tiles failed in, in a line."""
    shown = [f"{times(len(each.tiles))} {each.name or 'not known'}" for each in classes[:MOST]]
    more = len(classes) - len(shown)
    return ", ".join(shown) + (f", and {more} more classes" if more else "")


def ranges_text(ranges: list[tuple[int, int]]) -> str:
    """Returns ranges as people write them: 0-7, 12, 20-25."""
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in ranges[:MAX_RANGES]]
    more = len(ranges) - len(shown)
    return ", ".join(shown) + (f", and {more:,} more" if more else "")

"""What tracking an image costs, in writes and write capacity units (WCU); docs/cost.md explains it.

item     the ledger as text, 2 bits a tile as if zlib did not help, and 512 bytes of others
flush    one UpdateItem: a WCU for each KB of the item that is begun
pause    between flushes: flush_interval, longer where flushes would take more WCU than allowed, and
         as long as 2 % of the job's age, for which it is never longer than 30 s
flushes  one each pause, and one at the end; a flush tells of a tile at least
tracker  start, claim, flushes
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from .errors import InvalidEstimate, InvalidLayout
from .job_table import WCU_BYTES, check_size, text_bytes
from .ledger import Layout, Ledger

AGE_SHARE, LONGEST_FOR_AGE_SECONDS = 0.02, 30.0  # as the coordinator's pacing
OTHER_BYTES = 512  # times, counts, run, owner and some of OSML's attributes


@dataclass(frozen=True)
class Writes:
    """Writes of one image to the job table, and what they cost.

    Attributes:
        writes: How many.
        wcu: Write capacity units of all of them.
    """

    writes: int
    wcu: int


@dataclass(frozen=True)
class Cost:
    """What one image costs, at most.

    Attributes:
        regions: Regions of the image.
        tiles: Tiles of all its regions.
        minutes: How long it takes.
        flush_interval: Seconds between flushes, at least.
        item_bytes: Size of the item, at most.
        flush_wcu: Write capacity units of one flush, at most.
        flush_pause: Seconds between flushes at first, where each costs that much.
        last_pause: Seconds between flushes at the end.
        tracker: The tracker's writes.
        one_per_region: A start, an UpdateItem for each region, and an end, as without a tracker.
    """

    regions: int
    tiles: int
    minutes: float
    flush_interval: float
    item_bytes: int
    flush_wcu: int
    flush_pause: float
    last_pause: float
    tracker: Writes
    one_per_region: Writes

    @property
    def write_ratio(self) -> float:
        """How many times as many writes one for each region is."""
        return self.one_per_region.writes / self.tracker.writes

    @property
    def wcu_ratio(self) -> float:
        """How many times as many WCU one write for each region takes; below 1: fewer."""
        return self.one_per_region.wcu / self.tracker.wcu

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it, JSON-able."""
        return {**asdict(self), "write_ratio": self.write_ratio, "wcu_ratio": self.wcu_ratio}


def estimate(
    regions: int,
    tiles: int | None = None,
    *,
    minutes: float,
    flush_interval: float = 1.0,
    max_wcu_per_second: float = 25.0,
) -> Cost:
    """Returns what one image costs.

    Args:
        regions: Regions of the image.
        tiles: Tiles of all its regions; None: one each.
        minutes: How long it takes.
        flush_interval: Seconds between flushes, at least.
        max_wcu_per_second: Write capacity units that the flushes use, at most, on average.

    Raises:
        InvalidLayout: There is no region, one without a tile, or more tiles than an item holds.
        InvalidEstimate: A time is negative or not a number, or no capacity is allowed.
    """
    _check("minutes", minutes, minutes >= 0)
    _check("flush_interval", flush_interval, flush_interval >= 0)
    _check("max_wcu_per_second", max_wcu_per_second, max_wcu_per_second > 0)
    layout = _layout(regions, tiles)
    check_size({"image_id": "to be estimated"}, layout)
    start_wcu = _wcu(OTHER_BYTES + text_bytes(len(Ledger(layout).encode())))
    item_bytes = OTHER_BYTES + text_bytes(Ledger.max_encoded_bytes(layout))
    flush_wcu = _wcu(item_bytes)
    pause = max(flush_interval, flush_wcu / max_wcu_per_second)
    flushes = _flushes(minutes * 60, pause, layout.tile_count)
    return Cost(
        regions=layout.region_count,
        tiles=layout.tile_count,
        minutes=minutes,
        flush_interval=flush_interval,
        item_bytes=item_bytes,
        flush_wcu=flush_wcu,
        flush_pause=pause,
        last_pause=_pause(minutes * 60, pause),
        tracker=Writes(2 + flushes, 2 * start_wcu + flushes * flush_wcu),
        one_per_region=one_per_region(regions),
    )


def one_per_region(regions: int) -> Writes:
    """Returns what a start, an UpdateItem for each region and an end cost, without a tracker."""
    return Writes(2 + regions, (2 + regions) * _wcu(OTHER_BYTES))


def _pause(age: float, shortest: float) -> float:
    return max(shortest, min(AGE_SHARE * age, LONGEST_FOR_AGE_SECONDS))


def _flushes(seconds: float, shortest: float, most: int) -> int:
    """Returns how many flushes a job of so many seconds takes, the one at its end included."""
    at, flushes = shortest, 1
    while at <= seconds and flushes < most:
        flushes += 1
        at += _pause(at, shortest)
    return flushes


def _check(name: str, value: float, fits: bool) -> None:
    if not (fits and math.isfinite(value)):
        least = "more than 0" if name == "max_wcu_per_second" else "0 or more"
        raise InvalidEstimate(f"{name} {value:g}: give {least}")


def _layout(regions: int, tiles: int | None) -> Layout:
    """Returns the layout of regions that share the tiles as evenly as can be."""
    if tiles is None or regions < 1:
        return Layout.of(regions)
    if tiles < regions:
        raise InvalidLayout(f"{tiles} tiles in {regions} regions: a region has at least one tile")
    each, more = divmod(tiles, regions)
    sizes = ((more, each + 1), (regions - more, each))
    return Layout((count, size) for count, size in sizes if count)


def _wcu(size: int) -> int:
    return -(-size // WCU_BYTES)

"""How far an image has come, at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from .ledger import Ledger
from .notebook import card


class Failed(NamedTuple):
    """A tile that failed, and why."""

    region: int
    tile: int
    reason: str


@dataclass(frozen=True)
class Progress:
    """How far an image has come, at one moment.

    Attributes:
        region_count: Regions of the image; `region_success`, `region_error` and `region_pending`
            add up to it.
        region_success: Regions all of whose tiles succeeded.
        region_error: Settled regions with a failed tile.
        region_pending: Regions with a tile of which nothing final is known.
        tile_count: Tiles of the image; the next three add up to it.
        tile_success: Tiles that succeeded.
        tile_error: Tiles that failed.
        tile_pending: Tiles of which nothing final is known.
        durable: Whether DynamoDB holds all of this.
        tiles_per_second: Tiles settled a second, over the last half minute.
        eta_seconds: Seconds until all are settled at this rate; None where it cannot be told.
        status: STARTED, IN_PROGRESS, SUCCESS, PARTIAL, FAILED, CANCELLED, as `JobItem.status`.
        ended_early: CANCELLED or STOPPED (more tasks failed than were tolerated), or None.
        trouble: Why nothing becomes durable, or goes on, at present, where that will not heal by
            itself.
        busy: The part of the time of workers, or tasks, in which the function or model computed, 0
            to 1, from what this process was told of chunks of tiles; None: of none.
        failed: The first tile that failed of each kind of reason, in the order in which they came,
            from what this process was told of tasks that it runs.
        assembling: While the results of all tiles are made one: how many of its steps are done, and
            how many there are.
    """

    region_count: int
    region_success: int
    region_error: int
    region_pending: int
    tile_count: int
    tile_success: int
    tile_error: int
    tile_pending: int
    durable: bool
    tiles_per_second: float
    eta_seconds: float | None
    status: str
    ended_early: str | None = None
    trouble: str | None = None
    busy: float | None = None
    failed: tuple[Failed, ...] = ()
    assembling: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"<Progress: {self.status}, {in_words(self)}>"

    def _repr_html_(self) -> str:
        more = in_words(self).split(", ")
        rest = [part for part in more if part.endswith((" regions", "tiles/s", " left"))]
        what = "tiles" if self.tile_count != self.region_count else "regions"
        shown = rest if what == "tiles" else [part for part in rest if not part.endswith("regions")]
        counts = self.tile_success, self.tile_error, self.tile_count
        return card("", self.status, *counts, what, shown)

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        *,
        status: str,
        durable: bool,
        tiles_per_second: float = 0.0,
        ended_early: str | None = None,
        trouble: str | None = None,
    ) -> Progress:
        """Returns what a ledger says, and what it doesn't; the arguments are the attributes."""
        regions, tiles = ledger.layout.region_count, ledger.layout.tile_count
        pending = tiles - ledger.tile_success - ledger.tile_error
        return cls(
            region_count=regions,
            region_success=ledger.region_success,
            region_error=ledger.region_error,
            region_pending=regions - ledger.region_success - ledger.region_error,
            tile_count=tiles,
            tile_success=ledger.tile_success,
            tile_error=ledger.tile_error,
            tile_pending=pending,
            durable=durable,
            tiles_per_second=tiles_per_second,
            eta_seconds=(
                0.0 if not pending else pending / tiles_per_second if tiles_per_second else None
            ),
            status=status,
            ended_early=ended_early,
            trouble=trouble,
        )


def in_words(progress: Progress) -> str:
    """Returns how far an image has come, in a few words: tiles first, and regions beside them."""
    tiled = progress.tile_count != progress.region_count
    counts = [
        f"{progress.tile_success:,} of {progress.tile_count:,} {'tiles' if tiled else 'regions'}"
    ]
    if progress.tile_error:
        counts.append(f"{progress.tile_error:,} failed")
    if tiled:
        settled = progress.region_count - progress.region_pending
        counts.append(f"{settled:,} of {progress.region_count:,} regions")
    if progress.tile_pending and progress.tiles_per_second:
        counts.append(f"{progress.tiles_per_second:,.1f} tiles/s")
    if progress.tile_pending and progress.eta_seconds is not None:
        counts.append(f"about {duration(progress.eta_seconds)} left")
    return ", ".join(counts)


def duration(seconds: float) -> str:
    """Returns a time in words: "42 s", or "1:23:45"."""
    return f"{seconds:.0f} s" if seconds < 99.5 else str(timedelta(seconds=round(seconds)))

"""What happens to an image, as events: small, typed, and told once it is durable.

A subscriber is called as `subscriber(event)`, in the process of the image's actor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .ledger import Outcome


@dataclass(frozen=True)
class Event:
    """Something that happened to an image.

    Attributes:
        image_id: The image.
        run: The run, a uuid.
        time: When, in epoch ms.
    """

    image_id: str
    run: str
    time: int


@dataclass(frozen=True)
class RunStarted(Event):
    """An actor serves the run from now on; comes again when another one takes over.

    Attributes:
        region_count: Regions of the image.
        region_success: Of these, those that had succeeded before.
        region_error: Of these, those that had failed before.
        tile_count: Tiles of all regions.
    """

    region_count: int
    region_success: int
    region_error: int
    tile_count: int


@dataclass(frozen=True)
class RegionSettled(Event):
    """No tile of a region is pending any more; comes again if fewer of them failed after all.

    Attributes:
        region: The region.
        outcome: SUCCESS, or ERROR where a tile failed.
        tile_count: Tiles of the region.
        tile_error: Of these, those that failed.
    """

    region: int
    outcome: Outcome
    tile_count: int
    tile_error: int


@dataclass(frozen=True)
class FirstError(Event):
    """A tile failed in a class of which none had failed yet, see `ledger.classes`.

    Attributes:
        region: The region.
        tile: The tile in the region.
        reason: Why it failed; its class, where the item does not keep the text.
    """

    region: int
    tile: int
    reason: str


@dataclass(frozen=True)
class Flushed(Event):
    """All that was received is durable.

    Attributes:
        region_success: Regions that have succeeded so far.
        region_error: Regions that have failed so far.
        reports: Batches of reports with news that it made durable.
        seconds: How long the write took.
        wcu: Write capacity units that it took.
    """

    region_success: int
    region_error: int
    reports: int
    seconds: float
    wcu: float


@dataclass(frozen=True)
class FlushFailed(Event):
    """A claim or a flush failed; it is tried again, unless the run has ended.

    Attributes:
        reason: Why.
    """

    reason: str


@dataclass(frozen=True)
class Ended(Event):
    """The image has ended.

    Attributes:
        status: SUCCESS, PARTIAL, FAILED or CANCELLED, as `JobItem.status`.
        region_count: Regions of the image.
        region_success: Of these, those that succeeded.
        region_error: Of these, those that failed.
        processing_duration: Seconds since it was started.
    """

    status: str
    region_count: int
    region_success: int
    region_error: int
    processing_duration: int


Subscriber = Callable[[Event], object]

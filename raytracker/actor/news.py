"""What a flush made durable that was not so before, as events."""

from __future__ import annotations

import logging

from ..events import (
    Ended,
    Event,
    FirstError,
    Flushed,
    FlushFailed,
    RegionSettled,
    RunStarted,
    Subscriber,
)
from ..job_table import Flush
from ..ledger import Layout, Ledger, kind_of, reason_of, settled_since

logger = logging.getLogger(__name__)


class News:
    """Tells subscribers what becomes of an image, one event after another.

    Only the thread that steps the coordinator tells; it holds no lock then. A subscriber must
    return at once.

    Args:
        image_id: The image.
        run: The run.
    """

    def __init__(self, image_id: str, run: str) -> None:
        self._of = image_id, run
        self._subscribers: tuple[Subscriber, ...] = ()
        self._of_regions = False
        self._tiles = b""  # what was durable last
        self._kinds: set[str] = set()
        self._ended = False

    def subscribe(self, subscriber: Subscriber, *, regions: bool = True) -> None:
        """Has a subscriber told from now on.

        Args:
            subscriber: Called with each event.
            regions: Whether it needs RegionSettled: to find these takes time for each.
        """
        self._subscribers += (subscriber,)
        self._of_regions |= regions

    def claimed(self, ledger: Ledger, ended: bool, now: float) -> None:
        """Tells that the run is served.

        Args:
            ledger: As the item has it.
            ended: Whether the image has ended; then nobody is told.
            now: The time, in epoch seconds.
        """
        self._tiles, self._ended = ledger.tile_outcomes(), ended
        self._kinds = set(map(kind_of, ledger.reasons().values()))
        if not ended:
            layout = ledger.layout
            counts = layout.region_count, ledger.region_success, ledger.region_error
            self._tell(RunStarted(*self._of, int(now * 1000), *counts, layout.tile_count))

    def flushed(
        self, layout: Layout, tiles: bytes, flush: Flush, status: str, event: Flushed
    ) -> None:
        """Tells what a flush has made durable.

        Args:
            layout: The tiles of each region.
            tiles: One byte a tile, its outcome, as flushed.
            flush: What was written.
            status: The image's status, as the item has it now.
            event: The flush itself.
        """
        of = (*self._of, event.time)
        if self._of_regions:
            for region in settled_since(layout, self._tiles, tiles):
                number, count, failed = region
                self._tell(RegionSettled(*of, number, region.outcome, count, failed))
        self._tiles = tiles
        for tile, reason in sorted(flush.errors.items()):
            kind = kind_of(reason)
            if kind not in self._kinds:
                self._kinds.add(kind)
                self._tell(FirstError(*of, *layout.locate(tile), reason))
        self._tell(event)
        if flush.end_time is not None and not self._ended:
            self._ended = True
            counts = layout.region_count, flush.region_success, flush.region_error
            self._tell(Ended(*of, status, *counts, flush.processing_duration))

    def failed(self, error: Exception, now: float) -> None:
        """Tells that a claim or a flush failed, now in epoch seconds."""
        self._tell(FlushFailed(*self._of, int(now * 1000), reason_of(error)))

    def _tell(self, event: Event) -> None:
        try:
            for subscriber in self._subscribers:
                subscriber(event)
        except Exception:  # a defect of ours must not pass for one of the table
            logger.exception("image %s: %s", self._of[0], event)

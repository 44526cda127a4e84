"""What a flush makes durable that was not so before: as events, and as messages to SNS."""

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
from ..job_table import Flush, JobItem
from ..job_table.outbox import END, Entry, Outbox
from ..ledger import ERROR, Classes, Layout, Ledger, Settled, reason_of, settled_since
from ..logs import about
from ..status_monitor import Message, StatusMonitor

logger = logging.getLogger(__name__)


class News:
    """Tells subscribers what becomes of an image, one event after another.

    Only the thread that steps the coordinator tells; it holds no lock then. A subscriber must
    return at once.

    Args:
        image_id: The image.
        run: The run.

    Attributes:
        outbox: The messages that have not been sent yet.
    """

    def __init__(self, image_id: str, run: str) -> None:
        self._of = image_id, run
        self._subscribers: tuple[Subscriber, ...] = ()
        self._of_regions = False
        self.outbox = Outbox()
        self._layout = Layout.of(1)
        self._monitor: StatusMonitor | None = None
        self._tiles = b""  # what was durable last
        self._settled: list[Settled] = []  # since then
        self._end: tuple[str, str | None] = "", None  # status and state
        self._classes: set[str] = set()  # those of which a tile has failed
        self._ended = False

    def subscribe(self, subscriber: Subscriber, *, regions: bool = True) -> None:
        """Has a subscriber told from now on.

        Args:
            subscriber: Called with each event.
            regions: Whether it needs RegionSettled: to find these takes time for each.
        """
        self._subscribers += (subscriber,)
        self._of_regions |= regions

    def claimed(self, job: JobItem, ledger: Ledger, now: float) -> None:
        """Tells that the run is served, unless the image has ended.

        Args:
            job: The item.
            ledger: As the item has it.
            now: The time, in epoch seconds.
        """
        self._layout, self._tiles = ledger.layout, ledger.tile_outcomes()
        self._classes = {name for _, _, name in ledger.classes().spans()}
        self.outbox, self._monitor = Outbox(job.tracker_outbox), StatusMonitor(job)
        self._of_regions |= self._monitor.topics.region is not None
        self._end, self._ended = (job.status, job.tracker_state), job.end_time is not None
        if not self._ended:
            layout = ledger.layout
            counts = layout.region_count, ledger.region_success, ledger.region_error
            self._tell(RunStarted(*self._of, int(now * 1000), *counts, layout.tile_count))

    def flushing(self, tiles: bytes, end_time: int | None, now: int) -> str | None:
        """Returns the outbox that a flush is to write.

        Args:
            tiles: One byte a tile, its outcome, as flushed.
            end_time: As flushed.
            now: The time, in epoch ms.
        """
        monitor, news = self._monitor, []
        assert monitor is not None  # claimed
        if self._of_regions:
            self._settled = list(settled_since(self._layout, self._tiles, tiles))
        if monitor.topics.region:
            after = monitor.since_start(now)
            news = [Entry(str(region.region), after) for region in self._settled]
        if monitor.topics.image and end_time is not None and not self._ended:
            news.append(Entry(END, monitor.since_start(end_time)))
        return self.outbox.flushing(*news)

    def flushed(self, tiles: bytes, flush: Flush, status: str, event: Flushed) -> None:
        """Tells what a flush has made durable.

        Args:
            tiles: One byte a tile, its outcome, as flushed.
            flush: What was written.
            status: The image's status, as the item has it now.
            event: The flush itself.
        """
        of, layout = (*self._of, event.time), self._layout
        self._end = status, flush.state
        for region in self._settled:
            number, count, failed = region
            self._tell(RegionSettled(*of, number, region.outcome, count, failed))
        self._settled = []
        self._tiles = tiles
        self.outbox.flushed()
        for tile, _, name in Classes.decode(flush.classes, tiles).spans():
            if name not in self._classes:
                self._classes.add(name)
                reason = flush.errors.get(tile, name)  # of many that failed not all texts are kept
                self._tell(FirstError(*of, *layout.locate(tile), reason))
        self._tell(event)
        if flush.end_time is not None and not self._ended:
            self._ended = True
            counts = layout.region_count, flush.region_success, flush.region_error
            self._tell(Ended(*of, status, *counts, flush.processing_duration))

    def failed(self, error: Exception, now: float) -> None:
        """Tells that a claim or a flush failed, now in epoch seconds."""
        self._tell(FlushFailed(*self._of, int(now * 1000), reason_of(error)))

    def unsent(self) -> list[tuple[Entry, Message | None]]:
        """Returns what is in the outbox, durably, and the message of each; None: of nothing."""
        return [(entry, self._message(entry)) for entry in self.outbox.unsent()]

    def _message(self, entry: Entry) -> Message | None:
        assert self._monitor is not None  # claimed
        if not entry.what.isdecimal():
            return self._monitor.of_image(entry, *self._end)
        region = int(entry.what)
        if region >= self._layout.region_count:  # somebody else wrote it
            return None
        tiles = self._layout.tiles(region)
        failed = self._tiles.count(ERROR, tiles.start, tiles.stop)
        return self._monitor.of_region(entry, len(tiles), failed)

    def _tell(self, event: Event) -> None:
        try:
            for subscriber in self._subscribers:
                subscriber(event)
        except Exception:  # a defect of ours must not pass for one of the table
            logger.exception("image %s: %s", self._of[0], event, extra=about(*self._of))

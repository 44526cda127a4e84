"""Reads the items every few milliseconds, past the proxy, and notes what must never be seen."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from raytracker import JobItem, JobTable
from raytracker.job_table import ledger_of
from raytracker.run import patiently
from tests.chaos.journal import ERROR, PENDING, ranks

SCAN_SECONDS = 0.05


class Finding(NamedTuple):
    """Something that should not be: "miscounted", "lost", "hung" or "broken", and what it is."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass
class Sight:
    """What was seen of one run in the item.

    Attributes:
        first: The tiles when the run was first seen.
        floor: The tiles when it was last seen, joined with what `flush` confirmed.
        end: The tiles when its end was first seen.
    """

    first: bytes
    floor: bytearray
    end: bytes | None = None
    fence: tuple[str | None, int] = field(default=(None, 0))


class Scanner:
    """Watches images for as long as the block lasts.

    Args:
        table: The job table, without a proxy in between.
        image_ids: The images.

    Attributes:
        findings: What must never be seen, and was.
        sights: (image_id, run) to what was seen of it, in the order of first sight.
    """

    def __init__(self, table: JobTable, image_ids: Sequence[str]) -> None:
        self.findings: list[Finding] = []
        self.sights: dict[tuple[str, str], Sight] = {}
        self._table = table
        self._image_ids = image_ids
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Scanner:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def confirm(self, image_id: str, run: str, outcomes: Mapping[int, int]) -> None:
        """Notes that `flush` said these are durable: from the next read on they must be."""
        self.look(image_id)
        with self._lock:
            sight = self.sights.get((image_id, run))
            if sight and sight.end is None:  # what came later is let go of
                for number, outcome in outcomes.items():
                    sight.floor[number] = max(sight.floor[number], outcome)
        self.look(image_id)

    def look(self, image_id: str) -> JobItem | None:
        """Reads an item and compares it with what was known before the read."""
        with self._lock:
            floors = {key: bytes(sight.floor) for key, sight in self.sights.items()}
            item = patiently(lambda: self._table.read(image_id))
            if item is not None and item.tracker_run:
                self._compare(item, floors.get((image_id, item.tracker_run)))
        return item

    def _serve(self) -> None:
        while not self._stop.wait(SCAN_SECONDS):
            for image_id in self._image_ids:
                self.look(image_id)

    def _compare(self, item: JobItem, floor: bytes | None) -> None:
        ledger = ledger_of(item)
        tiles = ranks(ledger.tile_outcomes())
        key = (item.image_id, item.tracker_run or "")
        sight = self.sights.setdefault(key, Sight(tiles, bytearray(tiles)))
        for number, outcome in enumerate(floor or b""):
            if tiles[number] < outcome:
                self._find("lost", item, f"tile {number} was {outcome}, is {tiles[number]}")
        sight.floor[:] = map(max, sight.floor, tiles)
        counts = count(tiles, [len(numbers) for numbers in ledger.layout.regions()])
        if (item.region_success, item.region_error) != counts:
            shown = item.region_success, item.region_error
            self._find("miscounted", item, f"counts {shown}, its ledger says {counts}")
        ended = item.end_time is not None
        if ended and not item.tracker_state and PENDING in tiles:
            self._find("miscounted", item, "it has ended with pending tiles")
        if sight.end is not None and not ended:
            self._find("lost", item, "it had ended, and has not")
        elif sight.end not in (None, tiles):
            self._find("miscounted", item, "it changed after its end")
        elif ended:
            sight.end = tiles
        owner, seq = sight.fence
        if item.tracker_owner == owner and (item.tracker_seq or 0) < seq:
            self._find("lost", item, f"flush {seq} was overwritten by flush {item.tracker_seq}")
        sight.fence = (item.tracker_owner, item.tracker_seq or 0)

    def _find(self, kind: str, item: JobItem, text: str) -> None:
        finding = Finding(kind, f"{item.image_id}, run {item.tracker_run}: {text}")
        if finding not in self.findings:
            self.findings.append(finding)


def count(tiles: Sequence[int], sizes: Sequence[int]) -> tuple[int, int]:
    """Returns how many regions are a success and an error: counted here, not by raytracker."""
    success = error = start = 0
    for size in sizes:
        region = tiles[start : start + size]
        if PENDING not in region:
            success += ERROR not in region
            error += ERROR in region
        start += size
    return success, error

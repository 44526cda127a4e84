"""What can be looked at of a table: all its images, or one of them."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, NamedTuple

from ..ddb import translate
from ..errors import LedgerError
from ..job_table import Consumed, JobItem, JobTable, Starter, jobs_in, ledger_of
from ..ledger import Ledger
from ..views import (
    OfClass,
    Wanted,
    classes_in,
    details_of,
    is_silent,
    newest,
    ranges_of,
    ranges_text,
    row_of,
)
from .tile_map import TileMap

MAX_SAMPLES = 720
MAX_RANGED = 10_000  # tiles of a group that are looked through for its ranges
FULL_ITEM_BYTES, FULL_ITEM_RCU = 400_000, 100.0  # of a consistent read
OUTCOMES = ("pending", "error", "success")


class Sight:
    """Something that is looked at; a thread reads it, and replaces what was seen as a whole.

    Attributes:
        viewers: How many look at it now.
        version: How often it has been read.
        read_at: When it was read last, in epoch ms; 0: never.
        trouble: Why the last reading failed; None: it did not.
        turn: When it was tried last, by `time.monotonic`.
    """

    def __init__(self) -> None:
        self.viewers = 0
        self.version = 0
        self.read_at = 0
        self.trouble: str | None = None
        self.turn = 0.0

    def read(self, table: JobTable) -> float:
        """Reads it once; returns about how many read capacity units that took."""
        rcu = 0.0
        try:
            rcu = self._read(table)
            self.read_at = int(time.time() * 1000)
            self.trouble = None
        except Exception as err:  # who looks must not wait for ever
            self.trouble = str(translate(err, table.table_name))
        self.version += 1
        self.turn = time.monotonic()
        return rcu

    def _read(self, table: JobTable) -> float:
        raise NotImplementedError


class Asked(NamedTuple):
    """Which images a viewer asks for.

    Attributes:
        wanted: What they must be.
        text: What image_id, job_id or model_name has in it, in small letters; empty: anything.
        limit: So many, at most.
    """

    wanted: Wanted = Wanted()
    text: str = ""
    limit: int = 200

    def fits(self, job: JobItem, now: float) -> bool:
        """Returns whether an image is one of them."""
        names = (job.image_id, job.job_id, job.model_name)
        return self.wanted.fits(job, now) and (
            not self.text or any(self.text in (name or "").casefold() for name in names)
        )


class Images(Sight):
    """All images of a table, the newest first."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: list[JobItem] = []

    def _read(self, table: JobTable) -> float:
        consumed = Consumed()
        self._jobs = newest(jobs_in(table, consumed), None)
        return consumed.rcu

    def told(self, asked: Asked) -> dict[str, Any]:
        """Returns what is said of those that are asked for, JSON-ready."""
        now, jobs = self.read_at / 1000, self._jobs
        counts = Counter(job.status for job in jobs)
        fitting = [job for job in jobs if asked.fits(job, now)]
        return {
            "read_at": self.read_at,
            "trouble": self.trouble,
            "count": len(jobs),
            "counts": {**counts, "silent": sum(is_silent(job, now) for job in jobs)},
            "fitting": len(fitting),
            "images": [row_of(job, now) for job in fitting[: asked.limit]],
        }


class Image(Sight):
    """One image.

    Attributes:
        ledger: Its ledger; None: it has none that can be read.
        map: Where its tiles lie; None, likewise.
        raster: The outcomes of the map's cells, as `TileMap.raster` has them.
        map_version: Another one where that has changed.
    """

    def __init__(self, image_id: str) -> None:
        super().__init__()
        self.image_id = image_id
        self.ledger: Ledger | None = None
        self.map: TileMap | None = None
        self.raster = b""
        self.map_version = 0
        self._known: tuple[Any, ...] = ()
        self._groups: list[dict[str, Any]] = []
        self._told: dict[str, Any] = {}
        self._run: str | None = None
        self._samples: list[tuple[int, int]] = []

    def _read(self, table: JobTable) -> float:
        job = table.read(self.image_id)
        if job is None:
            self._told, self._known, self.ledger, self.map = {}, (), None, None
            return 1.0
        now, who = time.time(), Starter.of(job)
        damage = self._look_into(job)
        self._sample(job, int(now * 1000))
        told = details_of(job, self.ledger)
        self._told = {
            **told,
            "trouble": damage or told["trouble"],
            "silent": is_silent(job, now),
            "started_by": None if who is None else who._asdict(),
            "groups": self._groups,
            "map": None if self.map is None else self.map.to_dict(),
            "map_version": self.map_version,
            "settled": self._samples,
        }
        return 1.0 + FULL_ITEM_RCU * len(job.tracker_ledger or "") / FULL_ITEM_BYTES

    def _look_into(self, job: JobItem) -> str | None:
        """Decodes the ledger if it is another one; returns what is wrong with it."""
        reasons = (job.tracker_errors, job.tracker_classes)
        known = (job.tracker_ledger, *reasons, job.tracker_grid, job.roi_wkt)
        if known == self._known:
            return None
        self._known, self._groups = (), []
        self.ledger, self.map = None, None
        if job.tracker_ledger is not None:
            try:
                ledger = ledger_of(job)
            except LedgerError as err:
                return str(err)
            self.map = TileMap.of(job, ledger.layout)
            self.raster = self.map.raster(ledger.tile_outcomes())
            self.ledger, self._groups = ledger, list(map(_group, classes_in(ledger)))
        self.map_version += 1
        self._known = known
        return None

    def _sample(self, job: JobItem, now: int) -> None:
        """Notes how many tiles, or regions, are settled, as long as somebody looks."""
        settled = (job.region_success or 0) + (job.region_error or 0)
        if self.ledger is not None:
            settled = self.ledger.tile_success + self.ledger.tile_error
        if job.tracker_run != self._run:
            self._run, self._samples = job.tracker_run, []
        if job.end_time is None or not self._samples:
            self._samples = [*self._samples[-MAX_SAMPLES + 1 :], (job.end_time or now, settled)]
        elif self._samples[-1][1] != settled:
            self._samples = [*self._samples, (job.end_time, settled)]

    def told(self) -> dict[str, Any]:
        """Returns what is said of it, JSON-ready; no `image_id`: the table has no such item."""
        return {"read_at": self.read_at, **self._told, "unread": self.trouble}

    def tile(self, number: int) -> dict[str, Any]:
        """Returns what is known of a tile: region, tile, outcome, reason, class, and where."""
        assert self.ledger is not None
        assert self.map is not None
        region, tile = self.ledger.layout.locate(number)
        row, column = self.map.place_of(number)
        return {
            "region": region,
            "tile": tile,
            "number": number,
            "row": row,
            "column": column,
            "outcome": OUTCOMES[self.raster[row * self.map.columns + column]],
            "reason": self.ledger.reasons().get(number),
            "class": self.ledger.class_of(number),
        }


def _group(known: OfClass) -> dict[str, Any]:
    """Returns the failed tiles of a class, and the reason that most of them have."""
    [first, *others] = known.groups
    return {
        "class": known.name,
        "reason": known.name if first.reason is None else first.reason,
        "alike": first.alike,
        "others": bool(others),
        "tile_error": len(known.tiles),
        "tiles": ranges_text(ranges_of(known.tiles[:MAX_RANGED])),
        "first": known.tiles[0],
    }

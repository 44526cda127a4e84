"""The four writes of a run: start, claim, resume, flush. Each is safe to repeat.

A request or its response may be lost, delayed or delivered twice. So each write has a condition
that fails once somebody else has moved on, and when a repeated one fails because the first got
through, the old item shows our own uuid: that is success.

    start   no item, or the one just read   sets the whole item, a new run, no owner
    claim   our run, the owner just read    sets us as owner, flush number 0
    resume  the run just read               sets a new run, no owner
    flush   we are owner, number not lower  sets counts, ledger, errors, state, times

Because start and resume leave no owner, no flush of an older run passes its condition any more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..ddb import ConditionFailed, DDBHelper
from ..errors import (
    ImageExists,
    JobVanished,
    RaytrackerError,
    TableUnavailable,
    TrackerSuperseded,
)
from ..ledger import Layout, Ledger
from .history import noted
from .item import JobItem, ledger_of
from .ledger_text import to_text
from .life import alive_until, at_least, expiry, silent_since
from .size import check_size
from .spent import Spent
from .update import Update

KEEP_SECONDS = 7 * 24 * 60 * 60  # as OSML's newest deployment
_OUTGROWN = "finish it with the raytracker that began it, or restart it with larger tiles"


class OwnerMoved(RaytrackerError):
    """Another process has claimed the image for the same run; this one is a leftover."""


class Flush(NamedTuple):
    """What a flush writes; all values are absolute, so that writing them twice changes nothing.

    Attributes:
        region_success: Regions all of whose tiles succeeded.
        region_error: Settled regions with a failed tile.
        ledger: The encoded ledger.
        errors: Why tiles failed, by tile number.
        state: CANCELLED or STOPPED, which the counts can't say; else None.
        end_time: Epoch ms, once the job has ended; else None.
        processing_duration: Seconds from the start to now, or to the end.
        expire_time: When the item may be deleted, in epoch s; None: never.
        alive_until: Until when the run may be taken for alive, in epoch s; None: it has ended, or
            nobody goes on with it.
        spent: What all writes before this one cost.
        outbox: The messages that are to be sent, see `outbox.Outbox`; None: none.
        classes: The encoded classes of the failed tiles.
    """

    region_success: int
    region_error: int
    ledger: bytes
    errors: Mapping[int, str]
    state: str | None
    end_time: int | None
    processing_duration: int
    expire_time: int | None
    alive_until: int | None = None
    spent: Spent = Spent()
    outbox: str | None = None
    classes: bytes = b""


class RunTable(DDBHelper):
    """The job table as a run sees it."""

    def read(self, image_id: str) -> JobItem | None:
        """Returns the image's item, read consistently, or None.

        Raises:
            TableError: DynamoDB refuses.
            TableUnavailable: DynamoDB did not answer.
        """
        attributes = self.read_item({"image_id": image_id})
        return None if attributes is None else JobItem.from_ddb(attributes)

    def start(
        self,
        job: JobItem,
        *,
        run: str,
        layout: Layout,
        replacing: JobItem | None = None,
        keep_for: int | None = KEEP_SECONDS,
    ) -> None:
        """Writes the whole item of a new run, all tiles pending.

        Args:
            job: The item's other attributes.
            run: The new run.
            layout: The tiles of each region.
            replacing: The item just read, which this one replaces; None: there must be none.
            keep_for: Seconds until DynamoDB may delete the item; each write of the run puts it off.
                None: it never may.

        Raises:
            InvalidLayout: The ledger could outgrow the item.
            ImageExists: There is an item, or not the one just read any more.
            TableError: DynamoDB refuses.
            TableUnavailable: DynamoDB did not answer; repeat it with the same run.
        """
        attributes, now = job.to_put(), time.time() if replacing is None else at_least(replacing)
        check_size(attributes, layout)
        item = attributes | {
            "start_time": int(now * 1000),
            "expire_time": expiry(now, keep_for),
            "processing_duration": 0,
            "region_success": 0,
            "region_error": 0,
            "region_count": layout.region_count,
            "tracker_run": run,
            "tracker_seq": 0,
            "tracker_ledger": to_text(Ledger(layout).encode()),
            "tracker_keep_for": keep_for,
            "tracker_alive_until": alive_until(now),
            "tracker_ends": False if job.tracker_ends is False else None,
            "tracker_history": noted(replacing, now),
            **_spent(replacing).attributes,
        }
        of_before = ("end_time", "tracker_owner", "tracker_state", "tracker_errors")
        for attribute in (*of_before, "tracker_classes"):
            item.pop(attribute, None)
        item = {name: value for name, value in item.items() if value is not None}
        try:
            self.conditional_put(item, *_still(replacing))
        except ConditionFailed as err:
            if err.old and err.old.get("tracker_run") == run:
                return  # our first try got through
            raise ImageExists(_exists(job.image_id, self.table_name, err.old)) from None

    def claim(
        self,
        image_id: str,
        run: str,
        owner: str,
        *,
        keep_for: int | None = KEEP_SECONDS,
        now: float | None = None,
    ) -> JobItem:
        """Makes a process the owner: from now on only its flushes pass.

        Args:
            image_id: The image.
            run: The run that the process belongs to.
            owner: The uuid of the process.
            keep_for: As in `start`.
            now: The time in epoch s; None: as the machine's clock says.

        Returns:
            The item as claimed; its ledger is what the owner starts from.

        Raises:
            JobVanished: The item is gone.
            TrackerSuperseded: The item belongs to another run.
            TableUnavailable: DynamoDB did not answer, or another process claimed it in between.
            TableError: DynamoDB refuses.
        """
        read = self.read(image_id)
        self._check_run(image_id, run, None if read is None else read.tracker_run)
        assert read is not None
        if read.tracker_owner == owner:
            # An earlier try got through. A second write that the network held back would lower
            # the number under our own flushes, and let a delayed one pass.
            return read
        # The owner just read is in the condition, so that a claim which the network held back
        # cannot take the image from a process that claimed it later.
        update = Update(
            tracker_owner=owner,
            tracker_seq=0,
            expire_time=expiry(at_least(read, now), keep_for),
            tracker_alive_until=alive_until(at_least(read, now)),
            **_spent(read).attributes,
        )
        names, values = {"#tracker_run": "tracker_run"}, {":run": run}
        condition = f"#tracker_run = :run AND {_same_owner(read, values)}"
        try:
            written = self.conditional_update(
                {"image_id": image_id},
                update.expression,
                condition,
                update.names | names,
                update.values | values,
            )
        except ConditionFailed as err:
            if err.old and err.old.get("tracker_owner") == owner:
                return JobItem.from_ddb(err.old)  # our first try got through
            self._check_run(image_id, run, (err.old or {}).get("tracker_run"))
            raise TableUnavailable(f"image {image_id!r} was just claimed by another") from err
        return JobItem.from_ddb(written.attributes)

    def resume(
        self,
        read: JobItem,
        run: str,
        *,
        pool: str | None = None,
        redrive: bool = False,
        keep_for: int | None = KEEP_SECONDS,
        started_by: str | None = None,
    ) -> None:
        """Gives the item to a new run, which goes on where the item stands.

        Args:
            read: The item just read, one that a run tracked.
            run: The new run.
            pool: The pool that hosts it, as text; None: none.
            redrive: Whether failed tiles become pending again.
            keep_for: As in `start`.
            started_by: Who begins it, as `JobItem` has it.

        Raises:
            LedgerError: The item's ledger cannot be read.
            InvalidLayout: The ledger could outgrow the item; an older version stored it in less.
            TableUnavailable: DynamoDB did not answer, or the item has changed: read it again, and
                repeat it with the same run.
            TableError: DynamoDB refuses.
        """
        ledger = ledger_of(read)
        check_size(read.to_put() | {"tracker_pool": pool or ""}, ledger.layout, _OUTGROWN)
        update = Update(
            tracker_run=run,
            tracker_owner=None,
            tracker_state=None,
            tracker_pool=pool,
            tracker_keep_for=keep_for,
            tracker_started_by=started_by,
            tracker_alive_until=alive_until(at_least(read)),
            expire_time=expiry(at_least(read), keep_for),
            tracker_history=noted(read, at_least(read)),
            **_spent(read).attributes,
        )
        condition, values = "#tracker_run = :read", {":read": read.tracker_run}
        condition += silent_since(read, update.names, values)
        if redrive:
            # It writes the ledger, so a flush since the read must not be lost.
            ledger = ledger.without_errors()
            update.set(
                region_success=ledger.region_success,
                region_error=0,
                tracker_ledger=to_text(ledger.encode()),
                tracker_errors=None,
                tracker_classes=None,
                tracker_seq=read.tracker_seq or 0,
            )
            condition += " AND #tracker_seq = :tracker_seq"
            condition += f" AND {_same_owner(read, values)}"
        if not ledger.settled or read.tracker_state:
            update.set(end_time=None)
        try:
            self.conditional_update(
                {"image_id": read.image_id},
                update.expression,
                condition,
                update.names,
                update.values | values,
                return_values="NONE",
            )
        except ConditionFailed as err:
            if err.old and err.old.get("tracker_run") == run:
                return  # our first try got through
            if err.old is None:
                raise JobVanished(self._vanished_text(read.image_id)) from None
            raise TableUnavailable(f"image {read.image_id!r} changed since it was read") from err

    def flush(self, image_id: str, run: str, owner: str, seq: int, what: Flush) -> float:
        """Makes a whole ledger durable.

        Safe to repeat, since it writes absolute values. Only the owner's passes, and an older one
        that the network held back fails on its number:

            owner A, seq 1: 50 settled  ---- held back ----------------> refused: 1 < 2
            owner A, seq 2: 100 settled -----------> written, acknowledged
            owner B claims                                  ... from here all of A's are refused

        Args:
            image_id: The image.
            run: The run that the process belongs to.
            owner: The uuid of the process.
            seq: The number of this payload: higher than that of all before it.
            what: The values.

        Returns:
            Write capacity units that it took.

        Raises:
            OwnerMoved: Another process owns the image for the same run.
            TrackerSuperseded: The item belongs to another run.
            JobVanished: The item is gone.
            TableUnavailable: DynamoDB did not answer.
            TableError: DynamoDB refuses.
        """
        update = Update(
            tracker_seq=seq,
            region_success=what.region_success,
            region_error=what.region_error,
            tracker_ledger=to_text(what.ledger),
            tracker_errors={str(tile): text for tile, text in what.errors.items()},
            tracker_classes=to_text(what.classes) or None,
            processing_duration=what.processing_duration,
            expire_time=what.expire_time,
            tracker_alive_until=what.alive_until,
            **what.spent.attributes,
            tracker_outbox=what.outbox,
        )
        if what.state is not None:
            update.set(tracker_state=what.state)
        if what.end_time is not None:
            update.set(end_time=what.end_time)
        try:
            written = self.conditional_update(
                {"image_id": image_id},
                update.expression,
                "#tracker_owner = :me AND #tracker_seq <= :tracker_seq",
                update.names | {"#tracker_owner": "tracker_owner"},
                update.values | {":me": owner},
                return_values="NONE",
            )
        except ConditionFailed as err:
            self._check_run(image_id, run, (err.old or {}).get("tracker_run"))
            if err.old and err.old.get("tracker_owner") == owner:
                raise TableUnavailable(f"image {image_id!r}: flush {seq} came too late") from err
            raise OwnerMoved(f"image {image_id!r} is served by another process now") from err
        return written.wcu

    def _check_run(self, image_id: str, run: str, found: str | None) -> None:
        if found is None:
            raise JobVanished(self._vanished_text(image_id))
        if found != run:
            raise TrackerSuperseded(
                f"image {image_id!r} in table {self.table_name!r} was taken over by run {found}; "
                f"run {run} has ended"
            )

    def _vanished_text(self, image_id: str) -> str:
        return (
            f"image {image_id!r} is not in table {self.table_name!r} any more, as a tracked one: "
            "somebody deleted it, or the table's TTL did, after the time that keep_for says"
        )


def _still(read: JobItem | None) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Returns the condition that an item is as it was read, with its names and values.

    Args:
        read: The item; None: there was none.
    """
    if read is None:
        return "attribute_not_exists(#id)", {"#id": "image_id"}, {}
    names, values = {"#run": "tracker_run"}, {":read": read.tracker_run}
    if not read.tracker_run:
        return "attribute_not_exists(#run)", names, {}
    return "#run = :read" + silent_since(read, names, values), names, values


def _same_owner(read: JobItem, values: dict[str, Any]) -> str:
    """Returns the condition that an item has the owner that was read; adds its value."""
    if not read.tracker_owner:
        return "attribute_not_exists(#tracker_owner)"
    values[":owner_read"] = read.tracker_owner
    return "#tracker_owner = :owner_read"


def _spent(read: JobItem | None) -> Spent:
    return (None if read is None else read.spent) or Spent()  # an older version counted nothing


def _exists(image_id: str, table: str, old: Mapping[str, Any] | None) -> str:
    ended = (old or {}).get("end_time") is not None
    what = "it has ended" if ended else "it has not ended"
    return (
        f"image {image_id!r} is in table {table!r} already ({what}): "
        "if_exists='resume' goes on with it, if_exists='restart' begins again"
    )

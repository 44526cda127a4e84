"""How a run begins: the item is read, checked, and written, until DynamoDB answers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from ..actor import Pool, Spec, pickled
from ..errors import ImageExists, JobVanished, ResumeMismatch, TableUnavailable
from ..events import Subscriber
from ..image_request import ImageRequest
from ..job_table import (
    BEGINNING,
    KEEP_SECONDS,
    JobItem,
    JobTable,
    Starter,
    Topics,
    check_image_id,
    cut_of,
    ledger_of,
    with_cut,
)
from ..ledger import Layout
from ..numeric import check_number, is_number
from ..ray_runtime import check_connected, job_name
from .patience import patiently
from .taking import once_free

IfExists = Literal["error", "resume", "restart"]
NOBODY = Topics()
MOST_KEPT_SECONDS = 100_000_000_000  # the table takes more; dates end soon after


class How(NamedTuple):
    """How a run is tracked, beside what its image is.

    Attributes:
        flush_interval: Seconds between flushes, at least.
        max_wcu_per_second: Write capacity that the flushes use, at most, on average.
        keep_for: Seconds that the item is kept after its last write; None: for ever.
        pool: The pool whose actor hosts the image; None: the run has an actor of its own.
        ends: Whether the image ends by itself once it is settled, if the item does not say.
        take_over: Whether a run that lives is superseded.
        on_event: A subscriber, pickled.
        topics: The SNS topics that are told, if the item does not say.
    """

    flush_interval: float = 1.0
    max_wcu_per_second: float = 25.0
    keep_for: int | None = KEEP_SECONDS
    pool: Pool | None = None
    ends: bool = True
    take_over: bool = False
    on_event: bytes | None = None
    topics: Topics = NOBODY

    @classmethod
    def of(
        cls,
        flush_interval: float,
        max_wcu_per_second: float,
        keep_for: float | timedelta | None,
        pool: str | None,
        pool_size: int,
        ends: bool = True,
        take_over: bool = False,
        on_event: Subscriber | None = None,
        topics: Topics = NOBODY,
    ) -> How:
        """Returns what `ImageTracker.start` was given, checked.

        Raises:
            RayNotInitialized: This process is not connected to a cluster.
            ValueError: One of these is none; or `on_event` is too large.
            TypeError: `on_event` cannot be called, or pickled.
        """
        check_connected()
        check_number("flush_interval", flush_interval)
        check_number("max_wcu_per_second", max_wcu_per_second, exclusive=True)
        keep, host = _seconds(keep_for), Pool.of(pool, pool_size)
        pauses = float(flush_interval), float(max_wcu_per_second)
        return cls(*pauses, keep, host, ends, bool(take_over), pickled(on_event), topics)

    @property
    def pool_text(self) -> str | None:
        """The pool as the item names it."""
        return None if self.pool is None else str(self.pool)


class Begun(NamedTuple):
    """A run that has begun.

    Attributes:
        spec: What opens it.
        layout: The tiles of each region.
        before: The item of the run that it took the image over from; None: there was none.
    """

    spec: Spec
    layout: Layout
    before: JobItem | None


def job_item(job: JobItem | ImageRequest | str) -> JobItem:
    """Returns the item that `ImageTracker.start` was given, or makes it."""
    if isinstance(job, JobItem):
        return job
    return JobItem(image_id=job) if isinstance(job, str) else JobItem.from_image_request(job)


def job_table(table: JobTable | str) -> JobTable:
    """Returns the table as boto3 finds it here: the nodes have other environments."""
    return (table if isinstance(table, JobTable) else JobTable(table)).spelt_out()


def begin(
    job: JobItem,
    regions: int | Sequence[int],
    table: JobTable,
    if_exists: IfExists,
    grid: Mapping[str, Any] | None,
    redrive: bool,
    how: How,
) -> Begun:
    """Starts, restarts or resumes an image.

    The arguments and errors are those of `ImageTracker.start`.
    """
    if if_exists not in ("error", "resume", "restart"):
        raise ValueError(f'if_exists={if_exists!r}: say "error", "resume" or "restart"')
    if redrive and if_exists != "resume":
        raise ValueError(f'redrive=True goes with if_exists="resume", not {if_exists!r}')
    check_image_id(job.image_id)
    layout = Layout.of(regions)
    job = replace(
        with_cut(job, grid),
        tracker_pool=how.pool_text,
        tracker_ends=None if how.ends else False,
        tracker_started_by=Starter.this(job_name()).to_text(),
        tracker_topics=how.topics.to_text(),
        tracker_outbox=BEGINNING if how.topics.image else None,
    )
    run = uuid.uuid4().hex
    before: JobItem | None = None
    goes_on = if_exists == "resume"

    def write() -> None:
        nonlocal before
        found = None if if_exists == "error" else table.read(job.image_id)
        if _is_written(found, run):
            return
        if goes_on and found is not None and found.tracker_run:
            _check_same(found, layout, job)  # before it is waited for
        before = found = None if found is None else _once_free(found, table, how)
        if goes_on and found is not None and found.tracker_run:
            _check_same(found, layout, job)
            _resume(found, run, table, how, redrive=redrive)
            return
        try:
            table.start(job, run=run, layout=layout, replacing=found, keep_for=how.keep_for)
        except ImageExists as err:
            if if_exists == "error":
                raise
            raise TableUnavailable(f"{err} (since it was read)") from err  # read it again

    patiently(write)
    resumed = before if if_exists == "resume" and before and before.tracker_run else job
    return Begun(_spec(resumed, run, table, how), layout, before)


def go_on(image_id: str, table: JobTable, how: How, *, redrive: bool) -> Begun:
    """Resumes an image as its item stands.

    The arguments and errors are those of `ImageTracker.resume`.
    """
    run = uuid.uuid4().hex
    before: JobItem | None = None

    def write() -> Begun:
        nonlocal before
        found = read_tracked(table, image_id)
        if not _is_written(found, run):
            before = found = _once_free(found, table, how)
            _resume(found, run, table, how, redrive=redrive)
        return Begun(_spec(found, run, table, how), ledger_of(found).layout, before)

    return patiently(write)


def read_tracked(table: JobTable, image_id: str) -> JobItem:
    """Returns the item of an image that a run tracks, or did.

    Raises:
        JobVanished: There is no such item.
        ResumeMismatch: No run ever tracked it.
    """
    found = table.read(image_id)
    if found is None:
        raise JobVanished(f"image {image_id!r} is not in table {table.table_name!r}")
    if not found.tracker_run:
        raise ResumeMismatch(
            f"image {image_id!r} is in table {table.table_name!r}, but no run tracked it: "
            "start it with if_exists='restart'"
        )
    return found


def _once_free(found: JobItem, table: JobTable, how: How) -> JobItem:
    def read() -> JobItem | None:
        return patiently(lambda: table.read(found.image_id))

    return once_free(found, read, take_over=how.take_over)


def _resume(found: JobItem, run: str, table: JobTable, how: How, *, redrive: bool) -> None:
    table.resume(
        found,
        run,
        pool=how.pool_text,
        redrive=redrive,
        keep_for=how.keep_for,
        started_by=Starter.this(job_name()).to_text(),
    )


def _spec(item: JobItem, run: str, table: JobTable, how: How) -> Spec:
    ends = item.tracker_ends is not False
    return Spec(item.image_id, run, table, *how[:4], ends, how.on_event)


def _is_written(found: JobItem | None, run: str) -> bool:
    """Whether an earlier try got through, whose answer was lost.

    To write again, over our own run, would pass as long as the run lasts; and the network may hold
    such a write back until the run has come far.
    """
    return found is not None and found.tracker_run == run


def _check_same(found: JobItem, layout: Layout, job: JobItem) -> None:
    known = ledger_of(found).layout
    theirs, ours = str(known), str(layout)
    if (found.tracker_grid or None) != job.tracker_grid and cut_of(found) != cut_of(job):
        their_cut, our_cut = _differences(found.tracker_grid, job.tracker_grid)
        theirs, ours = f"{theirs} cut with {their_cut}", f"{ours} cut with {our_cut}"
    elif known == layout:
        return
    raise ResumeMismatch(
        f"image {found.image_id!r} has {theirs}; the resume asks for {ours}: give the same, or "
        'if_exists="restart"'
    )


def _differences(*grids: str | None) -> list[str]:
    """Returns what each of two cuts says of the options in which they differ."""
    try:
        theirs, ours = (json.loads(grid or "{}") for grid in grids)
        names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    except (TypeError, ValueError, AttributeError, RecursionError):  # what somebody else wrote
        return [f"{grid!s:.200}" for grid in grids]
    return [
        ", ".join(f"{name} {json.dumps(cut.get(name))}" for name in names) if cut else "no grid"
        for cut in (theirs, ours)
    ]


def _seconds(keep_for: float | timedelta | None) -> int | None:
    """Returns how long an item is to be kept, in seconds; None: for ever.

    Raises:
        ValueError: It is less than a second, no number, or more than any calendar has.
    """
    if keep_for is None:
        return None
    seconds = keep_for.total_seconds() if isinstance(keep_for, timedelta) else keep_for
    if not is_number(seconds, 1, MOST_KEPT_SECONDS):
        raise ValueError(
            f"keep_for={keep_for!r}: seconds, one at least, or a timedelta, that the item is kept "
            "after the last sign of life; None keeps it for ever"
        )
    return int(seconds)

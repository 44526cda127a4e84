"""The last runs of an image, as its item keeps them: the newest first.

The run that goes on, or was the last, is what the item says of itself. A resume or a restart, which
reads that item, writes it down beside those before (`tracker_history`), so it costs no write.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from .item import JobItem
from .life import Starter, is_alive, last_news
from .size import HISTORY_BYTES

MAX_RUNS = 10  # before the present one
_MAX_CHARACTERS = 40  # of who began it
_RUN_CHARACTERS = 8  # of a uuid


class RunRecord(NamedTuple):
    """What is left of a run.

    Attributes:
        run: How its uuid begins.
        status: How it ended, as `JobItem.status`; of one that goes on, how it stands; else
            INTERRUPTED, or SUPERSEDED by a run that took the image from it.
        started_by: user@host; empty: not known.
        start_time: When it began, in epoch ms; None: not known.
        end_time: When it ended, or was heard of last, in epoch ms; None: it goes on.
        tile_success: Tiles of the image that had succeeded by then; None: its ledger is damaged.
        tile_error: Tiles that had failed.
        tile_count: All its tiles.
    """

    run: str
    status: str
    started_by: str
    start_time: int | None
    end_time: int | None
    tile_success: int | None
    tile_error: int | None
    tile_count: int | None


def runs_of(job: JobItem, now: float) -> list[RunRecord]:
    """Returns the last runs of an image, the newest first; none if no run ever tracked it.

    Args:
        job: Its item.
        now: In epoch seconds.
    """
    if not job.tracker_run:
        return []
    return [_present(job, now), *_before(job)]


def noted(read: JobItem | None, now: float) -> str | None:
    """Returns the `tracker_history` of an item that a new run takes over; None: nothing.

    Args:
        read: The item of the run before, as it was read; None: there is none.
        now: In epoch seconds.
    """
    if read is None or not read.tracker_run:
        return None
    last = _present(read, now)
    if last.end_time is None:
        last = last._replace(status="SUPERSEDED", end_time=last_news(read))
    runs = [last, *_before(read)][:MAX_RUNS]
    while len(text := _text(runs)) > HISTORY_BYTES:
        runs.pop()
    return text.decode()


def _present(job: JobItem, now: float) -> RunRecord:
    who, tiles, goes_on = Starter.of(job), job.tile_counts(), is_alive(job, now)
    return RunRecord(
        (job.tracker_run or "")[:_RUN_CHARACTERS],
        job.status if goes_on or job.end_time is not None else "INTERRUPTED",
        "" if who is None else f"{who.user}@{who.host}"[:_MAX_CHARACTERS],
        job.start_time if who is None else who.since,
        None if goes_on else last_news(job),
        tiles.get("tile_success"),
        tiles.get("tile_error"),
        tiles.get("tile_count"),
    )


def _before(job: JobItem) -> list[RunRecord]:
    """Returns the runs before, without what somebody else wrote there."""
    try:
        told = json.loads(job.tracker_history or "[]")
        return [RunRecord(*each) for each in told if _is_record(each)][:MAX_RUNS]
    except (ValueError, TypeError, RecursionError):
        return []


def _is_record(told: list[object]) -> bool:
    texts, numbers = told[:3], told[3:]
    return (
        len(told) == len(RunRecord._fields)
        and all(isinstance(text, str) and len(text) <= _MAX_CHARACTERS for text in texts)
        and all(number is None or type(number) is int for number in numbers)
    )


def _text(runs: list[RunRecord]) -> bytes:
    return json.dumps(runs, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

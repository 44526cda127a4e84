"""What is said of one image beside its item."""

from __future__ import annotations

import time
from typing import Any

from ..job_table import JobItem, Starter, is_alive, last_news, runs_of
from ..ledger import Ledger, Outcome
from .rows import is_silent

MAX_SHOWN = 10  # regions


def details_of(job: JobItem, ledger: Ledger | None) -> dict[str, Any]:
    """Returns what an item says, and what follows from it and its ledger, JSON-ready.

    Args:
        job: The item.
        ledger: That of the item; None: it has none.
    """
    now = time.time()
    more: dict[str, Any] = {
        "last_write": last_news(job),
        "silent": is_silent(job, now),
        "trouble": trouble_of(job),
        "cost": None if job.spent is None else job.spent._asdict(),
        "history": [run._asdict() for run in runs_of(job, now)],
    }
    if ledger is not None:
        pending = ledger.pending()
        more["region_pending"] = len(pending)
        more["pending_regions"] = pending[:MAX_SHOWN]
        more["eta_seconds"] = seconds_left(job, ledger)
    return {**job.to_dict(), **more}


def errors_of(ledger: Ledger) -> dict[int, str]:
    """Returns the regions with failed tiles, settled or not, and the reason of the first."""
    outcomes, first = ledger.tile_outcomes(), dict[int, str]()
    for number, reason in sorted(ledger.reasons().items()):
        if outcomes[number] == Outcome.ERROR:  # and no success since then
            first.setdefault(ledger.layout.locate(number)[0], reason)
    return dict(sorted({**first, **ledger.failed()}.items()))


def seconds_left(job: JobItem, ledger: Ledger) -> float | None:
    """Returns the time left at the average rate since the start, where that can be told."""
    settled, tiles = ledger.tile_success + ledger.tile_error, ledger.layout.tile_count
    if not settled or settled == tiles or job.end_time is not None or not job.processing_duration:
        return None
    if is_silent(job, time.time()):  # it may never come to an end
        return None
    return job.processing_duration * (tiles - settled) / settled


def trouble_of(job: JobItem) -> str | None:
    """Returns why nobody may be going on with an image that has not ended."""
    if job.end_time is not None or not job.tracker_run or job.tracker_started_by is None:
        return None
    cure = "`raytracker run --resume IMAGE_ID MODULE:FUNCTION` goes on"
    who = Starter.of(job)
    if who is not None and who.has_gone:
        return f"process {who.pid}, which began it, has gone from this machine; {cure}"
    if job.tracker_alive_until is None:
        return f"nobody goes on with it; {cure}"
    if not is_alive(job, time.time()):
        return f"no sign of life for long: its driver has gone, or reaches no table; {cure}"
    return None

"""Forty images in flight; `python -m tests.support.forty` writes them into $RAYTRACKER_TABLE.

Three fail, one is stuck, one cancelled, one taken over by a colleague; the last was OSML's.
"""

import json
import os
import time

from raytracker.job_table import JobItem, JobTable, Starter
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import ERROR, SUCCESS, Layout, Ledger, class_of

REGIONS, TILES = 40, 100  # tiles of each region
OOM = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
FAILING = {"scene-27": 1650, "scene-19": 60, "scene-31": 3}  # failed tiles
STUCK, CANCELLED, TAKEN_OVER, OSML = "scene-11", "scene-23", "scene-29", "scene-40"


def fill(table: JobTable, now: float | None = None) -> None:
    """Writes the items into a table, as they are now, in epoch seconds."""
    now = time.time() if now is None else now
    for number in range(1, 40):
        table.put_ddb_item(_item(f"scene-{number:02}", number, now))
    started = int((now - 4200) * 1000)
    counts = {"region_count": 12, "region_success": 5, "region_error": 0}
    osml = JobItem(OSML, job_id="osml-1", start_time=started, processing_duration=3900, **counts)
    table.put_ddb_item(osml)


def _item(image_id: str, number: int, now: float) -> JobItem:
    done = REGIONS if number > 30 else number  # those of the night have ended
    ledger, failed = Ledger(Layout([(REGIONS, TILES)])), FAILING.get(image_id, 0)
    outcomes = ERROR * failed + SUCCESS * (done * TILES - failed)
    classes = [(0, outcomes, class_of(OOM))]
    ledger.merge([(0, outcomes)], dict.fromkeys(range(failed), OOM), classes)
    started = now - (3 * 3600 if number > 30 else 3600 + 60 * number)
    news = now - (2700 if image_id == STUCK else 2700 + number if number > 30 else number)
    ended = number > 30 or image_id == CANCELLED
    user = "bob" if image_id == TAKEN_OVER else "ann"
    return JobItem(
        image_id,
        job_id="night" if number > 30 else "day",
        model_name="detect:ships",
        start_time=int(started * 1000),
        end_time=int(news * 1000) if ended else None,
        region_count=REGIONS,
        region_success=ledger.region_success,
        region_error=ledger.region_error,
        processing_duration=int(news - started),
        tracker_run=f"run-{number}",
        tracker_state="CANCELLED" if image_id == CANCELLED else None,
        tracker_ledger=to_text(ledger.encode()),
        tracker_errors={str(tile): text for tile, text in ledger.reasons().items()},
        tracker_classes=to_text(ledger.classes().encode(ledger.tile_outcomes())) or None,
        tracker_started_by=Starter(
            "head-1", 4711 + number, user, "07000000", int(started * 1000), "cluster"
        ).to_text(),
        tracker_alive_until=None if ended else int(news + 150),
        tracker_writes=6 * number,
        tracker_wcu=15 * number,
        tracker_history=_history(started) if image_id == "scene-27" else None,
    )


def _history(started: float) -> str:
    """Returns a run before, which its driver's machine had broken off."""
    begun, left = (int((started - ago) * 1000) for ago in (7200, 5400))
    return json.dumps([["run-0", "INTERRUPTED", "bob@head-1", begun, left, 700, 0, 4000]])


if __name__ == "__main__":
    fill(JobTable(os.environ["RAYTRACKER_TABLE"]))

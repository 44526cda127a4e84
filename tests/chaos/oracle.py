"""Compares the final item of an image, bit by bit, with what is known of its tiles."""

from __future__ import annotations

from collections.abc import Iterator

from raytracker import JobItem
from raytracker.job_table import ledger_of
from tests.chaos.journal import ERROR, RETURNED, Known, ranks
from tests.chaos.run import Run
from tests.chaos.scanner import count
from tests.chaos.scene_run import SceneRun

MOST_REASONS = 100


def differences(item: JobItem | None, run: Run | SceneRun, known: Known) -> Iterator[str]:
    """Yields what is wrong with an item.

    Args:
        item: As it is in the table.
        run: The run whose item it should be.
        known: What that run reported.
    """
    if item is None:
        yield "there is no item"
        return
    if item.tracker_run != run.name:
        yield f"the item is run {item.tracker_run}'s, not {run.name}'s"
        return
    if run.refused or run.job is None:
        yield f"run {run.label} has the item, but was refused: {run.refused!r}"
    tiles = ranks(ledger_of(item).tile_outcomes())
    sizes = run.work.sizes
    if len(tiles) != sum(sizes):
        yield f"{len(tiles)} tiles, not {sum(sizes)}"
        return
    for number, outcome in enumerate(tiles):
        must, may = known.must[number] or RETURNED, known.may[number]
        if outcome < must or outcome not in may:
            yield f"tile {number} is {outcome}; it must be {must}, and was said to be {may}"
    success, error = count(tiles, sizes)
    expected = {
        "region_count": len(sizes),
        "region_success": success,
        "region_error": error,
        "status": "SUCCESS" if not error else "PARTIAL" if success else "FAILED",
        "tracker_state": None,
    }
    for name, value in expected.items():
        if getattr(item, name) != value:
            yield f"{name} is {getattr(item, name)!r}, not {value!r}"
    if item.end_time is None:
        yield "no end_time"
    if run.job is not None and (run.job.tracker_run != item.tracker_run or not run.job.end_time):
        yield f"wait() returned {run.job}"
    yield from _errors(item, tiles, known)


def _errors(item: JobItem, tiles: bytes, known: Known) -> Iterator[str]:
    errors = {int(number): text for number, text in (item.tracker_errors or {}).items()}
    for number, text in errors.items():
        if not known.allows_reason(number, text):
            given = known.reasons.get(number, "none")
            yield f"tile {number} failed because of {text!r}; given was {given}"
    if len(errors) < MOST_REASONS:
        failed = {n for n, outcome in enumerate(tiles) if outcome == ERROR}
        missing = [n for n in failed - errors.keys() if known.demands_reason(n)]
        if missing:
            yield f"tiles {missing} failed for reasons that are not in the item"

"""Log records that say of which image they are, in attributes that a formatter can take up."""

from __future__ import annotations

import logging

from .events import Ended, Event, FirstError, RegionSettled, RunStarted

logger = logging.getLogger("raytracker.events")


def about(image_id: str, run: str = "", region: int | None = None) -> dict[str, object]:
    """Returns what a record is of, as `extra`: `image_id`, `run`, `region`; what is not known not.

    Args:
        image_id: The image.
        run: The run.
        region: The region.
    """
    said: dict[str, object] = {"image_id": image_id, "run": run, "region": region}
    return {name: value for name, value in said.items() if value not in ("", None)}


def wants_regions() -> bool:
    """Returns whether a record for each region is wanted: at DEBUG."""
    return logger.isEnabledFor(logging.DEBUG)


def log_event(event: Event) -> None:
    """Logs an event: a run's start, first errors and end at INFO, regions at DEBUG.

    There is no record of a flush, nor of a failed one, which is told when it lasts.
    """
    what: tuple[object, ...]
    region, level = None, logging.INFO
    if isinstance(event, RunStarted):
        settled = event.region_success + event.region_error
        text, what = "started, %d of %d regions are settled", (settled, event.region_count)
    elif isinstance(event, FirstError):
        region = event.region
        text, what = "region %d, tile %d failed: %s", (region, event.tile, event.reason)
    elif isinstance(event, RegionSettled):
        region, level = event.region, logging.DEBUG
        text = "region %d: %s, %d of %d tiles failed"
        what = region, event.outcome.name, event.tile_error, event.tile_count
    elif isinstance(event, Ended):
        text = "%s, %d of %d regions succeeded"
        what = event.status, event.region_success, event.region_count
    else:
        return
    extra = about(event.image_id, event.run, region)
    logger.log(level, f"image %s: {text}", event.image_id, *what, extra=extra)

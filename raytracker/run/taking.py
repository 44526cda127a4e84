"""Taking an image over: not from a run that lives, unless that is asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ..errors import ImageInUse
from ..job_table import ALIVE_SECONDS, JobItem, Starter, is_alive

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0


def once_free(
    item: JobItem,
    read: Callable[[], JobItem | None],
    *,
    take_over: bool = False,
    say: Callable[[str], object] = logger.warning,
) -> JobItem:
    """Returns an image's item once no other process runs it, or seems to.

    A run that was killed leaves an item that looks alive for some two minutes: as long is waited.
    One that gives another sign of life meanwhile is left alone. It is not waited for where the run
    is this process's own, or was that of one that has gone from this machine.

    Args:
        item: The item just read.
        read: Reads it again.
        take_over: Whether it is taken, alive or not.
        say: Is told for whom is waited.

    Raises:
        ImageInUse: It lives.
    """
    if take_over or _is_free(item):
        return item
    seconds = min(ALIVE_SECONDS, (item.tracker_alive_until or 0) - time.time())
    deadline = time.monotonic() + seconds
    say(f"image {item.image_id!r} {_run_by(item)}: waiting {seconds:.0f} s for a sign of life")
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(POLL_SECONDS, left))
        found = read()
        if found is None or _is_free(found):
            return found or item  # that it has gone, the write's condition finds out
        if _life(found) != _life(item):
            raise ImageInUse(
                f"image {item.image_id!r} {_run_by(found)}, which is alive: leave it to that, or "
                "cancel it, or take it over with take_over=True"
            )
    return item


def _is_free(item: JobItem) -> bool:
    who = Starter.of(item)
    is_ours = who is not None and (who.is_here or who.has_gone)
    return is_ours or not is_alive(item, time.time())


def _life(item: JobItem) -> tuple[object, object]:
    return item.tracker_run, item.tracker_alive_until


def _run_by(item: JobItem) -> str:
    return f"is run by {Starter.of(item) or 'another process'}"

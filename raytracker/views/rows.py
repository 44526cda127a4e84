"""The images of a table, one row for each: which are wanted, and what is said of them."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from ..job_table import JobItem, Starter, is_alive, last_news

QUIET_SECONDS = (
    300  # without news, of an item that doesn't say until when it may be taken for alive
)


class Status(str, Enum):
    """How an image stands."""

    STARTED = "STARTED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCESS = "SUCCESS"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Wanted(NamedTuple):
    """Which images are asked for; None, or False: all.

    Attributes:
        statuses: With one of these.
        failing: With failed regions.
        silent: That go on, as their items say, though nothing is heard of them.
        since: With news since then, in epoch seconds.
        model: Of this model.
        job: Of this job.
    """

    statuses: frozenset[str] = frozenset()
    failing: bool = False
    silent: bool = False
    since: float | None = None
    model: str | None = None
    job: str | None = None

    def fits(self, job: JobItem, now: float) -> bool:
        """Returns whether an image is one of them."""
        return (
            (not self.statuses or job.status in self.statuses)
            and (self.since is None or (last_news(job) or 0) / 1000 >= self.since)
            and (self.model is None or job.model_name == self.model)
            and (self.job is None or job.job_id == self.job)
            and (not self.failing or bool(job.region_error))
            and (not self.silent or is_silent(job, now))
        )


def is_silent(job: JobItem, now: float) -> bool:
    """Returns whether nothing is heard of an image that goes on, as its item says.

    Args:
        job: The image.
        now: In epoch seconds.
    """
    if job.end_time is not None:
        return False
    if job.tracker_started_by is None and job.tracker_alive_until is None:
        return now - (last_news(job) or 0) / 1000 > QUIET_SECONDS
    who = Starter.of(job)
    return not is_alive(job, now) or (who is not None and who.has_gone)


def newest(jobs: Iterator[JobItem], limit: int | None) -> list[JobItem]:
    """Returns the images that began last, the last first; of more than `limit`, so many."""

    def began(job: JobItem) -> tuple[int, str]:
        return job.start_time or 0, job.image_id

    if limit is None:
        return sorted(jobs, key=began, reverse=True)
    return heapq.nlargest(limit, jobs, key=began)


def row_of(job: JobItem, now: float) -> dict[str, Any]:
    """Returns what is said of an image in a listing; times in epoch milliseconds."""
    who = Starter.of(job)
    same = (
        "image_id",
        "job_id",
        "image_url",
        "model_name",
        "region_count",
        "region_success",
        "region_error",
        "start_time",
        "end_time",
        "processing_duration",
    )
    return {
        **{name: getattr(job, name) for name in same},
        "status": job.status,
        "silent": is_silent(job, now),
        "last_news": last_news(job),
        "started_by": None if who is None else who._asdict(),
    }

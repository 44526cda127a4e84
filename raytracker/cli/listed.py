"""The command `raytracker list`: the images of a table, the newest first."""

from __future__ import annotations

import heapq
import json
import sys
import time
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .options import seconds_of
from .tables import TableName, table_name_of
from .told import told

if TYPE_CHECKING:
    from ..job_table import JobItem

LIMIT = 100
QUIET_SECONDS = (
    300  # without news, of an item that doesn't say until when it may be taken for alive
)
MAX_WIDTH = 20  # columns
HEADS = ("STATUS", "REGIONS", "NEWS", "WHO", "IMAGE")
LIST_EPILOG = """\
[bold]Examples:[/bold]

raytracker list --table ImageJobs

raytracker list --status PARTIAL --since 2d

raytracker list --silent --json | jq -r .image_id

A listing reads the whole table: DynamoDB charges for its items in full, though their ledgers are \
not sent; what it took is told on stderr."""


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
        from ..job_table import last_news

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
    from ..job_table import Starter, is_alive, last_news

    if job.end_time is not None:
        return False
    if job.tracker_started_by is None and job.tracker_alive_until is None:
        return now - (last_news(job) or 0) / 1000 > QUIET_SECONDS
    who = Starter.of(job)
    return not is_alive(job, now) or (who is not None and who.has_gone)


def list_images(
    status: Annotated[
        list[Status] | None,
        typer.Option("--status", metavar="STATUS", help="With this one; repeat it for several."),
    ] = None,
    failing: Annotated[
        bool, typer.Option("--failing", help="With failed regions, whether they go on or not.")
    ] = False,
    silent: Annotated[
        bool, typer.Option("--silent", help="That go on, though nothing is heard of them.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="With news in the last 2d, 12h or 30m.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Of this model.")] = None,
    job: Annotated[str | None, typer.Option(metavar="ID", help="Of this job.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Show so many, at most.")] = LIMIT,
    show_all: Annotated[bool, typer.Option("--all", help="Show all that fit.")] = False,
    table: TableName = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, for each image.")
    ] = False,
) -> None:
    """List the images of a table, the newest first: how they stand, and whether they live."""
    with told():
        seconds = None if since is None else seconds_of("--since", since)
        wanted = Wanted(
            frozenset(each.value for each in status or ()),
            failing,
            silent,
            None if seconds is None else time.time() - seconds,
            model,
            job,
        )
        _print(table_name_of(table), wanted, None if show_all else limit, as_json)


def _print(table_name: str, wanted: Wanted, limit: int | None, as_json: bool) -> None:
    from ..job_table import Consumed, JobTable, jobs_in

    consumed, now = Consumed(), time.time()
    counts = {"all": 0, "fit": 0}

    def fitting() -> Iterator[JobItem]:
        for job in jobs_in(JobTable(table_name), consumed):
            counts["all"] += 1
            if wanted.fits(job, now):
                counts["fit"] += 1
                yield job

    jobs = newest(fitting(), limit)
    if as_json:
        for job in jobs:
            print(json.dumps(to_dict(job, now)))
    elif jobs:
        print_table(HEADS, [_row(job, now) for job in jobs])
    more = "" if len(jobs) == counts["fit"] else f", {len(jobs):,} shown: --all shows them"
    what = f"{counts['fit']:,} of {counts['all']:,} images in table {table_name}{more}"
    print(f"{what}; read with {consumed.rcu:,.1f} RCU", file=sys.stderr)


def newest(jobs: Iterator[JobItem], limit: int | None) -> list[JobItem]:
    """Returns the images that began last, the last first; of more than `limit`, so many."""

    def began(job: JobItem) -> tuple[int, str]:
        return job.start_time or 0, job.image_id

    if limit is None:
        return sorted(jobs, key=began, reverse=True)
    return heapq.nlargest(limit, jobs, key=began)


def to_dict(job: JobItem, now: float) -> dict[str, Any]:
    """Returns what `--json` says of an image; times in epoch milliseconds."""
    from ..job_table import Starter, last_news

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


def _row(job: JobItem, now: float) -> tuple[str, ...]:
    from ..job_table import Starter, last_news
    from .show import one_line

    who, news = Starter.of(job), last_news(job)
    done, failed = (job.region_success or 0) + (job.region_error or 0), job.region_error or 0
    count = "?" if job.region_count is None else f"{job.region_count:,}"
    return (
        f"{job.status}, silent" if is_silent(job, now) else job.status,
        f"{done:,}/{count}" + (f", {failed:,} failed" if failed else ""),
        "" if news is None else ago(now - news / 1000),
        "" if who is None else one_line(f"{who.user}@{who.host}"),
        one_line(job.image_id),
    )


def ago(seconds: float) -> str:
    """Returns how long ago something was, in one unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:,.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"


def print_table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Prints a table to stdout; into a file or pipe, each row on one line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if console.is_terminal:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for head in heads[:-1]:  # what a host is named must leave room for the image
            table.add_column(head, no_wrap=True, max_width=MAX_WIDTH)
        table.add_column(heads[-1], overflow="fold")
        for row in rows:
            table.add_row(Text(row[0], _style(row[0])), *map(Text, row[1:]))
        console.print(table)
        return
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _style(status: str) -> str:
    if status.endswith("silent"):
        return "yellow"
    return {"SUCCESS": "green", "PARTIAL": "yellow", "FAILED": "red"}.get(status, "")

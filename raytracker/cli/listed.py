"""The command `raytracker list`: the images of a table, the newest first."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ..views import Status
from .options import seconds_of
from .tables import TableName, table_name_of
from .told import told

if TYPE_CHECKING:
    from ..job_table import JobItem
    from ..views import Wanted

LIMIT = 100
MAX_WIDTH = 20  # columns
WithStatus = Annotated[
    list[Status] | None,
    typer.Option("--status", metavar="STATUS", help="With this one; repeat it for several."),
]
Silent = Annotated[
    bool, typer.Option("--silent", help="That go on, though nothing is heard of them.")
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="With news in the last 2d, 12h or 30m."),
]
OfModel = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Of this model.")]
HEADS = ("STATUS", "REGIONS", "NEWS", "WHO", "IMAGE")
LIST_EPILOG = """\
[bold]Examples:[/bold]

raytracker list --table ImageJobs

raytracker list --status PARTIAL --since 2d

raytracker list --silent --json | jq -r .image_id

A listing reads the whole table: DynamoDB charges for its items in full, though their ledgers are \
not sent; what it took is told on stderr."""


def list_images(
    status: WithStatus = None,
    failing: Annotated[
        bool, typer.Option("--failing", help="With failed regions, whether they go on or not.")
    ] = False,
    silent: Silent = False,
    since: Since = None,
    model: OfModel = None,
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
        from ..views import Wanted

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
    from ..views import newest, row_of

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
            print(json.dumps(row_of(job, now)))
    elif jobs:
        print_table(HEADS, [_row(job, now) for job in jobs])
    more = "" if len(jobs) == counts["fit"] else f", {len(jobs):,} shown: --all shows them"
    what = f"{counts['fit']:,} of {counts['all']:,} images in table {table_name}{more}"
    print(f"{what}; read with {consumed.rcu:,.1f} RCU", file=sys.stderr)


def _row(job: JobItem, now: float) -> tuple[str, ...]:
    from ..job_table import Starter, last_news
    from ..views import is_silent
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

"""The command `raytracker watch`: how images get on, until all have ended."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .listed import ago
from .options import Refused
from .tables import TableName, job_of, table_name_of
from .told import told

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from ..job_table import JobItem, JobTable

RATE_SECONDS = 60.0  # over which a rate is taken
LISTED_SECONDS = 5.0  # between readings of a whole table, at least
LINE_SECONDS = 30.0  # between lines of an image, where there is no terminal
BAR_WIDTH = 24
LEAST_BAR = 8  # on a line with its name
GAP = 2
WATCH_EPILOG = """\
[bold]Examples:[/bold]

raytracker watch scene-1.tif scene-2.tif --table ImageJobs

raytracker watch --table ImageJobs (all that go on)

It only reads; Ctrl-C ends the looking, and nothing else. It ends once all have ended.

[bold]Exit status:[/bold] 0 all are a SUCCESS, else that of `raytracker status` for the worst"""


class Seen(NamedTuple):
    """An image at one moment.

    Attributes:
        job: Its item, as far as it was read.
        done: Tiles, or regions where the ledger was not read, that are settled.
        failed: Of these, those that failed.
        total: All of them.
        rate: Settled a second, lately; None: that is not known.
        silent: Whether nothing is heard of it, though it goes on.
    """

    job: JobItem
    done: int
    failed: int
    total: int | None
    rate: float | None
    silent: bool

    @property
    def has_ended(self) -> bool:
        """Whether it has."""
        return self.job.end_time is not None

    @property
    def left(self) -> float | None:
        """Seconds until all is settled, where that can be told: not of one that is silent."""
        if not self.rate or self.silent or self.has_ended or self.total is None:
            return None
        return (self.total - self.done) / self.rate


class Watched:
    """What was seen of images, and how quickly they get on.

    Args:
        clock: The time, in seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._past: dict[str, deque[tuple[float, int]]] = {}

    def see(self, job: JobItem) -> Seen:
        """Takes an item as it was read just now."""
        from ..views import is_silent

        now, tiles = self._clock(), job.tile_counts()
        failed: int = tiles["tile_error"] if tiles else job.region_error or 0
        done = failed + (tiles["tile_success"] if tiles else job.region_success or 0)
        total = tiles["tile_count"] if tiles else job.region_count
        past = self._past.setdefault(job.image_id, deque())
        past.append((now, done))
        while past[0][0] < now - RATE_SECONDS:
            past.popleft()
        seconds, settled = now - past[0][0], done - past[0][1]
        rate = settled / seconds if seconds > 0 and settled > 0 else None
        return Seen(job, done, failed, total, rate, is_silent(job, now))


def watch(
    image_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE_ID...",
            help="Keys in the table, or paths of local files; none: all images that go on.",
        ),
    ] = None,
    table: TableName = None,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.5, help="How often the table is read.")
    ] = 2.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, for each that changed.")
    ] = False,
) -> None:
    """Watch images until all have ended: bars on a terminal, else a line now and then."""
    with told():
        name = table_name_of(table)
        from ..job_table import JobTable

        if image_ids:
            ids = [job_of(each, name).image_id for each in image_ids]
            look = _of_some(JobTable(name), ids)
        else:
            look, every = _of_all(JobTable(name)), max(every, LISTED_SECONDS)
        seen = _until_the_end(look, every, as_json)
        if not seen:
            typer.echo(f"no image of table {name} goes on", err=True)
    raise typer.Exit(_exit_status(seen))


def _of_some(table: JobTable, image_ids: Iterable[str]) -> Callable[[], list[JobItem]]:
    def look() -> list[JobItem]:
        jobs = [(image_id, table.read(image_id)) for image_id in image_ids]
        for image_id, job in jobs:
            if job is None:
                raise Refused(f"image {image_id!r} is not in table {table.table_name!r} any more")
        return [job for _, job in jobs if job is not None]

    return look


def _of_all(table: JobTable) -> Callable[[], list[JobItem]]:
    """Those that went on when they were first seen."""
    from ..job_table import jobs_in
    from ..views import newest

    known: set[str] = set()

    def look() -> list[JobItem]:
        jobs = newest(
            (j for j in jobs_in(table) if j.end_time is None or j.image_id in known), None
        )
        known.update(job.image_id for job in jobs)
        return jobs

    return look


def _until_the_end(look: Callable[[], list[JobItem]], every: float, as_json: bool) -> list[Seen]:
    """Shows what is seen, until all have ended; returns what was seen last."""
    from rich.console import Console
    from rich.live import Live

    from ..errors import TableUnavailable
    from .show import one_line

    watched, console = Watched(), Console()
    seen = [watched.see(job) for job in look()]

    def looks() -> Iterator[list[Seen]]:
        """Yields what is seen; the table may be away for a while."""
        nonlocal seen
        yield seen
        while not all(each.has_ended for each in seen):
            time.sleep(every)
            try:
                seen = [watched.see(job) for job in look()]
            except TableUnavailable as err:
                typer.echo(f"{one_line(err)}; asking again", err=True)
                continue
            yield seen

    try:
        if as_json or not console.is_terminal:
            lines = _Lines(as_json)
            for each in looks():
                lines.show(each)
        else:
            with Live(console=console, auto_refresh=False) as live:
                for each in looks():
                    live.update(_table(each, console.width), refresh=True)
    except KeyboardInterrupt:
        typer.echo("not watched any more; the images go on", err=True)
        raise typer.Exit(130) from None
    return seen


def _exit_status(seen: Iterable[Seen]) -> int:
    from .show import EXIT_STATUS

    return max((EXIT_STATUS.get(each.job.status, 0) for each in seen), default=0)


class _Lines:
    """Lines of what has changed: of each image at times, and when it ends."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._told: dict[str, tuple[float, Any]] = {}

    def show(self, seen: Iterable[Seen]) -> None:
        for each in seen:
            now, image_id = time.monotonic(), each.job.image_id
            last, before = self._told.get(image_id, (-LINE_SECONDS, None))
            state = each.done, each.failed, each.silent, each.job.status, each.has_ended
            is_due = self._as_json or each.has_ended or now - last >= LINE_SECONDS
            if state != before and is_due:
                self._told[image_id] = now, state
                print(json.dumps(_row_of(each)) if self._as_json else _line(each), flush=True)


def _row_of(seen: Seen) -> dict[str, Any]:
    from ..views import row_of

    more = {"done": seen.done, "failed": seen.failed, "total": seen.total, "rate": seen.rate}
    return {**row_of(seen.job, time.time()), **more, "eta_seconds": seen.left}


def _line(seen: Seen) -> str:
    from .show import one_line

    parts = [_status(seen), _counts(seen), _pace(seen), _news(seen)]
    return f"{one_line(seen.job.image_id)}: {', '.join(filter(None, parts))}"


def _table(seen: Sequence[Seen], width: int) -> RenderableType:
    """Returns a line for each image, or two, where its name would not find room."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from .show import one_line

    if not seen:
        return Text()
    names = [Text(one_line(each.job.image_id), overflow="fold") for each in seen]
    cells = [_cells(each) for each in seen]
    taken = sum(max(map(len, column)) + GAP for column in zip(*cells, strict=True))
    room = width - taken - max(map(len, names)) - 2 * GAP
    if room >= LEAST_BAR:
        table = Table.grid(padding=(0, GAP, 0, 0))
        for name, each, row in zip(names, seen, cells, strict=True):
            table.add_row(name, _bar(each, min(BAR_WIDTH, room)), *row)
        return table
    lines: list[RenderableType] = []
    room = min(width - GAP - sum(len(cell) + GAP for cell in row) for row in cells)
    for name, each, row in zip(names, seen, cells, strict=True):
        bar = max(1, min(BAR_WIDTH, room))
        below = Table.grid(padding=(0, GAP, 0, 0))
        below.add_row(_bar(each, bar), *row)
        lines += [name, below]
    return Group(*lines)


def _cells(seen: Seen) -> list[Text]:
    from rich.text import Text

    style = "yellow" if seen.silent else _STYLES.get(seen.job.status, "")
    return [
        Text(_status(seen), style),
        Text(_counts(seen), "red" if seen.failed else ""),
        Text(_pace(seen) or _news(seen), "" if seen.left else "dim"),
    ]


def _bar(seen: Seen, width: int) -> RenderableType:
    from rich.progress_bar import ProgressBar

    style = "yellow" if seen.silent else _STYLES.get(seen.job.status, "cyan")
    done, total = seen.done, seen.total or 1
    return ProgressBar(total, done, width, complete_style=style, finished_style=style)


_STYLES = {"SUCCESS": "green", "PARTIAL": "yellow", "FAILED": "red", "CANCELLED": "yellow"}


def _status(seen: Seen) -> str:
    return f"{seen.job.status}, silent" if seen.silent else seen.job.status


def _counts(seen: Seen) -> str:
    what = "tiles" if seen.job.tile_counts() else "regions"
    count = "?" if seen.total is None else f"{seen.total:,}"
    failed = f", {seen.failed:,} failed" if seen.failed else ""
    return f"{seen.done:,}/{count} {what}{failed}"


def _pace(seen: Seen) -> str:
    from ..progress import duration

    return "" if seen.left is None else f"{seen.rate:,.1f}/s, {duration(seen.left)} left"


def _news(seen: Seen) -> str:
    from ..job_table import last_news

    news = last_news(seen.job)
    if news is None or seen.has_ended:
        return ""
    return f"last news {ago(time.time() - news / 1000)}"

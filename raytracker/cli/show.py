"""What the command shows: a progress bar, lines, a job."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from ..cost import Cost
from ..job_table import JobItem, ledger_of
from ..progress import Progress

EXIT_STATUS = {"SUCCESS": 0, "PARTIAL": 3, "FAILED": 4, "CANCELLED": 5, "STOPPED": 5}
MAX_SHOWN = 10  # regions
MAX_LINE = 600  # characters


class Display:
    """What a run shows on stderr while it lasts: a live bar on a terminal, else a few lines."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self.live = self._console.is_terminal
        self._bar = Bar(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[counts]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self.live,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=None, counts="")
        self._trouble: str | None = None
        self.busy: float | None = None  # as in `Progress`, the last that was known

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Takes the bar away."""
        self._bar.stop()

    def say(self, line: str) -> None:
        """Prints a line, above the bar."""
        self._console.print(line)

    def doing(self, what: str) -> None:
        """Shows what is done now, on the bar."""
        self._bar.update(self._task, description=what)

    def update(self, progress: Progress) -> None:
        """Shows how far the image has come, on the bar; and what keeps it, once."""
        if progress.trouble is not None and progress.trouble != self._trouble:
            self.say(progress.trouble)
        self._trouble = progress.trouble
        self.busy = progress.busy
        counts = Text(f"{progress.tile_success}/{progress.tile_count} tiles")
        if progress.tile_error:
            counts.append(f"  {progress.tile_error} failed", style="bold red")
        counts.append(f"  {progress.region_count - progress.region_pending}")
        counts.append(f"/{progress.region_count} regions")
        if progress.tiles_per_second:
            counts.append(f"  {progress.tiles_per_second:.1f} tiles/s")
        if progress.tile_pending and progress.eta_seconds is not None:
            counts.append(f"  {_duration(progress.eta_seconds)} left")
        self._bar.update(
            self._task,
            description="processing",
            total=progress.tile_count,
            completed=progress.tile_count - progress.tile_pending,
            counts=counts.markup,
        )


def print_json(job: JobItem) -> None:
    """Prints a job as one JSON object, on one line of stdout."""
    print(json.dumps(job.to_dict()), flush=True)


def print_status(job: JobItem) -> None:
    """Prints a job to stdout as a small table of names and values."""
    _print([("image", job.image_id), ("status", job.status), *_rows(job)])


def print_summary(job: JobItem, files: dict[str, str], busy: float | None) -> None:
    """Prints to stdout how a job ended, how busy its work was, and where its files are."""
    rows = [("image", job.image_id), ("status", job.status), *_rows(job)]
    if busy is not None:
        rows.append(("busy", f"{busy:.0%} of the time of its workers went into {job.model_name}"))
    _print([*rows, *files.items()])


def print_cost(cost: Cost, *, as_json: bool) -> None:
    """Prints an estimate to stdout, as a small table or as one JSON object on one line."""
    if as_json:
        print(json.dumps(cost.to_dict()), flush=True)
        return
    pauses = f"{cost.flush_pause:g}"
    if cost.last_pause > cost.flush_pause:
        pauses += f" to {cost.last_pause:g}"
    _print(
        [
            ("image", f"{cost.regions:,} regions, {cost.tiles:,} tiles, {cost.minutes:g} minutes"),
            ("item", f"at most {cost.item_bytes:,} bytes: {cost.flush_wcu:,} WCU a flush"),
            ("flushes", f"at most {cost.tracker.writes - 2:,}, {pauses} s apart"),
        ]
    )
    table = Table.grid(padding=(0, 2))
    table.add_column()
    for _ in range(2):
        table.add_column(justify="right")
    table.add_row("", "writes", "WCU")
    for name, writes in (("raytracker", cost.tracker), ("one a region", cost.one_per_region)):
        table.add_row(name, f"{writes.writes:,}", f"{writes.wcu:,}")
    table.add_row("ratio", _ratio(cost.write_ratio), _ratio(cost.wcu_ratio))
    console = Console(highlight=False)
    console.print()
    console.print(table)


def _ratio(ratio: float) -> str:
    return f"{ratio:,.2f}" if ratio >= 0.1 else f"{ratio:.1g}"


def in_short(job: JobItem) -> str:
    """Returns how a job ended, in one line."""
    return (
        f"{job.status}: {job.region_success or 0} success, {job.region_error or 0} error of "
        f"{job.region_count} regions, after {_duration(job.processing_duration or 0)}"
    )


def one_line(error: BaseException) -> str:
    """Returns an exception's text in one line; of a very long one, as Ray's may be, both ends."""
    text = " ".join(str(error).split()) or type(error).__name__
    half = MAX_LINE // 2
    return text if len(text) <= MAX_LINE else f"{text[:half]} ... {text[-half:]}"


def _print(rows: list[tuple[str, str]]) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    console = Console()
    if console.is_terminal:
        console.print(table)
    else:  # a path stays on one line
        for name, value in rows:
            print(f"{name:<9}  {value}".rstrip())


def _rows(job: JobItem) -> Iterator[tuple[str, str]]:
    success, error, count = job.region_success or 0, job.region_error or 0, job.region_count
    pending = "" if count is None else f", {count - success - error} pending"
    yield "regions", f"{success} success, {error} error{pending} of {count}"
    if job.tracker_ledger is not None:
        yield from _ledger_rows(job)
    if job.start_time is not None:
        yield "started", _time(job.start_time)
    if job.end_time is not None:
        yield "ended", _time(job.end_time)
    if job.processing_duration is not None:
        yield "duration", _duration(job.processing_duration)


def _ledger_rows(job: JobItem) -> Iterator[tuple[str, str]]:
    ledger = ledger_of(job)
    settled, tiles = ledger.tile_success + ledger.tile_error, ledger.layout.tile_count
    yield (
        "tiles",
        f"{ledger.tile_success} success, {ledger.tile_error} error, {tiles - settled} pending "
        f"of {tiles}",
    )
    pending = ledger.pending()
    if pending:
        more = f" and {len(pending) - MAX_SHOWN} more" if len(pending) > MAX_SHOWN else ""
        yield "pending", f"regions {', '.join(map(str, pending[:MAX_SHOWN]))}{more}"
    if settled and settled < tiles and job.end_time is None and job.processing_duration:
        left = job.processing_duration * (tiles - settled) / settled
        yield "time left", f"about {_duration(left)}, at the average rate since the start"
    failed = ledger.failed()
    for number, (region, reason) in enumerate(sorted(failed.items())):
        if number == MAX_SHOWN:
            yield "", f"and {len(failed) - MAX_SHOWN} more regions with errors"
            return
        yield ("" if number else "errors"), f"region {region}: {reason}"


def _time(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000).astimezone().isoformat(" ", "seconds")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))

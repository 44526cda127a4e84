"""What the command shows of a job: on stdout, as text or as JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..job_table import JobItem, last_news, ledger_of, runs_of
from ..ledger import Ledger
from ..progress import duration
from ..views import (
    MAX_SHOWN,
    classes_in,
    classes_text,
    details_of,
    errors_of,
    seconds_left,
    trouble_of,
)

EXIT_STATUS = {"SUCCESS": 0, "PARTIAL": 3, "FAILED": 4, "CANCELLED": 5, "STOPPED": 5}
MAX_LINE = 600  # characters


def print_json(
    job: JobItem,
    *,
    busy: float | None = None,
    files: Mapping[str, str] | None = None,
    trouble: str | None = None,
) -> None:
    """Prints a job, and what the text says beside, as one JSON object on one line of stdout."""
    ledger = None if job.tracker_ledger is None else ledger_of(job)
    told = details_of(job, ledger)
    if ledger is not None:
        told["errors"] = errors_of(ledger)
        told["classes"] = [
            {"class": name, "tile_error": len(tiles)} for name, tiles, _ in classes_in(ledger)
        ]
    if trouble:
        told["trouble"] = trouble
    if busy is not None:
        told["busy"] = busy
    if files is not None:
        told["files"] = files
    print(json.dumps(told), flush=True)


def print_status(job: JobItem) -> None:
    """Prints a job to stdout as a small table of names and values."""
    rows = [("image", job.image_id), ("status", _status(job)), *_rows(job)]
    if job.spent is not None:
        rows.append(("cost", f"{job.spent.writes:,} writes, {job.spent.wcu:,} WCU"))
    print_rows([*rows, *_history_rows(job)])


def print_summary(job: JobItem, files: dict[str, str], busy: float | None) -> None:
    """Prints to stdout how a job ended, how busy its work was, and where its files are."""
    rows = [("image", job.image_id), ("status", _status(job)), *_rows(job)]
    if busy is not None:
        rows.append(("busy", f"{busy:.0%} of the time of its workers went into {job.model_name}"))
    print_rows([*rows, *files.items()])


def in_short(job: JobItem) -> str:
    """Returns how a job ended, in one line."""
    return f"{job.status}: {so_far(job)}, after {duration(job.processing_duration or 0)}"


def so_far(job: JobItem) -> str:
    """Returns how far a job has come, in a few words: tiles, and regions where they are others."""
    tiles, regions = job.tile_counts(), job.region_count
    of_regions = f"{job.region_success or 0:,} of {_number(regions)} regions"
    if not tiles or tiles["tile_count"] == regions:
        failed, counts = job.region_error or 0, [of_regions, ""]
    else:
        of_tiles = f"{tiles['tile_success']:,} of {tiles['tile_count']:,} tiles"
        failed, counts = tiles["tile_error"], [of_tiles, "", of_regions]
    counts[1] = f"{failed:,} failed" if failed else ""
    return ", ".join(filter(None, counts))


def one_line(error: BaseException | str) -> str:
    """Returns an exception's text, or any, in one line that a terminal takes for text.

    Of a very long one, as Ray's may be, both ends.
    """
    text = printable(" ".join(str(error).split()) or type(error).__name__)
    half = MAX_LINE // 2
    return text if len(text) <= MAX_LINE else f"{text[:half]} ... {text[-half:]}"


def printable(text: str) -> str:
    """Returns a text as a terminal may have it: in one line, and without what it would obey.

    All that is not JSON goes through this: ids, paths and reasons are from outside.
    """
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Prints names and values to stdout: as a small table, or each on its line."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    rows = [(name, printable(value)) for name, value in rows]
    for name, value in rows:
        table.add_row(name, Text(value))
    console = Console()
    if console.is_terminal:
        console.print(table)
    else:  # a path stays on one line
        for name, value in rows:
            print(f"{name:<9}  {value}".rstrip())


def _status(job: JobItem) -> str:
    """Returns the status; of one that has not ended, how many tiles have been settled.

    Of two regions OSML's rules call none begun until one is settled.
    """
    tiles = job.tile_counts()
    if not tiles or job.end_time is not None or not tiles["tile_pending"]:
        return job.status
    count, settled = tiles["tile_count"], tiles["tile_count"] - tiles["tile_pending"]
    return f"{job.status}, {settled / count:.0%} of its tiles are settled"


def _rows(job: JobItem) -> Iterator[tuple[str, str]]:
    ledger = None if job.tracker_ledger is None else ledger_of(job)
    success, error, count = job.region_success or 0, job.region_error or 0, job.region_count
    if ledger is not None and ledger.layout.tile_count != count:
        yield "tiles", _of(ledger.tile_success, ledger.tile_error, ledger.layout.tile_count)
    yield "regions", _of(success, error, count)
    if ledger is not None:
        yield from _ledger_rows(job, ledger)
    if job.start_time is not None:
        yield "started", _time(job.start_time)
    if job.end_time is not None:
        yield "ended", _time(job.end_time)
    else:
        last = last_news(job)
        if last is not None:
            ago = duration(max(0.0, time.time() - last / 1000))
            yield "written", f"{_time(last)}, {ago} ago"
        trouble = trouble_of(job)
        if trouble is not None:
            yield "trouble", trouble
    if job.processing_duration is not None:
        yield "duration", duration(job.processing_duration)


def _of(success: int, error: int, count: int | None) -> str:
    pending = "" if count is None else f", {count - success - error:,} pending"
    return f"{success:,} success, {error:,} error{pending} of {_number(count)}"


def _number(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"


def _ledger_rows(job: JobItem, ledger: Ledger) -> Iterator[tuple[str, str]]:
    pending = ledger.pending()
    if pending:
        more = f" and {len(pending) - MAX_SHOWN} more" if len(pending) > MAX_SHOWN else ""
        yield "pending", f"regions {', '.join(map(str, pending[:MAX_SHOWN]))}{more}"
    left = seconds_left(job, ledger)
    if left is not None:
        yield "time left", f"about {duration(left)}, at the average rate since the start"
    if ledger.tile_error:
        yield "failed", one_line(classes_text(classes_in(ledger)))
    failed = errors_of(ledger)
    for number, (region, reason) in enumerate(failed.items()):
        if number == MAX_SHOWN:
            yield "", f"and {len(failed) - MAX_SHOWN} more regions with errors"
            return
        yield ("" if number else "errors"), f"region {region}: {one_line(reason)}"


def _history_rows(job: JobItem) -> Iterator[tuple[str, str]]:
    """Yields the last runs, the newest first, where there is more than the present one."""
    runs, now = runs_of(job, time.time()), time.time()
    for number, run in enumerate(runs if len(runs) > 1 else []):
        end = now * 1000 if run.end_time is None else run.end_time
        took = duration(max(0.0, (end - (run.start_time or end)) / 1000))
        parts = ["" if run.start_time is None else _time(run.start_time), f"{run.status}, {took}"]
        if run.tile_count is not None:
            parts.append(f"{run.tile_success or 0:,} of {run.tile_count:,} tiles")
        parts.append(f"{run.tile_error:,} failed" if run.tile_error else "")
        parts.append(one_line(run.started_by) if run.started_by else "")
        yield "" if number else "runs", ", ".join(filter(None, parts))


def _time(epoch_ms: int) -> str:
    try:
        return datetime.fromtimestamp(epoch_ms / 1000).astimezone().isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):  # whoever wrote it
        return f"{epoch_ms} ms"

"""The command `raytracker cost`: what tracking an image will cost, or did."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Refused
from .tables import TableName, job_of, table_name_of
from .told import COST_EPILOG, told

if TYPE_CHECKING:
    from ..cost import Cost, Writes
    from ..job_table import JobItem, Spent

__all__ = ["COST_EPILOG", "cost"]


def cost(
    image_id: Annotated[
        str | None,
        typer.Argument(
            metavar="IMAGE_ID", help="What this one did cost so far; then no option of size."
        ),
    ] = None,
    regions: Annotated[int | None, typer.Option(metavar="N", help="Regions of the image.")] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="M", help="How long the image takes.")
    ] = None,
    tiles: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tiles of the whole image.", show_default="one a region"),
    ] = None,
    flush_interval: Annotated[
        float | None,
        typer.Option(metavar="S", help="Seconds between flushes, at least.", show_default="1"),
    ] = None,
    table: TableName = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print it as one JSON object, and only that.")
    ] = False,
) -> None:
    """Say what tracking an image did cost, or estimate it: writes, and write capacity units."""
    with told():
        if image_id is not None:
            if (regions, minutes, tiles, flush_interval) != (None, None, None, None):
                raise Refused("an IMAGE_ID says what that did cost: give it without other options")
            _print_spent(job_of(image_id, table_name_of(table)), as_json)
            return
        if regions is None or minutes is None:
            raise Refused("give --regions N and --minutes M for an estimate, or an IMAGE_ID")
        from ..cost import estimate

        interval = 1.0 if flush_interval is None else flush_interval
        _print_estimate(estimate(regions, tiles, minutes=minutes, flush_interval=interval), as_json)


def _print_spent(job: JobItem, as_json: bool) -> None:
    from ..cost import one_per_region
    from .show import print_rows

    spent, regions = job.spent, job.region_count
    if spent is None or not regions:
        raise Refused(
            f"image {job.image_id!r} was not run by raytracker, or by an earlier version: its item "
            "does not say what it cost; `raytracker cost --regions N --minutes M` estimates it"
        )
    theirs = one_per_region(regions)
    if as_json:
        told = {"image_id": job.image_id, "status": job.status, "region_count": regions}
        costs = {"tracker": spent._asdict(), "one_per_region": asdict(theirs)}
        print(json.dumps({**told, **costs}), flush=True)
        return
    print_rows([("image", job.image_id), ("status", job.status)])
    _print_beside(spent, theirs)


def _print_estimate(cost: Cost, as_json: bool) -> None:
    from .show import print_rows

    if as_json:
        print(json.dumps(cost.to_dict()), flush=True)
        return
    pauses = f"{cost.flush_pause:g}"
    if cost.last_pause > cost.flush_pause:
        pauses += f" to {cost.last_pause:g}"
    print_rows(
        [
            ("image", f"{cost.regions:,} regions, {cost.tiles:,} tiles, {cost.minutes:g} minutes"),
            ("item", f"at most {cost.item_bytes:,} bytes: {cost.flush_wcu:,} WCU a flush"),
            ("flushes", f"at most {cost.tracker.writes - 2:,}, {pauses} s apart"),
        ]
    )
    _print_beside(cost.tracker, cost.one_per_region)


def _print_beside(ours: Writes | Spent, theirs: Writes) -> None:
    """Prints what the tracker costs beside what one write for each region does."""
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column()
    for _ in range(2):
        table.add_column(justify="right")
    table.add_row("", "writes", "WCU")
    for name, writes in (("raytracker", ours), ("one a region", theirs)):
        table.add_row(name, f"{writes.writes:,}", f"{writes.wcu:,}")
    table.add_row("ratio", _ratio(theirs.writes / ours.writes), _ratio(theirs.wcu / ours.wcu))
    console = Console(highlight=False)
    console.print()
    console.print(table)


def _ratio(ratio: float) -> str:
    return f"{ratio:,.2f}" if ratio >= 0.1 else f"{ratio:.1g}"

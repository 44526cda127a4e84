"""The command `raytracker errors`: the failed tiles of an image, grouped by why they failed."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .options import Refused
from .tables import ImageId, TableName, job_of, table_name_of
from .told import told

if TYPE_CHECKING:
    from ..job_table import JobItem
    from ..ledger import Ledger

MAX_RANGES = 10  # of tile numbers, in a line
ERRORS_EPILOG = """\
[bold]Examples:[/bold]

raytracker errors scene.tif --table ImageJobs

raytracker errors scene.tif --csv > failed.csv

raytracker errors scene.tif --geojson > failed.geojson

An item knows all tiles that failed, and keeps the reasons of the 100 lowest."""


class Group(NamedTuple):
    """Failed tiles that have a reason in common.

    Attributes:
        reason: That of the first; None: theirs are not kept.
        tiles: Their numbers in the image, in order.
        alike: Whether others of them have another reason, different in its numbers only.
    """

    reason: str | None
    tiles: list[int]
    alike: bool

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """First and last number of each run of neighbours."""
        ends = [k for k, (a, b) in enumerate(pairwise(self.tiles), 1) if b != a + 1]
        return [
            (self.tiles[start], self.tiles[stop - 1])
            for start, stop in pairwise((0, *ends, len(self.tiles)))
        ]


def errors(
    image_id: ImageId,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a line of region, tile, number, reason for each.")
    ] = False,
    as_geojson: Annotated[
        bool,
        typer.Option(
            "--geojson", help="Print the outlines of the failed tiles; opens the image's header."
        ),
    ] = False,
    table: TableName = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the groups as one JSON object, and only that.")
    ] = False,
) -> None:
    """Show which tiles of an image failed, grouped by why."""
    with told():
        if as_csv + as_geojson + as_json > 1:
            raise Refused("--csv, --geojson and --json: give one of them")
        job = job_of(image_id, table_name_of(table))
        ledger = _ledger(job)
        if as_csv:
            _print_csv(ledger)
        elif as_geojson:
            for text in _geojson(job, ledger):
                print(text, end="")
        elif as_json:
            print(json.dumps(_to_dict(job, ledger)))
        else:
            _print(job, ledger)


def groups_of(ledger: Ledger) -> list[Group]:
    """Returns the failed tiles by reason, the most first; those whose reason isn't kept last."""
    found: dict[str, list[int]] = {}
    texts: dict[str, set[str]] = {}
    kept, unknown = ledger.reasons(), list[int]()
    for tile in failed_tiles(ledger):
        reason = kept.get(tile)
        if reason is None:
            unknown.append(tile)
            continue
        kind = re.sub(r"\d+", "0", reason)
        found.setdefault(kind, []).append(tile)
        texts.setdefault(kind, set()).add(reason)
    groups = [Group(kept[tiles[0]], tiles, len(texts[kind]) > 1) for kind, tiles in found.items()]
    groups.sort(key=lambda group: (-len(group.tiles), group.tiles[0]))
    return [*groups, *([Group(None, unknown, False)] if unknown else [])]


def failed_tiles(ledger: Ledger) -> Iterator[int]:
    """Yields the numbers of the tiles that are errors, in order."""
    from ..ledger import ERROR

    outcomes = ledger.tile_outcomes()
    at = outcomes.find(ERROR)
    while at >= 0:
        yield at
        at = outcomes.find(ERROR, at + 1)


def _ledger(job: JobItem) -> Ledger:
    from ..job_table import ledger_of

    if job.tracker_ledger is None:
        raise Refused(
            f"image {job.image_id!r} was not run by raytracker: its item counts "
            f"{job.region_error or 0} failed regions, and says neither which nor why"
        )
    return ledger_of(job)


def _print(job: JobItem, ledger: Ledger) -> None:
    from .show import one_line

    layout = ledger.layout
    print(
        f"{one_line(job.image_id)}: {job.status}, {ledger.tile_error:,} of "
        f"{layout.tile_count:,} tiles failed"
    )
    groups = groups_of(ledger)
    for group in groups:
        what = "reason not kept" if group.reason is None else one_line(group.reason)
        alike = ", and alike" if group.alike else ""
        print(f"{len(group.tiles):>9,} \N{MULTIPLICATION SIGN} {what}{alike}")
        print(f"{'':>11} tiles {ranges_text(group.ranges)}")
    if unknown := [group for group in groups if group.reason is None]:
        print(
            f"The groups lack {len(unknown[0].tiles):,} tiles: the item keeps the reasons of the "
            "lowest tiles that ever failed, of 100 at most.",
            file=sys.stderr,
        )


def ranges_text(ranges: list[tuple[int, int]]) -> str:
    """Returns ranges as people write them: 0-7, 12, 20-25."""
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in ranges[:MAX_RANGES]]
    more = len(ranges) - len(shown)
    return ", ".join(shown) + (f", and {more:,} more" if more else "")


def _to_dict(job: JobItem, ledger: Ledger) -> dict[str, Any]:
    groups = groups_of(ledger)
    return {
        "image_id": job.image_id,
        "status": job.status,
        "tile_count": ledger.layout.tile_count,
        "tile_error": ledger.tile_error,
        "complete": all(group.reason is not None for group in groups),
        "groups": [
            {
                "reason": group.reason,
                "alike": group.alike,
                "tile_error": len(group.tiles),
                "tiles": group.ranges,
            }
            for group in groups
        ],
    }


def _rows(ledger: Ledger) -> Iterator[tuple[int, int, int, str | None]]:
    """Yields region, tile in the region, number in the image and reason of each failed tile."""
    reasons = ledger.reasons()
    for number in failed_tiles(ledger):
        yield *ledger.layout.locate(number), number, reasons.get(number)


def _print_csv(ledger: Ledger) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("region", "tile", "number", "reason"))
    writer.writerows(_rows(ledger))


def _geojson(job: JobItem, ledger: Ledger) -> Iterable[str]:
    """Yields the text of a FeatureCollection, a line for each tile."""
    from ..errors import InvalidImage
    from .map import grid_of

    grid = grid_of(job)
    yield '{"type": "FeatureCollection", "features": ['
    for count, (region, number, in_image, reason) in enumerate(_rows(ledger)):
        tile = grid.tile(region, number)
        width, height = tile.window.width, tile.window.height
        known = {"region": region, "tile": number, "number": in_image, "reason": reason}
        try:
            outline = tile.feature([(0, 0), (width, 0), (width, height), (0, height)], known)
        except InvalidImage:  # it has a corner beside the earth
            outline = {"type": "Feature", "geometry": None, "properties": known}
        yield f"{',' if count else ''}\n{json.dumps(outline)}"
    yield "\n]}\n"

"""The command `raytracker errors`: the failed tiles of an image, grouped by why they failed."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Refused
from .tables import ImageId, TableName, job_of, table_name_of
from .told import told

if TYPE_CHECKING:
    from ..job_table import JobItem
    from ..ledger import Ledger
    from ..views import Group

ERRORS_EPILOG = """\
[bold]Examples:[/bold]

raytracker errors scene.tif --table ImageJobs

raytracker errors scene.tif --csv > failed.csv

raytracker errors scene.tif --geojson > failed.geojson

An item knows all tiles that failed and their classes, and keeps the texts of the 100 lowest."""


def errors(
    image_id: ImageId,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="Print a line of region, tile, number, reason, class for each."),
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
            from ..views import failures_of

            print(json.dumps(failures_of(job, ledger)))
        else:
            _print(job, ledger)


def _ledger(job: JobItem) -> Ledger:
    from ..job_table import ledger_of

    if job.tracker_ledger is None:
        raise Refused(
            f"image {job.image_id!r} was not run by raytracker: its item counts "
            f"{job.region_error or 0} failed regions, and says neither which nor why"
        )
    return ledger_of(job)


def _print(job: JobItem, ledger: Ledger) -> None:
    from ..views import classes_in, ranges_of, ranges_text, times
    from .show import one_line

    layout = ledger.layout
    print(
        f"{one_line(job.image_id)}: {job.status}, {ledger.tile_error:,} of "
        f"{layout.tile_count:,} tiles failed"
    )
    for name, tiles, groups in classes_in(ledger):
        [first, *others] = groups
        if name is None:
            print(f"{times(len(tiles)):>11} class not known")
        elif others or first.reason is None:
            print(f"{times(len(tiles)):>11} {one_line(name)}")
        else:  # the reason begins with the class
            print(f"{times(len(tiles)):>11} {_text(first)}")
        print(f"{'':>11} tiles {ranges_text(ranges_of(tiles))}")
        for group in groups if others else ():
            print(f"{'':>11} {times(len(group.tiles))} {_text(group, without=f'{name}: ')}")
            print(f"{'':>15} tiles {ranges_text(ranges_of(group.tiles))}")
        if name is None:
            print(
                f"Of {len(tiles):,} {'' if len(tiles) == ledger.tile_error else 'more '}failed "
                "tiles the class is not known: nobody told why, an older raytracker wrote the "
                "item, or there is no more room in it.",
                file=sys.stderr,
            )


def _text(group: Group, without: str = "") -> str:
    """Returns a group's reason, without a beginning that has been said."""
    from .show import one_line

    if group.reason is None:
        return "text not kept"
    return one_line(group.reason.removeprefix(without)) + (", and alike" if group.alike else "")


def _print_csv(ledger: Ledger) -> None:
    from ..views import failed_rows

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("region", "tile", "number", "reason", "class"))
    writer.writerows(failed_rows(ledger))


def _geojson(job: JobItem, ledger: Ledger) -> Iterable[str]:
    """Yields the text of a FeatureCollection, a line for each tile."""
    from ..errors import InvalidImage
    from ..views import failed_rows
    from .map import grid_of

    grid = grid_of(job)
    yield '{"type": "FeatureCollection", "features": ['
    for count, failed in enumerate(failed_rows(ledger)):
        tile = grid.tile(failed.region, failed.tile)
        width, height = tile.window.width, tile.window.height
        known = failed._asdict()
        known["class"] = known.pop("class_name")
        try:
            outline = tile.feature([(0, 0), (width, 0), (width, height), (0, height)], known)
        except InvalidImage:  # it has a corner beside the earth
            outline = {"type": "Feature", "geometry": None, "properties": known}
        yield f"{',' if count else ''}\n{json.dumps(outline)}"
    yield "\n]}\n"

"""The command `raytracker`; extra `raytracker[cli]`."""

from __future__ import annotations

import atexit
import gc
import sys
from enum import Enum
from typing import Annotated, Any

try:
    import typer
except ImportError as error:
    sys.exit(f'{error}; install what the command needs with: pip install "raytracker[cli]"')

from .. import __version__
from . import assembling
from .cost import COST_EPILOG, cost
from .on_call import add_commands
from .options import (
    AllowDriver,
    AllowUrl,
    Refused,
    RegionStatusTopic,
    StatusTopic,
    bands_of,
    concurrency_of,
    if_exists_of,
    seconds_of,
    size_of,
    topics_of,
    work_of,
)
from .status import STATUS_EPILOG, AsJson, status
from .tables import EMBEDDED_TABLE, TableName, table_app, table_name_of
from .told import DEV_EPILOG, FIRST_STEPS, RUN_EPILOG, told

app = typer.Typer(
    help="Runs a function over every tile of an image, in Ray tasks, and knows how far it has "
    "come: each image is an item in a DynamoDB job table.",
    epilog=FIRST_STEPS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(table_app, name="table")


class IfExists(str, Enum):
    """What to do when the image is in the table."""

    error = "error"
    resume = "resume"
    restart = "restart"


class Edges(str, Enum):
    """What becomes of the last tiles."""

    clip = "clip"
    pad = "pad"
    shift = "shift"


class RoiCrs(str, Enum):
    """What the ROI's coordinates are."""

    image = "image"
    lonlat = "lonlat"


def main() -> None:
    """Runs the command; the entry point."""
    atexit.register(gc.freeze)  # Python's last search for garbage, in all modules, frees nothing
    app(prog_name="raytracker")  # also as `python -m raytracker`: completion goes by this name


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"raytracker {__version__}")
        raise typer.Exit


@app.callback()
def _raytracker(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    pass


@app.command(epilog=RUN_EPILOG)
def run(
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE",
            help="A path, or s3://bucket/key; to go on with a run, its image_id is enough.",
        ),
    ],
    function: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION",
            help="What to run on each tile, as function(pixels, tile): of a module that imports "
            "from here, or FILE.py:FUNCTION. Or a class, of which each worker makes one model.",
        ),
    ],
    table: TableName = None,
    tile_size: Annotated[
        str | None,
        typer.Option(metavar="N", help="Pixels; also WIDTHxHEIGHT.", show_default="512"),
    ] = None,
    tile_overlap: Annotated[
        str | None, typer.Option(metavar="N", help="Pixels, likewise.", show_default="0")
    ] = None,
    region_size: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Pixels, likewise; a region is a block of whole tiles.",
            show_default="2048",
        ),
    ] = None,
    roi: Annotated[
        str | None,
        typer.Option(
            metavar="WKT|FILE",
            help="Only the tiles in this POLYGON or MULTIPOLYGON: WKT, or a file of it or GeoJSON.",
        ),
    ] = None,
    roi_crs: Annotated[
        RoiCrs | None,
        typer.Option(
            metavar="CRS",
            help="What it is in: image (its CRS) or lonlat (degrees).",
            show_default="image; of GeoJSON, lonlat",
        ),
    ] = None,
    edges: Annotated[
        Edges | None,
        typer.Option(
            metavar="HOW",
            help="Tiles that reach beyond the image: clip makes them smaller, pad fills them up, "
            "shift moves them into the image.",
            show_default="clip",
        ),
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(
            metavar="N,N",
            help="The bands that the function gets, from 1, such as 3,2,1.",
            show_default="all",
        ),
    ] = None,
    skip_empty: Annotated[
        bool | None,
        typer.Option("--skip-empty", help="Call no function on tiles without a valid pixel."),
    ] = None,
    allow_url: AllowUrl = False,
    allow_driver: AllowDriver = None,
    image_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The key in the table, instead of the image's full path."),
    ] = None,
    if_exists: Annotated[
        IfExists,
        typer.Option(
            metavar="WHAT",
            help="If the image is in the table: error refuses, resume runs what is pending, "
            "restart begins again.",
        ),
    ] = IfExists.error,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run: cut, image and output are known. As --if-exists resume.",
        ),
    ] = False,
    redrive: Annotated[
        bool, typer.Option("--redrive", help="Resume, and run the failed tiles again as well.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Take the image away from a run that lives, or go on with another function.",
        ),
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="A folder that every node sees, or s3://bucket/prefix: gets job.json, "
            "results.geojson, result.tif where the function returns arrays, and map.png.",
        ),
    ] = None,
    merge: assembling.MergeOption = None,
    merge_score: assembling.MergeScore = None,
    merge_iou: assembling.MergeIou = None,
    merge_by: assembling.MergeBy = None,
    formats: assembling.Formats = None,
    tile_properties: assembling.TileProperties = False,
    blend: assembling.BlendOption = None,
    stride: assembling.Stride = None,
    nodata: assembling.Nodata = None,
    colormap: assembling.Colormap = None,
    band_name: assembling.BandName = None,
    keep_tiles: assembling.KeepTiles = False,
    num_cpus: Annotated[
        float | None, typer.Option(metavar="N", help="CPUs of each task.", show_default="1")
    ] = None,
    num_gpus: Annotated[
        float | None, typer.Option(metavar="N", help="GPUs of each task.", show_default="none")
    ] = None,
    memory: Annotated[
        int | None, typer.Option(metavar="BYTES", help="Memory of each task, for Ray to plan with.")
    ] = None,
    retries: Annotated[
        int,
        typer.Option(
            metavar="N", help="How often a tile is tried again that fails or ends its process."
        ),
    ] = 2,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How long a tile may take, each time."),
    ] = None,
    tolerated_failure_count: Annotated[
        int | None,
        typer.Option(metavar="N", help="Stop the image when more tiles than so many have failed."),
    ] = None,
    tolerated_failure_percentage: Annotated[
        float | None, typer.Option(metavar="P", help="The same, in percent of its tiles.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Call the function with so many tiles at a time: (pixels[N], tiles)."
        ),
    ] = None,
    concurrency: Annotated[
        str | None,
        typer.Option(
            metavar="N|LEAST:MOST",
            help="For a model, a class, how many workers hold one; for a function, how many chunks "
            "of tiles are submitted and not finished.",
            show_default="1 to as many as the nodes hold; four for each CPU",
        ),
    ] = None,
    constructor_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="What a model is made with; give it for each argument."),
    ] = None,
    keep_for: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="How long the item is kept after the run's last sign of life: 7d, 12h, 30m, or "
            "forever.",
        ),
    ] = "7d",
    status_topic: StatusTopic = None,
    region_status_topic: RegionStatusTopic = None,
    as_json: AsJson = False,
    embedded: Annotated[
        bool,
        typer.Option(
            "--embedded",
            help="Use a DynamoDB and a Ray on this machine that are gone when the command ends; "
            "needs no --table.",
        ),
    ] = False,
) -> None:
    """Run a function over every tile of an image. Ctrl-C cancels the image."""
    with told():
        table = table or EMBEDDED_TABLE if embedded else table_name_of(table)
        cut = {
            "tile_size": size_of("--tile-size", tile_size),
            "tile_overlap": size_of("--tile-overlap", tile_overlap),
            "region_size": size_of("--region-size", region_size),
            **_area(roi, roi_crs),
            "edges": edges and edges.value,
            "bands": None if bands is None else bands_of(bands),
            "skip_empty": skip_empty,
        }
        if batch_size is not None and batch_size < 1:
            raise Refused(f"--batch-size {batch_size}: it is at least 1")
        assembly = assembling.assembly_of(
            merge,
            formats,
            blend,
            colormap,
            merge_score=merge_score,
            merge_iou=merge_iou,
            merge_by=merge_by,
            tile_properties=tile_properties or None,
            stride=stride,
            nodata=nodata,
            band_names=band_name,
        )
        how: dict[str, Any] = {
            "num_cpus": num_cpus,
            "num_gpus": num_gpus,
            "memory": memory,
            "retries": retries,
            "timeout": timeout,
            "tolerated_failure_count": tolerated_failure_count,
            "tolerated_failure_percentage": tolerated_failure_percentage,
            "concurrency": None if concurrency is None else concurrency_of(concurrency),
            "fn_constructor_args": tuple(constructor_arg or ()),
        }
        from .run import run_image

        code = run_image(
            image,
            function,
            table_name=table,
            cut=cut,
            assembly=assembly,
            keep_tiles=keep_tiles,
            batch_size=batch_size,
            work=work_of(**how),
            image_id=image_id,
            if_exists=if_exists_of(if_exists.value, resume or redrive),
            redrive=redrive,
            take_over=force,
            output=output,
            keep_for=seconds_of("--keep-for", keep_for),
            topics=topics_of(status_topic, region_status_topic),
            as_json=as_json,
            embedded=embedded,
            allowed={"allow_url": allow_url, "allow_driver": tuple(allow_driver or ())},
        )
    raise typer.Exit(code)


def _area(roi: str | None, roi_crs: RoiCrs | None) -> dict[str, str | None]:
    from .roi import roi_of

    given = None if roi_crs is None else roi_crs.value
    found, crs = (None, given) if roi is None else roi_of(roi, given)
    return {"roi": found, "roi_crs": crs}


app.command(epilog=STATUS_EPILOG)(status)
app.command(epilog=COST_EPILOG)(cost)
add_commands(app)


@app.command(
    epilog=DEV_EPILOG,
    context_settings={"allow_interspersed_args": False},  # options behind the command are its own
)
def dev(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND", help="What to run, instead of a shell."),
    ] = None,
    table: TableName = EMBEDDED_TABLE,
) -> None:
    """Open a shell with a job table of its own, to try things out without AWS."""
    with told():
        from . import embedded

        code = embedded.dev(command or [], table_name_of(table))
    raise typer.Exit(code)

"""How an image's results are assembled: the options of `run` for it, and `raytracker collect`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from enum import Enum
from typing import Annotated, Any

import typer

from .options import AllowDriver, AllowUrl, Refused
from .tables import ImageId, TableName, job_of, table_name_of
from .told import told

COLLECT_EPILOG = """\
[bold]Examples:[/bold]

raytracker collect scene.tif --table ImageJobs

raytracker collect scene.tif --table ImageJobs --output so-far --format parquet

The item and what the tiles left stay as they are, and so does a run that goes on. Pending and \
failed tiles are left out. RAY_ADDRESS: the Ray cluster to use; without it, a Ray of its own."""


class Merge(str, Enum):
    """What becomes of Features where tiles meet."""

    none = "none"
    nms = "nms"
    soft_nms = "soft_nms"
    union = "union"


class Blend(str, Enum):
    """Of what a raster's pixels are where tiles overlap."""

    crop = "crop"
    mean = "mean"


class Format(str, Enum):
    """What the Features are written as."""

    geojson = "geojson"
    parquet = "parquet"


MergeOption = Annotated[
    Merge | None,
    typer.Option(
        "--merge",
        metavar="HOW",
        help="What was found twice, or cut in two, where tiles meet: none leaves it, nms and "
        "soft_nms keep the best of overlapping boxes, union joins shapes.",
        show_default="none",
    ),
]
MergeScore = Annotated[
    str | None,
    typer.Option(
        "--merge-score",
        metavar="NAME",
        help="The property with the score.",
        show_default="featureClasses",
    ),
]
MergeIou = Annotated[
    float | None,
    typer.Option(
        "--merge-iou",
        metavar="X",
        help="Boxes that overlap more, as intersection over union, are of one thing.",
        show_default="0.5",
    ),
]
MergeBy = Annotated[
    list[str] | None,
    typer.Option(
        "--merge-by",
        metavar="NAME",
        help="Merge only what has equal values of this property; give it for each.",
    ),
]
Formats = Annotated[
    list[Format] | None,
    typer.Option(
        "--format",
        metavar="WHAT",
        help="Write the Features as geojson, or parquet; give it for each.",
        show_default="geojson",
    ),
]
TileProperties = Annotated[
    bool,
    typer.Option("--tile-properties", help="Have each Feature say its image_id, region and tile."),
]
BlendOption = Annotated[
    Blend | None,
    typer.Option(
        "--blend",
        metavar="HOW",
        help="Pixels of a raster that several tiles have: crop takes the tile to which they are "
        "most inner, mean weighs them.",
        show_default="crop",
    ),
]
Stride = Annotated[
    int | None,
    typer.Option(
        "--stride",
        metavar="N",
        help="The function's arrays have a pixel for N x N of the image.",
        show_default="1",
    ),
]
Nodata = Annotated[
    float | None,
    typer.Option(
        "--nodata",
        metavar="X",
        help="The value of a raster's pixels without a result.",
        show_default="NaN, or the greatest",
    ),
]
Colormap = Annotated[
    str | None,
    typer.Option(
        "--colormap",
        metavar="V=#RRGGBB,...",
        help="Colours of a raster's values, such as 0=#ffffff,1=#0050ff.",
    ),
]
BandName = Annotated[
    list[str] | None,
    typer.Option("--band-name", metavar="NAME", help="Of a raster's band; give it for each."),
]
KeepTiles = Annotated[
    bool,
    typer.Option(
        "--keep-tiles",
        help="Keep what was found tile by tile, once it is in one file; it is kept in any case "
        "where tiles failed, as --redrive needs it.",
    ),
]


def assembly_of(
    merge: Merge | None,
    formats: Sequence[Format] | None,
    blend: Blend | None,
    colormap: str | None,
    **others: Any,
) -> dict[str, Any]:
    """Returns what the options say, as `process_image` takes it."""
    return {
        "merge": merge and merge.value,
        "formats": [each.value for each in formats or ()] or None,
        "blend": blend and blend.value,
        "colormap": None if colormap is None else colormap_of(colormap),
        **{name: value or None for name, value in others.items() if isinstance(value, list)},
        **{name: value for name, value in others.items() if not isinstance(value, list)},
    }


def colormap_of(text: str) -> dict[int, tuple[int, ...]]:
    """Returns "0=#ffffff,1=#0050ff" as colours by value.

    Raises:
        Refused: It is none.
    """
    found = {}
    for part in text.split(","):
        one = re.fullmatch(r"\s*(\d{1,5})\s*=\s*#?([0-9a-fA-F]{6}|[0-9a-fA-F]{8})\s*", part)
        if one is None:
            raise Refused(
                f"--colormap {text!r}: give VALUE=#RRGGBB for each, such as 0=#ffffff,1=#0050ff"
            )
        found[int(one[1])] = tuple(bytes.fromhex(one[2]))
    return found


def collect(
    image_id: ImageId,
    table: TableName = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Where the files go: a folder that every node sees, or s3://bucket/prefix.",
            show_default="the image's own output",
        ),
    ] = None,
    formats: Formats = None,
    allow_url: AllowUrl = False,
    allow_driver: AllowDriver = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the files' names as one JSON object, and only that."),
    ] = False,
) -> None:
    """Assemble what there is of an image: one that runs, was cancelled, or failed."""
    with told():
        name = table_name_of(table)
        image_id = job_of(image_id, name).image_id
        from ..pipeline import collect as assemble
        from .display import Display
        from .interrupt import Signals
        from .run import ray_at

        with Display() as display:
            display.doing("starting Ray")
            with Signals() as signals, ray_at(os.environ.get("RAY_ADDRESS"), signals):
                files = assemble(
                    image_id,
                    table=name,
                    output=output,
                    formats=[each.value for each in formats or ()] or None,
                    on_progress=lambda done, steps: display.doing(f"assembling {done:,}/{steps:,}"),
                    allow_url=allow_url,
                    allow_driver=tuple(allow_driver or ()),
                )
        if as_json:
            typer.echo(json.dumps({"image_id": image_id, "files": files}))
        else:
            typer.echo("\n".join(files))

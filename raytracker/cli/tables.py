"""The job table and the image that a command is about, and `raytracker table`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidImage
from .options import Refused
from .told import TABLE_EPILOG, told

if TYPE_CHECKING:
    from ..job_table import JobItem

VARIABLE = "RAYTRACKER_TABLE"
EMBEDDED_TABLE = "ImageJobs"

table_app = typer.Typer(help="The job table.", epilog=TABLE_EPILOG, no_args_is_help=True)

TableName = Annotated[
    str | None,
    typer.Option("--table", metavar="NAME", envvar=VARIABLE, help="The job table."),
]


ImageId = Annotated[
    str,
    typer.Argument(metavar="IMAGE_ID", help="The key in the table, or the path of a local file."),
]


def table_name_of(given: str | None) -> str:
    """Returns the name that --table or its variable gives.

    Raises:
        Refused: Neither does.
    """
    if not given:
        raise Refused(
            f"no job table: give --table NAME, or set {VARIABLE}; "
            "without AWS, `raytracker dev` opens a shell that has one"
        )
    return given


def job_of(image_id: str, table_name: str) -> JobItem:
    """Returns the item of an image, whose key may be typed as `run` took its path.

    Raises:
        Refused: There is none.
    """
    from ..imagery.names import absolute
    from ..job_table import JobTable, check_image_id

    check_image_id(image_id)
    table = JobTable(table_name)
    job = table.read(image_id)
    if job is not None:
        return job
    with suppress(InvalidImage):
        url = absolute(image_id)
        job = table.read(url) if url != image_id else None
        if job is not None:
            return job
        image_id = url if Path(image_id).exists() else image_id
    raise Refused(f"image {image_id!r} is not in table {table_name!r}")


def resume_line(
    image_id: str,
    function: str,
    table_name: str,
    *,
    allow_url: bool = False,
    allow_driver: Sequence[str] = (),
) -> str:
    """Returns the command that goes on with an image, as this shell takes it."""
    named = [] if os.environ.get(VARIABLE) == table_name else ["--table", table_name]
    named += ["--allow-url"] if allow_url else []
    named += [word for driver in allow_driver for word in ("--allow-driver", driver)]
    return shlex.join(["raytracker", "run", "--resume", *named, image_id, function])


@table_app.command(epilog=TABLE_EPILOG)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", envvar=VARIABLE, help="The table's name.")],
    set_ttl: Annotated[
        bool, typer.Option("--set-ttl", help="Set the TTL of a table that is there, and has none.")
    ] = False,
) -> None:
    """Make a job table: on demand, key image_id, TTL on expire_time; no-op if it is there."""
    with told():
        from ..job_table import JobTable

        has_ttl = JobTable(name).create(set_ttl=set_ttl)
        typer.echo(
            f"table {name} is there and fits"
            if has_ttl
            else f"table {name} is there, but has no TTL: expired items stay; "
            f"`raytracker table create {name} --set-ttl` sets it on expire_time"
        )

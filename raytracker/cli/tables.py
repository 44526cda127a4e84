"""The job table that a command is about, and `raytracker table`."""

from __future__ import annotations

import os
import shlex
from typing import Annotated

import typer

from .options import Refused
from .told import TABLE_EPILOG, told

VARIABLE = "RAYTRACKER_TABLE"
EMBEDDED_TABLE = "ImageJobs"

table_app = typer.Typer(help="The job table.", epilog=TABLE_EPILOG, no_args_is_help=True)

TableName = Annotated[
    str | None,
    typer.Option("--table", metavar="NAME", envvar=VARIABLE, help="The job table."),
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


def resume_line(image_id: str, function: str, table_name: str) -> str:
    """Returns the command that goes on with an image, as this shell takes it."""
    named = [] if os.environ.get(VARIABLE) == table_name else ["--table", table_name]
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

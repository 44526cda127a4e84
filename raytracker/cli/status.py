"""The command `raytracker status`: one image, as the table knows it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from .tables import ImageId, TableName, job_of, table_name_of
from .told import STATUS_EPILOG, told

__all__ = ["STATUS_EPILOG", "AsJson", "status"]

STALE = 6  # an exit status

AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the job item as one JSON object on the last line of stdout, which is all "
        "that is printed there.",
    ),
]


def status(
    image_id: ImageId,
    table: TableName = None,
    stale: Annotated[
        bool,
        typer.Option(
            "--stale",
            help="End with 6 where the image has not ended and nothing is heard of its run; an "
            "idle run writes once a minute.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how far an image has come, as the table knows it."""
    with told():
        from ..views import is_silent
        from .show import EXIT_STATUS, print_json, print_status

        job = job_of(image_id, table_name_of(table))
        if as_json:
            print_json(job)
        else:
            print_status(job)
        is_stale = stale and is_silent(job, time.time())
    raise typer.Exit(STALE if is_stale else EXIT_STATUS.get(job.status, 0))

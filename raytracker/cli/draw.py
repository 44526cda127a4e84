"""The command `raytracker map`."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from .options import AllowDriver, AllowUrl
from .tables import ImageId, TableName, job_of, table_name_of
from .told import told


def draw(
    image_id: ImageId,
    table: TableName = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.png", help="Where the picture goes.", show_default="NAME-map.png"
        ),
    ] = None,
    allow_url: AllowUrl = False,
    allow_driver: AllowDriver = None,
) -> None:
    """Draw an image and what of it is no success, from the table and the image alone."""
    with told(), _uncollected():
        from .map import map_image
        from .show import printable

        job = job_of(image_id, table_name_of(table))
        path = map_image(job, output, allow_url=allow_url, allow_driver=allow_driver or ())
        typer.echo(f"picture    {printable(path)}")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Looks for no cyclic garbage: there is little, and the search takes a sixth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

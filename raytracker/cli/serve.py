"""The command `raytracker serve`: a page that shows the table while it lives."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Refused
from .tables import TableName, table_name_of
from .told import told

SERVE_EPILOG = """\
[bold]Examples:[/bold]

raytracker serve --table ImageJobs

ssh -L 8700:127.0.0.1:8700 head-node raytracker serve --table ImageJobs (then open the URL here)

The page only reads: once a second at most, however many look at it, and not while nobody does."""


def serve(
    table: TableName = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Where to listen; beyond this machine all is sent in plain text, the token too.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="The port; 0: any that is free.")
    ] = 8700,
) -> None:
    """Show the images of a table on a page, live. Ctrl-C ends it."""
    with told():
        name = table_name_of(table)
        try:
            from .. import serve as page
        except ModuleNotFoundError as err:
            if err.name not in ("starlette", "uvicorn"):
                raise
            cure = 'install what the page needs with: pip install "raytracker[serve]"'
            raise Refused(f"{err}; {cure}") from err
        from ..job_table import JobTable

        def began(url: str) -> None:
            typer.echo(f"table {name}: {url}")
            typer.echo("who has this URL can read the table's items; Ctrl-C ends it", err=True)

        try:
            page.serve(JobTable(name), host=host, port=port, began=began)
        except OSError as err:
            why = err.strerror or err
            raise Refused(
                f"--host {host} --port {port}: cannot listen there ({why}); give another --port, "
                "such as 0 for any that is free"
            ) from err

"""The commands that look at a table, and end what is in it."""

from __future__ import annotations

import typer

from .again import REDRIVE_EPILOG, RESUME_EPILOG, redrive, resume
from .assembling import COLLECT_EPILOG, collect
from .checks import DOCTOR_EPILOG, doctor
from .draw import draw
from .ended import CANCEL_EPILOG, DELETE_EPILOG, cancel, delete
from .failed import ERRORS_EPILOG, errors
from .listed import LIST_EPILOG, list_images
from .serve import SERVE_EPILOG, serve
from .told import MAP_EPILOG
from .watching import WATCH_EPILOG, watch


def add_commands(app: typer.Typer) -> None:
    """Adds them to the command, in the order in which its help names them."""
    app.command("map", epilog=MAP_EPILOG)(draw)
    app.command("list", epilog=LIST_EPILOG)(list_images)
    app.command(epilog=WATCH_EPILOG)(watch)
    app.command(epilog=ERRORS_EPILOG)(errors)
    app.command(epilog=COLLECT_EPILOG)(collect)
    app.command("redrive", epilog=REDRIVE_EPILOG)(redrive)
    app.command("resume", epilog=RESUME_EPILOG)(resume)
    app.command(epilog=CANCEL_EPILOG)(cancel)
    app.command(epilog=DELETE_EPILOG)(delete)
    app.command(epilog=DOCTOR_EPILOG)(doctor)
    app.command(epilog=SERVE_EPILOG)(serve)

"""What the command tells beside its results: how it is used, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from ..errors import (
    ImageExists,
    ImageInUse,
    InvalidEstimate,
    InvalidFunction,
    InvalidGrid,
    InvalidImage,
    InvalidImageId,
    InvalidLayout,
    LedgerError,
    NotMerged,
    OutputError,
    RaytrackerError,
    ResumeMismatch,
    TableError,
    TableMismatch,
)
from .options import Refused

BAD_USAGE = (
    ImageExists,
    ImageInUse,
    InvalidEstimate,
    InvalidFunction,
    InvalidGrid,
    InvalidImage,
    InvalidImageId,
    InvalidLayout,
    LedgerError,
    OutputError,
    Refused,
    ResumeMismatch,
    TableError,
    TableMismatch,
)

FIRST_STEPS = """\
[bold]First steps, without AWS:[/bold]

raytracker run scene.tif detect.py:detect --embedded --output out

raytracker dev (a shell with a table that stays from command to command)"""

# Typer makes a paragraph of what lies between empty lines, and a line of what is a paragraph.
_ENVIRONMENT = """\
[bold]Environment:[/bold]

RAYTRACKER_TABLE: the job table, where --table is not given

AWS_PROFILE, AWS_DEFAULT_REGION and all else that boto3 reads: where the job table is, and who asks

AWS_ENDPOINT_URL_DYNAMODB: another DynamoDB, such as http://127.0.0.1:8000"""
_STATUSES = """\
[bold]Exit status:[/bold] 0 SUCCESS, 3 PARTIAL (some regions failed), 4 FAILED, 5 CANCELLED"""
RUN_EPILOG = f"""\
[bold]Examples:[/bold]

raytracker run scene.tif detect.py:detect --embedded --output out

raytracker run s3://bucket/scene.tif mypackage.detect:ships --table ImageJobs --output s3://bucket/out

raytracker run --resume scene.tif detect.py:detect --table ImageJobs

{_ENVIRONMENT}

RAY_ADDRESS: the Ray cluster to use ("auto": the one on this machine); without it, a Ray of its own

{_STATUSES} elsewhere, 130 cancelled by Ctrl-C, \
2 bad usage (arguments, image, table, credentials), 1 anything else"""
MAP_EPILOG = """\
[bold]Example:[/bold] raytracker map /data/scene.tif --table ImageJobs --output scene-map.png"""
COST_EPILOG = """\
[bold]Examples:[/bold]

raytracker cost --regions 5000 --tiles 20000 --minutes 10

raytracker cost scene.tif --table ImageJobs"""
TABLE_EPILOG = """\
[bold]Example:[/bold] raytracker table create ImageJobs"""
DEV_EPILOG = """\
[bold]Examples:[/bold]

raytracker dev (then, in its shell, raytracker run ..., raytracker status ..., exit)

raytracker dev -- sh -c 'raytracker run scene.tif detect.py:detect; raytracker status scene.tif'

All that runs there finds a DynamoDB in memory on this machine, and the table in it; they are gone \
when the shell or command ends, whose exit status is returned. AWS_ENDPOINT_URL_DYNAMODB and \
RAYTRACKER_TABLE are set there; so are a region and invented credentials where boto3 finds none."""
STATUS_EPILOG = f"""\
[bold]Example:[/bold] raytracker status scene.tif --table ImageJobs --json

{_ENVIRONMENT}

{_STATUSES}; 0 also while it goes on; 2 no such image or table"""


_OPTIONS = {
    "take_over=True": "--force",
    'if_exists="restart"': "--if-exists restart",
    'if_exists="resume"': "--resume",
}


def in_options(error: RaytrackerError, text: str) -> str:
    """Returns an error's text in the words of the command, where it speaks of arguments."""
    if isinstance(error, ResumeMismatch):
        for name, *values in error.differences:
            for value in values:
                text = text.replace(f"{name}={value!r}", _option(name, value))
    for argument, option in _OPTIONS.items():
        text = text.replace(argument, option)
    return text


_NAMES = {"formats": "--format", "band_names": "--band-name"}


def _is_colour(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(each, int) for each in value)


def _option(name: str, value: Any) -> str:
    """Returns an argument of `process_image` as an option of the command."""
    if name == "function":
        return f"function {value}"
    if name == "arguments":
        return f"--constructor-arg of the hash {value}"
    option = _NAMES.get(name, f"--{name.replace('_', '-')}")
    if name in ("formats", "merge_by", "band_names") and isinstance(value, (list, tuple)):
        return " ".join(f"{option} {each}" for each in value)
    if isinstance(value, dict):  # colours by value; of several rasters only Python says them
        colours = (f"{key}=#{bytes(each).hex()}" for key, each in value.items() if _is_colour(each))
        return f"{option} {','.join(colours) or value}"
    if value is None or isinstance(value, bool):
        return option if value else f"no {option}"
    if isinstance(value, (list, tuple)):
        return f"{option} {(',' if name == 'bands' else 'x').join(map(str, value))}"
    return f"{option} {value}"


@contextmanager
def told() -> Iterator[None]:
    """Turns what raytracker raises into one line on stderr and an exit status."""
    try:
        yield
    except RaytrackerError as err:
        from .show import one_line

        typer.echo(f"raytracker: {in_options(err, one_line(err))}", err=True)
        is_bad_usage = isinstance(err, BAD_USAGE) and not isinstance(err, NotMerged)
        raise typer.Exit(2 if is_bad_usage else 1) from err
    except ModuleNotFoundError as err:
        if (err.name or "raytracker").partition(".")[0] == "raytracker":
            raise  # a defect
        cure = 'install what the command needs with: pip install "raytracker[cli]"'
        typer.echo(f"raytracker: {err}; {cure}", err=True)
        raise typer.Exit(1) from err
    except KeyboardInterrupt as err:
        from .interrupt import Terminated

        typer.echo("raytracker: interrupted; nothing was started", err=True)
        raise typer.Exit(143 if isinstance(err, Terminated) else 130) from err

"""What the options of the command mean, as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import InvalidGrid, RaytrackerError
from ..job_table.outbox import Topics

if TYPE_CHECKING:
    from ..pipeline import Work

IfExists = Literal["error", "resume", "restart"]  # not that of `run`, which brings Ray along

AllowUrl = Annotated[
    bool,
    typer.Option("--allow-url", help="Let the image be elsewhere than in a file or in S3."),
]
AllowDriver = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Let a GDAL driver open it that is not of plain images, such as VRT, whose sources "
        "must lie beside it; give it for each.",
    ),
]
StatusTopic = Annotated[
    str | None,
    typer.Option(
        metavar="ARN",
        help="An SNS topic that is told how the image stands, in OSML's messages.",
        show_default="IMAGE_STATUS_TOPIC, if set",
    ),
]
RegionStatusTopic = Annotated[
    str | None,
    typer.Option(
        metavar="ARN",
        help="The same of its regions.",
        show_default="REGION_STATUS_TOPIC, if set",
    ),
]


class Refused(RaytrackerError):
    """What was asked for cannot be done."""


def if_exists_of(chosen: IfExists, resume: bool) -> IfExists:
    """Returns what --if-exists and --resume say together.

    Raises:
        Refused: They contradict each other.
    """
    if resume and chosen == "restart":
        raise Refused("--if-exists restart begins from nothing: it does not go with --resume")
    return "resume" if resume else chosen


def size_of(option: str, text: str | None) -> int | tuple[int, int] | None:
    """Returns "N", or "W,H" or "WxH", as pixels; None where nothing is said.

    Raises:
        InvalidGrid: It is neither; whether the pixels make sense, the grid finds out.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(-?\d+)\s*(?:[x,]\s*(-?\d+)\s*)?", text, re.ASCII | re.IGNORECASE)
    if found is None:
        raise InvalidGrid(f"{option} {text!r}: give pixels, as N or WIDTHxHEIGHT")
    width, height = found.groups()
    return int(width) if height is None else (int(width), int(height))


def bands_of(text: str) -> list[int]:
    """Returns "3,2,1" as numbers of bands; whether the image has them, the grid finds out.

    Raises:
        InvalidGrid: It is none.
    """
    if re.fullmatch(r"\s*\d{1,9}\s*(,\s*\d{1,9}\s*)*", text, re.ASCII) is None:
        raise InvalidGrid(f"--bands {text!r}: give numbers of bands, such as 3,2,1")
    return [int(number) for number in text.split(",")]


def concurrency_of(text: str) -> int | tuple[int, int]:
    """Returns "N", or "LEAST:MOST", as numbers.

    Raises:
        Refused: It is neither.
    """
    found = re.fullmatch(r"\s*(\d{1,6})\s*(?::\s*(\d{1,6})\s*)?", text, re.ASCII)
    if found is None:
        raise Refused(f"--concurrency {text!r}: give a number, or LEAST:MOST, such as 1:8")
    least, most = found.groups()
    return int(least) if most is None else (int(least), int(most))


def work_of(**arguments: Any) -> Work:
    """Returns how tiles are run.

    Args:
        arguments: Those of `Work`.

    Raises:
        Refused: One is none.
    """
    from ..pipeline import Work

    try:
        return Work(**arguments)
    except ValueError as err:
        raise Refused(f"--{err}".replace("_", "-")) from err


def topics_of(image: str | None, region: str | None) -> dict[str, str]:
    """Returns the SNS topics, of the options or OSML's environment, as `process_image` takes them.

    Raises:
        Refused: One is none.
    """
    try:
        topics = Topics.of(image, region)
    except ValueError as err:
        name, _, rest = str(err).partition("=")
        option = name if name.isupper() else f"--{name.replace('_', '-')}"
        raise Refused(f"{option} {rest}") from err
    return {"status_topic": topics.image or "", "region_status_topic": topics.region or ""}


def seconds_of(option: str, text: str) -> int | None:
    """Returns "7d", "12h" or "30m" in seconds; None for "forever".

    Raises:
        Refused: It is none of these, or nothing.
    """
    if text == "forever":
        return None
    found = re.fullmatch(r"(\d+)([dhm])", text, re.ASCII)
    seconds = int(found[1]) * {"d": 86400, "h": 3600, "m": 60}[found[2]] if found else 0
    if not seconds:
        raise Refused(f"{option} {text!r}: give days, hours or minutes (7d, 12h, 30m), or forever")
    return seconds

"""What a report says, checked before anything changes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ..ledger import (
    ERROR,
    SUCCESS,
    ClassSpan,
    Layout,
    Span,
    class_of,
    clip_reason,
    reason_of,
)


def report_of(
    layout: Layout, region: Any, tile: Any, error: Any, reason: Any
) -> tuple[list[Span], dict[int, str], list[ClassSpan]]:
    """Returns what the arguments of `ImageTracker.report` tell: outcomes, reasons, classes.

    Raises:
        UnknownRegion: The image has no such region or tile.
        TypeError: An argument is not what it may be.
    """
    failed, text = _flag(error), _text(reason)
    outcome = ERROR if failed else SUCCESS
    if _is_many(region) or _is_many(tile):
        spans, firsts = _spans_of_arrays(layout, region, tile, outcome)
    else:
        spans = span_of(layout, region, tile, outcome)
        firsts = [spans[0][0]]
    if not (failed and text):
        return spans, {}, []
    return spans, dict.fromkeys(firsts, text), classed(spans, text)


def span_of(layout: Layout, region: Any, tile: Any, outcome: bytes) -> list[Span]:
    """Returns the outcome of one region, or of a tile of it if that is not None, as a span.

    Raises:
        UnknownRegion: The image has no such region or tile.
        TypeError: One of them is no integer.
    """
    region = _number("region", region)
    if tile is not None:
        return [(layout.tile_number(region, _number("tile", tile)), outcome)]
    numbers = layout.tiles(region)
    return [(numbers.start, outcome * len(numbers))]


def classed(spans: Sequence[Span], reason: str) -> list[ClassSpan]:
    """Returns the class of the errors in spans, which have one reason."""
    name = class_of(reason)
    return [(first, outcomes, name) for first, outcomes in spans]


def _number(name: str, value: Any) -> int:
    if type(value) is int:
        return value
    if not isinstance(value, bool):  # which Python takes for an integer
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{name}={value!r} is a {type(value).__name__}: give an integer")


def _is_many(value: Any) -> bool:
    if getattr(value, "ndim", 0):
        return True
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _flag(error: Any) -> bool:
    if isinstance(error, bool):
        return error
    dtype = getattr(error, "dtype", None)
    if getattr(dtype, "kind", None) == "b" and not getattr(error, "ndim", 0):
        return bool(error)  # numpy's own
    cure = "say error=True, reason=..." if isinstance(error, BaseException) else "True or False"
    raise TypeError(f"error={error!r} is a {type(error).__name__}: {cure}")


def _text(reason: Any) -> str | None:
    if reason is None:
        return None
    if isinstance(reason, str):
        return clip_reason(
            str.__str__(reason)
        )  # a plain one: what is derived from it may do anything
    if isinstance(reason, BaseException):
        return reason_of(reason)
    raise TypeError(
        f"reason={reason!r} is a {type(reason).__name__}: give a text, an exception, or None"
    )


def _spans_of_arrays(
    layout: Layout, region: Any, tile: Any, outcome: bytes
) -> tuple[list[Span], list[int]]:
    try:
        from .arrays import spans_of_arrays
    except ModuleNotFoundError as err:
        raise TypeError(
            f"region {region!r}, tile {tile!r}: integers, or numpy arrays of them ({err})"
        ) from err
    return spans_of_arrays(layout, region, tile, outcome)

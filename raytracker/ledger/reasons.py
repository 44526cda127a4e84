"""Why a tile failed, as text."""

from __future__ import annotations


def reason_of(error: BaseException) -> str:
    """Returns an exception as a reason: its type and the first line of its text.

    Any exception has one, also one whose text cannot be made.
    """
    kind = type(error).__name__
    try:
        lines = str(error).strip().splitlines()
    except Exception as err:  # of its own __str__, which may be anybody's
        return f"{kind}: (its text cannot be made: {type(err).__name__})"
    return f"{kind}: {lines[0]}" if lines else kind

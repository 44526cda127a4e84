"""Why a tile failed, as text: as much of it as an item has room for."""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_REASONS = 100
MAX_REASON_BYTES = 200


def reason_of(error: BaseException) -> str:
    """Returns an exception as a reason: its type and the first line of its text, clipped.

    Any exception has one, also one whose text cannot be made.
    """
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception as err:  # of its own __str__, which may be anybody's
        return f"{kind}: (its text cannot be made: {type(err).__name__})"[:MAX_REASON_BYTES]
    lines = text.lstrip()[:MAX_REASON_BYTES].splitlines()
    return (f"{kind}: {lines[0].rstrip()}" if lines else kind)[:MAX_REASON_BYTES]


def kind_of(reason: str) -> str:
    """Returns what reasons have in common that differ only in numbers, or words with digits."""
    return re.sub(r"\S*\d\S*", "#", reason)


def clip_reason(text: str) -> str:
    """Returns the text, cut to MAX_REASON_BYTES bytes of UTF-8 between two characters."""
    raw = text[:MAX_REASON_BYTES].encode("utf-8", "replace")
    return raw[:MAX_REASON_BYTES].decode("utf-8", "ignore")


def lowest_reasons(reasons: Mapping[int, str]) -> dict[int, str]:
    """Returns those of the lowest tile numbers, which are as many as a ledger keeps.

    Of some that are joined, a ledger keeps the same as of all of these.
    """
    if len(reasons) <= MAX_REASONS:
        return dict(reasons)
    return {number: reasons[number] for number in sorted(reasons)[:MAX_REASONS]}

"""What the attributes of an item may be: whoever can write the table may put anything there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from ..errors import LedgerError, TableError
from ..ledger import clip_reason
from .ledger_text import to_text

MOST_SECONDS = 253_402_300_799  # the end of the year 9999: no date is later
MOST = 2**53 - 1  # what any reader of JSON has exactly
_SHOWN = 60  # characters of a value in a message

_TIMES = {"expire_time": MOST_SECONDS, "tracker_alive_until": MOST_SECONDS}
_MOST = {
    **_TIMES,
    "start_time": MOST_SECONDS * 1000,
    "end_time": MOST_SECONDS * 1000,
    "processing_duration": MOST_SECONDS,
    "tracker_keep_for": MOST_SECONDS,
}
# NAME/SIZE/WORLD, as `actor.Pool` writes it; earlier versions wrote no world.
_POOL = re.compile(r".+/[1-9][0-9]{0,5}(/\w+)?", re.DOTALL)
_TILE = re.compile(r"0|[1-9][0-9]{0,8}")


def checked(name: str, kind: str, value: Any, image_id: object) -> Any:
    """Returns the value of an attribute, in Python's types.

    Args:
        name: The attribute.
        kind: Its type, as the dataclass has it.
        value: What DynamoDB returned.
        image_id: Whose it is.

    Raises:
        TableError: It cannot be that.
        LedgerError: A ledger cannot.
    """
    if value is None:
        return None
    taken, wanted = _KINDS[kind.removesuffix(" | None")]
    found = taken(name, value)
    if found is None:
        raise (LedgerError if name == "tracker_ledger" else TableError)(
            f"image {image_id!r:.200}: the attribute {name} of its item is {_short(value)}, and "
            f"not {wanted}: somebody else wrote it; mend it, or delete the item"
        )
    return found


def _text(name: str, value: Any) -> str | None:
    if name == "tracker_ledger" and not isinstance(value, str):
        return _older_ledger(value)
    if not isinstance(value, str) or (name == "tracker_pool" and not _POOL.fullmatch(value)):
        return None
    return value


def _older_ledger(value: Any) -> str | None:
    """Returns a ledger as text; older versions stored it as bytes."""
    try:
        return to_text(bytes(memoryview(getattr(value, "value", value))))
    except TypeError:
        return None


def _number(name: str, value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    # Infinity and NaN are not in the range either. Others than us write fractions of a second.
    return int(value) if 0 <= value <= _MOST.get(name, MOST) else None


def _flag(_: str, value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _reasons(_: str, value: Any) -> dict[str, str] | None:
    """Returns reasons by the number of a tile, each as long as a ledger has them."""
    if not isinstance(value, Mapping):
        return None
    found = {}
    for tile, reason in value.items():
        is_one = isinstance(tile, str) and _TILE.fullmatch(tile) and isinstance(reason, str)
        if not is_one:
            return None
        found[tile] = clip_reason(reason)
    return found


_KINDS: dict[str, tuple[Callable[[str, Any], Any], str]] = {
    "str": (_text, "a text of its kind"),
    "int": (_number, "a number in its range"),
    "bool": (_flag, "a boolean"),
    "dict[str, str]": (_reasons, "a map of reasons by the number of a tile"),
}


def _short(value: Any) -> str:
    """Returns the beginning of a value; of one that holds others, without going into it."""
    if isinstance(value, (str, bytes, int, float, Decimal)):
        return repr(value[:_SHOWN] if isinstance(value, (str, bytes)) else value)[:_SHOWN]
    if isinstance(value, Mapping):
        return f"{type(value).__name__} with {[str(key)[:_SHOWN] for key in value][:3]}"[:200]
    return f"a {type(value).__name__}"

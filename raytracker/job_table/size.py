"""How large an item may get: a layout whose ledger could outgrow it is refused at the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidLayout
from ..ledger import MAX_REASON_BYTES, MAX_REASONS, Layout, Ledger

MAX_ITEM_BYTES = 400 * 1024  # DynamoDB's limit, names of attributes included
_LATER_BYTES = 1024  # of what the run adds: times, counts, run, owner
_REASON_OVERHEAD = 1 + len(str(10**7))  # of one entry of tracker_errors, beside its text


def check_size(attributes: Mapping[str, Any], layout: Layout) -> None:
    """Refuses a layout whose ledger could outgrow the item.

    Args:
        attributes: The item as it will be put, but for what the tracker adds.
        layout: The tiles of each region.

    Raises:
        InvalidLayout: It could; the text says how many tiles would fit.
    """
    others = _bytes_of(attributes) + _LATER_BYTES
    errors = MAX_REASONS * (MAX_REASON_BYTES + _REASON_OVERHEAD)
    room = MAX_ITEM_BYTES - others - errors
    needed = Ledger.max_encoded_bytes(layout)
    if needed > room:
        fits = max(0, (room - len(layout.encode()) - 64) * 4)
        raise InvalidLayout(
            f"image {attributes['image_id']!r}: {layout.tile_count} tiles in "
            f"{layout.region_count} regions need {needed} bytes of ledger; an item of DynamoDB has "
            f"room for {room}, about {fits} tiles: use larger tiles, or cut the image in several"
        )


def _bytes_of(value: Any) -> int:
    """Returns about how many bytes DynamoDB counts for a value; not less than it does."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Mapping):
        return 3 + sum(_bytes_of(name) + _bytes_of(item) + 1 for name, item in value.items())
    if isinstance(value, (list, tuple, set)):
        return 3 + sum(_bytes_of(item) + 1 for item in value)
    return 21  # the longest number

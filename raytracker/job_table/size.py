"""How large an item may get: a layout whose ledger could outgrow it is refused before a write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidLayout
from ..ledger import MAX_CLASSES_BYTES, MAX_REASON_BYTES, MAX_REASONS, Layout, Ledger
from .ledger_text import bytes_in, text_bytes
from .outbox import outbox_bytes

MAX_ITEM_BYTES = 400 * 1024  # DynamoDB's limit, names of attributes included
_REASON_OVERHEAD = 1 + len(str(10**7))  # of one entry of tracker_errors, beside its text
HISTORY_BYTES = 1536  # of the runs before, at most
# Of what a run writes beside ledger and errors, and of the names of all of it.
_RUN_BYTES = 1024 + HISTORY_BYTES
_THE_RUNS = {
    "start_time",
    "expire_time",
    "end_time",
    "processing_duration",
    "region_count",
    "region_success",
    "region_error",
    "tracker_run",
    "tracker_owner",
    "tracker_seq",
    "tracker_ledger",
    "tracker_errors",
    "tracker_classes",
    "tracker_state",
    "tracker_keep_for",
    "tracker_alive_until",
    "tracker_writes",
    "tracker_wcu",
    "tracker_history",
    "tracker_outbox",
}


def check_size(
    attributes: Mapping[str, Any],
    layout: Layout,
    cure: str = "use larger tiles, or cut the image in several",
) -> None:
    """Refuses a layout whose ledger could outgrow the item.

    Args:
        attributes: The item; what the run writes into it is counted at its largest.
        layout: The tiles of each region.
        cure: What to do.

    Raises:
        InvalidLayout: It could; the text says how many tiles would fit, or what else fills it.
    """
    others = {name: value for name, value in attributes.items() if name not in _THE_RUNS}
    errors = MAX_REASONS * (MAX_REASON_BYTES + _REASON_OVERHEAD) + text_bytes(MAX_CLASSES_BYTES)
    outbox = outbox_bytes(attributes.get("tracker_topics"), layout.region_count)
    room = MAX_ITEM_BYTES - bytes_of(others) - _RUN_BYTES - errors - outbox
    needed = text_bytes(Ledger.max_encoded_bytes(layout))
    if needed > room:
        _check_others(attributes["image_id"], others, needed)
        fits = max(0, (bytes_in(room) - len(layout.encode()) - 64) * 4)
        raise InvalidLayout(
            f"image {attributes['image_id']!r}: {layout.tile_count} tiles in "
            f"{layout.region_count} regions need {needed} bytes of ledger; an item of DynamoDB has "
            f"room for {room}, about {fits} tiles: {cure}"
        )


def _check_others(image_id: str, others: Mapping[str, Any], needed: int) -> None:
    """Refuses an item that is filled by something else than its ledger, and names that."""
    size, name = max((bytes_of(value), name) for name, value in others.items())
    if size < needed:
        return
    what = f"its {name} has {size} bytes"
    cure = "shorten it"
    if name == "roi_wkt":
        what = f"its ROI (roi_wkt) has {others[name].count(',') + 1} vertices in {size} bytes"
        cure = "simplify the ROI, or cut it in several"
    raise InvalidLayout(
        f"image {image_id!r}: {what}; an item of DynamoDB has room for {MAX_ITEM_BYTES} in all, "
        f"of which its tiles need {needed}: {cure}"
    )


def bytes_of(value: Any) -> int:
    """Returns about how many bytes DynamoDB counts for a value; not less than it does."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))  # whoever wrote it
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Mapping):
        return 3 + sum(bytes_of(name) + bytes_of(item) + 1 for name, item in value.items())
    if isinstance(value, (list, tuple, set)):
        return 3 + sum(bytes_of(item) + 1 for item in value)
    return 2 + len(str(value)) // 2  # two digits in a byte

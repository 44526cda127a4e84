"""Which regions were settled between two states of a ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .layout import Layout
from .outcomes import Outcome

_PENDING, _ERROR = int(Outcome.PENDING), int(Outcome.ERROR)


class Settled(NamedTuple):
    """A settled region.

    Attributes:
        region: The region.
        tile_count: Its tiles.
        tile_error: Of these, those that failed.
    """

    region: int
    tile_count: int
    tile_error: int

    @property
    def outcome(self) -> Outcome:
        """SUCCESS, or ERROR where a tile failed."""
        return Outcome.ERROR if self.tile_error else Outcome.SUCCESS


def settled_since(layout: Layout, before: bytes, after: bytes) -> Iterator[Settled]:
    """Yields the regions that are settled, and were not; or in which fewer tiles failed after all.

    It takes time for the tiles that changed, not for all.

    Args:
        layout: The tiles of each region.
        before: One byte a tile, its outcome then.
        after: The same, now.
    """
    different = int.from_bytes(before, "little") ^ int.from_bytes(after, "little")
    last = -1
    for span in re.finditer(rb"[^\0]+", different.to_bytes(len(after), "little")):
        for region, _, _ in layout.parts(span.start(), span.end()):
            if region == last:  # an earlier span was of it as well
                continue
            last = region
            tiles = layout.tiles(region)
            was, known = (each[tiles.start : tiles.stop] for each in (before, after))
            if _PENDING in known:
                continue
            failed = known.count(_ERROR)
            if _PENDING in was or was.count(_ERROR) != failed:
                yield Settled(region, len(tiles), failed)

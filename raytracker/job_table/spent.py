"""What an image did cost: the writes to its item, and what DynamoDB charged for them.

No write knows its own price. So an item says what all writes before its last one took, and who
reads it adds the last by the size of what it left: an update is charged by the item it leaves, or
found where that was larger.

    start           says nothing spent yet
    claim           counts the start, by the size of the item read
    flush           counts what DynamoDB charged for the claim and the flushes before it
    resume, claim   count the last write of the run before, by the size of the item read
"""

from __future__ import annotations

import math
from typing import NamedTuple

WCU_BYTES = 1024


class Spent(NamedTuple):
    """Writes, and what they cost.

    Attributes:
        writes: How many were acknowledged.
        wcu: Write capacity units that they took.
    """

    writes: int = 0
    wcu: int = 0

    @property
    def attributes(self) -> dict[str, int]:
        """It as an item has it."""
        return {"tracker_writes": self.writes, "tracker_wcu": self.wcu}

    def plus(self, wcu: float) -> Spent:
        """Returns it with one more write, of so many WCU."""
        return Spent(self.writes + 1, self.wcu + math.ceil(wcu))

    def plus_one_of(self, size: int) -> Spent:
        """Returns it with one more write, which left an item of so many bytes."""
        return self.plus(size / WCU_BYTES)

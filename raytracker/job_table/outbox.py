"""What is to be sent to an image's SNS topics: the topics, and an outbox, in its item.

A message is in the item with the flush that makes its news durable, and leaves it with a later
one, after it was sent. So it is sent at least once, whoever is killed in between.
"""

from __future__ import annotations

import os
import re
import threading
from typing import NamedTuple

STARTED, IN_PROGRESS, END = "STARTED", "IN_PROGRESS", "END"
BEGINNING = f"{STARTED}@0 {IN_PROGRESS}@0"
_ENTRY = re.compile(r"(STARTED|IN_PROGRESS|END|[0-9]{1,7})@([0-9]{1,15})")
_ENTRY_BYTES = 24
_OTHER_BYTES = 64  # of what is no region's
_ARN = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:([A-Za-z0-9_-]{1,256}(\.fifo)?)")


class Topics(NamedTuple):
    """The SNS topics that are told of an image.

    Attributes:
        image: ARN of the one for the image itself; None: none.
        region: ARN of the one for its regions; None: none.
    """

    image: str | None = None
    region: str | None = None

    @classmethod
    def of(cls, image: str | None, region: str | None) -> Topics:
        """Returns the topics that were given; where none was, those of OSML's environment.

        Args:
            image: An ARN; empty: none; None: IMAGE_STATUS_TOPIC of the environment, if it is set.
            region: Likewise, REGION_STATUS_TOPIC.

        Raises:
            ValueError: One is no ARN of a topic.
        """
        given = {"status_topic": image, "region_status_topic": region}
        variables = ("IMAGE_STATUS_TOPIC", "REGION_STATUS_TOPIC")
        found: list[str | None] = []
        for (name, arn), variable in zip(given.items(), variables, strict=True):
            if arn is None:
                name, arn = variable, os.environ.get(variable)
            if arn and not _ARN.fullmatch(arn):
                raise ValueError(
                    f"{name}={arn!r}: give the ARN of an SNS topic, such as "
                    "arn:aws:sns:us-west-2:123456789012:ImageStatus"
                )
            found.append(arn or None)
        return cls(*found)

    @classmethod
    def parse(cls, text: str | None) -> Topics:
        """Returns the topics that an item names; what is none is left out."""
        arns = [arn if _ARN.fullmatch(arn) else None for arn in (text or "").split(" ")]
        return cls(*arns) if len(arns) == 2 else cls()

    def to_text(self) -> str | None:
        """Returns them as an item has them; None where there are none."""
        return f"{self.image or '-'} {self.region or '-'}" if any(self) else None


class Entry(NamedTuple):
    """A message that is to be sent.

    Attributes:
        what: STARTED, IN_PROGRESS or END of the image; or the number of a region.
        after: When that was, in ms since the image started.
    """

    what: str
    after: int

    def __str__(self) -> str:
        return f"{self.what}@{self.after}"


class Outbox:
    """The messages of one image that have not been sent yet, as far as that is durable.

    Thread-safe: one thread flushes, another one sends.

    Args:
        text: As the item has it.
    """

    def __init__(self, text: str | None = None) -> None:
        self._lock = threading.Lock()
        found = filter(None, map(_ENTRY.fullmatch, (text or "").split(" ")))
        self._entries = {entry[1]: Entry(entry[1], int(entry[2])) for entry in found}
        self._flushing = self._durable = tuple(self._entries.values())

    def flushing(self, *news: Entry) -> str | None:
        """Takes messages; returns what a flush is to write, None where nothing is to be sent.

        Of one region the last message is sent.
        """
        with self._lock:
            for entry in news:
                self._entries.pop(entry.what, None)
                self._entries[entry.what] = entry
            self._flushing = tuple(self._entries.values())
            return " ".join(map(str, self._flushing)) or None

    def flushed(self) -> None:
        """Notes that this is durable."""
        with self._lock:
            self._durable = self._flushing

    def sent(self, entry: Entry) -> None:
        """Notes that a message was sent."""
        with self._lock:
            if self._entries.get(entry.what) == entry:
                del self._entries[entry.what]

    def unsent(self) -> list[Entry]:
        """Returns the messages that may be sent, as they are durable, in their order."""
        with self._lock:
            return [entry for entry in self._durable if self._entries.get(entry.what) == entry]

    @property
    def is_stale(self) -> bool:
        """Whether all has been sent, and the item does not say so yet."""
        with self._lock:
            return bool(self._durable) and not self._entries

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing left to be sent, nor in the item."""
        with self._lock:
            return not (self._durable or self._entries)


def outbox_bytes(topics: str | None, region_count: int) -> int:
    """Returns how large an outbox may get, in bytes.

    Args:
        topics: As the item has them.
        region_count: Regions of the image.
    """
    regions = region_count if Topics.parse(topics).region else 0
    return _OTHER_BYTES + _ENTRY_BYTES * regions if topics else 0

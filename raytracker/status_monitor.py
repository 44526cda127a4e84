"""Messages as the status monitors of OSML Model Runner 2.3.0 send them, to SNS.

Whoever consumes OSML's works on: the same texts and attributes, of which empty ones are left out.
Beside those is `message_id`: a message that is sent twice has the same.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from .job_table import JobItem
from .job_table.outbox import END, IN_PROGRESS, STARTED, Entry, Topics

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXTS = {
    STARTED: "Started image request",
    IN_PROGRESS: "Processing regions",
    END: "Completed image processing",
}
# OSML knows no such ends; it has FAILED, and an error's text.
_EARLY_TEXTS = {"CANCELLED": "Cancelled", "STOPPED": "Stopped: too many tiles failed"}


class Message(NamedTuple):
    """A message to an SNS topic.

    Attributes:
        topic: The topic's ARN.
        group: What messages to a FIFO topic are in order with: the image.
        body: The text.
        attributes: Its attributes, all of them strings.
    """

    topic: str
    group: str
    body: str
    attributes: Mapping[str, str]


class StatusMonitor:
    """Makes the messages of one image.

    Args:
        job: The image's item.

    Attributes:
        topics: Who is told.
    """

    def __init__(self, job: JobItem) -> None:
        self.topics = Topics.parse(job.tracker_topics)
        self._image_id = job.image_id
        self._job_id = job.job_id or job.image_id  # OSML has one always
        self._start_time = job.start_time or 0

    def since_start(self, time: int) -> int:
        """Returns how long after the image's start a time was, both in epoch ms."""
        return max(0, time - (self._start_time or time))

    def of_image(self, entry: Entry, status: str, state: str | None) -> Message | None:
        """Returns the message of an image; None where it has no topic.

        Args:
            entry: What is told.
            status: The status it has, as `JobItem.status`.
            state: CANCELLED or STOPPED, where it ended as that.
        """
        text = _TEXTS[entry.what]
        if entry.what == END:
            status = "FAILED" if state else status
            text = _EARLY_TEXTS.get(state or "", text)
        else:
            status = entry.what
        attributes = {
            "status": status,
            "job_id": self._job_id,
            "image_status": status,
            "image_id": self._image_id,
            "processing_duration": entry.after // 1000,  # seconds
        }
        return self._message(self.topics.image, entry, text, attributes)

    def of_region(self, entry: Entry, tile_count: int, tile_error: int) -> Message | None:
        """Returns the message of a settled region; None where there is no topic for them.

        Args:
            entry: What is told.
            tile_count: Tiles of the region.
            tile_error: Of these, those that failed.
        """
        status = "SUCCESS"
        if tile_error:
            status = "FAILED" if tile_error == tile_count else "PARTIAL"
        attributes = {
            "status": status,
            "job_id": self._job_id,
            "image_id": self._image_id,
            "region_id": f"{entry.what}-{self._job_id}",
            "processing_duration": entry.after,  # OSML has milliseconds here
        }
        text = "Completed region processing"
        return self._message(self.topics.region, entry, text, attributes)

    def _message(
        self, topic: str | None, entry: Entry, text: str, attributes: Mapping[str, Any]
    ) -> Message | None:
        if topic is None:
            return None
        said = {name: str(value) for name, value in attributes.items() if value}
        of = f"{self._image_id}\n{self._start_time}\n{entry}"
        said["message_id"] = hashlib.sha256(of.encode()).hexdigest()[:32]
        body = f"StatusMonitor update: {said['status']} {self._job_id}: {text}"
        return Message(topic, self._image_id, body, said)

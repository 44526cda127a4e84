"""The job table: one item an image. OSML Model Runner's JobTable, and its creation."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from typing import Any

from ..ddb import ConditionFailed, translate
from ..errors import (
    CompleteRegionException,
    DDBUpdateException,
    EndImageException,
    GetImageRequestItemException,
    InvalidImageId,
    IsImageCompleteException,
    JobVanished,
    StartImageException,
)
from .creation import create_job_table
from .item import JobItem
from .runs import RunTable

__all__ = ["EXPIRY_SECONDS", "JobItem", "JobTable", "check_image_id"]

EXPIRY_SECONDS = 24 * 60 * 60  # OSML's, for its own start_image_request
MAX_IMAGE_ID_BYTES = 2048  # DynamoDB's limit for a hash key

# An item with a tracker_run is its tracker's: an increment or an end from elsewhere would be
# overwritten by the next flush, or would end a job that goes on. The conditions stand in the writes
# themselves, so that a tracker that starts in between is seen.
_FREE = "attribute_not_exists(tracker_run) OR attribute_exists(end_time)"
_UNTRACKED = "attribute_exists(image_id) AND attribute_not_exists(tracker_run)"
_TRACKED = "attribute_exists(tracker_run)"

_TRACKER_FIELDS = tuple(f.name for f in fields(JobItem) if f.name.startswith("tracker_"))
_NEVER_UPDATED = ("region_success", "region_error", *_TRACKER_FIELDS)
_THE_TRACKERS = (
    "region_count",
    "start_time",
    "expire_time",
    "end_time",
    "processing_duration",
)


def check_image_id(image_id: str) -> None:
    """Refuse what DynamoDB does not take as a key.

    Raises:
        InvalidImageId: It is no string, empty, not encodable, or over 2,048 bytes of UTF-8.
    """
    if not isinstance(image_id, str) or not image_id:
        raise InvalidImageId(f"image_id is {image_id!r}: it must be a string that is not empty")
    try:
        size = len(image_id.encode())
    except UnicodeEncodeError as err:
        raise InvalidImageId(f"image_id {image_id[:80]!r} is not valid Unicode: {err}") from err
    if size > MAX_IMAGE_ID_BYTES:
        raise InvalidImageId(
            f"image_id {image_id[:80]!r}... has {size} bytes of UTF-8; "
            f"DynamoDB takes {MAX_IMAGE_ID_BYTES} at most"
        )


class JobTable(RunTable):
    """The table of jobs; OSML's JobTable, safe beside a tracker.

    Args:
        table_name: Name of the table.
        endpoint_url: Where DynamoDB answers; None: as boto3 finds it.
        region_name: AWS region; None: as boto3 finds it.
    """

    def create(self, *, set_ttl: bool = False) -> bool:
        """Create the table, on demand, with TTL on `expire_time`, and wait until it is active.

        A table that is there is not changed. Any number of processes may do this at once.

        Args:
            set_ttl: Set the TTL of a table that is there, and has none.

        Returns:
            Whether the table has its TTL; expired items stay where it has none.

        Raises:
            TableMismatch: A table of that name has another key, or TTL on another attribute.
            TableError: DynamoDB refuses.
            TableUnavailable: DynamoDB does not answer, or the table is not active in two minutes.
        """
        return create_job_table(self, set_ttl=set_ttl)

    def delete(self, read: JobItem, *, force: bool = False) -> bool:
        """Delete an item, unless it was written since it was read.

        Args:
            read: The item as it was read.
            force: Delete it also if it was written since; then only the key of `read` counts.

        Returns:
            Whether it is gone; False: somebody has written it, or deleted it.

        Raises:
            TableError: DynamoDB refuses.
            TableUnavailable: It does not answer.
        """
        key = {"image_id": read.image_id}
        names = ("tracker_run", "tracker_owner", "tracker_seq", "tracker_alive_until", "end_time")
        values = {f":{name}": getattr(read, name) for name in names}
        condition = "attribute_exists(image_id)"
        for name in names:
            is_none = values[f":{name}"] is None
            condition += (
                f" AND attribute_not_exists({name})" if is_none else f" AND {name} = :{name}"
            )
        values = {name: value for name, value in values.items() if value is not None}
        if force:
            condition, values = "attribute_exists(image_id)", {}
        try:
            self._write("delete_item", condition, {}, values, Key=key)
        except ConditionFailed:
            return False
        return True

    # --- OSML's methods ---

    def start_image_request(self, image_request_item: JobItem) -> JobItem:
        """Write the first item of an image: counters 0, start now, expiry in 24 hours.

        Args:
            image_request_item: The item; it is changed, and loses what an ended run left in it.

        Returns:
            The same item.

        Raises:
            StartImageException: It could not be written; for one, because a run is tracking it.
        """
        item = image_request_item
        try:
            check_image_id(item.image_id)
            now = time.time()
            item.start_time = int(now * 1000)
            item.expire_time = int(now) + EXPIRY_SECONDS
            item.processing_duration = 0
            item.region_success = 0
            item.region_error = 0
            for name in _TRACKER_FIELDS:
                setattr(item, name, None)
            self.put_ddb_item(item, _FREE)
            return item
        except Exception as err:
            why = self._why(item.image_id, err)
            raise StartImageException(f"Failed to start image processing! {why}") from err

    def complete_region_request(self, image_id: str, error: bool) -> JobItem:
        """Add one to `region_error` or `region_success`.

        As in OSML: a lost response counts the region twice, and so does a second report. An
        `ImageTracker` does not have this weakness.

        Args:
            image_id: The image.
            error: Whether the region failed.

        Returns:
            The item after the update.

        Raises:
            CompleteRegionException: It was not counted; for one, because the item is a tracker's.
        """
        try:
            counter, one = ("error", ":error_count") if error else ("success", ":success_count")
            item = self._key(image_id, _UNTRACKED)
            expression = f"SET region_{counter} = region_{counter} + {one}"
            return JobItem.from_ddb(self.update_ddb_item(item, expression, {one: 1}))
        except Exception as err:
            why = self._why(image_id, err)
            raise CompleteRegionException(f"Failed to complete region! {why}") from err

    @staticmethod
    def is_image_request_complete(image_request_item: JobItem) -> bool:
        """Whether as many regions are settled as the image has.

        Raises:
            IsImageCompleteException: The item lacks one of the three counts.
        """
        item = image_request_item
        if item.region_count is None or item.region_success is None or item.region_error is None:
            raise IsImageCompleteException(
                f"Failed to check if image is complete! {item.image_id} has region_count "
                f"{item.region_count}, region_success {item.region_success}, "
                f"region_error {item.region_error}"
            )
        return bool(item.region_count == item.region_success + item.region_error)

    def end_image_request(self, image_id: str) -> JobItem:
        """Set `end_time` and `processing_duration`, and nothing else.

        Returns:
            The item after the update.

        Raises:
            EndImageException: It could not be written; for one, because the item is a tracker's.
        """
        try:
            item = self._key(image_id)
            item.start_time = self.get_image_request(image_id).start_time
            item.end_time = max(int(time.time() * 1000), item.start_time or 0)
            return self.update_image_request(item)
        except Exception as err:
            raise EndImageException(f"Failed to end image! {self._why(image_id, err)}") from err

    def get_image_request(self, image_id: str) -> JobItem:
        """Read the item of an image, consistently.

        Raises:
            GetImageRequestItemException: There is none (its cause is JobVanished), or DynamoDB
                refused.
        """
        try:
            attributes = self.get_ddb_item(self._key(image_id))
            if not attributes:
                raise self._vanished(image_id)
            return JobItem.from_ddb(attributes)
        except Exception as err:
            why = self._why(image_id, err)
            raise GetImageRequestItemException(f"Failed to get ImageRequestItem! {why}") from err

    def update_image_request(self, image_request_item: JobItem) -> JobItem:
        """Write what an item holds, but never the counters nor what is the tracker's.

        `region_success`, `region_error` and the `tracker_` attributes stay as they are in the
        table. Where the item is a tracker's, so do `region_count` and the times.

        Args:
            image_request_item: The item; `processing_duration` is set if it has a `start_time`.

        Returns:
            The item after the update.

        Raises:
            JobVanished: The table has no such item; OSML would make one.
            DDBUpdateException: There is nothing that may be written.
        """
        item = image_request_item
        if item.start_time is not None:
            item.processing_duration = self.get_processing_duration(item.start_time)
        update = _without(item, _NEVER_UPDATED)
        update.ddb_key.condition = _UNTRACKED
        try:
            return JobItem.from_ddb(self.update_ddb_item(update))
        except Exception as err:
            failed = translate(err, self.table_name)
            if not isinstance(failed, ConditionFailed):
                raise
            if not failed.old:
                raise self._vanished(item.image_id) from err
            update = _without(update, _THE_TRACKERS)
            if not update.to_update():
                raise DDBUpdateException(self._why(item.image_id, failed)) from err
        update.ddb_key.condition = _TRACKED
        return JobItem.from_ddb(self.update_ddb_item(update))

    @staticmethod
    def get_processing_duration(start_time: int) -> int:
        """Whole seconds since `start_time` (epoch milliseconds); 0 if the clock was set back."""
        return max(0, int(time.time() - float(start_time) / 1000))

    def _key(self, image_id: str, condition: str | None = None) -> JobItem:
        check_image_id(image_id)
        item = JobItem(image_id=image_id)
        item.ddb_key.condition = condition
        return item

    def _vanished(self, image_id: str) -> JobVanished:
        return JobVanished(
            f"table {self.table_name} has no item for image {image_id}: it was never started, or "
            "somebody deleted it, or the table's TTL did, when its expire_time had passed"
        )

    def _why(self, image_id: str, err: Exception) -> str:
        reason = translate(err, self.table_name)
        if not isinstance(reason, ConditionFailed):
            return str(reason)
        if not reason.old:
            return str(self._vanished(image_id))
        return (
            f"image {image_id} in table {self.table_name} belongs to tracking run "
            f"{reason.old.get('tracker_run')}, and only its tracker counts its regions and ends it"
        )


def _without(item: JobItem, names: tuple[str, ...]) -> JobItem:
    nothing: dict[str, Any] = dict.fromkeys(names)
    return replace(item, **nothing)

"""The item of one image in the job table: OSML's attributes, and the tracker's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..ddb import DDBItem, DDBKey, to_python
from ..errors import LedgerError
from ..image_request import ImageRequest
from ..ledger import Ledger
from ..notebook import card
from .attributes import checked
from .ledger_text import from_text
from .size import bytes_of
from .spent import Spent


@dataclass
class JobItem(DDBItem):
    """One image in the job table.

    The attributes up to `roi_wkt` are those of OSML Model Runner 2.3.0, in its order and types; the
    others are the tracker's own, and OSML's readers ignore them.

    Attributes:
        image_id: The key, 1 to 2,048 bytes of UTF-8.
        job_id: The job that asked for the image.
        image_url: Where the image is.
        image_read_role: ARN of the IAM role that may read it.
        model_invoke_mode: How the model is invoked, for example SM_ENDPOINT.
        start_time: When the job started, in epoch milliseconds.
        expire_time: When the item may be deleted, in epoch seconds; the table's TTL attribute.
        end_time: When the job ended, in epoch milliseconds.
        region_success: Regions that succeeded so far.
        region_error: Regions that failed so far.
        region_count: Regions of the image.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        extents: JSON object with north, south, east and west of the image.
        tile_size: "(width, height)" of a tile in pixels.
        tile_overlap: "(width, height)" of the overlap of two tiles in pixels.
        model_name: Name of the model.
        outputs: JSON list of where results go.
        processing_duration: Seconds from the start to the last update.
        feature_properties: JSON list of properties added to each feature.
        feature_distillation_option: JSON object: how overlapping features are reduced.
        roi_wkt: Region of interest, as WKT.
        tracker_run: The tracking run that the item belongs to, a uuid.
        tracker_owner: The process that may write the item now, a uuid.
        tracker_seq: Number of the owner's last flush.
        tracker_ledger: The encoded outcomes of all tiles, as base64 text.
        tracker_errors: Tile number, as a string, to why it failed.
        tracker_classes: The encoded classes of failed tiles, as base64 text.
        tracker_state: CANCELLED or STOPPED, where the counts can't say it.
        tracker_grid: JSON object: how the image was cut into tiles and regions.
        tracker_pool: The pool whose actor hosts the run, and how many actors that has.
        tracker_ends: False: a settled image ends only when somebody says so; else it ends at once.
        tracker_keep_for: Seconds that the item is kept after its last write; None: for ever.
        tracker_started_by: JSON object: the process that began the run, see `life.Starter`.
        tracker_alive_until: Until when the run may be taken for alive, in epoch seconds; None: it
            has ended, or said that nobody goes on with it.
        tracker_writes: How many writes of all its runs led to the item as it was before the last.
        tracker_wcu: Write capacity units that these took.
        tracker_history: JSON list: the runs before this one, see `history.RunRecord`.
        tracker_topics: The SNS topics that are told of it, see `outbox.Topics`.
        tracker_outbox: What is to be sent to them, see `outbox.Outbox`.
    """

    image_id: str
    job_id: str | None = None
    image_url: str | None = None
    image_read_role: str | None = None
    model_invoke_mode: str | None = None
    start_time: int | None = None
    expire_time: int | None = None
    end_time: int | None = None
    region_success: int | None = None
    region_error: int | None = None
    region_count: int | None = None
    width: int | None = None
    height: int | None = None
    extents: str | None = None
    tile_size: str | None = None
    tile_overlap: str | None = None
    model_name: str | None = None
    outputs: str | None = None
    processing_duration: int | None = None
    feature_properties: str | None = None
    feature_distillation_option: str | None = None
    roi_wkt: str | None = None
    tracker_run: str | None = None
    tracker_owner: str | None = None
    tracker_seq: int | None = None
    tracker_ledger: str | None = None
    tracker_errors: dict[str, str] | None = None
    tracker_classes: str | None = None
    tracker_state: str | None = None
    tracker_grid: str | None = None
    tracker_pool: str | None = None
    tracker_ends: bool | None = None
    tracker_keep_for: int | None = None
    tracker_started_by: str | None = None
    tracker_alive_until: int | None = None
    tracker_writes: int | None = None
    tracker_wcu: int | None = None
    tracker_history: str | None = None
    tracker_topics: str | None = None
    tracker_outbox: str | None = None

    def __post_init__(self) -> None:
        self.ddb_key = DDBKey(hash_key="image_id", hash_value=self.image_id)

    @classmethod
    def from_image_request(cls, image_request: ImageRequest) -> JobItem:
        """The item that a request asks for, as OSML fills it before it opens the image.

        Its post-processing is left to who applies it: what an item says, has been done.
        """
        return cls(
            image_id=image_request.image_id,
            job_id=image_request.job_id,
            tile_size=str(image_request.tile_size),
            tile_overlap=str(image_request.tile_overlap),
            model_name=image_request.model_name,
            model_invoke_mode=image_request.model_invoke_mode,
            outputs=json.dumps(image_request.outputs),
            image_url=image_request.image_url,
            image_read_role=image_request.image_read_role,
            feature_properties=json.dumps(image_request.feature_properties),
            roi_wkt=image_request.roi.wkt if image_request.roi is not None else None,
        )

    @classmethod
    def from_ddb(cls, attributes: Mapping[str, Any]) -> JobItem:
        """The item that DynamoDB returned, without the attributes that this class does not know.

        Args:
            attributes: The attributes, in boto3's types or Python's; `image_id` must be among them.

        Raises:
            TableError: One is what it cannot be; the text names it.
        """
        image_id = attributes.get("image_id")
        return cls(
            **{
                f.name: checked(f.name, str(f.type), attributes[f.name], image_id)
                for f in fields(cls)
                if f.init and f.name in attributes
            }
        )

    @property
    def status(self) -> str:
        """STARTED, IN_PROGRESS, SUCCESS, PARTIAL or FAILED, as OSML derives them; or CANCELLED.

        An item that ended before all its regions were settled is FAILED: so ends OSML an image that
        it could not open. So is one that was stopped, with `tracker_state` STOPPED. One whose
        regions are settled, but which waits for its end (`tracker_ends`), is IN_PROGRESS.
        """
        if self.tracker_state == "CANCELLED":
            return "CANCELLED"
        if self.tracker_state == "STOPPED":
            return "FAILED"
        success, error = self.region_success or 0, self.region_error or 0
        if self.tracker_ends is False and self.end_time is None:
            return "IN_PROGRESS" if success + error else "STARTED"
        if self.region_count is not None and success + error >= self.region_count:
            if success >= self.region_count:
                return "SUCCESS"
            return "PARTIAL" if success else "FAILED"
        if self.end_time is not None:
            return "FAILED"
        return "IN_PROGRESS" if success + error else "STARTED"

    @property
    def spent(self) -> Spent | None:
        """What all writes to the item cost, the last by its size; None: it does not say."""
        if self.tracker_writes is None:
            return None
        before = Spent(self.tracker_writes, self.tracker_wcu or 0)
        return before.plus_one_of(bytes_of(self.to_put()))

    def tile_counts(self) -> dict[str, int]:
        """tile_count, tile_success, tile_error and tile_pending, as the ledger has them.

        Returns:
            An empty dictionary where there is no ledger, or none that can be read.
        """
        if self.tracker_ledger is None:
            return {}
        try:
            ledger = Ledger.decode(from_text(self.tracker_ledger), {})
        except LedgerError:
            return {}
        count, success, error = ledger.layout.tile_count, ledger.tile_success, ledger.tile_error
        pending = count - success - error
        names = ("tile_count", "tile_success", "tile_error", "tile_pending")
        return dict(zip(names, (count, success, error, pending), strict=True))

    def __repr__(self) -> str:
        tiles, parts = self.tile_counts(), [self.status]
        if tiles and tiles["tile_count"] != self.region_count:
            parts.append(f"{tiles['tile_success']:,} of {tiles['tile_count']:,} tiles")
        if self.region_count is not None:
            parts.append(f"{self.region_success or 0:,} of {self.region_count:,} regions")
        if self.region_error:
            parts.append(f"{self.region_error:,} failed")
        return f"<JobItem {self.image_id!r}: {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        tiles = self.tile_counts()
        success, error = self.region_success or 0, self.region_error or 0
        regions = f"{success + error:,} of {self.region_count or 0:,} regions"
        if not tiles or tiles["tile_count"] == self.region_count:
            return card(
                self.image_id, self.status, success, error, self.region_count or 0, "regions"
            )
        counts = tiles["tile_success"], tiles["tile_error"], tiles["tile_count"]
        return card(self.image_id, self.status, *counts, "tiles", [regions])

    def to_dict(self) -> dict[str, Any]:
        """All of OSML's attributes (None included), tiles, status, why tiles failed, JSON-ready."""
        shown = {"tracker_run", "tracker_state", "tracker_errors"}
        plain = {
            name: to_python(value)
            for name, value in asdict(self).items()
            if name != "ddb_key" and (name in shown or not name.startswith("tracker_"))
        }
        return {**plain, **self.tile_counts(), "status": self.status}


def ledger_of(job: JobItem) -> Ledger:
    """Returns the ledger that an item holds.

    Raises:
        LedgerError: There is none, or it is truncated, damaged, or of a later version.
    """
    if job.tracker_ledger is None:
        raise LedgerError(f"image {job.image_id!r} has no tracker_ledger")
    classes = b""
    if job.tracker_classes:
        with suppress(LedgerError):  # as where they are damaged: then none is known
            classes = from_text(job.tracker_classes)
    try:
        reasons = {int(tile): text for tile, text in (job.tracker_errors or {}).items()}
        return Ledger.decode(from_text(job.tracker_ledger), reasons, classes)
    except (LedgerError, ValueError) as err:
        raise LedgerError(
            f"image {job.image_id!r}: its tracker_ledger cannot be read: {err}"
        ) from err

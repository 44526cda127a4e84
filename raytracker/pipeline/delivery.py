"""What a request asks of the results, and what becomes of them when the job is done."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any

from ..errors import NotMerged, OutputError
from ..image_request import ImageRequest, SinkType
from ..imagery import ImageInfo
from ..job_table import JobItem
from .store import JOB, RESULTS, ResultStore

PIXEL_COORDINATES = "pixels (column, row)"

logger = logging.getLogger(__name__)


def merge(
    store: ResultStore, job: JobItem, info: ImageInfo, tiles: Iterable[tuple[int, int]]
) -> None:
    """Merges the results of a job that is settled, and puts them where a request wants them.

    Args:
        store: Where the results of its tiles are.
        job: Its item.
        info: Its image.
        tiles: (region, tile) of those that succeeded, in order.

    Raises:
        NotMerged: Something cannot be written, or is not there.
    """
    try:
        store.merge(tiles, PIXEL_COORDINATES if info.crs is None else None)
        for bucket, prefix in _buckets(sinks_of(job)):
            store.copy(RESULTS, bucket, "/".join(filter(None, (prefix, f"{_file(job)}.geojson"))))
    except OutputError as err:
        raise _not_merged(store, job, err) from err


def tell(store: ResultStore, job: JobItem) -> None:
    """Puts the item of a job that has ended beside its results.

    Raises:
        NotMerged: It cannot be written.
    """
    try:
        store.write(JOB, json.dumps(job.to_dict(), indent=2).encode() + b"\n")
    except OutputError as err:
        raise _not_merged(store, job, err) from err


def _not_merged(store: ResultStore, job: JobItem, error: OutputError) -> NotMerged:
    return NotMerged(
        f"image {job.image_id!r} is done and counted ({job.region_success} of {job.region_count} "
        f"regions succeeded); its results are in {store.url}, but {error}: make room, or mend what "
        'else is wrong, and resume it (--resume, if_exists="resume"), which runs no tile again, '
        "only merges, and ends it"
    )


def requested_output(request: ImageRequest) -> str | None:
    """Returns the folder in the first S3 output of a request; None: it names none.

    Jobs have a folder each: requests often name one prefix for all of them.

    Raises:
        OutputError: That output is malformed.
    """
    for sink in request.outputs:
        if sink.get("type") != SinkType.S3.value:
            logger.warning("results do not go to %s: only to S3", sink.get("type"))
        elif sink.get("role"):
            logger.warning("results go to %s without the role %s", sink, sink["role"])
    for bucket, prefix in _buckets(request.outputs):
        return "/".join(filter(None, (f"s3://{bucket}", prefix, _file(request))))
    return None


def feature_properties(job: JobItem) -> dict[str, Any]:
    """Returns what each Feature's properties are updated with, as the job's request says."""
    merged: dict[str, Any] = {}
    for properties in _objects(job.feature_properties):
        merged.update(properties)
    return merged


def sinks_of(job: JobItem) -> list[dict[str, Any]]:
    """Returns an item's `outputs`; what else somebody wrote there is none."""
    return _objects(job.outputs)


def _objects(text: str | None) -> list[dict[str, Any]]:
    try:
        found = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _buckets(sinks: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Returns the bucket and the prefix of S3 outputs that a request names, not of our own."""
    found = []
    for sink in sinks:
        is_theirs = isinstance(sink, dict) and "tiles" not in sink
        if is_theirs and sink.get("type") == SinkType.S3.value:
            bucket, prefix = sink.get("bucket"), sink.get("prefix") or ""
            if not (isinstance(bucket, str) and bucket and isinstance(prefix, str)):
                raise OutputError(f"the output {sink} of the request names no bucket")
            found.append((bucket, prefix.strip("/")))
    return found


def _file(job: JobItem | ImageRequest) -> str:
    """Returns the name of a job's results, as OSML has it: its id, after the last slash."""
    return str(job.job_id).rsplit("/", 1)[-1]

"""What a request asks of the results, and what becomes of them when the job is done."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import NotMerged, OutputError
from ..image_request import ImageRequest, SinkType
from ..job_table import JobItem, JobTable, note_outputs
from ..ledger import RETURNED, SUCCESS
from ..logs import about
from ..run import patiently
from .assembly.asked import Assembly
from .assembly.assemble import assemble
from .assembly.source import Source
from .store import FILES, JOB, OF, ResultStore, kind_of

END_SECONDS = 86_400.0  # as long the table may be away at the end
_WHETHER_SUCCESS = bytes(outcome in SUCCESS + RETURNED for outcome in range(256))

logger = logging.getLogger(__name__)


def deliver(
    source: Source,
    assembly: Assembly,
    job: JobItem,
    table: JobTable,
    runtime_env: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> None:
    """Assembles the results of a job that is settled, and puts them where a request wants them.

    What was assembled of the same outcomes already, and has been cleared, is left as it is.

    Args:
        source: The results of its tiles.
        assembly: How.
        job: Its item.
        table: Its table; the item's `outputs` then names the files.
        runtime_env: As `assemble` takes it, and so is the next.
        on_progress: Likewise.

    Raises:
        NotMerged: Something cannot be written, or is not there.
        TrackerSuperseded, JobVanished, TableError, TableUnavailable: As `note_outputs`.
    """
    store, sinks = source.store, sinks_of(job)
    ours = next((sink for sink in sinks if sink.get("tiles") == store.sink["tiles"]), {})
    of = digest(source, assembly)
    files: Any = ours.get(FILES)
    try:
        if ours.get(OF) != of or not _is_all_there_is(store, files):
            files = assemble(source, assembly, runtime_env, on_progress)
        for bucket, prefix in _buckets(sinks):
            for name in files:
                theirs = f"{_file(job)}{name.removeprefix('results').removeprefix('result')}"
                store.copy(name, bucket, "/".join(filter(None, (prefix, theirs))))
    except OutputError as err:
        raise _not_merged(store, job, err) from err
    made = {FILES: files, OF: of}
    outputs = [{**sink, **made} if sink is ours else sink for sink in sinks]
    if outputs != sinks:
        run = str(job.tracker_run)
        patiently(lambda: note_outputs(table, job.image_id, run, outputs), END_SECONDS)


def _is_all_there_is(store: ResultStore, files: Any) -> bool:
    """Whether there are these files, and nothing that they could be made of once more."""
    is_known = isinstance(files, list) and all(kind_of(str(name)) for name in files)
    return is_known and all(map(store.has, files)) and not store.chunks()


def digest(source: Source, assembly: Assembly) -> str:
    """Returns a digest of what the files of an image are made of."""
    told = hashlib.sha256(json.dumps(assembly.to_dict(), sort_keys=True).encode())
    told.update(source.outcomes.translate(_WHETHER_SUCCESS))
    return told.hexdigest()[:16]


def clear(store: ResultStore, job: JobItem) -> bool:
    """Removes the results of tiles, once they are assembled, and nobody may need them again.

    Those of an image that is not a success stay: a redrive needs them.
    """
    if job.status != "SUCCESS":
        return False
    try:
        store.remove_chunks()
    except OutputError as err:  # the job is done; they are only in somebody's way
        logger.warning("image %s: %s", job.image_id, err, extra=about(job.image_id))
        return False
    return True


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


def store_of(job: JobItem) -> ResultStore | None:
    """Returns where a job's results are; None: nowhere."""
    return next(filter(None, map(ResultStore.of_sink, sinks_of(job))), None)


def files_of(job: JobItem) -> dict[str, str]:
    """Returns the files that a job's results were assembled to, by what they are.

    Returns:
        Names in the output by, for example, "results" (Features), "raster" or a raster's name.
    """
    listed = next((sink[FILES] for sink in sinks_of(job) if FILES in sink), None)
    names = listed if isinstance(listed, list) else []
    return {kind: name for name in map(str, names) if (kind := kind_of(name)) is not None}


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

"""`process_image`: one image from the file to the ended job item."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Literal, cast

from ..errors import InvalidFunction, OutputError
from ..image_request import ImageRequest
from ..imagery import Edges, Grid, ImageInfo, Size, describe, order, plan
from ..job_table import KEEP_SECONDS, JobItem, JobTable, check_image_id, ledger_of
from ..ledger import RETURNED, SUCCESS
from ..mapping import Results, TimeLimit
from ..progress import Progress
from ..ray_runtime import check_connected
from ..run import IfExists, job_table, patiently
from ..tracker import ImageTracker
from .store import ResultStore
from .work import Work
from .worker import Worker
from .workers import Workers, workers_of

TILE_SIZE = 512
PROGRESS_SECONDS = 0.2
LONLAT_COORDINATES = "longitude, latitude (EPSG:4326)"
PIXEL_COORDINATES = "pixels (column, row)"


def process_image(
    image: str | os.PathLike[str] | ImageRequest,
    function: Callable[[Any, Any], Any] | type[Any] | Workers,
    *,
    table: JobTable | str,
    image_id: str | None = None,
    tile_size: Size | None = None,
    tile_overlap: Size | None = None,
    region_size: Size = 2048,
    roi: str | None = None,
    roi_crs: Literal["image", "lonlat"] = "image",
    edges: Edges = "clip",
    bands: Sequence[int] | None = None,
    skip_empty: bool = False,
    batch_size: int | None = None,
    image_read_role: str | None = None,
    output: str | os.PathLike[str] | None = None,
    if_exists: IfExists = "error",
    redrive: bool = False,
    flush_interval: float = 1.0,
    keep_for: float | timedelta | None = KEEP_SECONDS,
    work: Work | None = None,
    pool: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
) -> JobItem:
    """Runs a function over every tile of an image, in Ray tasks, and tracks it to its end.

    A tile that the function raises on is an error, with the exception as the reason; the job then
    ends as PARTIAL, or FAILED where no region is left. Ctrl-C or a crash leave the job so that the
    same call with `if_exists="resume"` goes on with it. The image is never in memory as a whole.

    Args:
        image: A local path that every node sees, `s3://bucket/key`, or a request; a request brings
            its own image_id, tile size and overlap (pixels), ROI (longitude and latitude) and
            role, which the arguments override. Its own `outputs` are noted in the job item; where
            results go is `output`.
        function: Called as `function(pixels, tile)` with an array of (bands, rows, columns) and
            the `Tile` that says where it lies. It returns GeoJSON Features (`tile.feature` makes
            them), a FeatureCollection, or None. Ray must be able to pickle it. Or a model: a class,
            made once in each worker, whose objects are called likewise; or `Workers` of one, which
            stay from image to image.
        table: The job table, or its name.
        image_id: The key in the table; None: the URL, or the absolute path of a local file.
        tile_size: In pixels, one number or (width, height); None: 512.
        tile_overlap: In pixels, one number or (width, height); None: 0.
        region_size: In pixels, one number or (width, height), see `grid.Grid`.
        roi: Only tiles in this POLYGON or MULTIPOLYGON, as WKT, are processed.
        roi_crs: "image": the ROI is in the image's CRS, or (column, row) in pixels if it has
            none; "lonlat": it is longitude and latitude in degrees.
        edges: What becomes of the tiles that don't end with the image at its right and lower edge.
            "clip": they are smaller. "pad": their arrays are filled up, with the image's nodata
            value or its pixels reflected; `tile.valid` is what is image. "shift": tiles lie
            closer, so that the last end with the image.
        bands: The numbers of the bands that pixels have, from 1, in the order wanted, such as
            [3, 2, 1]; None: all.
        skip_empty: Whether tiles without a valid pixel, see `Tile.mask`, are successes without a
            call of the function.
        batch_size: The function is called with so many tiles, at most, whose arrays have one shape:
            as `function(pixels, tiles)` with an array of (tiles, bands, rows, columns), and returns
            a list with a result for each. None: with one, as above.
        image_read_role: The ARN of a role to assume for reading the image from S3.
        output: A folder that every node sees, or `s3://bucket/prefix`: takes `results.geojson`,
            the Features of all tiles that succeeded, `job.json`, the job item, and a folder with
            each tile's Features, which a resume needs. Take another one for each image. None:
            what the function returns is dropped.
        if_exists: What to do when the image is in the table: "error" refuses, "resume" runs the
            tiles that are still pending, "restart" begins again.
        redrive: Whether a resume also runs the tiles that failed; a success replaces the error.
        flush_interval: Seconds between writes to the table, at least.
        keep_for: Seconds, or a timedelta, that the item is kept after the last sign of life of the
            run; None: for ever.
        work: How the tiles are run. None: `Work()`, or that of the workers.
        pool: The name of a pool whose actors track all images that name it, see
            `ImageTracker.start`: many small images take less with one. None: an actor each.
        on_progress: Called in the driver about every 0.2 s while tiles finish, and at the end.

    Returns:
        The ended job item.

    Raises:
        InvalidImage: The image is missing or cannot be read.
        InvalidGrid: A size, the overlap, the edges, the bands or the ROI is none, or does not fit
            the image.
        OutputError: The output cannot be written, or not from every node; or a resume has another
            than the run had from its start.
        InvalidFunction: The function is none, or does not return a result for each of a batch.
        ModelFailed: No worker could make the model; nothing has been counted for that, and a resume
            goes on.
        CannotBePlaced: No node has what `work` asks for, and there is no autoscaler; likewise.
        RayNotInitialized: This process is not connected to a Ray cluster.
        ImageExists, InvalidLayout, InvalidImageId, ResumeMismatch, TableError, TableUnavailable:
            As `ImageTracker.start`; nothing has been processed.
        JobStopped: More tiles failed than `work` tolerates.
        JobCancelled, TrackerSuperseded, JobVanished: What ended this run.
    """
    if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
        raise InvalidFunction(f"batch_size={batch_size!r}: it is a number of tiles, at least 1")
    workers = workers_of(function, work)
    check_connected()
    work = work or (Work() if workers is None else workers.work)
    job = JobItem(image_id="", job_id=str(uuid.uuid4()), model_name=_name(function))
    if isinstance(image, ImageRequest):
        job = JobItem.from_image_request(image)
        image_id = image.image_id if image_id is None else image_id
        tile_size = image.tile_size if tile_size is None else tile_size
        tile_overlap = image.tile_overlap if tile_overlap is None else tile_overlap
        image_read_role = image_read_role or image.image_read_role
        if roi is None and image.roi is not None:
            roi, roi_crs = image.roi.wkt, "lonlat"
        image = image.image_url
    info = describe(image, image_read_role or None)
    grid = plan(
        info,
        TILE_SIZE if tile_size is None else tile_size,
        0 if tile_overlap is None else tile_overlap,
        region_size,
        roi,
        roi_crs,
        edges,
        bands,
        skip_empty,
    )
    job = _filled(job, info.url if image_id is None else image_id, info, grid)
    table = job_table(table)
    store = _store(output, table, job.image_id, if_exists)
    if store is not None:
        job = replace(job, outputs=json.dumps([store.sink]))
        store.check_shared()
    with ImageTracker.start(
        job,
        regions=grid.tiles_per_region,
        table=table,
        if_exists=if_exists,
        redrive=redrive,
        flush_interval=flush_interval,
        keep_for=keep_for,
        pool=pool,
        grid=grid.to_dict(),
    ) as tracker:
        with ExitStack() as stack:
            if workers is not None and workers is not function:
                stack.enter_context(workers)
            worker = Worker(grid, TimeLimit(work.timeout), store, batch_size)
            results = tracker.map_chunks(
                worker if workers else partial(worker, cast("Callable[..., Any]", function)),
                workers=None if workers is None else workers.pool,
                options=work.ray_options,
                retries=work.retries,
                grain=batch_size or 1,
                order=map(int, order(grid)),
                max_in_flight=None if workers is not None else work.range[1],
                tolerated_failure_count=work.tolerated_failure_count,
                tolerated_failure_percentage=work.tolerated_failure_percentage,
            )
            _consume(results, tracker, on_progress)
        ended = tracker.wait()
        if store is not None:
            coordinates = PIXEL_COORDINATES if info.crs is None else LONLAT_COORDINATES
            store.merge(_succeeded(tracker, grid), coordinates)
            store.write("job.json", json.dumps(ended.to_dict(), indent=2).encode() + b"\n")
        if on_progress is not None:
            on_progress(tracker.progress())
    return ended


def _name(function: Any) -> str:
    named = function.model if isinstance(function, Workers) else function
    return str(getattr(named, "__name__", type(named).__name__))


def _filled(job: JobItem, image_id: str, info: ImageInfo, grid: Grid) -> JobItem:
    """Returns the job with what OSML fills in once it has opened the image, in OSML's forms."""
    return replace(
        job,
        image_id=image_id,
        image_url=info.url,
        image_read_role=info.role,
        width=info.width,
        height=info.height,
        extents=None if info.extents is None else json.dumps(info.extents),
        tile_size=str(grid.tile_size),
        tile_overlap=str(grid.tile_overlap),
        roi_wkt=grid.roi,
    )


def _store(
    output: str | os.PathLike[str] | None, table: JobTable, image_id: str, if_exists: IfExists
) -> ResultStore | None:
    """Returns where results go: a resume goes on where the run before put its own.

    A resume leaves the item's `outputs` as they are: what it put elsewhere, no later one finds.

    Raises:
        OutputError: That is elsewhere, or nowhere; nothing has been changed.
    """
    store = None if output is None else ResultStore(output, f"tiles-{uuid.uuid4().hex}")
    if if_exists != "resume":
        return store
    check_image_id(image_id)
    before = patiently(lambda: table.read(image_id))
    if before is None or before.tracker_run is None:
        return store
    sinks = _result_sinks(before)
    if store is None and not sinks:
        return None
    for sink in sinks:
        if output is not None and store is not None and ResultStore.is_at(sink, store):
            return ResultStore(output, sink["tiles"])
    raise OutputError(
        f"image {image_id!r} was begun with {json.dumps(sinks) if sinks else 'no output'}, and has "
        f"{ledger_of(before).tile_success} successful tiles; the resume is given "
        f"{'no output' if store is None else store.url}: give the output it was begun with"
        f'{"" if sinks else ", none"}, or if_exists="restart"'
    )


def _result_sinks(job: JobItem) -> list[dict[str, Any]]:
    """Returns those of an item's `outputs` that are ours: an OSML request's have no `tiles`."""
    try:
        sinks = json.loads(job.outputs or "[]")
    except (ValueError, RecursionError):  # what somebody else wrote
        return []
    sinks = sinks if isinstance(sinks, list) else []
    return [sink for sink in sinks if isinstance(sink, dict) and "tiles" in sink]


def _consume(
    results: Results, tracker: ImageTracker, on_progress: Callable[[Progress], object] | None
) -> None:
    """Waits until all tiles have run."""
    next_time = 0.0
    # Closed at once on an exception: its traceback would keep the tasks coming.
    with closing(results):
        for _ in results:
            if on_progress is not None and time.monotonic() >= next_time:
                on_progress(tracker.progress())
                next_time = time.monotonic() + PROGRESS_SECONDS


def _succeeded(tracker: ImageTracker, grid: Grid) -> Iterator[tuple[int, int]]:
    """Yields (region, tile) of the tiles that succeeded, in order."""
    outcomes = iter(tracker.tile_outcomes())
    for region, tiles in enumerate(grid.tiles_per_region):
        for tile in range(tiles):
            if next(outcomes) in SUCCESS + RETURNED:
                yield region, tile

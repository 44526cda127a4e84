"""`process_image`: one image from the file to the ended job item."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Literal, cast

from ..events import Subscriber
from ..image_request import ImageRequest
from ..imagery import Cut, Edges, Size
from ..imagery.order import order
from ..job_table import KEEP_SECONDS, JobItem, JobTable
from ..mapping import Results, TimeLimit
from ..numeric import check_number
from ..progress import Progress
from ..ray_runtime import check_connected
from ..run import IfExists, job_table
from ..tracker import ImageTracker
from .assembly.asked import Assembly, Blend, Format, Merge
from .assembly.source import Source
from .delivery import END_SECONDS, clear, deliver, tell
from .plan import plan_image
from .work import Work
from .worker import Worker
from .workers import Workers, workers_of

PROGRESS_SECONDS = 0.2
QUIET_SECONDS = 5.0


def process_image(
    image: str | os.PathLike[str] | ImageRequest,
    function: Callable[[Any, Any], Any] | type[Any] | Workers,
    *,
    table: JobTable | str,
    image_id: str | None = None,
    tile_size: Size | None = None,
    tile_overlap: Size | None = None,
    region_size: Size | None = None,
    roi: str | None = None,
    roi_crs: Literal["image", "lonlat"] | None = None,
    edges: Edges | None = None,
    bands: Sequence[int] | None = None,
    skip_empty: bool | None = None,
    batch_size: int | None = None,
    image_read_role: str | None = None,
    output: str | os.PathLike[str] | None = None,
    merge: Merge | None = None,
    merge_score: str | None = None,
    merge_iou: float | None = None,
    merge_by: Sequence[str] | None = None,
    formats: Sequence[Format] | None = None,
    tile_properties: bool | None = None,
    blend: Blend | Mapping[str, Blend] | None = None,
    stride: int | None = None,
    nodata: float | Mapping[str, float] | None = None,
    colormap: Mapping[Any, Any] | None = None,
    band_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    keep_tiles: bool = False,
    if_exists: IfExists = "error",
    redrive: bool = False,
    take_over: bool = False,
    flush_interval: float = 1.0,
    keep_for: float | timedelta | None = KEEP_SECONDS,
    work: Work | None = None,
    pool: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    on_event: Subscriber | None = None,
    status_topic: str | None = None,
    region_status_topic: str | None = None,
    allow_url: bool = False,
    allow_driver: Sequence[str] = (),
) -> JobItem:
    """Runs a function over every tile of an image, in Ray tasks, and tracks it to its end.

    A tile that the function raises on is an error, with the exception as the reason; the job then
    ends as PARTIAL, or FAILED where no region is left. Ctrl-C or a crash leave the job so that the
    same call with `if_exists="resume"` goes on with it. The image is never in memory as a whole.

    Args:
        image: A local path that every node sees, `s3://bucket/key`, or a request; a request brings
            its own image_id, tile size and overlap (pixels), ROI (longitude and latitude) and
            role, which the arguments override, and properties for each Feature. For a resume also
            the image_id: a resume takes from the job item what is not given (image, cut, role,
            output), and must be given no other.
        function: Called as `function(pixels, tile)` with an array of (bands, rows, columns) and
            the `Tile` that says where it lies. It returns GeoJSON Features (`tile.feature` makes
            them), a FeatureCollection, an array of (rows, columns) or (bands, rows, columns),
            several by name, {"features": ..., "mask": array}, or None. Ray must be able to pickle
            it. Or a model: a class, made once in each worker, whose objects are called likewise; or
            `Workers` of one, which stay from image to image.
        table: The job table, or its name.
        image_id: The key in the table; None: the URL, or the absolute path of a local file.
        tile_size: In pixels, one number or (width, height); None: 512.
        tile_overlap: In pixels, one number or (width, height); None: 0.
        region_size: In pixels, one number or (width, height), see `grid.Grid`; None: 2048.
        roi: Only tiles in this POLYGON or MULTIPOLYGON, as WKT, are processed.
        roi_crs: "image", as None: the ROI is in the image's CRS, or (column, row) in pixels if it
            has none; "lonlat": it is longitude and latitude in degrees.
        edges: What becomes of the tiles that don't end with the image at its right and lower edge.
            "clip", as None: they are smaller. "pad": their arrays are filled up, with the image's
            nodata value or its pixels reflected; `tile.valid` is what is image. "shift": tiles lie
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
            the Features of all tiles that succeeded, `result.tif`, of their arrays, `job.json`, the
            job item, and, as long as a resume needs it, a folder with what was found in each tile.
            Take another one for each image; what a run before left there is moved into a folder
            `before-TIME` when another one begins. None: the folder JOB_ID in the S3 output of a
            request, and JOB_ID.geojson beside it, if it names one; else what the function returns
            is dropped.
        merge: What becomes of Features that were found twice, or cut in two, as tiles overlap or
            touch; see `assembly.asked.Assembly` for this and the nine below. None: what a request
            says, else "none".
        merge_score: The property that has a Feature's score.
        merge_iou: Boxes of a greater intersection over union are of one thing; None: 0.5.
        merge_by: Properties that are equal in what may be merged.
        formats: ["geojson"], as None, ["parquet"] or both.
        tile_properties: Whether the properties of each Feature say its `image_id`, `region` and
            `tile`; where Features of several tiles become one, only what they have in common.
        blend: Of what a raster's pixels are where tiles overlap: "crop", as None, or "mean".
        stride: How many pixels of the image, across and down, are one of the arrays that the
            function returns; None: 1.
        nodata: The value of a raster's pixels without a result; None: NaN, or for integers the
            greatest there is.
        colormap: The colours of a raster's values, such as {1: (0, 0, 255)}.
        band_names: The names of a raster's bands.
        keep_tiles: Whether the results of the tiles stay beside the files that are made of them;
            those of an image that is not a SUCCESS do in any case, as a redrive needs them.
        if_exists: What to do when the image is in the table: "error" refuses, "resume" runs the
            tiles that are still pending, "restart" begins again.
        redrive: Whether a resume also runs the tiles that failed; a success replaces the error.
        take_over: Whether a resume or restart takes the image away from a process that runs it and
            lives; and whether a resume may have another function than the run began with.
        flush_interval: Seconds between writes to the table, at least.
        keep_for: Seconds, or a timedelta, that the item is kept after the last sign of life of the
            run; None: for ever.
        work: How the tiles are run. None: `Work()`, or that of the workers.
        pool: The name of a pool whose actors track all images that name it, see
            `ImageTracker.start`: many small images take less with one. None: an actor each.
        on_progress: Called in the driver about every 0.2 s while tiles finish, every 5 s while none
            does, and at the end.
        on_event: Called with each event in the image's actor, see `ImageTracker.start`.
        status_topic: ARN of an SNS topic that is told how the image stands, likewise.
        region_status_topic: The same of its regions.
        allow_url: Whether the image may be elsewhere than in a file or in S3, such as https://; or
            that of a request than in S3. Give it to a resume again.
        allow_driver: GDAL drivers that may open the image beside those of plain images, such as
            ["VRT"], whose sources must lie beside it. Likewise.

    Returns:
        The ended job item.

    Raises:
        InvalidImage: The image is missing, cannot be read, or is none that is allowed.
        InvalidGrid: A size, the overlap, the edges, the bands or the ROI is none, or does not fit
            the image.
        OutputError: The output cannot be written, or not from every node; or a resume is given
            another than the run began with.
        NotMerged: The job is done and counted, but not all of the output could be written; the
            same call with `if_exists="resume"` runs no tile again, and only does that.
        ResumeMismatch: A resume is given something else than the run began with.
        ImageInUse: Another process runs the image, and lives.
        InvalidFunction: The function is none, or does not return a result for each of a batch.
        ValueError: `batch_size`, `keep_for` or a topic is none; nothing has been changed.
        ModelFailed: No worker could make the model; nothing has been counted for that, and a resume
            goes on.
        CannotBePlaced: No node has what `work` asks for, and there is no autoscaler; likewise.
        RayNotInitialized: This process is not connected to a Ray cluster.
        ImageExists, InvalidLayout, InvalidImageId, TableError, TableUnavailable: As
            `ImageTracker.start`; nothing has been processed, nor changed.
        JobStopped: More tiles failed than `work` tolerates.
        JobCancelled, TrackerSuperseded, JobVanished: What ended this run.
    """
    if batch_size is not None:
        check_number("batch_size", batch_size, 1, whole=True)
    workers = workers_of(function, work)
    check_connected()
    table = job_table(table)
    cut = Cut(tile_size, tile_overlap, region_size, roi, roi_crs, edges, bands, skip_empty)
    assembly = Assembly(
        merge,
        merge_score,
        merge_iou,
        merge_by,
        formats=formats,
        tile_properties=tile_properties,
        blend=blend,
        stride=stride,
        nodata=nodata,
        colormap=colormap,
        band_names=band_names,
    )
    planned = plan_image(
        image,
        function,
        cut,
        assembly,
        table=table,
        image_id=image_id,
        image_read_role=image_read_role,
        output=output,
        if_exists=if_exists,
        take_over=take_over,
        work=work,
        allow_url=allow_url,
        allow_driver=allow_driver,
    )
    grid, store = planned.grid, planned.store
    work = work or (Work() if workers is None else workers.work)
    if store is not None:
        store.check_shared()
    with ImageTracker.start(
        planned.job,
        regions=grid.tiles_per_region,
        table=table,
        if_exists=if_exists,
        redrive=redrive,
        flush_interval=flush_interval,
        keep_for=keep_for,
        pool=pool,
        grid=planned.notes,
        ends=store is None,  # else once the output is there
        take_over=take_over,
        on_event=on_event,
        status_topic=status_topic,
        region_status_topic=region_status_topic,
    ) as tracker:
        if store is not None and not planned.is_begun:
            store.set_aside()
        with ExitStack() as stack:
            if workers is not None and workers is not function:
                stack.enter_context(workers)
            limit = TimeLimit(work.timeout)
            kept = None if store is None else planned.assembly
            worker = Worker(grid, limit, store, batch_size, kept, planned.properties)
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
        job = tracker.wait()
        if store is not None:
            source = Source(store, grid, tracker.tile_outcomes(), store)
            told = on_progress and partial(_tell_assembly, tracker, on_progress)
            deliver(source, planned.assembly, job, table, work.runtime_env, told)
            job = tracker.end(timeout=END_SECONDS)
            tell(store, job)
            if not keep_tiles:
                clear(store, job)
        if on_progress is not None:
            on_progress(tracker.progress())
    return job


def _consume(
    results: Results, tracker: ImageTracker, on_progress: Callable[[Progress], object] | None
) -> None:
    """Waits until all tiles have run."""
    next_time = 0.0
    # Closed at once on an exception: its traceback would keep the tasks coming.
    with closing(results):
        while True:
            is_quiet = on_progress is not None and not results.ready(QUIET_SECONDS)
            if not is_quiet and next(results, None) is None:
                return
            if on_progress is not None and (is_quiet or time.monotonic() >= next_time):
                on_progress(tracker.progress())
                next_time = time.monotonic() + PROGRESS_SECONDS


def _tell_assembly(
    tracker: ImageTracker, on_progress: Callable[[Progress], object], done: int, steps: int
) -> None:
    on_progress(replace(tracker.progress(), assembling=(done, steps)))

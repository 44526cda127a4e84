"""`collect`: what there is of an image that runs, was cancelled, or failed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import OutputError
from ..imagery import Cut, describe
from ..job_table import JobItem, JobTable
from ..ray_runtime import check_connected
from ..run import job_table, patiently
from ..tracker import ImageTracker
from .assembly.asked import Assembly, Format
from .assembly.assemble import assemble
from .assembly.source import Source
from .delivery import files_of, store_of
from .noted import noted_in
from .store import ResultStore


def collect(
    image_id: str,
    *,
    table: JobTable | str,
    output: str | os.PathLike[str] | None = None,
    formats: Sequence[Format] | None = None,
    runtime_env: Mapping[str, Any] | None = None,
    on_progress: Callable[[int, int], object] | None = None,
    allow_url: bool = False,
    allow_driver: Sequence[str] = (),
) -> list[str]:
    """Assembles what there is of an image: of one that runs, was cancelled, stopped, or failed.

    The image, its item and what its tiles left stay as they are; a run that goes on writes its own
    files over these. Tiles that are pending or failed are left out: no Features, and nodata.

    Args:
        image_id: The image, which `process_image` began with an output.
        table: The job table, or its name.
        output: Where the files go, as for `process_image`; None: to the image's own output.
        formats: As for `process_image`; None: as the run began with.
        runtime_env: The environment of the Ray tasks that do it, as `ray.remote` takes it.
        on_progress: Called with how many of the steps are done, and how many there are.
        allow_url: As for `process_image`.
        allow_driver: As for `process_image`.

    Returns:
        The path or URL of each file.

    Raises:
        JobVanished: There is no such item.
        ResumeMismatch: No run ever tracked it.
        OutputError: It was run without an output; what its tiles left is gone, as it has been
            assembled; or a file cannot be written.
        InvalidImage: The image is no longer to be read.
        RayNotInitialized: This process is not connected to a Ray cluster.
        TableError, TableUnavailable: The table does not tell.
    """
    check_connected()
    table = job_table(table)
    tracker = ImageTracker.attach(image_id, table=table)
    job = patiently(lambda: table.read(image_id)) or JobItem(image_id)
    store = store_of(job)
    if store is None:
        raise OutputError(f"image {image_id!r} was run without an output: nothing of it was kept")
    notes = noted_in(job)
    info = describe(
        job.image_url or image_id,
        job.image_read_role,
        allow_url=allow_url,
        allow_driver=allow_driver,
    )
    grid = Cut().applied(info, notes)
    assembly = Assembly(formats=formats).applied(notes)
    into = store if output is None else ResultStore(output)
    # Before the objects are listed: what is a success then has its result among them.
    outcomes = tracker.tile_outcomes()
    _check_is_there(job, store)
    if into is not store:
        into.check_shared()
    files = assemble(Source(store, grid, outcomes, into), assembly, runtime_env, on_progress)
    return [f"{into.url}/{name}" for name in files]


def _check_is_there(job: JobItem, store: ResultStore) -> None:
    files = files_of(job).values()
    if job.status == "SUCCESS" and files and not store.chunks():
        raise OutputError(
            f"image {job.image_id!r} is a SUCCESS, and is assembled: {', '.join(files)} in "
            f"{store.url}; what its tiles left was removed then (keep_tiles=True keeps it)"
        )

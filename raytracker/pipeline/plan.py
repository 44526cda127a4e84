"""What an image is run as: what is asked for, and what an earlier run of it began with."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InvalidImage, InvalidImageId, OutputError, ResumeMismatch
from ..image_request import ImageRequest
from ..imagery import Cut, Grid, ImageInfo, describe
from ..imagery.allowed import Allowed, check_is_in_s3
from ..job_table import JobItem, JobTable, check_image_id, ledger_of
from ..run import IfExists, patiently
from ..secrets import CURE, secret_in, without_secret
from .assembly.asked import NOTHING_SAID, USUAL, Assembly
from .assembly.mosaic import check_stride
from .assembly.parquet import check_installed
from .delivery import feature_properties, requested_output, sinks_of
from .noted import Difference, arguments_of, differences, known_of, name_of, noted_in
from .store import ResultStore
from .work import Work
from .workers import Workers


@dataclass(frozen=True)
class Plan:
    """An image that is ready to be run; nothing has been changed yet.

    Attributes:
        job: Its job item.
        grid: How it is cut.
        notes: What a later resume must agree with, JSON-able; the item keeps it.
        store: Where results go; None: nowhere.
        assembly: How they are assembled there.
        properties: What each Feature's properties are updated with.
        is_begun: Whether a run has begun it, which is gone on with.
    """

    job: JobItem
    grid: Grid
    notes: Mapping[str, Any]
    store: ResultStore | None
    assembly: Assembly
    properties: Mapping[str, Any]
    is_begun: bool


def plan_image(
    image: str | os.PathLike[str] | ImageRequest,
    function: Any,
    cut: Cut,
    assembly: Assembly = NOTHING_SAID,
    *,
    table: JobTable,
    image_id: str | None = None,
    image_read_role: str | None = None,
    output: str | os.PathLike[str] | None = None,
    if_exists: IfExists = "error",
    take_over: bool = False,
    work: Work | None = None,
    allow_url: bool = False,
    allow_driver: Iterable[str] = (),
) -> Plan:
    """Returns how an image is to be run; needs no Ray.

    A resume takes from the item what is not given, and what is given must agree with it.

    Args:
        image: As for `process_image`; for a resume also its image_id.
        function: As for `process_image`; its name is noted, and what a model is made with, hashed.
        cut: As far as it is given.
        assembly: Likewise.
        table: The job table.
        image_id: As for `process_image`.
        image_read_role: As for `process_image`.
        output: As for `process_image`.
        if_exists: As for `process_image`.
        take_over: Whether a resume may have another function than the run began with.
        work: As for `process_image`.
        allow_url: As for `process_image`.
        allow_driver: As for `process_image`.

    Raises:
        InvalidImage, InvalidGrid, InvalidImageId: As `process_image`.
        OutputError: It is none, or not that which the run began with; or how it is to be assembled
            is not said rightly.
        ResumeMismatch: Something else is not what the run began with.
        TableError, TableUnavailable: The table does not tell of a run before.
    """
    job = JobItem(image_id="", job_id=str(uuid.uuid4()), model_name=name_of(function))
    request = image if isinstance(image, ImageRequest) else None
    if isinstance(image, ImageRequest):
        job, cut = JobItem.from_image_request(image), _requested(cut, image)
        assembly = assembly.requested(image.get_feature_distillation_option())
        image_id = image.image_id if image_id is None else image_id
        image_read_role = image_read_role or image.image_read_role
        image = image.image_url
    _check_no_secret(image_id)
    before = None
    if if_exists == "resume":
        before = _begun(table, [image_id] if image_id is not None else _ids(image))
    if before is not None:
        image, image_id = _image_of(before, image), before.image_id
        image_read_role = image_read_role or before.image_read_role
    allowed = Allowed.of(allow_driver, allow_url)
    if request is not None:
        check_is_in_s3(os.fspath(image), allowed)
    info = _described(image, image_read_role or None, allowed, table, if_exists == "resume")
    begun_with = noted_in(before)
    grid, assembly = cut.applied(info, begun_with), assembly.applied(begun_with)
    check_stride(grid, assembly.stride or 1)
    if "parquet" in (assembly.formats or ()):
        check_installed()
    store, requested = _store(output, before, request)
    notes = _notes(grid, assembly, function, work)
    if before is not None and begun_with:
        usual = USUAL._asdict()
        found = differences(usual | begun_with, usual | notes, any_function=take_over)
        _check_agrees(before, found)
        notes = begun_with
    job = _filled(job, info.url if image_id is None else image_id, info, grid)
    if store is not None:
        option, outputs = assembly.distillation, json.dumps([*requested, store.sink])
        job = replace(job, feature_distillation_option=option, outputs=outputs)
    properties = feature_properties(job if before is None else before)
    if assembly.tile_properties:
        properties["image_id"] = job.image_id
    return Plan(job, grid, notes, store, assembly, properties, before is not None)


def _notes(grid: Grid, assembly: Assembly, function: Any, work: Work | None) -> dict[str, Any]:
    given = function.work if isinstance(function, Workers) else work or Work()
    who = {"function": name_of(function), "arguments": arguments_of(given)}
    return {**grid.to_dict(), **known_of(grid.info), **assembly.to_dict(), **who}


def _check_agrees(before: JobItem, found: Sequence[Difference]) -> None:
    """Does nothing where there is no difference.

    Raises:
        ResumeMismatch: There are some; it names them.
    """
    of_image = [each for each in found if each.is_of_image]
    if of_image:
        told = "; ".join(f"{each.name} {each.theirs}, now {each.ours}" for each in of_image)
        raise ResumeMismatch(
            f"image {before.image_id!r} is another one than the run began with ({told}): put that "
            'back, or begin again with if_exists="restart"'
        )
    if found:
        theirs = ", ".join(f"{each.name}={each.theirs!r}" for each in found)
        ours = ", ".join(f"{each.name}={each.ours!r}" for each in found)
        raise ResumeMismatch(
            f"image {before.image_id!r} was begun with {theirs}; the resume is given {ours}: leave "
            f'it out, or begin again with if_exists="restart"{_cure(found)}',
            found,
        )


def _cure(found: Sequence[Difference]) -> str:
    if all(each.is_of_function for each in found):
        return ", or go on with another function by take_over=True"
    return ""


def _check_no_secret(image_id: str | None) -> None:
    if image_id is not None and (secret := secret_in(image_id)) is not None:
        raise InvalidImageId(
            f"image_id {without_secret(image_id)}... has {secret} in it, and goes into the table "
            f"and logs: {CURE}"
        )


def _requested(cut: Cut, request: ImageRequest) -> Cut:
    """Returns the cut with what a request says, where nothing else is said."""
    size = request.tile_size if cut.tile_size is None else cut.tile_size
    overlap = request.tile_overlap if cut.tile_overlap is None else cut.tile_overlap
    cut = cut._replace(tile_size=size, tile_overlap=overlap)
    if cut.roi is None and request.roi is not None:
        return cut._replace(roi=request.roi.wkt, roi_crs="lonlat")
    return cut


def _ids(image: str | os.PathLike[str]) -> list[str]:
    """Returns the keys that the item of an image may have: the name itself, or its full path."""
    text = os.fspath(image)
    if "://" in text:
        return [text]
    return list(dict.fromkeys([text, os.path.abspath(text)]))  # noqa: PTH100 (a link stays one)


def _begun(table: JobTable, image_ids: Sequence[str]) -> JobItem | None:
    """Returns the item of the first of these images that a run began; None: of none."""
    for image_id in image_ids:
        check_image_id(image_id)
        found = patiently(lambda image_id=image_id: table.read(image_id))  # type: ignore[misc]
        if found is not None and found.tracker_run is not None:
            return found
    return None


def _image_of(before: JobItem, image: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """Returns what is to be read: the item's image, where the image_id stands for it."""
    return before.image_url or image if os.fspath(image) == before.image_id else image


def _described(
    image: str | os.PathLike[str],
    role: str | None,
    allowed: Allowed,
    table: JobTable,
    goes_on: bool,
) -> ImageInfo:
    try:
        return describe(image, role, allow_url=allowed.url, allow_driver=allowed.drivers)
    except InvalidImage as err:
        if goes_on and "/" not in os.fspath(image):
            raise InvalidImage(
                f"{err}; nor does table {table.table_name!r} have a run of an image of that id"
            ) from None
        raise


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
    output: str | os.PathLike[str] | None, before: JobItem | None, request: ImageRequest | None
) -> tuple[ResultStore | None, list[dict[str, Any]]]:
    """Returns where results go: where the run before put its own; and a request's outputs.

    A resume leaves the item's `outputs` as they are: what it put elsewhere, no later one finds.

    Raises:
        OutputError: That is elsewhere, or nowhere; nothing has been changed.
    """
    asked = None
    if before is None and request is not None and output is None:
        output = asked = requested_output(request)
    given = None if output is None else ResultStore(output, f"tiles-{uuid.uuid4().hex}")
    if before is None:
        return given, request.outputs if asked is not None and request is not None else []
    stores = [
        store for sink in sinks_of(before) if (store := ResultStore.of_sink(sink)) is not None
    ]
    if given is None:
        return stores[0] if stores else None, []
    for store in stores:
        if store.url == given.url:
            return store, []
    begun_with = stores[0].url if stores else "no output"
    raise OutputError(
        f"image {before.image_id!r} was begun with {begun_with}, and has "
        f"{ledger_of(before).tile_success} successful tiles; the resume is given {given.url}: "
        'leave it out, or begin again with if_exists="restart"'
    )

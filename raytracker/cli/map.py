"""`raytracker map`: a job's picture, from its item and its image alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import OutputError
from ..imagery import Cut, Grid, describe
from ..job_table import JobItem, cut_of, ledger_of
from ..ledger import Outcome
from .options import Refused
from .picture import draw_map
from .show import in_short

if TYPE_CHECKING:
    from ..pipeline import ResultStore

MAX_OUTLINED_BYTES = 10_000_000  # of results.geojson; drawing takes 20 times as much memory


def map_image(job: JobItem, output: str | None, **allowed: Any) -> str:
    """Draws an image as its job stands; returns the path of the picture.

    Args:
        job: The job.
        output: The path; None: one of this folder, named like the image.
        allowed: `allow_url` and `allow_driver`, as `describe` takes them.

    Raises:
        Refused: The item doesn't say how the image was cut.
        InvalidImage: It cannot be read.
        OutputError: The picture cannot be written.
    """
    png = picture_of(job, grid_of(job, **allowed))
    stem = PurePosixPath(job.image_url or job.image_id).stem or "image"
    path = Path(output or f"{stem}-map.png")
    try:
        path.write_bytes(png)
    except OSError as err:
        raise OutputError(f"{path} cannot be written: {err.strerror}: name a file") from err
    return str(path)


def grid_of(job: JobItem, **allowed: Any) -> Grid:
    """Returns how a job's image was cut.

    Raises:
        Refused: The item doesn't say it, or the image there is another one now.
        InvalidImage: It cannot be read.
    """
    cut = cut_of(job)
    if job.tracker_ledger is None or job.image_url is None or not cut or "tile_size" not in cut:
        raise Refused(f"image {job.image_id!r} was not cut by raytracker: there is nothing to draw")
    info = describe(job.image_url, job.image_read_role, **allowed)
    grid = Cut().applied(info, cut)
    if grid.tiles_per_region != [len(tiles) for tiles in ledger_of(job).layout.regions()]:
        raise Refused(f"{info.url} is not the image that {job.image_id!r} was cut from")
    return grid


def picture_of(job: JobItem, grid: Grid, features: Iterable[Mapping[str, Any]] = ()) -> bytes:
    """Returns a PNG of a job's image, and over it the tiles that are no success."""
    outcomes = ledger_of(job).tile_outcomes()
    return draw_map(grid, outcomes, title=list(_title(job)), features=features)


def features_of(store: ResultStore) -> list[dict[str, Any]]:
    """Returns the features to outline: none where there are none, too many, or they are far."""
    from ..pipeline import RESULTS  # with it comes Ray, which a picture alone does without

    path = Path(store.url, RESULTS)
    if (
        store.url.startswith("s3://")
        or not path.exists()
        or path.stat().st_size > MAX_OUTLINED_BYTES
    ):
        return []
    features: list[dict[str, Any]] = json.loads(path.read_bytes())["features"]
    return features


def _title(job: JobItem) -> Iterable[str]:
    """Yields the image, how it ended and when, and why tiles failed most often."""
    yield job.image_id
    when = datetime.fromtimestamp((job.end_time or job.start_time or 0) / 1000, timezone.utc)
    yield f"{when:%Y-%m-%d %H:%M} UTC · {in_short(job)}"
    ledger = ledger_of(job)
    outcomes = ledger.tile_outcomes()
    told = [reason for tile, reason in ledger.reasons().items() if outcomes[tile] == Outcome.ERROR]
    if told:
        reason, count = Counter(told).most_common(1)[0]
        yield f"failed, {count} of {len(told)}: {reason}"

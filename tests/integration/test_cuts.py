"""What tiles a function gets: padded, shifted, of some bands, and none that are empty."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from raytracker import JobItem, JobTable, process_image
from raytracker.errors import ResumeMismatch
from raytracker.imagery import Tile
from tests.support.images import make_image

pytestmark = pytest.mark.usefixtures("ray_cluster")

BAHAMAS = Path(__file__).parents[2] / "examples" / "data" / "bahamas.tif"


@pytest.fixture
def run(job_table: JobTable, tmp_path: Path) -> Callable[..., tuple[JobItem, Any]]:
    """`process_image`; gives the job, and what the function said of each tile, by its place."""

    def run(function: Any, image: Any = BAHAMAS, **arguments: Any) -> tuple[JobItem, Any]:
        def told(pixels: Any, tile: Tile) -> Any:
            properties = {"place": [tile.row, tile.column], **function(pixels, tile)}
            return {"type": "Feature", "geometry": None, "properties": properties}

        output = tmp_path / "out"
        job = process_image(image, told, table=job_table, output=output, **arguments)
        features = json.loads((output / "results.geojson").read_text())["features"]
        return job, {tuple(feature["properties"]["place"]): feature for feature in features}

    return run


@pytest.mark.parametrize("edges", ["pad", "shift"])
def test_every_array_has_the_same_shape(run: Callable[..., Any], edges: str) -> None:
    """With the bands that were asked for, and the image's pixels in its core."""

    def look(pixels: Any, tile: Tile) -> Any:
        (above, below), (left, right) = tile.halo
        core = pixels[:, above : tile.height - below, left : tile.width - right]
        return {
            "shape": pixels.shape,
            "core": core.sum(axis=(1, 2), dtype=np.int64).tolist(),
            "window": tile.core.flatten(),
            "valid": int(tile.mask().sum()),
        }

    job, told = run(look, tile_size=256, tile_overlap=32, edges=edges, bands=[3, 1])
    assert job.status == "SUCCESS"
    assert len(told) == 16
    with rasterio.open(BAHAMAS) as source:
        whole = source.read([3, 1]).astype(np.int64)
        mask = source.dataset_mask() != 0
    total = np.zeros(2, np.int64)
    for feature in told.values():
        said = feature["properties"]
        column, row, width, height = said["window"]
        part = whole[:, row : row + height, column : column + width]
        assert said["shape"] == [2, 256, 256]
        assert said["core"] == part.sum(axis=(1, 2)).tolist()
        total += said["core"]
    assert total.tolist() == whole.sum(axis=(1, 2)).tolist()
    assert told[0, 0]["properties"]["valid"] == mask[:256, :256].sum()


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_empty_tiles_are_spared(run: Callable[..., Any], tmp_path: Path) -> None:
    """They are successes of which the function knows nothing, also where they are padded."""
    pixels = np.ones((1, 100, 100), "uint8")
    pixels[:, :64, :96] = 0  # all of (0, 0) and (0, 1), and (1, 0), (1, 1) of 32 x 48
    path = make_image(tmp_path / "image.tif", pixels, nodata=0)

    def look(pixels: Any, tile: Tile) -> Any:
        assert tile.mask().any()
        return {"sum": int(pixels.sum())}

    cut = {"tile_size": (48, 32), "edges": "pad", "region_size": 48}
    job, told = run(look, path, skip_empty=True, **cut)
    assert (job.status, job.region_count, job.region_success) == ("SUCCESS", 12, 12)
    empty = {(row, column) for row in (0, 1) for column in (0, 1)}
    assert set(told) == {(row, column) for row in range(4) for column in range(3)} - empty
    assert sum(feature["properties"]["sum"] for feature in told.values()) == pixels.sum()

    with pytest.raises(ResumeMismatch, match="with skip_empty=True; .* given skip_empty=False: "):
        run(look, path, if_exists="resume", skip_empty=False, **cut)
    job, _ = run(look, path, if_exists="restart", **cut)
    assert job.region_error == 4

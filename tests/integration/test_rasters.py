"""Functions that return arrays: one raster of the image comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from raytracker import JobItem, JobTable
from raytracker.errors import InvalidGrid
from raytracker.imagery import Tile
from tests.support.scenes import BAHAMAS

pytestmark = pytest.mark.usefixtures("ray_cluster")


def bright(pixels: Any, tile: Tile) -> Any:
    return pixels[0] > 100


def both(pixels: Any, tile: Tile) -> Any:
    if (tile.row, tile.column) == (1, 1):
        raise ValueError("haze")
    at = tile.feature([(0, 0), (1, 0), (1, 1)], {"place": [tile.row, tile.column]})
    return {"features": [at], "mask": pixels[0] > 100, "score": pixels.mean(0, np.float32)}


def read(path: Path) -> Any:
    with rasterio.open(path) as source:
        return source.read()


def test_a_mask_of_the_whole_image(
    run: Callable[..., JobItem], job_table: JobTable, tmp_path: Path
) -> None:
    """It lies where the image lies, pixel for pixel; the item names the file."""
    job = run(bright, tile_overlap=32, colormap={1: (0, 0, 255)}, band_names=["bright"])
    assert job.status == "SUCCESS"
    assert json.loads(job.outputs or "")[0]["files"] == ["result.tif"]
    with rasterio.open(BAHAMAS) as image, rasterio.open(tmp_path / "out" / "result.tif") as made:
        assert (made.crs, made.transform, made.shape) == (image.crs, image.transform, image.shape)
        assert (made.read(1) == (image.read(1) > 100)).all()
        assert (made.dtypes, made.nodata) == (("uint8",), 255)
        assert made.colormap(1)[1] == (0, 0, 255, 255)
        assert made.descriptions == ("bright",)
        assert made.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert not (tmp_path / "out" / "results.geojson").exists()


def test_rasters_by_name_beside_features(run: Callable[..., JobItem], tmp_path: Path) -> None:
    """A tile that failed is nodata; a mean goes over what is shared by tiles."""
    job = run(both, tile_overlap=32, blend={"score": "mean"})
    assert job.status == "PARTIAL"
    files = json.loads(job.outputs or "")[0]["files"]
    assert files == ["result-mask.tif", "result-score.tif", "results.geojson"]
    image = read(BAHAMAS)
    mask, score = (read(tmp_path / "out" / f"result-{name}.tif")[0] for name in ("mask", "score"))
    core = slice(240, 464), slice(240, 464)
    assert (mask[core] == 255).all()
    known = mask != 255
    assert known.sum() == mask.size - 224 * 224
    assert (mask[known] == (image[0] > 100)[known]).all()
    inner = slice(256, 448), slice(256, 448)  # beyond what its neighbours have
    assert np.isnan(score[inner]).all()
    assert np.isnan(score).sum() == 192 * 192
    there = ~np.isnan(score)
    assert np.allclose(score[there], image.mean(0, np.float32)[there])


def quarter(pixels: Any, tile: Tile) -> Any:
    return pixels[0, ::4, ::4]


def test_an_array_with_a_pixel_for_several(run: Callable[..., JobItem], tmp_path: Path) -> None:
    """Larger pixels; the image's own size need be no multiple."""
    with pytest.raises(InvalidGrid, match=r'stride=4: .*edges="pad"'):
        run(quarter, stride=4)
    run(quarter, stride=4, edges="pad", tile_overlap=32)
    with rasterio.open(BAHAMAS) as image, rasterio.open(tmp_path / "out" / "result.tif") as made:
        assert made.shape == (-(-image.height // 4), -(-image.width // 4))
        assert made.transform == image.transform @ made.transform.scale(4)
        assert (made.read(1) == image.read(1)[::4, ::4]).all()


def too_small(pixels: Any, tile: Tile) -> Any:
    return pixels[0, ::2, ::2]


def test_an_array_that_does_not_lie_on_its_tile(
    run: Callable[..., JobItem], job_table: JobTable
) -> None:
    """It is the tile's error, which says what to do."""
    job = run(too_small, output=None)
    assert job.status == "FAILED"
    reasons = job_table.read(str(BAHAMAS)).tracker_errors  # type: ignore[union-attr]
    assert any("Then say stride=2" in reason for reason in (reasons or {}).values())

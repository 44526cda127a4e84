"""What the examples make of the smallest tiles: 513 pixels in tiles of 512 leave one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from examples.detect import detect
from examples.model import find
from raytracker.imagery import describe, plan, read
from raytracker.pipeline.features import encode_features
from tests.support.grids import tiles
from tests.support.images import make_image

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 50), (50, 1), (17, 17), (33, 18)])
@pytest.mark.parametrize("example", [detect, lambda pixels, tile: find(pixels[0] < 30, tile)])
def test_an_example_takes_tiles_of_any_shape(
    tmp_path: Path, example: Any, size: tuple[int, int], value: int
) -> None:
    """All water gives one place in each tile, with an area; land none."""
    where = {"crs": "EPSG:32618", "transform": rasterio.Affine(30, 0, 5e5, 0, -30, 4e6)}
    path = make_image(tmp_path / "x.tif", np.full((3, *size), value, "uint8"), **where)
    for tile in tiles(plan(describe(path), 16)):
        found = list(example(read(tile), tile))
        encode_features(found)
        assert len(found) == (value == 0)


def test_the_shapes_that_docs_promise(tmp_path: Path) -> None:
    """One pixel more than a tile: a row, a column and a corner of their own."""
    path = make_image(tmp_path / "x.tif", np.zeros((1, 513, 513), "uint8"))
    shapes = [read(tile).shape[1:] for tile in tiles(plan(describe(path), 512))]
    assert sorted(shapes) == [(1, 1), (1, 512), (512, 1), (512, 512)]

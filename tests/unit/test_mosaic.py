"""Rasters of tiles are what the function would have made of the whole image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from raytracker.errors import InvalidGrid, OutputError
from raytracker.imagery import Grid, ImageInfo, Tile, plan
from raytracker.pipeline import ResultStore
from raytracker.pipeline.arrays import split
from raytracker.pipeline.assembly.asked import Assembly, RasterAssembly
from raytracker.pipeline.assembly.cog import write_cog
from raytracker.pipeline.assembly.mosaic import (
    check_raster,
    check_stride,
    mosaic,
    nodata_of,
    raster_size,
    rectangle_of,
)
from raytracker.pipeline.assembly.source import Kind, Part, Source
from tests.support.results import names

CROP = RasterAssembly("crop", 1)
MEAN = RasterAssembly("mean", 1)
U8, F32 = Kind("uint8", 1), Kind("float32", 1)


def info_of(width: int, height: int, crs: str | None = "EPSG:32633") -> ImageInfo:
    where = None if crs is None else tuple(Affine(10, 0, 5e5, 0, -10, 5e6))[:6]
    return ImageInfo("/image.tif", width, height, 1, "float32", crs=crs, transform=where)


def pixels_of(tile: Tile, image: NDArray[Any]) -> NDArray[Any]:
    """A tile's array, padded as it is read: its own pixels reflected."""
    window = tile.window
    rows, columns = window.toslices()
    pad = [(0, tile.height - int(window.height)), (0, tile.width - int(window.width))]
    return np.pad(image[rows, columns], pad, mode="reflect")


def model(pixels: NDArray[Any]) -> NDArray[Any]:
    """A receptive field of 15 pixels, beyond the edge reflected: seven times a mean of 3 x 3."""
    for _ in range(7):
        around = np.pad(pixels, 1, mode="reflect")
        pixels = sum(
            np.roll(np.roll(around, dy, 0), dx, 1)[1:-1, 1:-1] * (2 + dx * dx)
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        )
    return pixels


def assembled(grid: Grid, arrays: dict[Any, NDArray[Any]], kind: Kind, how: RasterAssembly) -> Any:
    """The raster of all parts, of a few tiles each."""
    made = np.full((kind.bands, *raster_size(grid, how.stride)), 77, kind.dtype)
    source = Source(ResultStore("/nowhere"), grid, b"", ResultStore("/nowhere"))
    for top in range(0, grid.rows, 2):
        for left in range(0, grid.columns, 3):
            rows = range(top, min(top + 2, grid.rows))
            part = Part(rows, range(left, min(left + 3, grid.columns)))
            near = source.around(part) if how.blend == "mean" else part
            keys = [
                key
                for row in near.rows
                for column in near.columns
                if (key := grid.key(row, column)) in arrays
            ]

            def array_of(tile: Tile) -> Any:
                return arrays.get((tile.region, tile.number))

            data = mosaic(grid, part, keys, array_of, kind, how)
            rectangle = rectangle_of(grid, part, how.stride)
            with MemoryFile(data) as memory, memory.open() as written:
                made[:, rectangle.top : rectangle.bottom, rectangle.left : rectangle.right] = (
                    written.read()
                )
    return made


def tiles_of(grid: Grid) -> list[Tile]:
    return [grid.tile(r, t) for r, n in enumerate(grid.tiles_per_region) for t in range(n)]


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_cropped_tiles_are_the_model_on_the_whole_image(data: st.DataObject) -> None:
    """Where its receptive field fits in half the overlap; at the image's edge padded alike."""
    edges = data.draw(st.sampled_from(["clip", "pad", "shift"]))
    width, height = data.draw(st.integers(60, 120)), data.draw(st.integers(60, 120))
    grid = plan(info_of(width, height), 60, 32, 100, edges=edges)
    image = np.random.default_rng(width).integers(0, 9, (height, width)).astype(np.int64)
    arrays = {
        (tile.region, tile.number): model(pixels_of(tile, image))[np.newaxis]
        for tile in tiles_of(grid)
    }
    made = assembled(grid, arrays, Kind("int64", 1), CROP)
    beyond = [
        (0, a.start(a.count - 1) + a.length(a.count - 1) - a.size) for a in (grid.down, grid.across)
    ]
    whole = np.pad(image, beyond, mode="reflect")
    assert (made[0] == model(whole)[:height, :width]).all()


def test_a_coarser_raster_is_that_of_the_whole_image() -> None:
    """A model of stride 4, tiles at its multiples; the image's own size is none."""
    image = np.random.default_rng(1).integers(0, 200, (149, 201)).astype(np.uint8)
    grid = plan(info_of(201, 149), 64, 16, edges="pad")
    check_stride(grid, 4)
    arrays = {
        (tile.region, tile.number): pixels_of(tile, image)[np.newaxis, ::4, ::4]
        for tile in tiles_of(grid)
    }
    made = assembled(grid, arrays, U8, RasterAssembly("crop", 4))
    assert made.shape == (1, 38, 51)
    assert (made[0] == image[::4, ::4]).all()


@pytest.mark.parametrize(
    ("size", "overlap", "edges", "told"),
    [
        (64, 16, "clip", 'an array of 59 pixels.*edges="pad"'),
        (62, 16, "pad", "an array of 62 pixels"),
        (64, 18, "pad", "an offset of 46 pixels"),
        (64, 20, "pad", "a seam of 54 pixels.*half of tile_overlap"),
        (64, 16, "shift", "stride=4"),
    ],
)
def test_tiles_that_do_not_go_with_a_stride(size: int, overlap: int, edges: Any, told: str) -> None:
    """Refused before anything runs."""
    with pytest.raises(InvalidGrid, match=told):
        check_stride(plan(info_of(203, 149), size, overlap, edges=edges), 4)


def test_pixels_of_no_tile_are_nodata() -> None:
    """One that failed, was skipped, or is outside of the region of interest."""
    grid = plan(info_of(30, 30, None), 10, roi="POLYGON((0 0, 19 0, 19 19, 0 19, 0 0))")
    array = np.ones((1, 10, 10), np.uint8)
    keys = [key for row in (0, 1) for column in (0, 1) if (key := grid.key(row, column))]
    made = assembled(grid, dict.fromkeys(keys[1:], array), U8, CROP)
    expected = np.full((1, 30, 30), 255)
    expected[:, :20, :20] = 1
    expected[:, :10, :10] = 255
    assert (made == expected).all()


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_a_mean_is_weighted_over_what_is_shared(data: st.DataObject) -> None:
    """As a slow loop has it; what is the same everywhere stays so, to the last bit."""

    def taper(at: int, length: int) -> int:
        inside = min(1.0, (min(at, length - 1 - at) + 0.5) / 6)
        return max(1, round(4096 * math.sin(math.pi / 2 * inside) ** 2))

    edges = data.draw(st.sampled_from(["clip", "pad", "shift"]))
    grid = plan(info_of(50, 37), data.draw(st.integers(9, 20)), 6, 12, edges=edges)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    tiles = [tile for tile in tiles_of(grid) if data.draw(st.booleans())]
    arrays, total, weights = {}, np.zeros((37, 50)), np.zeros((37, 50))
    for tile in tiles:
        array = rng.random((1, tile.height, tile.width), np.float32)
        array[rng.random(array.shape) < 0.1] = np.nan
        arrays[tile.region, tile.number] = array
        for row in range(min(tile.height, 37 - tile.row_off)):
            for column in range(min(tile.width, 50 - tile.col_off)):
                weight = taper(row, tile.height) * taper(column, tile.width)
                if not np.isnan(array[0, row, column]):
                    at = tile.row_off + row, tile.col_off + column
                    total[at] += weight * array[0, row, column]
                    weights[at] += weight
    with np.errstate(invalid="ignore"):
        expected = total / weights
    assert np.allclose(assembled(grid, arrays, F32, MEAN)[0], expected, equal_nan=True)
    flat = {key: np.full_like(array, 0.1) for key, array in arrays.items()}
    found = np.unique(assembled(grid, flat, F32, MEAN))
    assert set(found[~np.isnan(found)]) <= {np.float32(0.1)}


@pytest.mark.parametrize("how", [CROP, MEAN])
def test_each_array_is_asked_for_once(how: RasterAssembly) -> None:
    """Though rows of a part share tiles: it is unpacked for it."""
    grid = plan(info_of(60, 90), 20, 10)
    tiles, asked = tiles_of(grid), []

    def array_of(tile: Tile) -> NDArray[Any]:
        asked.append((tile.row, tile.column))
        return np.ones((1, tile.height, tile.width), np.uint8)

    keys = [(tile.region, tile.number) for tile in tiles]
    mosaic(grid, Part(range(grid.rows), range(grid.columns)), keys, array_of, U8, how)
    assert sorted(asked) == sorted((tile.row, tile.column) for tile in tiles)


def test_a_raster_is_a_cog_and_the_same_bytes_every_time(store: ResultStore) -> None:
    """With overviews; on the ground as the image is."""
    grid = plan(info_of(1500, 1200), 500)
    parts = []
    rng = np.random.default_rng(2)
    for row in range(grid.rows):
        part = Part(range(row, row + 1), range(grid.columns))
        arrays = {
            grid.key(row, column): rng.integers(0, 3, (2, *shape), np.uint8)
            for column in range(grid.columns)
            if (shape := (grid.core(row, column).height, grid.core(row, column).width))
        }
        keys = sorted(arrays)  # type: ignore[type-var]
        data = mosaic(
            grid,
            part,
            keys,  # type: ignore[arg-type]
            lambda tile, arrays=arrays: arrays[tile.region, tile.number],  # type: ignore[misc]
            Kind("uint8", 2),
            CROP,
        )
        parts.append((rectangle_of(grid, part, 1), data))
    how = RasterAssembly("crop", 1, 7, None, ["a & b", "<c>"])
    made = []
    for name in ("result.tif", "result-again.tif"):
        write_cog(store, name, grid, parts, Kind("uint8", 2), how)
        made.append(store.read(name))
    assert made[0] == made[1]
    assert names(store) == ["result-again.tif", "result.tif"]
    with MemoryFile(made[0]) as memory, memory.open() as raster:
        assert raster.driver == "GTiff"
        assert raster.descriptions == ("a & b", "<c>")
        assert raster.nodata == 7
        assert raster.crs == rasterio.crs.CRS.from_epsg(32633)
        assert tuple(raster.transform)[:6] == grid.info.transform
        assert raster.overviews(1)
        assert raster.profile["blockxsize"] == 512
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert set(np.unique(raster.read())) == {0, 1, 2}


@pytest.mark.parametrize(("sure", "level"), [(0.0, b"\x01"), (0.99, b"\x9c")])
def test_scores_are_packed_quickly_and_masks_well(
    store: ResultStore, sure: float, level: bytes
) -> None:
    """As the second byte of a block tells, RFC 1950."""
    grid = plan(info_of(600, 600), 600)
    rng = np.random.default_rng(4)
    scores = rng.integers(0, 10_001, (1, 600, 600), np.uint16)
    scores[rng.random(scores.shape) < sure] = 0
    part, kind = Part(range(1), range(1)), Kind("uint16", 1)
    data = mosaic(grid, part, [(0, 0)], lambda tile: scores, kind, CROP)
    write_cog(store, "result.tif", grid, [(rectangle_of(grid, part, 1), data)], kind, CROP)
    made = store.read("result.tif")
    with MemoryFile(made) as memory, memory.open() as raster:
        assert (raster.read() == scores).all()
        at = int(raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    assert made[at + 1 : at + 2] == level


# --- what a function returns ---

TILE = plan(info_of(8, 6), 8).tile(0, 0)


class Tensor:
    """As torch's: an array to numpy only."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape, self.dtype = array.shape, "torch.uint8"

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return self._array


@pytest.mark.parametrize(
    ("result", "arrays"),
    [
        (np.zeros((6, 8), np.uint8), {"raster": ("uint8", (1, 6, 8))}),
        (np.zeros((3, 6, 8), np.float64), {"raster": ("float64", (3, 6, 8))}),
        (np.zeros((6, 8), bool), {"raster": ("uint8", (1, 6, 8))}),
        (np.zeros((6, 8), np.float16), {"raster": ("float32", (1, 6, 8))}),
        (np.zeros((6, 8), np.longdouble), {"raster": ("float64", (1, 6, 8))}),
        (np.zeros((6, 8), ">i2"), {"raster": ("int16", (1, 6, 8))}),
        (Tensor(np.zeros((6, 8), np.uint8)), {"raster": ("uint8", (1, 6, 8))}),
        ({"mask": np.zeros((6, 8), np.uint8), "features": []}, {"mask": ("uint8", (1, 6, 8))}),
        ({"type": "FeatureCollection", "features": []}, {}),
        (None, {}),
        ([], {}),
        (np.float32(3), {}),
    ],
)
def test_arrays_that_a_function_may_return(result: Any, arrays: Any) -> None:
    """Alone, or by name, beside Features."""
    _, found = split(result, TILE)
    told = {name: (array.dtype.name, array.shape) for name, array in found.items()}
    assert told == arrays


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (np.zeros((8, 6)), r"shape \(8, 6\), and its tile \(6, 8\)"),
        (np.zeros((3, 4)), "Then say stride=2"),
        (np.zeros((0, 6, 8)), r"shape \(0, 6, 8\)"),
        (np.zeros((1, 3, 6, 8)), r"shape \(1, 3, 6, 8\)"),
        (np.zeros(48), "shape"),
        (np.zeros((6, 8), complex), "of complex128, which no GeoTIFF holds"),
        (np.full((6, 8), "a"), "which no GeoTIFF holds"),
        (np.zeros((6, 8), object), "of object"),
        ({"a/b": np.zeros((6, 8))}, "a raster named 'a/b'"),
        ({7: np.zeros((6, 8))}, "a raster named 7"),
        (np.ma.masked_array(np.zeros((6, 8))), "masked array: fill it"),
    ],
)
def test_arrays_that_a_function_may_not_return(result: Any, told: str) -> None:
    """A reason that its author understands."""
    with pytest.raises(OutputError, match=told):
        split(result, TILE)


def test_what_is_said_of_rasters_is_theirs() -> None:
    """Or it is a tile's error, and not one at the end."""
    array = np.zeros((2, 6, 8), np.float32)
    check_raster("score", array, RasterAssembly("mean", 1, None, None, ["a", "b"]))
    with pytest.raises(OutputError, match="'score' has 2 bands, and band_names"):
        check_raster("score", array, RasterAssembly("mean", 1, None, None, ["a"]))
    with pytest.raises(OutputError, match="2 bands of float32, and colormap="):
        check_raster("score", array, RasterAssembly("crop", 1, None, {1: (0, 0, 9)}))
    with pytest.raises(OutputError, match="nodata=300: no value of uint8"):
        check_raster("m", array.astype(np.uint8), RasterAssembly("crop", 1, 300))
    with pytest.raises(OutputError, match="no value of float32"):
        nodata_of(F32, 1e300)
    assert nodata_of(F32, float("-inf")) == float("-inf")
    assert nodata_of(Kind("int16", 1), None) == 32767
    assert np.isnan(nodata_of(F32, None))
    assert nodata_of(F32, 0) == 0


def test_what_is_said_by_name_is_of_that_raster() -> None:
    """And what is said of none, of all."""
    said = Assembly(
        blend={"score": "mean"}, nodata=9, colormap={"mask": {1: (1, 2, 3)}}, band_names=["x"]
    ).applied({})
    assert said.of_raster("mask") == RasterAssembly("crop", 1, 9, {1: [1, 2, 3]}, ["x"])
    assert said.of_raster("score") == RasterAssembly("mean", 1, 9, None, ["x"])
    assert said.is_blended
    again = Assembly().applied(said.to_dict())
    assert again.of_raster("mask") == said.of_raster("mask")
    assert not Assembly().applied({}).is_blended


@pytest.mark.parametrize(
    "said",
    [
        {"merge": "both"},
        {"merge_iou": 2},
        {"merge_iou": "0.5"},
        {"merge_by": []},
        {"merge_by": 5},
        {"formats": ["shp"]},
        {"blend": "feather"},
        {"blend": {"mask": "feather"}},
        {"stride": 0},
        {"stride": 1.5},
        {"nodata": "none"},
        {"colormap": {}},
        {"colormap": {"a": (1, 2, 3)}},
        {"colormap": {1: (1, 2)}},
        {"colormap": {1: (1, 2, 300)}},
        {"band_names": [1]},
    ],
    ids=str,
)
def test_what_cannot_be_said_of_assembly(said: dict[str, Any]) -> None:
    """Told with its name and value."""
    [name] = said
    with pytest.raises(OutputError, match=name):
        Assembly(**said).applied({})

"""Tiles that are read ahead, and neighbours that are read at once: without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker.imagery import Block, Grid, blocks, describe, pixels, plan, read
from raytracker.imagery.order import order
from raytracker.pipeline import ahead
from raytracker.pipeline.ahead import Entry, read_ahead
from tests.support.grids import grids, tiles
from tests.support.images import make_image
from tests.support.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


def of_two_bands(folder: Path, grid: Grid, **options: Any) -> Grid:
    """The same grid, of an image that is there: of two bands, no two pixels of a band alike."""
    width, height = grid.info.width, grid.info.height
    band = np.arange(width * height, dtype=np.uint16).reshape(height, width)
    info = describe(make_image(folder / "image.tif", np.stack([band, band[::-1] + 1]), **options))
    return plan(info, grid.tile_size, grid.tile_overlap, grid.region_size, edges=grid.edges)


# --- what is read at once ---


@given(grids(), st.booleans(), st.integers(1, 2_000), st.data())
def test_neighbours_that_are_read_at_once_are_as_each_alone(
    folder: Path, grid: Grid, curved: bool, most: int, data: st.DataObject
) -> None:
    """Whatever their order, some left out; in memory of their own: no other is written to."""
    grid = of_two_bands(folder, grid, nodata=0)
    every = tiles(grid)
    chosen = [every[n] for n in order(grid)] if curved else every
    left_out = data.draw(st.sets(st.sampled_from(range(len(every))), max_size=3))
    chosen = [tile for number, tile in enumerate(chosen) if number not in left_out]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "TOGETHER_BYTES", most)
        found = list(blocks(chosen))
    assert [tile for block in found for tile in block.tiles] == chosen
    for block in found:
        arrays = [_array(own) for own in block.each(block.read())]
        assert block.nbytes == sum(own.nbytes for own in arrays)
        assert len(block.tiles) == 1 or block.nbytes <= most
        for tile, own in zip(block.tiles, arrays, strict=True):
            assert np.array_equal(own, read(tile))
            own[:] = 0


def _array(own: Any) -> Any:
    assert isinstance(own, np.ndarray)
    return own


def test_along_the_curve_squares_are_read_at_once(tmp_path: Path) -> None:
    """Of 16 small tiles a side, in the order in which chunks have them."""
    info = describe(make_image(tmp_path / "i.tif", np.zeros((1, 1024, 1024), np.uint8)))
    grid = plan(info, 64, region_size=1024)
    every = tiles(grid)
    found = list(blocks(every[number] for number in order(grid)))
    assert [len(block.tiles) for block in found] == [64] * 4
    for block in found:
        rows, columns = ({getattr(t, axis) for t in block.tiles} for axis in ("row", "column"))
        assert len(rows) * len(columns) == len(block.tiles)


def test_a_tile_larger_than_that_is_read_alone(tmp_path: Path) -> None:
    """One after the other, in their order."""
    info = describe(make_image(tmp_path / "i.tif", np.zeros((3, 300, 600), np.uint8)))
    every = tiles(plan(info, 300, region_size=600))
    assert [block.tiles for block in blocks(every)] == [[tile] for tile in every]
    assert list(blocks([])) == []


# --- ahead ---


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(1, 4))
def test_tiles_come_in_their_order_and_empty_ones_without_pixels(
    folder: Path, full: list[bool], batch: int
) -> None:
    """Where such are skipped."""
    values = np.repeat(np.array(full, np.uint8), 4)[None, None].repeat(4, axis=1)
    info = describe(make_image(folder / "empty.tif", values, nodata=0))
    grid = plan(info, 4, region_size=8, skip_empty=True)
    keys = [(tile.region, tile.number) for tile in tiles(grid)]
    entries = list(read_ahead(grid, keys, batch))
    assert [(entry.tile.region, entry.tile.number) for entry in entries] == keys
    assert [entry.pixels is not None for entry in entries] == full
    assert [entry.error for entry in entries] == [None] * len(keys)


@pytest.mark.parametrize(("batch", "wanted"), [(1, 3), (3, 3), (6, 6)])
def test_so_much_is_read_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, wanted: int
) -> None:
    """As many bytes as are allowed, but always the next batch."""
    monkeypatch.setattr(ahead, "AHEAD_BYTES", 3 * 64)
    monkeypatch.setattr(ahead, "GROUP_BYTES", 1)
    grid = plan(
        describe(make_image(tmp_path / "i.tif", np.zeros((1, 8, 8 * 16), np.uint8))),
        8,
        region_size=8,
    )
    monkeypatch.setattr(pixels, "TOGETHER_BYTES", 1)
    was_read: list[Block] = []
    whole = Block.read

    def counted(block: Block) -> Any:
        was_read.append(block)
        return whole(block)

    monkeypatch.setattr(Block, "read", counted)
    taken = read_ahead(grid, [(region, 0) for region in range(16)], batch)
    for count in range(1, 17):
        next(taken)
        expected = min(16, count + wanted)
        wait_until(lambda: len(was_read) >= expected, 10)  # noqa: B023
        assert len(was_read) == expected
    assert next(taken, None) is None


def test_what_is_no_more_wanted_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it hold up the next chunk, which the same thread reads."""
    monkeypatch.setattr(ahead, "GROUP_BYTES", 1)
    monkeypatch.setattr(pixels, "TOGETHER_BYTES", 1)
    info = describe(make_image(tmp_path / "i.tif", np.zeros((1, 8, 8 * 100), np.uint8)))
    grid = plan(info, 8, region_size=800)
    keys = [(0, number) for number in range(100)]
    was_read: list[Block] = []
    whole = Block.read

    def counted(block: Block) -> Any:
        was_read.append(block)
        wait_until(lambda: stopped or len(was_read) == 1, 10)
        return whole(block)

    stopped: list[bool] = []
    monkeypatch.setattr(Block, "read", counted)
    taken = read_ahead(grid, keys)
    first: Entry = next(taken)
    taken.close()
    stopped.append(True)
    assert first.tile.number == 0
    assert len(list(read_ahead(grid, keys[:2]))) == 2
    assert len(was_read) <= 1 + 1 + 2  # one was being read

"""The order in which tiles go: each once, and those that go together lie together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker.imagery import Grid, plan
from raytracker.imagery.order import order
from tests.support.grids import grids, image, square, tiles, with_roi


@given(grids(), st.data())
def test_each_tile_goes_once(grid: Grid, data: st.DataObject) -> None:
    """And its place is the one that the grid gives it, also with a region of interest."""
    if data.draw(st.booleans()):
        width, height = grid.info.width, grid.info.height
        grid = with_roi(grid, square(0, 0, width / 2, height / 3 + 1))
    placed = tiles(grid)
    assert sorted(order(grid)) == list(range(len(placed)))
    rows, columns = grid.places()
    assert rows.tolist() == [each.row for each in placed]
    assert columns.tolist() == [each.column for each in placed]


@pytest.mark.parametrize("side", [8, 32])
def test_the_next_tile_is_a_neighbour(side: int) -> None:
    """Where the curve fills the grid."""
    grid = plan(image(side * 64, side * 64), 64, 0, 256)
    rows, columns = (places[order(grid)] for places in grid.places())
    steps = [
        abs(a - c) + abs(b - d) for (a, b), (c, d) in pairwise(zip(rows, columns, strict=True))
    ]
    assert set(steps) == {1}


def blocks_decoded(grid: Grid, chunk: int, block: int) -> float:
    """Returns how often each block of the file is decoded when each chunk decodes its own once."""
    rows, columns = (places[order(grid)] for places in grid.places())
    decoded = 0
    for first in range(0, len(rows), chunk):
        touched = set()
        for row, column in zip(rows[first:][:chunk], columns[first:][:chunk], strict=True):
            top, left = grid.down.start(row), grid.across.start(column)
            bottom = min(top + grid.tile_size[1], grid.info.height) - 1
            right = min(left + grid.tile_size[0], grid.info.width) - 1
            down = np.arange(top // block, bottom // block + 1)
            across = np.arange(left // block, right // block + 1)
            touched |= {(int(r), int(c)) for r in down for c in across}
        decoded += len(touched)
    return decoded / (-(-grid.info.width // block) * -(-grid.info.height // block))


def test_chunks_share_blocks() -> None:
    """Of 64 tiles of 512 that overlap by 64, over blocks of 512: a block is decoded 1.3 times."""
    assert blocks_decoded(plan(image(20_480, 20_480), 512, 64, 2048), 64, 512) <= 1.35

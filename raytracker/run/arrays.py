"""Reports of many regions or tiles at once, from numpy arrays of their indexes.

numpy is imported here only: who has no array needs none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import UnknownRegion
from ..ledger import MAX_REASONS, Layout, Span

GAP = 512  # tiles between two reported ones that are worth a new span


def spans_of_arrays(
    layout: Layout, region: ArrayLike, tile: ArrayLike | None, outcome: bytes
) -> tuple[list[Span], list[int]]:
    """Returns the tiles of these regions as spans of one outcome.

    Args:
        layout: The tiles of each region.
        region: Regions.
        tile: Tiles in these regions; None: all.
        outcome: One byte.

    Returns:
        The spans, and the tile numbers that a reason belongs to: the first of each region, or each
        tile; as many as a ledger keeps reasons.

    Raises:
        UnknownRegion: The image has no such region or tile.
        TypeError: An array is not one of integers.
    """
    regions = _integers("region", region)
    _check(regions, layout.region_count, "region {}: this image has regions 0 to {}")
    first, size = _places(layout, regions)
    if tile is not None:
        tiles = _integers("tile", tile)
        first, size, tiles = np.broadcast_arrays(first, size, tiles)
        if (wrong := (tiles < 0) | (tiles >= size)).any():
            at = wrong.argmax()
            raise UnknownRegion(
                f"tile {tiles.flat[at]}: its region has tiles 0 to {size.flat[at] - 1}"
            )
        first, size = first + tiles, np.ones_like(size)
    first, size = first.ravel(), size.ravel()
    return _spans(first, size, outcome), np.unique(first)[:MAX_REASONS].tolist()


def _integers(name: str, values: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":  # an empty list is one of floats to numpy
        raise TypeError(f"{name}: an integer or an array of integers, not {array.dtype}")
    return array.astype(np.int64, copy=False)


def _check(numbers: NDArray[np.int64], count: int, text: str) -> None:
    if (wrong := (numbers < 0) | (numbers >= count)).any():
        raise UnknownRegion(text.format(numbers.flat[wrong.argmax()], count - 1))


def _places(
    layout: Layout, regions: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the first tile of each region, and how many it has."""
    counts, sizes = np.array(layout.runs, dtype=np.int64).T
    first_region = np.concatenate(([0], np.cumsum(counts)[:-1]))
    first_tile = np.concatenate(([0], np.cumsum(counts * sizes)[:-1]))
    run = np.searchsorted(first_region, regions, side="right") - 1
    return first_tile[run] + (regions - first_region[run]) * sizes[run], sizes[run]


def _spans(first: NDArray[np.int64], size: NDArray[np.int64], outcome: bytes) -> list[Span]:
    """Returns tile ranges, given by first tile and length, as few spans."""
    if not len(first):
        return []
    if (first[1:] < first[:-1]).any():
        order = np.argsort(first, kind="stable")
        first, size = first[order], size[order]
    end = np.maximum.accumulate(first + size)
    cuts = np.flatnonzero(first[1:] - end[:-1] > GAP) + 1
    spans = []
    for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), len(first)], strict=True):
        base, length = int(first[start]), int(end[stop - 1] - first[start])
        begins = np.bincount(first[start:stop] - base, minlength=length + 1)
        ends = np.bincount(first[start:stop] + size[start:stop] - base, minlength=length + 1)
        inside = np.cumsum(begins - ends)[:-1] > 0
        spans.append((base, (inside * np.uint8(outcome[0])).tobytes()))
    return spans

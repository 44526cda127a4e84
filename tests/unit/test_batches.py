"""What a function is given at a time, and which result is whose: without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from raytracker import Work
from raytracker.errors import InvalidFunction, InvalidImage
from raytracker.imagery import ImageInfo, Tile, describe, pixels, plan, read
from raytracker.mapping import ProcessSpoiled, TimeLimit
from raytracker.pipeline.ahead import Entry
from raytracker.pipeline.assembly.asked import USUAL
from raytracker.pipeline.features import encode_features
from raytracker.pipeline.objects import TileResult
from raytracker.pipeline.worker import Call, Worker
from tests.support.grids import image, tiles
from tests.support.images import make_image

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")

NO_LIMIT = TimeLimit(None)


def entries(count: int) -> list[Entry]:
    """Tiles of one row, each with its number as its pixels."""
    row = tiles(plan(image(max(1, count), 1), 1))[:count]
    return [Entry(tile, np.full((1, 1, 1), tile.column), None) for tile in row]


def called(function: Callable[..., Any], count: int) -> list[Any]:
    return Call(function, NO_LIMIT, is_batch=True).results(entries(count))


# --- one call ---


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_every_tile_has_its_own_result_or_its_own_error(drawn: tuple[int, set[int]]) -> None:
    """In the order of the tiles, whichever of them fail."""
    count, failing = drawn

    def find(pixels: Any, its: list[Tile]) -> list[Any]:
        assert pixels.ravel().tolist() == [tile.column for tile in its]
        for tile in its:
            if tile.column in failing:
                raise LookupError(tile.column)
        return [tile.column for tile in its]

    found = called(find, count)
    told = [one.args[0] if isinstance(one, LookupError) else one for one in found]
    assert told == list(range(count))
    assert {n for n, one in enumerate(found) if isinstance(one, LookupError)} == failing


def test_a_batch_that_is_too_large_succeeds_in_parts() -> None:
    """As where a GPU's memory does not hold it: no tile is to blame."""
    sizes: list[int] = []

    def find(pixels: Any, its: list[Tile]) -> list[int]:
        sizes.append(len(its))
        if len(its) > 2:
            raise MemoryError
        return [tile.column for tile in its]

    assert called(find, 8) == list(range(8))
    assert sizes == [8, 4, 2, 2, 4, 2, 2]


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered\nCUDA kernel errors might be reported later",
        "CUDA error: an illegal memory access was encountered",
        "cudaErrorIllegalAddress: an illegal memory access was encountered",
        "INTERNAL: CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure",
        "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; expr=cudaFree(p)",
    ],
)
def test_a_spoiled_process_is_not_a_tiles_fault(text: str) -> None:
    """CUDA answers every later call with the same: no half of the batch is tried there."""
    calls = []

    def find(pixels: Any, its: list[Tile]) -> Any:
        calls.append(len(its))
        try:
            raise RuntimeError(text)
        except RuntimeError as err:
            raise ValueError("the model failed") from err

    with pytest.raises(ProcessSpoiled, match="the model failed"):
        called(find, 8)
    assert calls == [8]


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: out of memory",
        "CUDNN_STATUS_NOT_SUPPORTED",
        "a misaligned address in the street list",
    ],
)
def test_what_the_next_call_may_do_better_is_a_tiles(text: str) -> None:
    """Such as want of memory: halves are tried."""

    def find(pixels: Any, its: list[Tile]) -> Any:
        raise RuntimeError(text)

    assert [str(one) for one in called(find, 2)] == [text, text]


@pytest.mark.parametrize(
    "find",
    [
        lambda pixels, its: [tile.column for tile in its],
        lambda pixels, its: tuple(tile.column for tile in its),
        lambda pixels, its: pixels[:, 0, 0, 0],
        lambda pixels, its: (tile.column for tile in its),
        lambda pixels, its: map(int, pixels.ravel()),
    ],
)
def test_results_come_as_a_list_or_what_can_be_one(find: Any) -> None:
    """An array, too, or a generator, which is run."""
    assert called(find, 5) == [0, 1, 2, 3, 4]


def test_a_tiles_result_may_be_a_generator() -> None:
    """It is run, and what it raises is its tile's error."""

    def features(column: int) -> Iterator[int]:
        yield column
        if column == 2:
            raise LookupError
        yield column + 10

    *first, failed, last = called(lambda _, its: [features(tile.column) for tile in its], 4)
    assert [*first, last] == [[0, 10], [1, 11], [3, 13]]
    assert isinstance(failed, LookupError)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], "0 results for a batch of 3 tiles"),
        ([1, 2], "2 results for a batch of 3"),
        ([1, 2, 3, 4], "4 results for a batch of 3"),
        (None, "a NoneType for a batch of 3"),
        ({0: 0, 1: 1, 2: 2}, "a dict for a batch of 3"),
        ("abc", "a str for a batch of 3"),
        (7, "a int for a batch of 3"),
    ],
)
def test_what_is_no_result_for_each_is_refused(found: Any, told: str) -> None:
    """At once: halving it would give results to the wrong tiles, or errors to all."""
    calls: list[int] = []

    def find(pixels: Any, its: list[Tile]) -> Any:
        calls.append(len(its))
        return found

    with pytest.raises(InvalidFunction, match=f"the function returned {told}"):
        called(find, 3)
    assert calls == [3]


def test_without_batches_a_function_is_given_one_tile() -> None:
    """Its pixels have no axis more, and what it returns is the result, also a list."""
    call = Call(lambda pixels, tile: [pixels.shape, tile.column], NO_LIMIT, is_batch=False)
    assert call.results(entries(1)) == [[(1, 1, 1), 0]]
    assert call.busy_seconds > 0


# --- a chunk ---

SIDE = 30


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> ImageInfo:
    """An image no two pixels of which are alike."""
    pixels = np.arange(SIDE * SIDE, dtype="int32").reshape(1, SIDE, SIDE)
    path: Path = tmp_path_factory.mktemp("images") / "image.tif"
    return describe(make_image(path, pixels))


class Kept:
    """Takes what a chunk gives, in place of a store."""

    def write_chunk(self, results: dict[tuple[int, int], TileResult]) -> None:
        self.results = {key: result.features for key, result in results.items()}


def found_in(pixels: Any, tile: Tile) -> Any:
    return tile.feature([(0, 0), (1, 0), (1, 1)], {"pixels": pixels.tolist()})


@given(
    size=st.tuples(st.integers(4, 20), st.integers(4, 20)),
    edges=st.sampled_from(["clip", "pad", "shift"]),
    batch_size=st.integers(1, 9),
    share=st.sampled_from([0.0, 0.2, 1.0]),
    seed=st.integers(0, 1000),
)
def test_every_tile_of_a_chunk_has_its_own(
    info: ImageInfo, size: Any, edges: Any, batch_size: int, share: float, seed: int
) -> None:
    """Whatever shapes arrays have, how many go at a time, and which of them fail."""
    grid = plan(info, size, edges=edges)
    by_key = {(tile.region, tile.number): tile for tile in tiles(grid)}
    random = np.random.default_rng(seed)
    keys = [list(by_key)[n] for n in random.permutation(len(by_key))]
    failing = {key for key in keys if random.random() < share}
    given: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    calls: list[int] = []

    def find(pixels: Any, its: list[Tile]) -> Any:
        calls.append(len(its))
        assert 1 <= len(its) == len(pixels) <= batch_size
        bad = [key for key in ((tile.region, tile.number) for tile in its) if key in failing]
        if bad:
            raise LookupError(bad[0])
        for tile in its:
            given.setdefault(pixels.shape[1:], []).append((tile.region, tile.number))
        return map(found_in, pixels, its)

    kept: Any = Kept()
    worked = Worker(grid, NO_LIMIT, kept, batch_size, USUAL)(find, keys)
    assert worked.reasons == {key: f"LookupError: {key}" for key in failing}
    assert kept.results == {
        key: encode_features(found_in(read(tile), tile))
        for key, tile in by_key.items()
        if key not in failing
    }
    for alike in given.values():
        assert alike == sorted(alike, key=keys.index)
    if not failing:
        assert len(calls) == sum(-(-len(alike) // batch_size) for alike in given.values())


def test_a_tile_that_is_not_read_or_not_kept_is_an_error(
    info: ImageInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It alone: its mates' batch is made without the one, and kept without the other."""
    grid = plan(info, (5, SIDE))
    keys = [(tile.region, tile.number) for tile in tiles(grid)]

    damaged = grid.tile(*keys[1]).col_off
    whole = pixels.read_window

    def read_some(image: ImageInfo, window: Window, *args: Any) -> Any:
        if window.col_off <= damaged < window.col_off + window.width:
            raise InvalidImage("a block is damaged")
        return whole(image, window, *args)

    monkeypatch.setattr(pixels, "read_window", read_some)
    batches: list[list[int]] = []

    def find(pixels: Any, its: list[Tile]) -> Any:
        batches.append([tile.column for tile in its])
        return ["no feature" if tile.column == 3 else None for tile in its]

    kept: Any = Kept()
    worked = Worker(grid, NO_LIMIT, kept, 4, USUAL)(find, keys)
    assert batches == [[0, 2, 3, 4], [5]]
    assert list(worked.reasons) == [keys[1], keys[3]]
    assert worked.reasons[keys[1]] == "InvalidImage: a block is damaged"
    assert worked.reasons[keys[3]].startswith("OutputError: the function returned 'no feature'")
    assert kept.results == {keys[n]: b"[]" for n in (0, 2, 4, 5)}


# --- how ---


@pytest.mark.parametrize(
    ("concurrency", "range_"),
    [(None, (1, None)), (1, (1, 1)), (3, (3, 3)), ((2, 5), (2, 5)), ([2, 2], (2, 2))],
)
def test_how_many_workers(concurrency: Any, range_: Any) -> None:
    """A number, or the least and the most."""
    assert Work(concurrency=concurrency).range == range_


@pytest.mark.parametrize(
    "concurrency", [0, -1, 1.5, "2", (), (0, 2), (3, 2), (1, 2, 3), (1, None), ("1", 2)]
)
def test_how_many_workers_cannot_be(concurrency: Any) -> None:
    """They are refused by name and value."""
    with pytest.raises(ValueError, match=r"^concurrency=.*: give a number, at least 1, or \(least"):
        Work(concurrency=concurrency)

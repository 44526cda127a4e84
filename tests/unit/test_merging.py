"""Merging what was found in the tiles, however these travelled."""

import gzip
import json
import os
import tracemalloc
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytracker.errors import OutputError
from raytracker.pipeline import ResultStore
from raytracker.pipeline.features import encode_features
from tests.support.assembled import assembled, grid_of, results_of, source_of
from tests.support.results import FEATURE, names

ONE = grid_of(1, 1)


def ns(features: list[Any]) -> list[Any]:
    return [feature["properties"]["n"] for feature in features]


def test_results_are_merged_in_the_order_of_the_tiles(store: ResultStore) -> None:
    """Those asked for, and no others; from one object each."""
    tiles = [(region, tile) for region in range(20) for tile in range(10)]
    for number, key in enumerate(tiles):
        found = [{**FEATURE, "properties": {"n": number + part / 10}} for part in range(key[1] % 3)]
        store.write_chunk(results_of({key: encode_features(found)}))
    asked = [key for key in tiles if key != (7, 1)]
    merged = assembled(source_of(store, grid_of(20, 10), asked))
    assert ns(merged) == [
        region * 10 + tile + part / 10 for region, tile in asked for part in range(tile % 3)
    ]


def test_nothing_found_is_a_collection_too(store: ResultStore) -> None:
    """Of no Features; and of no tile."""
    store.write_chunk(results_of({(0, 0): b"[]"}))
    assert assembled(source_of(store, ONE, [(0, 0)])) == []
    assert assembled(source_of(store, ONE, [])) == []


def test_a_result_that_is_gone_is_told(store: ResultStore) -> None:
    """Rather than left out; what was merged before stays."""
    store.write("results.geojson", b"old")
    with pytest.raises(OutputError, match=r"no result of region 0, tile 5"):
        assembled(source_of(store, grid_of(1, 6), [(0, 5)]))
    assert store.read("results.geojson") == b"old"


@given(st.data())
def test_what_is_merged_is_the_same_however_tiles_travelled(data: st.DataObject) -> None:
    """In chunks cut anyhow, written again by who was taken for dead, in any order."""
    regions, each = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 8))
    keys = [(region, tile) for region in range(regions) for tile in range(each)]
    found = {key: encode_features([FEATURE] * (sum(key) % 3)) for key in keys}
    chunks = [[key] for key in keys] if data.draw(st.booleans()) else [keys]
    chunks += data.draw(st.lists(st.lists(st.sampled_from(keys), unique=True), max_size=6))
    asked = data.draw(st.sets(st.sampled_from(keys)))
    with TemporaryDirectory() as folder:
        whole, cut = ResultStore(folder, "whole"), ResultStore(folder, "cut")
        for store, parts in ((whole, [keys]), (cut, data.draw(st.permutations(chunks)))):
            Path(folder, store.sink["tiles"]).mkdir()
            for part in parts:
                store.write_chunk(results_of({key: found[key] for key in part}))
        assembled(source_of(whole, grid_of(regions, each), asked))
        once = whole.read("results.geojson")
        assembled(source_of(cut, grid_of(regions, each), asked))
        assert cut.read("results.geojson") == once


@given(st.data())
def test_which_of_several_results_of_a_tile_counts(data: st.DataObject) -> None:
    """That of the fewest tiles, then of the least name; whatever the order they were written in."""
    regions = data.draw(st.integers(1, 3))
    keys = [(region, tile) for region in range(regions) for tile in range(6)]
    some = st.lists(st.sampled_from(keys), unique=True, min_size=1).map(sorted)
    cut = sorted(data.draw(st.sets(st.integers(1, len(keys) - 1))))
    chunks = [keys[a:b] for a, b in pairwise([0, *cut, len(keys)])]
    chunks += data.draw(st.lists(some, max_size=12))
    with TemporaryDirectory() as folder:
        store = ResultStore(folder)
        Path(folder, "tiles").mkdir()
        for chunk in data.draw(st.permutations(chunks)):
            told = encode_features({**FEATURE, "properties": {"of": str(chunk)}})
            store.write_chunk(results_of(dict.fromkeys(chunk, told)))
        counts: dict[tuple[int, int], tuple[int, str, Any]] = {}
        for path in Path(folder, "tiles").iterdir():
            lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
            for region, tile, [feature] in lines:
                found = len(lines), path.name, feature
                counts[region, tile] = min(found, counts.get((region, tile), found))
        merged = assembled(source_of(store, grid_of(regions, 6), keys))
        assert merged == [counts[key][2] for key in keys]


def test_of_two_results_of_a_tile_that_of_the_smaller_chunk_counts(store: ResultStore) -> None:
    """A tile that was tried again alone, while the task that was given up on went on."""
    first, second = ({**FEATURE, "properties": {"n": n}} for n in (1, 2))
    store.write_chunk(results_of({(0, tile): encode_features(first) for tile in range(3)}))
    store.write_chunk(results_of({(0, 1): encode_features(second)}))
    merged = assembled(source_of(store, grid_of(1, 3), [(0, tile) for tile in range(3)]))
    assert ns(merged) == [1, 2, 1]


def test_what_an_earlier_version_wrote_is_read(store: ResultStore) -> None:
    """Its objects do not say where their tiles lie."""
    lines = b'[0, 0, [{"a": 1}]]\n[1, 1, [{"a": 2}]]\n'
    store.write("tiles/00000-00000-2-0da3334dc6f1.jsonl.gz", gzip.compress(lines))
    assert assembled(source_of(store, grid_of(2, 2), [(0, 0), (1, 1)])) == [{"a": 1}, {"a": 2}]


def written_by_hand(store: ResultStore, data: bytes) -> str:
    """Puts something in the place of the results of tile 0; returns its name."""
    store.write_chunk(results_of({(0, 0): b"[]"}))
    [name] = [name for name in names(store) if name.startswith("tiles/")]
    store.write(name, data)
    return name


@pytest.mark.parametrize(
    "lines",
    [
        *(
            b"",
            b"[0, 0",
            b"{}",
            b"[0, 1, []]\n",
            b"[" * 100_000,
            b"\xff",
            b"[0, 0, []]\n[0, 1, []]\n",
        ),
        *(b"[0, 0, [{} ]]\n", b"[0, 0, [{},{}]]\n", b"[0, 0, [{}, ]]\n", b"[0, 0, [{}]\n]\n"),
        *(b"[0, 0, [{}, {}}]\n", b"[0, 0, []] []]\n", b'[0, 0, [{"a": "\xc3\xa4"}]]\n'),
        *(b"[0, 0, {}]\n", b"[0, 0, [1]]\n", b'[0, 0, [{"a": NaN}]]\n', b"[0, 0, null]\n"),
    ],
    ids=str,
)
def test_lines_that_are_none_of_ours_are_told(store: ResultStore, lines: bytes) -> None:
    """By the object's name; what was merged before stays."""
    store.write("results.geojson", b"old")
    name = written_by_hand(store, gzip.compress(lines))
    with pytest.raises(OutputError, match=f"{name} is damaged"):
        assembled(source_of(store, ONE, [(0, 0)]))
    assert store.read("results.geojson") == b"old"


WHOLE = gzip.compress(b"[0, 0, []]\n")


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[0, 0, []]\n", WHOLE[:-1], WHOLE[:12], WHOLE + b"\0", WHOLE * 2, b"\0" + WHOLE),
        *(WHOLE.ljust(1024, b"\0"), WHOLE.ljust(5000, b"\0")),
    ],
    ids=["empty", "not packed", "no end", "torn", "more", "two", "shifted", "filled", "long"],
)
def test_an_object_that_is_none_of_ours_is_told(store: ResultStore, data: bytes) -> None:
    """What is torn or has more to it, too."""
    name = written_by_hand(store, data)
    with pytest.raises(OutputError, match=f"{name} is damaged"):
        assembled(source_of(store, ONE, [(0, 0)]))


def test_an_object_is_read_within_bounds(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own size, and of what it unpacks to: a bomb is told, and not unpacked."""
    name = written_by_hand(store, gzip.compress(b"[0, 0, []]" + b" " * 10_000_000))
    assert assembled(source_of(store, ONE, [(0, 0)])) == []
    monkeypatch.setattr("raytracker.pipeline.objects.MAX_UNPACKED_BYTES", 100_000)
    tracemalloc.start()
    with pytest.raises(OutputError, match=f"{name} is damaged: its lines are more than 100000"):
        assembled(source_of(store, ONE, [(0, 0)]))
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    store.write(name, os.urandom(10_000_000))
    monkeypatch.setattr("raytracker.pipeline.objects.MAX_OBJECT_BYTES", 1_000)
    tracemalloc.reset_peak()
    with pytest.raises(OutputError, match=f"{name} is damaged: it has more than 1000 bytes"):
        assembled(source_of(store, ONE, [(0, 0)]))
    if not store.url.startswith("s3://"):  # moto is in this process, and has it all
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("limit", ["MAX_OBJECT_BYTES", "MAX_UNPACKED_BYTES"])
def test_what_would_not_be_read_is_not_written(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """A success whose results cannot be merged would be none."""
    monkeypatch.setattr(f"raytracker.pipeline.objects.{limit}", 100)
    store.write_chunk(results_of({(0, 0): b"[]"}))
    told = encode_features({**FEATURE, "title": os.urandom(200).hex()})
    with pytest.raises(OutputError, match=r"is not written: the results of 1 t"):
        store.write_chunk(results_of({(0, 1): told}))
    assert len(names(store)) == 1


def test_what_gets_too_large_is_several_objects(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than refused."""
    found = encode_features({**FEATURE, "properties": {"n": 1}})
    monkeypatch.setattr("raytracker.pipeline.store.OBJECT_BYTES", 3 * len(found))
    store.write_chunk(results_of({(0, tile): found for tile in range(8)}))
    assert [each.tiles for each in store.chunks()] == [2, 3, 3]
    assert len(assembled(source_of(store, grid_of(1, 8), [(0, t) for t in range(8)]))) == 8

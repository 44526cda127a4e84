"""Writing results whole, reading them back, merging them; in a folder and in S3."""

import gzip
import json
import os
import pickle
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from raytracker.errors import OutputError
from raytracker.pipeline import ResultStore
from raytracker.pipeline.features import encode_features
from tests.support.moto_s3 import moto_s3

POINT = {"type": "Point", "coordinates": [1.0, 2.0]}
FEATURE = {"type": "Feature", "geometry": POINT, "properties": {"n": 1}}


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with moto_s3() as endpoint:
        yield endpoint


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ResultStore:
    """An empty place, made ready."""
    url = str(tmp_path / "out")
    if request.param == "s3":
        request.getfixturevalue("s3_endpoint")
        bucket = f"b-{tmp_path.name[:50]}".replace("_", "-").lower().rstrip("-")
        boto3.client("s3").create_bucket(Bucket=bucket)
        url = f"s3://{bucket}/some/prefix/"
    store = ResultStore(url)
    store._place.prepare("tiles")
    return store


def names(store: ResultStore) -> list[str]:
    """All files of a store."""
    if not store.url.startswith("s3://"):
        root = Path(store.url)
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    bucket = store.url.split("/")[2]
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    return sorted(entry["Key"].removeprefix("some/prefix/") for entry in listed)


# --- what a function may return ---


class Field:
    __geo_interface__ = POINT


@pytest.mark.parametrize(
    ("result", "features"),
    [
        (None, []),
        ([], []),
        (FEATURE, [FEATURE]),
        ([FEATURE, FEATURE], [FEATURE, FEATURE]),
        ((FEATURE for _ in range(2)), [FEATURE, FEATURE]),
        ({"type": "FeatureCollection", "features": [FEATURE]}, [FEATURE]),
        ({"type": "FeatureCollection", "features": []}, []),
        ({"type": "Feature", "geometry": None}, [{**FEATURE, "geometry": None, "properties": {}}]),
        ({**FEATURE, "id": 7}, [{**FEATURE, "id": 7}]),
        (POINT, [{**FEATURE, "properties": {}}]),
        (shapely.Point(1, 2), [{**FEATURE, "properties": {}}]),
        ([Field(), FEATURE], [{**FEATURE, "properties": {}}, FEATURE]),
        ({**FEATURE, "geometry": shapely.Point(1, 2)}, [FEATURE]),
        ({**FEATURE, "properties": {"n": np.uint8(1)}}, [FEATURE]),
        ({**FEATURE, "geometry": {**POINT, "coordinates": np.array([1.0, 2.0])}}, [FEATURE]),
    ],
)
def test_what_a_function_may_return(result: Any, features: list[Any]) -> None:
    """Features, and all that stands for them; numpy's values become Python's."""
    assert json.loads(encode_features(result)) == features


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (7, "returned 7, which is no GeoJSON"),
        ("polygon", "no GeoJSON"),
        ({"boxes": []}, "no GeoJSON"),
        ([(POINT, 3.0)], "returned 3.0, which is no GeoJSON"),
        ({"type": "Feature", "geometry": {"type": "Circle"}, "properties": {}}, "no GeoJSON"),
        ({**FEATURE, "geometry": [1, 2]}, "no GeoJSON"),
        ({**FEATURE, "properties": [1]}, "no GeoJSON"),
        ({**FEATURE, "properties": {"model": object()}}, "can't be JSON: .* is a object"),
        ({**FEATURE, "properties": {"mean": np.float32("nan")}}, "can't be JSON"),
        ({**FEATURE, "geometry": {**POINT, "coordinates": [np.inf, 0]}}, "can't be JSON"),
        ({**FEATURE, "properties": {(1, 2): 3}}, "can't be JSON"),
    ],
)
def test_what_a_function_may_not_return(result: Any, told: str) -> None:
    """A reason that its author understands."""
    with pytest.raises(OutputError, match=told):
        encode_features(result)


# --- files ---


def test_what_is_written_is_read(store: ResultStore) -> None:
    """By name, from another process too; the results of a chunk are one object."""
    store.write("job.json", b"{}")
    chunk = {(12, 4): encode_features(None), (12, 3): encode_features([FEATURE, FEATURE])}
    store.write_chunk(chunk)
    store.write_chunk({})
    other = pickle.loads(pickle.dumps(store))
    assert other.read("job.json") == b"{}"
    assert other.merge([(12, 3), (12, 4)], "") == 2
    written = [name for name in names(store) if name.startswith("tiles/")]
    assert len(written) == 1
    assert written == ["tiles/00012-00003-2-94fa04d518c5.jsonl.gz"]
    first = store.read(written[0])
    store.write_chunk(dict(reversed(chunk.items())))
    assert names(store) == ["job.json", "results.geojson", *written]
    assert store.read(written[0]) == first
    assert first[4:8] == bytes(4)  # no time


def test_the_place_as_an_output_of_a_job_item(tmp_path: Path) -> None:
    """S3 as OSML writes it."""
    assert ResultStore("s3://bucket/a/b/", "tiles-1").sink == {
        "type": "S3",
        "bucket": "bucket",
        "prefix": "a/b",
        "tiles": "tiles-1",
    }
    here = {"type": "Folder", "path": str(tmp_path), "tiles": "tiles"}
    store = ResultStore(tmp_path)
    assert store.sink == here
    another = {**here, "tiles": f"tiles-{'0f' * 16}"}
    assert ResultStore.is_at(another, store)
    assert not ResultStore.is_at({**another, "path": "/elsewhere"}, store)
    assert not ResultStore.is_at({**another, "more": ""}, store)
    assert not ResultStore.is_at({**here, "tiles": "tiles-../../elsewhere"}, store)
    assert not ResultStore.is_at({"type": "Folder", "path": str(tmp_path)}, store)


def test_a_relative_folder_is_the_same_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks run in other folders."""
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(ResultStore("out"))
    monkeypatch.chdir("/")
    assert pickle.loads(data).url == str(tmp_path / "out")


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole or not at all: a full disk, a process that ends; and no part is left behind."""
    store = ResultStore(tmp_path)
    store.write("results.geojson", b"old")
    with suppress(ZeroDivisionError), store._place.writing("results.geojson") as file:
        file.write(b"half of the n")
        raise ZeroDivisionError
    assert store.read("results.geojson") == b"old"

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"results.geojson cannot be written: .*No space left"):
        store.write("results.geojson", b"new")
    assert names(store) == ["results.geojson"]
    assert store.read("results.geojson") == b"old"


@pytest.mark.parametrize("url", ["", "s3://", "s3:///key", "gs://bucket/x"])
def test_what_is_no_output(url: str) -> None:
    """Told with what would do."""
    with pytest.raises(OutputError, match="s3://bucket/prefix"):
        ResultStore(url)


def test_a_node_without_the_folder_does_not_make_it(tmp_path: Path) -> None:
    """What it wrote there would be lost: only the driver makes it."""
    with pytest.raises(OutputError, match="cannot be written"):
        ResultStore(tmp_path / "out").write_chunk({(0, 0): b"[]"})
    assert not (tmp_path / "out").exists()


# --- merging ---


def collection(store: ResultStore) -> Any:
    return json.loads(store.read("results.geojson"))


def test_results_are_merged_in_the_order_of_the_tiles(store: ResultStore) -> None:
    """Those asked for, and no others; in more tiles than are read at once."""
    tiles = [(region, tile) for region in range(20) for tile in range(10)]
    for number, (region, tile) in enumerate(tiles):
        found = [{**FEATURE, "properties": {"n": number + part / 10}} for part in range(tile % 3)]
        store.write_chunk({(region, tile): encode_features(found)})
    asked = [key for key in tiles if key != (7, 1)]
    count = store.merge(asked, "pixels (column, row)")
    merged = collection(store)
    assert merged["type"] == "FeatureCollection"
    assert merged["coordinates"] == "pixels (column, row)"
    numbers = [feature["properties"]["n"] for feature in merged["features"]]
    assert numbers == [
        region * 10 + tile + part / 10 for region, tile in asked for part in range(tile % 3)
    ]
    assert count == len(numbers)


def test_nothing_found_is_a_collection_too(store: ResultStore) -> None:
    """Of no Features."""
    assert store.merge([], "pixels (column, row)") == 0
    assert collection(store)["features"] == []


def test_a_result_that_is_gone_is_told(store: ResultStore) -> None:
    """Rather than left out; what was merged before stays."""
    store.write("results.geojson", b"old")
    with pytest.raises(OutputError, match=r"no result of region 0, tile 5"):
        store.merge([(0, 5)], "")
    assert store.read("results.geojson") == b"old"


@given(st.data())
def test_what_is_merged_is_the_same_however_tiles_travelled(data: st.DataObject) -> None:
    """In chunks cut anyhow, written again by who was taken for dead, in any order."""
    regions, each = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 8))
    keys = [(region, tile) for region in range(regions) for tile in range(each)]
    found = {key: encode_features([FEATURE] * (sum(key) % 3)) for key in keys}
    chunks = [[key] for key in keys] if data.draw(st.booleans()) else [keys]
    chunks += data.draw(st.lists(st.lists(st.sampled_from(keys), unique=True), max_size=6))
    asked = sorted(data.draw(st.sets(st.sampled_from(keys))))
    with TemporaryDirectory() as folder:
        whole, cut = ResultStore(folder, "whole"), ResultStore(folder, "cut")
        for store, parts in ((whole, [keys]), (cut, data.draw(st.permutations(chunks)))):
            Path(folder, store.sink["tiles"]).mkdir()
            for part in parts:
                store.write_chunk({key: found[key] for key in part})
        whole.merge(asked, "")
        once = whole.read("results.geojson")
        cut.merge(asked, "")
        assert cut.read("results.geojson") == once


def test_of_two_chunks_of_one_size_that_of_the_least_name_counts(store: ResultStore) -> None:
    """The name as text: also where a tile's number has a digit more."""
    for first, n in ((99_999, 1), (100_000, 2)):
        told = encode_features({**FEATURE, "properties": {"n": n}})
        store.write_chunk({(0, first): told, (0, first + 1): told})
    store.merge([(0, 100_000)], "")
    assert [f["properties"]["n"] for f in collection(store)["features"]] == [2]


@given(st.data())
def test_which_of_several_results_of_a_tile_counts(data: st.DataObject) -> None:
    """That of the fewest tiles, then of the least name; whatever the order they were written in."""
    keys = [(region, tile) for region in range(data.draw(st.integers(1, 3))) for tile in range(6)]
    some = st.lists(st.sampled_from(keys), unique=True, min_size=1).map(sorted)
    cut = sorted(data.draw(st.sets(st.integers(1, len(keys) - 1))))
    chunks = [keys[a:b] for a, b in pairwise([0, *cut, len(keys)])]
    chunks += data.draw(st.lists(some, max_size=12))
    with TemporaryDirectory() as folder:
        store = ResultStore(folder)
        Path(folder, "tiles").mkdir()
        for chunk in data.draw(st.permutations(chunks)):
            told = encode_features({**FEATURE, "properties": {"of": str(chunk)}})
            store.write_chunk(dict.fromkeys(chunk, told))
        counts: dict[tuple[int, int], tuple[int, str, Any]] = {}
        for path in Path(folder, "tiles").iterdir():
            lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
            for region, tile, [feature] in lines:
                found = len(lines), path.name, feature
                counts[region, tile] = min(found, counts.get((region, tile), found))
        assert store.merge(keys, "") == len(keys)
        assert collection(store)["features"] == [counts[key][2] for key in keys]


def test_of_two_results_of_a_tile_that_of_the_smaller_chunk_counts(store: ResultStore) -> None:
    """A tile that was tried again alone, while the task that was given up on went on."""
    first, second = ({**FEATURE, "properties": {"n": n}} for n in (1, 2))
    store.write_chunk({(0, tile): encode_features(first) for tile in range(3)})
    store.write_chunk({(0, 1): encode_features(second)})
    store.merge([(0, tile) for tile in range(3)], "")
    assert [f["properties"]["n"] for f in collection(store)["features"]] == [1, 2, 1]


def written_by_hand(store: ResultStore, data: bytes) -> str:
    """Puts something in the place of the results of tile 0; returns its name."""
    store.write_chunk({(0, 0): b"[]"})
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
        *(b"[0, 0, {}]\n", b"[0, 0, [1]]\n", b'[0, 0, [{"a": NaN}]]\n', b"[0, 0, null]\n"),
    ],
    ids=str,
)
def test_lines_that_are_none_of_ours_are_told(store: ResultStore, lines: bytes) -> None:
    """By the object's name; what was merged before stays."""
    store.write("results.geojson", b"old")
    name = written_by_hand(store, gzip.compress(lines))
    with pytest.raises(OutputError, match=f"{name} is damaged"):
        store.merge([(0, 0)], "")
    assert store.read("results.geojson") == b"old"


WHOLE = gzip.compress(b"[0, 0, []]\n")


@pytest.mark.parametrize(
    "data",
    [b"", b"[0, 0, []]\n", WHOLE[:-1], WHOLE[:12], WHOLE + b"\0", WHOLE * 2, b"\0" + WHOLE],
    ids=["empty", "not packed", "no end", "torn", "more", "two", "shifted"],
)
def test_an_object_that_is_none_of_ours_is_told(store: ResultStore, data: bytes) -> None:
    """What is torn or has more to it, too."""
    name = written_by_hand(store, data)
    with pytest.raises(OutputError, match=f"{name} is damaged"):
        store.merge([(0, 0)], "")


def test_an_object_is_read_within_bounds(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own size, and of what it unpacks to: a bomb is told, and not unpacked."""
    name = written_by_hand(store, gzip.compress(b"[0, 0, []]" + b" " * 10_000_000))
    assert store.merge([(0, 0)], "") == 0
    monkeypatch.setattr("raytracker.pipeline.store.MAX_UNPACKED_BYTES", 100_000)
    tracemalloc.start()
    with pytest.raises(OutputError, match=f"{name} is damaged: it unpacks to more than 100000"):
        store.merge([(0, 0)], "")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    store.write(name, os.urandom(10_000_000))
    monkeypatch.setattr("raytracker.pipeline.store.MAX_OBJECT_BYTES", 1_000)
    tracemalloc.reset_peak()
    with pytest.raises(OutputError, match=f"{name} is damaged: it has more than 1000 bytes"):
        store.merge([(0, 0)], "")
    if not store.url.startswith("s3://"):  # moto is in this process, and has it all
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("limit", ["MAX_OBJECT_BYTES", "MAX_UNPACKED_BYTES"])
def test_what_would_not_be_read_is_not_written(
    store: ResultStore, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """A success whose results cannot be merged would be none."""
    monkeypatch.setattr(f"raytracker.pipeline.store.{limit}", 100)
    store.write_chunk({(0, 0): b"[]"})
    with pytest.raises(OutputError, match=r"00000-00001-1-.* is not written: the features of 1 t"):
        store.write_chunk({(0, 1): encode_features({**FEATURE, "id": os.urandom(200).hex()})})
    assert len(names(store)) == 1


# --- check_shared ---


@pytest.fixture
def one_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.nodes", lambda: [{"NodeID": "n", "Alive": True}])


@pytest.mark.usefixtures("one_node")
def test_a_place_made_ready_takes_tiles(tmp_path: Path) -> None:
    """And keeps nothing of the test."""
    store = ResultStore(tmp_path / "some" / "out")
    store.check_shared()
    assert names(store) == []
    store.write_chunk({(0, 0): encode_features(FEATURE)})
    assert store.merge([(0, 0)], "") == 1


@pytest.mark.usefixtures("one_node")
def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the folder should be; as root, rights are no hindrance."""
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match=f"{tmp_path}/out"):
        ResultStore(tmp_path / "out").check_shared()


@pytest.mark.usefixtures("one_node", "s3_endpoint")
def test_a_bucket_that_is_not_there() -> None:
    """Told with its name."""
    with pytest.raises(OutputError, match="s3://no-such-bucket/x/.*cannot be written"):
        ResultStore("s3://no-such-bucket/x").check_shared()

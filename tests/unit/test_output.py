"""Writing results whole, reading them back, merging them; in a folder and in S3."""

import json
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from raytracker.errors import OutputError
from raytracker.pipeline import ResultStore
from raytracker.pipeline.features import encode_features
from tests.support.assembled import assembled, grid_of, results_of, source_of
from tests.support.results import FEATURE, POINT, names

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
        ({**FEATURE, "id": 7}, [{**FEATURE, "properties": {"id": 7, "n": 1}}]),
        ({**FEATURE, "id": 7, "properties": {"id": 8}}, [{**FEATURE, "properties": {"id": 8}}]),
        ({**FEATURE, "bbox": [1, 2, 1, 2], "title": "x"}, [{**FEATURE, "title": "x"}]),
        (map(dict, [FEATURE, FEATURE]), [FEATURE, FEATURE]),
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
        ({**FEATURE, "properties": {"mean": np.float32("nan")}}, r"properties.mean is nan"),
        ({**FEATURE, "geometry": {**POINT, "coordinates": [np.inf, 0]}}, "not finite"),
        ({**FEATURE, "properties": {(1, 2): 3}}, r"properties has the key \(1, 2\), a tuple"),
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
    found = {(12, 4): encode_features(None), (12, 3): encode_features([FEATURE, FEATURE])}
    chunk = results_of(found)
    store.write_chunk(chunk)
    store.write_chunk({})
    other = pickle.loads(pickle.dumps(store))
    assert other.read("job.json") == b"{}"
    assert len(assembled(source_of(other, grid_of(13, 5), chunk))) == 2
    written = [name for name in names(store) if name.startswith("tiles/")]
    assert len(written) == 1
    assert written == ["tiles/00012-00003-1x2-2-94fa04d518c5.tiles"]
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
    for assembled_or_not in (another, {**another, "files": ["result.tif"], "of": "0f"}):
        found = ResultStore.of_sink(assembled_or_not)
        assert found is not None
        assert found.sink == another
    s3 = {"type": "S3", "bucket": "bucket", "prefix": "a/b", "tiles": another["tiles"]}
    found = ResultStore.of_sink(s3)
    assert found is not None
    assert (found.url, found.sink) == ("s3://bucket/a/b", s3)
    for none_of_ours in (
        {**another, "path": "relative"},
        {**another, "path": "s3://elsewhere"},
        {**another, "path": 7},
        {**another, "more": ""},
        {**s3, "bucket": ""},
        {**here, "tiles": "tiles-../../elsewhere"},
        {"type": "Folder", "path": str(tmp_path)},
        "text",
        None,
    ):
        assert ResultStore.of_sink(none_of_ours) is None


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
        ResultStore(tmp_path / "out").write_chunk(results_of({(0, 0): b"[]"}))
    assert not (tmp_path / "out").exists()


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
    store.write_chunk(results_of({(0, 0): encode_features(FEATURE)}))
    assert assembled(source_of(store, grid_of(1, 1), [(0, 0)])) == [FEATURE]


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


def test_chunks_are_removed_and_nothing_else(store: ResultStore) -> None:
    """Nor another run's; twice does no harm."""
    store.write("results.geojson", b"{}")
    store.write("before/00000-00000-1x1-1-000000000000.tiles", b"")
    store.write_chunk(results_of({(0, 0): b"[]", (0, 1): b"[]"}))
    store.remove_chunks()
    store.remove_chunks()
    assert names(store) == ["before/00000-00000-1x1-1-000000000000.tiles", "results.geojson"]
    assert store.has("results.geojson")
    assert not store.has("job.json")

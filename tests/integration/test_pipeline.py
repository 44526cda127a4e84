"""`process_image` on a real Ray: from a file to an ended job item, results and reasons."""

import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import ray
from shapely.geometry import box, shape

from raytracker import (
    ImageRequest,
    ImageTracker,
    JobItem,
    JobTable,
    Progress,
    Work,
    process_image,
)
from raytracker.errors import (
    ImageExists,
    InvalidGrid,
    InvalidImage,
    InvalidImageId,
    InvalidLayout,
    JobVanished,
    OutputError,
    ResumeMismatch,
)
from raytracker.imagery import Tile
from tests.support.images import make_image
from tests.support.scenes import BAHAMAS, LANDSAT, outline, results
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_progress_is_told_while_nothing_finishes(
    run: Callable[..., JobItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps an image would be told at its next tile otherwise, which may never come."""
    monkeypatch.setattr("raytracker.pipeline.process.QUIET_SECONDS", 0.3)
    seen: list[Progress] = []

    def patient(pixels: Any, tile: Tile) -> None:
        time.sleep(2)

    assert run(patient, tile_size=1024, on_progress=seen.append).status == "SUCCESS"
    assert [progress.tile_pending for progress in seen].count(1) >= 3
    assert (seen[0].tile_pending, seen[-1].tile_pending) == (1, 0)


def test_an_image_becomes_a_job_item_and_results(
    run: Callable[..., JobItem], job_table: JobTable, tmp_path: Path
) -> None:
    """Complete in the table as in `job.json`; the Features lie on the image."""
    seen: list[Progress] = []
    job = run(outline, on_progress=seen.append)
    assert job.status == "SUCCESS"
    assert (job.region_count, job.region_success, job.region_error) == (4, 4, 0)
    assert job.end_time is not None
    assert job.image_id == job.image_url == str(BAHAMAS)
    assert (job.width, job.height) == (791, 718)
    assert (job.tile_size, job.tile_overlap) == ("(256, 256)", "(0, 0)")
    assert job.model_name == "outline"
    assert uuid.UUID(job.job_id)
    [sink] = json.loads(job.outputs or "")
    assert not (tmp_path / "out" / sink.pop("tiles")).exists()
    assert sink.pop("of")
    assert sink == {"type": "Folder", "path": str(tmp_path / "out"), "files": ["results.geojson"]}
    assert job_table.get_image_request(job.image_id).to_dict() == job.to_dict()
    assert json.loads((tmp_path / "out" / "job.json").read_text()) == job.to_dict()

    extents = json.loads(job.extents or "")
    ground = box(extents["west"], extents["south"], extents["east"], extents["north"])
    merged = results(tmp_path)
    assert merged.keys() == {"type", "features"}
    assert len(merged["features"]) == 12
    assert all(ground.buffer(1e-6).contains(shape(f["geometry"])) for f in merged["features"])
    keys = [f["properties"]["key"] for f in merged["features"]]
    assert keys == sorted(keys)

    assert seen[-1].status == "SUCCESS"
    assert seen[-1].durable
    assert all(progress.tile_count == 12 for progress in seen)


def _along(size: int, tile: int, overlap: int) -> list[int]:
    """Offsets of tiles, laid one after the other until the image is covered."""
    offsets = [0]
    while offsets[-1] + tile < size:
        offsets.append(offsets[-1] + tile - overlap)
    return offsets


@pytest.mark.parametrize("overlap", [0, 32])
@pytest.mark.parametrize("size", [128, 256, 1000])
@pytest.mark.parametrize("path", [BAHAMAS, LANDSAT], ids=lambda path: path.stem)
def test_counts_are_right_every_time(
    run: Callable[..., JobItem], tmp_path: Path, path: Path, size: int, overlap: int
) -> None:
    """Of tiles and regions, against a count made by hand; each tile got its own pixels."""

    def told(pixels: Any, tile: Tile) -> Any:
        place = {"place": [tile.row_off, tile.col_off], "sum": pixels.sum(dtype=np.int64)}
        return {"type": "Feature", "geometry": None, "properties": place}

    job = run(told, path, tile_size=size, tile_overlap=overlap, region_size=2048)
    with rasterio.open(path) as source:
        whole = source.read().astype(np.int64)
    rows, columns = (_along(n, size, overlap) for n in whole.shape[1:])
    block = max(1, 2048 // (size - overlap))
    regions = -(-len(rows) // block) * -(-len(columns) // block)
    assert (job.status, job.region_count, job.region_success) == ("SUCCESS", regions, regions)
    found = {
        tuple(feature["properties"]["place"]): feature["properties"]["sum"]
        for feature in results(tmp_path)["features"]
    }
    assert found == {
        (row, column): whole[:, row : row + size, column : column + size].sum()
        for row in rows
        for column in columns
    }


def test_tiles_that_raise_make_the_job_partial(
    run: Callable[..., JobItem], job_table: JobTable, tmp_path: Path
) -> None:
    """The right regions, the reasons, and the Features of all other tiles."""

    def picky(pixels: Any, tile: Tile) -> Any:
        if (tile.row, tile.column) in ((0, 1), (2, 3)):
            raise ValueError(f"clouds over {tile.row}, {tile.column}")
        return outline(pixels, tile)

    job = run(picky)
    assert job.status == "PARTIAL"
    assert (job.region_success, job.region_error) == (2, 2)
    assert ImageTracker.attach(job.image_id, table=job_table).failed() == {
        0: "ValueError: clouds over 0, 1",
        3: "ValueError: clouds over 2, 3",
    }
    places = [feature["properties"]["place"] for feature in results(tmp_path)["features"]]
    assert len(places) == 10
    assert [0, 1] not in places
    assert [2, 3] not in places


def test_a_function_that_always_raises_makes_the_job_fail(
    run: Callable[..., JobItem], tmp_path: Path
) -> None:
    """It ends nonetheless, with no Features."""

    def broken(_: Any, tile: Tile) -> Any:
        return tile.no_such_thing  # type: ignore[attr-defined]

    job = run(broken)
    assert (job.status, job.region_error) == ("FAILED", 4)
    assert "no_such_thing" in (job.tracker_errors or {})["0"]
    assert results(tmp_path)["features"] == []


def test_what_is_no_feature_is_the_tiles_error(run: Callable[..., JobItem]) -> None:
    """Its author is told what to return."""
    job = run(lambda pixels, _: int(pixels.max()))
    assert job.status == "FAILED"
    assert "no GeoJSON" in (job.tracker_errors or {})["0"]


def test_a_result_is_checked_whether_or_not_it_is_kept(run: Callable[..., JobItem]) -> None:
    """What succeeds without an output does so with one."""

    def generate(pixels: Any, tile: Tile) -> Any:
        yield outline(pixels, tile)
        if (tile.row, tile.column) == (0, 0):
            raise LookupError("no such band")

    async def promise(pixels: Any, tile: Tile) -> None: ...

    job = run(lambda pixels, _: pixels.mean(), output=None)
    assert (job.status, job.outputs) == ("FAILED", None)
    assert "no GeoJSON" in (job.tracker_errors or {})["0"]
    job = run(generate, output=None, if_exists="restart")
    assert (job.status, job.region_error) == ("PARTIAL", 1)
    assert "no such band" in (job.tracker_errors or {})["0"]
    job = run(promise, output=None, if_exists="restart")
    assert job.status == "FAILED"
    assert "coroutine" in (job.tracker_errors or {})["0"]


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_without_crs_results_are_in_pixels(run: Callable[..., JobItem], tmp_path: Path) -> None:
    """And say so; two bytes a pixel and one band are fine."""
    path = make_image(tmp_path / "plain.tif", np.zeros((1, 30, 40), "uint16"))
    job = run(outline, path, tile_size=(40, 16))
    assert (job.status, job.extents) == ("SUCCESS", None)
    merged = results(tmp_path)
    assert merged["raytracker:coordinates"] == "pixels (column, row)"
    assert shape(merged["features"][1]["geometry"]).bounds == (0, 16, 40, 30)


def test_a_region_of_interest(run: Callable[..., JobItem], tmp_path: Path) -> None:
    """Only its tiles run, and are counted."""
    roi = "POLYGON ((-78.9 25.4, -78.85 25.4, -78.85 25.35, -78.9 25.4))"
    job = run(outline, roi=roi, roi_crs="lonlat")
    assert (job.status, job.region_count) == ("SUCCESS", 1)
    assert job.roi_wkt == roi
    assert [f["properties"]["place"] for f in results(tmp_path)["features"]] == [[0, 0]]


def test_an_interrupted_image_goes_on_where_it_stands(
    run: Callable[..., JobItem], job_table: JobTable, tmp_path: Path
) -> None:
    """Ctrl-C goes through; a resume runs what is pending, and loses nothing that was found."""
    runs, interrupted = tmp_path / "runs", tmp_path / "interrupted"
    runs.mkdir()

    def noted(pixels: Any, tile: Tile) -> Any:
        if len(list(runs.iterdir())) > 20:
            wait_until(interrupted.exists)
        (runs / f"{tile.row} {tile.column} {uuid.uuid4()}").touch()
        return outline(pixels, tile)

    def interrupt(progress: Progress) -> None:
        if progress.tile_success:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(noted, tile_size=128, work=Work(concurrency=1), on_progress=interrupt)
    with pytest.raises(OutputError, match="the resume is given .*other: leave it out"):
        run(noted, tile_size=128, if_exists="resume", output=tmp_path / "other")
    for size in (64, 127):  # 127: as many tiles and regions, elsewhere
        with pytest.raises(ResumeMismatch):
            run(noted, tile_size=size, if_exists="resume")
    with pytest.raises(ImageExists):
        run(noted, tile_size=128)
    wait_until(lambda: ray.available_resources().get("CPU") == 4, what="cancelled tasks")
    interrupted.touch()
    outcomes = ImageTracker.attach(str(BAHAMAS), table=job_table).tile_outcomes()
    done = len(outcomes) - outcomes.count(0)
    assert 0 < done < 42
    before = len(list(runs.iterdir()))

    job = process_image(BAHAMAS, noted, table=job_table, if_exists="resume")
    assert job.status == "SUCCESS"
    assert len(list(runs.iterdir())) - before <= 42 - done
    places = [tuple(f["properties"]["place"]) for f in results(tmp_path)["features"]]
    assert len(places) == len(set(places)) == 42


def test_images_with_the_same_output_keep_their_tiles_apart(
    run: Callable[..., JobItem], tmp_path: Path
) -> None:
    """So do cuts of one image: what is merged is of this image and these tiles."""
    run(outline, keep_tiles=True)
    first = results(tmp_path)
    run(outline, LANDSAT, tile_size=1000, region_size=1000)
    run(outline, image_id="other cut", tile_size=400, region_size=400)
    assert len(results(tmp_path)["features"]) == 4
    run(outline, if_exists="resume")
    assert results(tmp_path) == first
    run(outline, if_exists="restart", tile_size=400)
    assert len(results(tmp_path)["features"]) == 4


def test_a_request_brings_its_own_settings(
    run: Callable[..., JobItem], job_table: JobTable, tmp_path: Path
) -> None:
    """OSML's message; its ROI is in longitude and latitude."""
    request = ImageRequest.from_external_message(
        {
            "jobId": "job-7",
            "imageUrls": [str(BAHAMAS)],
            "imageProcessor": {"name": "clouds", "type": "SM_ENDPOINT"},
            "imageProcessorTileSize": 128,
            "imageProcessorTileOverlap": 28,
            "regionOfInterest": "POLYGON ((-78.9 25.4, -78.85 25.4, -78.85 25.35, -78.9 25.4))",
        }
    )
    job = run(outline, request, tile_size=None)
    assert job.image_id == f"job-7:{BAHAMAS}"
    assert (job.job_id, job.model_name, job.status) == ("job-7", "clouds", "SUCCESS")
    assert (job.tile_size, job.tile_overlap) == ("(128, 128)", "(28, 28)")
    assert job.image_read_role is None
    assert job_table.get_image_request(job.image_id).region_count == 1
    assert [f["properties"]["place"] for f in results(tmp_path)["features"]] == [[0, 0]]


def test_what_a_function_keeps_in_its_globals_stays(
    run: Callable[..., JobItem], tmp_path: Path
) -> None:
    """A model is loaded once by each worker, not for each tile."""
    loaded = tmp_path / "loaded"
    loaded.mkdir()
    model: list[str] = []

    def detect(_: Any, tile: Tile) -> Any:
        if not model:
            model.append("weights")
            (loaded / f"{os.getpid()}-{uuid.uuid4()}").touch()

    assert run(detect, tile_size=64).status == "SUCCESS"
    workers = [path.name.split("-")[0] for path in loaded.iterdir()]
    assert len(workers) == len(set(workers))


def test_a_tile_larger_than_the_image(run: Callable[..., JobItem], tmp_path: Path) -> None:
    """Is one clipped tile."""
    assert run(outline, tile_size=5000, tile_overlap=100).region_count == 1
    assert len(results(tmp_path)["features"]) == 1


# --- what is refused before anything happens ---


LOCK = threading.Lock()


def _never(*_: Any) -> None:
    raise AssertionError("no task may run")


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"image": "nowhere.tif"}, InvalidImage, "nowhere.tif"),
        ({"image": __file__}, InvalidImage, "not recognized"),
        ({"tile_size": 0}, InvalidGrid, "tile_size 0"),
        ({"tile_size": -1}, InvalidGrid, "tile_size -1"),
        ({"tile_overlap": -1}, InvalidGrid, "tile_overlap -1"),
        ({"tile_overlap": 256}, InvalidGrid, "not smaller"),
        ({"region_size": 0}, InvalidGrid, "region_size 0"),
        ({"roi": "POINT (1 1)"}, InvalidGrid, "not an area"),
        ({"roi": "POLYGON ((0 0, 1 0, 1 1, 0 0))"}, InvalidGrid, "misses"),
        ({"roi": "POLYGON ((0 0, 1 0, 1 1, 0 0))", "roi_crs": "x"}, InvalidGrid, "roi_crs"),
        ({"edges": "mirror"}, InvalidGrid, "edges 'mirror'"),
        ({"bands": [1, 4]}, InvalidGrid, "has no band 4, its bands are 1 to 3"),
        ({"image_id": ""}, InvalidImageId, "not empty"),
        ({"image_id": "x" * 2049}, InvalidImageId, "2,?048"),
        ({"if_exists": "maybe"}, ValueError, "maybe"),
        ({"output": __file__}, OutputError, "cannot be"),
        ({"image": LANDSAT, "tile_size": 1, "image_id": "big"}, InvalidLayout, "larger tiles"),
    ],
)
def test_bad_input_is_told_before_any_task_runs(
    run: Callable[..., JobItem],
    job_table: JobTable,
    arguments: dict[str, Any],
    error: type[Exception],
    told: str,
) -> None:
    """And before anything is in the table."""
    with pytest.raises(error, match=told):
        run(_never, **arguments)
    image_id = arguments.get("image_id", str(arguments.get("image", BAHAMAS)))
    if 0 < len(image_id) <= 2048:
        with pytest.raises(JobVanished):
            ImageTracker.attach(image_id, table=job_table)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (None, "function=None: give a callable"),
        (ray.remote(_never), "give the plain one"),
        (lambda *_: LOCK, "cannot be sent to Ray's workers"),
    ],
)
def test_a_function_that_cannot_run_in_tasks(
    run: Callable[..., JobItem], function: Any, told: str
) -> None:
    """Told before any task runs."""
    with pytest.raises(TypeError, match=told):
        run(function)

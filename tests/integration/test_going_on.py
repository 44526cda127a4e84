"""Going on with an image: by its id alone, and never as something else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio

from raytracker import ImageTracker, JobItem, JobTable, Work, process_image
from raytracker.errors import ImageInUse, OutputError, ResumeMismatch
from raytracker.imagery import Tile
from raytracker.job_table import Starter, alive_until
from tests.support.scenes import BAHAMAS, LANDSAT, outline, results

pytestmark = pytest.mark.usefixtures("ray_cluster")

ROI = "POLYGON ((-78.6 24.0, -78.6 24.9, -77.6 24.9, -77.6 24.0, -78.6 24.0))"


def failing(pixels: Any, tile: Tile) -> Any:
    """Fails at one tile, as long as there is no file `mended` beside the image."""
    is_mended = Path(tile.image.url).with_name("mended").exists()
    if (tile.row, tile.column) == (1, 1) and not is_mended:
        raise LookupError("no such place")
    return outline(pixels, tile)


class Outliner:
    """Outlines tiles; made with whatever."""

    def __init__(self, *args: Any) -> None: ...

    def __call__(self, pixels: Any, tile: Tile) -> Any:
        return outline(pixels, tile)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A copy of the Bahamas in a folder of its own."""
    path = tmp_path / "images" / "scene.tif"
    path.parent.mkdir()
    path.write_bytes(BAHAMAS.read_bytes())
    return path


def partial(run: Callable[..., JobItem], scene: Path, **arguments: Any) -> JobItem:
    """Runs the scene; one tile fails."""
    given: dict[str, Any] = {"image_id": "scene", "work": Work(retries=0), **arguments}
    job = run(failing, scene, **given)
    assert job.status == "PARTIAL"
    return job


def test_the_image_id_and_the_function_are_enough(
    run: Callable[..., JobItem], job_table: JobTable, scene: Path, tmp_path: Path
) -> None:
    """Image, cut, ROI, bands and output come from the item; so no result is lost."""
    cut = {"tile_size": 128, "tile_overlap": 16, "edges": "pad", "bands": [2], "skip_empty": True}
    before = partial(run, scene, **cut, roi=ROI, roi_crs="lonlat")
    scene.with_name("mended").touch()
    job = process_image("scene", failing, table=job_table, if_exists="resume", redrive=True)
    assert job.status == "SUCCESS"
    assert (job.tile_size, job.region_count) == (before.tile_size, before.region_count)
    found = results(tmp_path)["features"]
    assert len(found) == sum(ImageTracker.attach("scene", table=job_table).tile_outcomes()) // 2
    assert [1, 1] in [feature["properties"]["place"] for feature in found]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tile_size": 64}, r"tile_size=\[256, 256\]; the resume is given tile_size=\[64, 64\]"),
        ({"tile_overlap": 8}, r"tile_overlap=\[0, 0\]; .* tile_overlap=\[8, 8\]"),
        ({"region_size": 256}, "region_size"),
        ({"edges": "shift"}, "edges='clip'; .* edges='shift'"),
        ({"bands": [2]}, r"bands=None; .* bands=\[2\]"),
        ({"skip_empty": True}, "skip_empty=False"),
        ({"roi": ROI, "roi_crs": "lonlat"}, "roi=None"),
        ({"function": outline}, "function='failing'; .*'outline'.*take_over=True"),
        ({"function": Outliner}, "function='failing'; .*'Outliner'"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "+".join(value),
)
def test_what_is_given_besides_must_agree(
    run: Callable[..., JobItem],
    job_table: JobTable,
    scene: Path,
    tmp_path: Path,
    given: dict[str, Any],
    told: str,
) -> None:
    """Both values are named; nothing has changed, and the run before goes on."""
    job = JobItem("scene", image_url=str(scene))
    partial(run, scene)
    job_table.update_image_request(job)
    refused(job_table, ResumeMismatch, told, **{"image": "scene", "function": failing, **given})


def refused(job_table: JobTable, error: type[Exception], told: str, **given: Any) -> None:
    """Sees that a resume is refused, and changes nothing."""
    before = job_table.read_item({"image_id": "scene"})
    image, function = given.pop("image"), given.pop("function")
    with pytest.raises(error, match=told):
        process_image(image, function, table=job_table, if_exists="resume", redrive=True, **given)
    assert job_table.read_item({"image_id": "scene"}) == before


def test_another_output_is_refused(
    run: Callable[..., JobItem], job_table: JobTable, scene: Path, tmp_path: Path
) -> None:
    """Also none of a run without: what was found before is nowhere."""
    partial(run, scene)
    other = tmp_path / "other"
    given = {"image": "scene", "function": failing, "output": other}
    refused(job_table, OutputError, f"begun with {tmp_path}/out.*is given {other}", **given)
    assert not other.exists()
    run(failing, scene, image_id="scene", if_exists="restart", output=None)
    refused(job_table, OutputError, f"begun with no output.*is given {other}", **given)


def test_a_model_made_otherwise_is_refused(
    run: Callable[..., JobItem], job_table: JobTable, scene: Path
) -> None:
    """What it is made with is hashed: the item tells no secret."""
    how = Work(fn_constructor_args=("weights-1.pt", scene), concurrency=1)
    run(Outliner, scene, image_id="scene", work=how)
    item = job_table.read("scene")
    assert item is not None
    assert "weights-1" not in (item.tracker_grid or "")
    other = Work(fn_constructor_args=("weights-2.pt", scene), concurrency=1)
    given = {"image": "scene", "function": Outliner}
    refused(job_table, ResumeMismatch, "arguments=", **given, work=other)
    process_image("scene", Outliner, table=job_table, if_exists="resume", work=how)
    taken = {"if_exists": "resume", "take_over": True}
    assert process_image("scene", Outliner, table=job_table, work=other, **taken).status


def test_what_is_no_function_changes_nothing(
    run: Callable[..., JobItem], job_table: JobTable, scene: Path
) -> None:
    """Nor does one that Ray can't send, or one that carries too much."""
    partial(run, scene)
    heavy = bytes(200_000_000)

    def failing_heavily(pixels: Any, tile: Tile) -> Any:
        return heavy

    refused(job_table, TypeError, "give a callable", image="scene", function=3)
    refused(job_table, ValueError, "200", image="scene", function=failing_heavily)


def test_a_run_of_another_process_is_not_taken_over(
    run: Callable[..., JobItem], job_table: JobTable, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it shows that it lives; unless it is asked for."""
    partial(run, scene)
    who = Starter.this("09")._replace(host="elsewhere")
    until = iter(alive_until(4e9) + n for n in range(100))

    def lives(image_id: str) -> JobItem | None:
        values = {":who": who.to_text(), ":until": next(until)}
        told = "SET tracker_started_by = :who, tracker_alive_until = :until REMOVE end_time"
        job_table.update_ddb_item(JobItem(image_id), told, values)
        return read(image_id)

    read = job_table.read
    lives("scene")
    monkeypatch.setattr(JobTable, "read", lambda self, image_id: lives(image_id))
    monkeypatch.setattr("raytracker.run.taking.POLL_SECONDS", 0.01)
    given = {"table": job_table, "if_exists": "resume", "redrive": True}
    with pytest.raises(ImageInUse, match="is run by .* on elsewhere"):
        process_image("scene", failing, **given)
    monkeypatch.undo()
    scene.with_name("mended").touch()
    assert process_image("scene", failing, **given, take_over=True).status == "SUCCESS"


def test_what_an_earlier_run_left_is_set_aside(
    run: Callable[..., JobItem], scene: Path, tmp_path: Path
) -> None:
    """When another begins, so that the results of two can be told apart."""
    run(outline, scene, image_id="scene")
    out = tmp_path / "out"
    old = (out / "job.json").read_bytes()

    def interrupt(progress: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(outline, scene, image_id="scene", if_exists="restart", on_progress=interrupt)
    assert not (out / "job.json").exists()
    assert not (out / "results.geojson").exists()
    [aside] = out.glob("before-*")
    assert (aside / "job.json").read_bytes() == old
    assert json.loads((aside / "results.geojson").read_bytes())["features"]


def test_another_image_in_its_place_is_refused(
    run: Callable[..., JobItem], job_table: JobTable, scene: Path
) -> None:
    """Of the same size to the byte: half of the tiles would be of one scene, half of the other."""
    with rasterio.open(scene) as source:
        profile, pixels = source.profile, source.read()
    profile.update(compress=None)
    with rasterio.open(scene, "w", **profile) as target:
        target.write(pixels)
    length = scene.stat().st_size
    partial(run, scene)
    with rasterio.open(scene, "w", **profile) as target:
        target.write(255 - pixels)
    assert scene.stat().st_size == length
    given = {"image": "scene", "function": failing}
    refused(job_table, ResumeMismatch, r"is another one .*bytes, sha256 .*, now \d+ bytes", **given)
    with rasterio.open(scene, "w", **profile) as target:
        target.write(pixels)
    scene.with_name("mended").touch()
    how = {"table": job_table, "if_exists": "resume", "redrive": True}
    assert process_image("scene", failing, **how).status == "SUCCESS"


def test_tiles_of_an_image_that_is_replaced_meanwhile_are_errors(
    run: Callable[..., JobItem], scene: Path, tmp_path: Path
) -> None:
    """Not of one scene or the other."""
    other = tmp_path / "other.tif"
    other.write_bytes(LANDSAT.read_bytes())

    def replacing(pixels: Any, tile: Tile) -> Any:
        if other.exists():
            other.replace(scene)
        time.sleep(0.05)
        return outline(pixels, tile)

    how = Work(concurrency=1, retries=0)
    job = run(replacing, scene, tile_size=64, region_size=128, work=how)
    assert job.status in ("PARTIAL", "FAILED")
    reasons = set((job.tracker_errors or {}).values())
    assert all(
        "was replaced" in text or "another image" in text or " is " in text for text in reasons
    )
    assert job.region_error

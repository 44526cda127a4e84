"""What is found twice, or cut in two, where tiles meet is one thing in the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio
import shapely
from rasterio.features import shapes
from shapely.geometry import box, shape

from raytracker import ImageRequest, JobItem, JobTable
from raytracker.errors import ResumeMismatch
from raytracker.imagery import Tile, describe, plan
from raytracker.pipeline.geometry import in_pixels
from tests.support.scenes import BAHAMAS, LANDSAT, results

pytestmark = pytest.mark.usefixtures("ray_cluster")


def dark(pixels: Any) -> Any:
    mask = (pixels[0] < 60).astype("uint8")
    return [shape(found) for found, value in shapes(mask, mask > 0)]


def water(pixels: Any, tile: Tile) -> Any:
    return [tile.feature(each, {"kind": "water", "tile": tile.number}) for each in dark(pixels)]


def in_image(folder: Path, image: Path) -> list[Any]:
    """Of the results, the shapes in the image's pixels."""
    whole = tile_of(image)
    return [in_pixels(f["geometry"], whole) for f in results(folder)["features"]]


def tile_of(image: Path) -> Tile:
    info = describe(image)
    return plan(info, max(info.width, info.height)).tile(0, 0)


@pytest.mark.parametrize(("size", "overlap"), [(256, 32), (1000, 0)])
def test_a_lake_over_seams_is_one(
    run: Callable[..., JobItem], tmp_path: Path, size: int, overlap: int
) -> None:
    """As the same function finds them in the whole image: as many, on the same pixels."""
    with rasterio.open(LANDSAT) as source:
        expected = dark(source.read())
    run(water, LANDSAT, tile_size=size, tile_overlap=overlap, merge="union", merge_by="kind")
    found = [shapely.set_precision(each, 1e-3) for each in in_image(tmp_path, LANDSAT)]
    assert len(found) == len(expected)
    assert all(each.is_valid for each in found)
    difference = shapely.symmetric_difference(
        shapely.union_all(found), shapely.union_all(expected)
    ).area
    assert difference < 1e-6 * sum(each.area for each in expected)
    assert all(f["properties"]["kind"] == "water" for f in results(tmp_path)["features"])


def corner(_: Any, tile: Tile) -> Any:
    """A box of the image that several tiles see, each a little otherwise."""
    left, top, right, bottom = 220, 220, 270, 270  # around a corner of four tiles
    moved = tile.row + 2 * tile.column
    box = shapely.box(left + moved, top, right + moved, bottom)
    score = 0.5 + 0.1 * tile.row + 0.05 * tile.column
    there = shapely.affinity.translate(box, -tile.col_off, -tile.row_off)
    seen = shapely.box(0, 0, tile.width, tile.height).contains(there.centroid)
    if not seen:
        return None
    classes = [{"iri": "ship", "score": score}, {"iri": "cloud", "score": 0.1}]
    return tile.feature(there, {"featureClasses": classes, "sure": score})


def test_of_boxes_that_overlap_the_best_is_kept(
    run: Callable[..., JobItem], job_table: JobTable, tmp_path: Path
) -> None:
    """By a property, or by OSML's; soft: all, with lower scores."""
    overlap = {"tile_overlap": 64}
    run(corner, **overlap, keep_tiles=True)
    scores = [f["properties"]["sure"] for f in results(tmp_path)["features"]]
    assert len(scores) == 4
    for number, more in enumerate(({"merge_score": "sure"}, {})):
        run(corner, image_id=f"nms-{number}", merge="nms", merge_iou=0.4, **overlap, **more)
        [best] = results(tmp_path)["features"]
        assert best["properties"]["sure"] == max(scores)
    run(corner, image_id="soft", merge="soft_nms", **overlap)
    soft = [f["properties"]["featureClasses"] for f in results(tmp_path)["features"]]
    assert len(soft) == 2  # the others have fallen below 0.0001
    best, other = sorted((classes[0] for classes in soft), key=lambda each: -each["score"])
    assert best["score"] == best["rawScore"] == max(scores)
    assert other["score"] < 0.001 < other["rawScore"]
    assert all(classes[1] == {"iri": "cloud", "score": 0.1} for classes in soft)


def test_a_request_is_merged_as_it_says(
    run: Callable[..., JobItem], job_table: JobTable, tmp_path: Path
) -> None:
    """Its thresholds; the item says what was done."""
    steps = [
        {
            "step": "FEATURE_DISTILLATION",
            "algorithm": {"algorithmType": "SOFT_NMS", "sigma": 0.2, "skipBoxThreshold": 0.3},
        }
    ]
    request = ImageRequest.from_external_message(
        {
            "jobId": "j",
            "imageUrls": [str(BAHAMAS)],
            "imageProcessor": {"name": "ships"},
            "imageProcessorTileSize": 256,
            "imageProcessorTileOverlap": 64,
            "outputs": [],
            "postProcessing": steps,
        }
    )
    job = run(corner, request, tile_size=None)
    assert json.loads(job.feature_distillation_option or "") == {
        "algorithm_type": "SOFT_NMS",
        "iou_threshold": 0.75,
        "sigma": 0.2,
        "skip_box_threshold": 0.3,
    }
    kept = [f["properties"]["featureClasses"][0]["score"] for f in results(tmp_path)["features"]]
    assert 1 <= len(kept) < 4
    assert min(kept) > 0.3


def but_one(pixels: Any, tile: Tile) -> Any:
    if (tile.row, tile.column) == (1, 1):
        raise ValueError("haze")
    return corner(pixels, tile)


def test_a_resume_merges_as_the_run_began(run: Callable[..., JobItem], tmp_path: Path) -> None:
    """It need not be told again; told otherwise it is refused, and nothing has changed."""
    how = {"merge": "nms", "merge_score": "sure", "merge_iou": 0.4}
    assert run(but_one, tile_overlap=64, **how).status == "PARTIAL"
    before = results(tmp_path)
    again = {"if_exists": "resume", "redrive": True, "take_over": True, "tile_overlap": 64}
    with pytest.raises(ResumeMismatch, match="merge='nms'; the resume is given merge='union'"):
        run(corner, **again, merge="union", merge_score="sure", merge_iou=0.4)
    assert results(tmp_path) == before
    assert run(corner, **again).status == "SUCCESS"
    [best] = results(tmp_path)["features"]
    assert best["properties"]["sure"] == pytest.approx(0.65)
    assert not list((tmp_path / "out").glob("tiles-*"))


def unscored(_: Any, tile: Tile) -> Any:
    return tile.feature(shapely.box(0, 0, 9, 9))


def test_a_feature_without_a_score_is_an_error_of_its_tile(
    run: Callable[..., JobItem], job_table: JobTable
) -> None:
    """Which says what to do."""
    assert run(unscored, merge="nms", merge_score="sure").status == "FAILED"
    item = job_table.read(str(BAHAMAS))
    assert item is not None
    reasons = "\n".join((item.tracker_errors or {}).values())
    assert "has None as its property 'sure', by which merge='nms' ranks" in reasons


def test_features_say_where_they_were_found(run: Callable[..., JobItem], tmp_path: Path) -> None:
    """Where that is wanted; one of several tiles says what they have in common."""

    def corners(pixels: Any, tile: Tile) -> Any:
        found = [tile.feature(box(0, 0, 1, 1), {"at": [tile.row, tile.column]})]
        if tile.row == 0:  # a bar through all tiles of the first row
            _, rows, columns = pixels.shape
            found.append(tile.feature(box(0, rows - 9, columns, rows - 5), {"at": "bar"}))
        return found

    job = run(corners, merge="union", merge_by="at", tile_properties=True)
    grid = plan(describe(BAHAMAS), 256, region_size=512)
    told = [feature["properties"] for feature in results(tmp_path)["features"]]
    alone = [properties for properties in told if properties["at"] != "bar"]
    for properties in alone:
        tile = grid.tile(properties["region"], properties["tile"])
        assert [tile.row, tile.column] == properties["at"]
    assert len(alone) == sum(grid.tiles_per_region)
    [bar] = [properties for properties in told if properties["at"] == "bar"]
    assert bar == {"at": "bar", "image_id": job.image_id}

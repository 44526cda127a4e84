"""Each example runs as it stands, and does what it says."""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import rasterio
import ray
from rasterio.features import shapes, sieve
from rio_cogeo import cog_validate
from shapely.geometry import Point, box, shape

from raytracker.job_table import JobTable
from tests.support.command import ROOT, SF_BAY, command, run

EXAMPLES = ROOT / "examples"

SCENE = -122.634858485, 37.569444182, -122.047090794, 37.977798783  # its edges, as GDAL says
# Longitude and latitude, from a map; none within 200 m of a shore.
WATER = {
    "south of the Bay Bridge": (-122.34, 37.75),
    "the South Bay": (-122.27, 37.65),
    "off Angel Island": (-122.39, 37.86),
    "the Pacific": (-122.58, 37.72),
    "San Pablo Reservoir": (-122.249, 37.932),
}
LAND = {
    "Golden Gate Park": (-122.48, 37.769),
    "Twin Peaks": (-122.447, 37.752),
    "downtown Oakland": (-122.265, 37.808),
    "the Oakland Hills": (-122.19, 37.83),
    "Mount Tamalpais": (-122.596, 37.924),
    "Daly City": (-122.47, 37.69),
    "Angel Island": (-122.432, 37.862),
}


@pytest.fixture
def image_jobs(dynamodb_local: str) -> JobTable:
    """The table that the programs write to."""
    table = JobTable("ImageJobs", endpoint_url=dynamodb_local)
    table.create()
    return table


def example(name: str, folder: Path, endpoint: str, **env: str) -> str:
    line = [sys.executable, str(EXAMPLES / name)]
    ended = run(line, folder, AWS_ENDPOINT_URL_DYNAMODB=endpoint, **env)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def check_on_map(found: Any) -> None:
    """What is called water is water, and what is land on the map is not."""
    water = [shape(feature["geometry"]) for feature in found["features"]]
    assert all(polygon.is_valid for polygon in water)
    for name, place in WATER.items():
        assert any(polygon.contains(Point(place)) for polygon in water), f"{name} is water"
    for name, place in LAND.items():
        assert not any(polygon.contains(Point(place)) for polygon in water), f"{name} is land"


def test_quickstart(tmp_path: Path, dynamodb_local: str, image_jobs: JobTable):
    """In 40 lines: 63 regions succeed, and one says why it did not."""
    code = (EXAMPLES / "quickstart.py").read_text()
    assert len(code.splitlines()) <= 40
    assert example("quickstart.py", tmp_path, dynamodb_local).splitlines() == [
        "scene-1: PARTIAL, 63 of 64 regions",
        "region 13: ValueError: nothing but clouds",
    ]
    job = image_jobs.read("scene-1")
    assert (job.region_success, job.region_error, job.status) == (63, 1, "PARTIAL")


def test_quickstart_without_aws(tmp_path: Path, ray_cluster: None):
    """The same, with a table in memory."""
    address = ray.get_runtime_context().gcs_address
    line = [sys.executable, str(EXAMPLES / "quickstart.py"), "--embedded"]
    ended = run(line, tmp_path, RAY_ADDRESS=address)
    assert ended.stdout.splitlines() == [
        "scene-1: PARTIAL, 63 of 64 regions",
        "region 13: ValueError: nothing but clouds",
    ]


def test_existing_pipeline(
    tmp_path: Path, ray_cluster: None, dynamodb_local: str, image_jobs: JobTable
):
    """Three lines are marked; each of 5 x 4 blocks is a region."""
    code = (EXAMPLES / "existing_pipeline.py").read_text()
    marks = [
        line.split()[1] for line in code.splitlines() if line.startswith(("# 1", "# 2", "# 3"))
    ]
    assert marks == ["1:", "2:", "3:"]
    address = ray.get_runtime_context().gcs_address
    output = example("existing_pipeline.py", tmp_path, dynamodb_local, RAY_ADDRESS=address)
    lines = output.splitlines()
    assert lines[-1] == f"{SF_BAY}: SUCCESS"
    assert sorted(int(line.split()[1][:-1]) for line in lines[:-1]) == list(range(20))
    job = image_jobs.read(SF_BAY)
    assert (job.region_success, job.region_count, job.status) == (20, 20, "SUCCESS")


def test_detect(tmp_path: Path, ray_cluster: None, dynamodb_local: str, job_table: JobTable):
    """What it calls water is water, and what is land on the map is none."""
    line = command(
        tmp_path, "run", SF_BAY, "examples/detect.py:detect", "--table", job_table.table_name
    )
    address = ray.get_runtime_context().gcs_address
    where = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_local, "RAY_ADDRESS": address}
    ended = run([*line, "--output", str(tmp_path / "out")], ROOT, **where)
    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "out" / "results.geojson").read_bytes())
    assert found.keys() == {"type", "features"}
    check_on_map(found)
    assert sum(f["properties"]["pixels"] for f in found["features"]) == pytest.approx(
        0.428 * 2181 * 1917, rel=0.01
    )


def test_segment(tmp_path: Path, ray_cluster: None, dynamodb_local: str, job_table: JobTable):
    """Mask and lakes are those of the whole scene, though 120 tiles were looked at."""
    line = command(
        tmp_path, "run", SF_BAY, "examples/segment.py:segment", "--table", job_table.table_name,
        "--tile-size", "256", "--tile-overlap", "64", "--merge", "union", "--merge-by", "kind",
        "--colormap", "1=#1f6fb4", "--format", "geojson", "--format", "parquet",
    )  # fmt: skip
    address = ray.get_runtime_context().gcs_address
    where = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_local, "RAY_ADDRESS": address}
    out = tmp_path / "out"
    ended = run([*line, "--output", str(out)], ROOT, **where)
    assert ended.returncode == 0, ended.stderr
    with rasterio.open(SF_BAY) as scene, rasterio.open(out / "result.tif") as made:
        whole = sieve((scene.read(1) < 30).astype("uint8"), 100)
        assert (made.read(1) == whole).all()
        assert made.colormap(1)[1] == (0x1F, 0x6F, 0xB4, 255)
    assert cog_validate(out / "result.tif", strict=True) == (True, [], [])
    found = json.loads((out / "results.geojson").read_bytes())
    assert len(found["features"]) == sum(1 for _ in shapes(whole, whole == 1))
    check_on_map(found)
    assert pq.read_table(out / "results.parquet").num_rows == len(found["features"])


def test_model(tmp_path: Path, ray_cluster: None, dynamodb_local: str, image_jobs: JobTable):
    """It finds water, none in what is padded; the command with its weights finds the same."""
    assert len((EXAMPLES / "model.py").read_text().splitlines()) < 70
    address = ray.get_runtime_context().gcs_address
    where = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_local, "RAY_ADDRESS": address}
    *shown, last = example("model.py", tmp_path, dynamodb_local, RAY_ADDRESS=address).splitlines()
    assert last == f"{SF_BAY}: SUCCESS"
    counts, _, busy = shown[-1].partition(", busy ")
    assert counts == "72 of 72 tiles"
    assert 0 < int(busy.rstrip("%")) <= 100
    output = tmp_path / "out" / "model"
    found = json.loads((output / "results.geojson").read_bytes())
    check_on_map(found)
    scene = box(*SCENE).buffer(1e-9)
    assert all(scene.covers(shape(feature["geometry"])) for feature in found["features"])
    line = command(
        tmp_path, "run", SF_BAY, "examples/model.py:Water", "--table", "ImageJobs",
        "--image-id", "by-command", "--tile-size", "256", "--edges", "pad", "--batch-size", "16",
        "--concurrency", "2", "--constructor-arg", str(output / "weights.npz"),
        "--output", str(tmp_path / "again"),
    )  # fmt: skip
    ended = run(line, ROOT, **where)
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "again" / "results.geojson").read_bytes()) == found

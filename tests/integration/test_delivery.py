"""What becomes of a job's results when it is done: merged, and where a request wants them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from raytracker import ImageRequest, JobItem, JobTable, Work
from raytracker.errors import NotMerged
from raytracker.imagery import Tile
from tests.support.moto_s3 import moto_server
from tests.support.scenes import BAHAMAS, outline, results

pytestmark = pytest.mark.usefixtures("ray_cluster")


def _never(*_: Any) -> None:
    raise AssertionError("no tile may run again")


_never.__name__ = "outline"  # a resume compares names


def _in_the_way(pixels: Any, tile: Tile) -> Any:
    (Path(os.environ["OUT"]) / "results.geojson").mkdir(exist_ok=True)
    return outline(pixels, tile)


def test_a_file_that_cannot_be_written_at_the_end(
    run: Callable[..., JobItem], job_table: JobTable, tmp_path: Path
) -> None:
    """The job is done, and that is said; a resume, once that is mended, runs no tile."""
    out = tmp_path / "out"
    work = Work(runtime_env={"env_vars": {"OUT": str(out)}})
    told = r"is done and counted \(4 of 4 .*cannot be written.*or mend what else.*--resume"
    with pytest.raises(NotMerged, match=told):
        run(_in_the_way, work=work)
    item = job_table.get_image_request(str(BAHAMAS))
    assert (item.status, item.region_success, item.end_time) == ("IN_PROGRESS", 4, None)
    (out / "results.geojson").rmdir()
    assert run(_never, if_exists="resume", take_over=True).status == "SUCCESS"
    assert len(results(tmp_path)["features"]) == 12
    assert (out / "job.json").exists()


def test_a_request_says_where_its_results_go(
    run: Callable[..., JobItem], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As OSML names them, beside ours; its properties are in each Feature; NMS is applied."""
    request = ImageRequest.from_external_message(
        {
            "jobId": "jobs/job-7",
            "imageUrls": [str(BAHAMAS)],
            "imageProcessor": {"name": "clouds"},
            "imageProcessorTileSize": 256,
            "imageProcessorTileOverlap": 0,
            "outputs": [
                {"type": "Kinesis", "stream": "s"},
                {"type": "S3", "bucket": "results", "prefix": "some/prefix/"},
            ],
            "featureProperties": [{"sensor": "a", "place": "theirs"}, {"sensor": "b"}],
            "postProcessing": [
                {"step": "FEATURE_DISTILLATION", "algorithm": {"algorithmType": "NMS"}}
            ],
        }
    )
    with moto_server() as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="results")
        work = Work(runtime_env={"env_vars": {"AWS_ENDPOINT_URL_S3": endpoint}})

        def read(key: str) -> Any:
            return json.loads(
                s3.get_object(Bucket="results", Key=f"some/prefix/{key}")["Body"].read()
            )

        job = run(outline, request, tile_size=None, output=None, work=work)
        assert job.status == "SUCCESS"
        option = {"algorithm_type": "NMS", "iou_threshold": 0.75}
        assert json.loads(job.feature_distillation_option or "") == option
        *theirs, ours = json.loads(job.outputs or "")
        assert theirs == request.outputs
        assert ours.items() >= {"type": "S3", "prefix": "some/prefix/job-7"}.items()
        found = read("job-7.geojson")
        assert len(found["features"]) == 12
        for number, feature in enumerate(found["features"]):
            assert feature["properties"]["sensor"] == "b"
            assert feature["properties"]["place"] == "theirs"
            assert len(feature["properties"]["key"]) == 2, number
        assert read("job-7/results.geojson") == found
        assert read("job-7/job.json") == job.to_dict()
        assert "results do not go to Kinesis" in caplog.text

        s3.delete_object(Bucket="results", Key="some/prefix/job-7.geojson")
        arguments = {"tile_size": None, "output": None, "work": work, "if_exists": "resume"}
        assert run(_never, request, **arguments).status == "SUCCESS"
        assert read("job-7.geojson") == found


def test_an_output_that_is_given_goes_first(run: Callable[..., JobItem], tmp_path: Path) -> None:
    """What a request names is for who gives none."""
    request = ImageRequest(
        job_id="job",
        image_id="job:image",
        image_url=os.fspath(BAHAMAS),
        tile_size=(512, 512),
        tile_overlap=(0, 0),
        outputs=[{"type": "S3", "bucket": "nowhere", "prefix": "p"}],
    )

    def nothing(_: Any, tile: Tile) -> None: ...

    job = run(nothing, request)
    [sink] = json.loads(job.outputs or "")
    assert sink["path"] == str(tmp_path / "out")
    assert results(tmp_path)["features"] == []

"""Where a request wants its results, and what it wants in each Feature."""

from __future__ import annotations

import json
from typing import Any

import pytest
import typer

from raytracker import ImageRequest, JobItem
from raytracker.cli.told import told
from raytracker.errors import NotMerged, OutputError
from raytracker.pipeline import ResultStore
from raytracker.pipeline.assembly.features import write_geojson
from raytracker.pipeline.delivery import feature_properties, requested_output, tell
from raytracker.pipeline.features import encode_features
from tests.support.assembled import assembled, grid_of, results_of, source_of
from tests.support.results import FEATURE


def asked(*outputs: dict[str, Any], job_id: str = "job") -> ImageRequest:
    return ImageRequest(job_id=job_id, outputs=list(outputs))


@pytest.mark.parametrize(
    ("request_", "url"),
    [
        (asked(), None),
        (asked({"type": "Kinesis", "stream": "s"}), None),
        (asked({"type": "S3", "bucket": "b", "prefix": "a/p/"}), "s3://b/a/p/job"),
        (asked({"type": "S3", "bucket": "b", "prefix": ""}), "s3://b/job"),
        (asked({"type": "S3", "bucket": "b"}), "s3://b/job"),
        (asked({"type": "S3", "bucket": "b", "prefix": "p"}, job_id="a/b"), "s3://b/p/b"),
    ],
)
def test_the_output_that_a_request_names(request_: ImageRequest, url: str | None) -> None:
    """A folder for the job: requests name one prefix for all of them."""
    assert requested_output(request_) == url


@pytest.mark.parametrize(
    "sink", [{"type": "S3"}, {"type": "S3", "bucket": ""}, {"type": "S3", "bucket": 1}]
)
def test_an_s3_output_without_a_bucket(sink: dict[str, Any]) -> None:
    """Told before anything runs."""
    with pytest.raises(OutputError, match="names no bucket"):
        requested_output(asked(sink))


def test_the_properties_of_a_request() -> None:
    """Later ones are written over earlier ones."""
    job = JobItem(image_id="i", feature_properties='[{"a": 1, "b": 1}, {"b": 2}]')
    assert feature_properties(job) == {"a": 1, "b": 2}
    for text in (None, "", "[", "{}", "7", '[1, "x"]', "[" * 100_000):
        assert feature_properties(JobItem(image_id="i", feature_properties=text)) == {}


def test_what_cannot_be_delivered() -> None:
    """It is not bad usage."""
    for error, status in ((NotMerged("done"), 1), (OutputError("nowhere"), 2)):
        with pytest.raises(typer.Exit) as ended, told():
            raise error
        assert ended.value.exit_code == status


@pytest.mark.usefixtures("s3_endpoint")
def test_a_full_disk_where_an_upload_is_made_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, too, with the folder."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    source = source_of(ResultStore("s3://bucket/x"), grid_of(1, 1), [])
    with pytest.raises(OutputError, match="results.geojson cannot be made ready in .*No space"):
        write_geojson(source, iter(()))


@pytest.mark.parametrize("crs", [None, "EPSG:4326"])
def test_only_pixels_are_said_to_be_some(store: ResultStore, crs: str | None) -> None:
    """Longitude and latitude are what RFC 7946 takes for granted."""
    store.write_chunk(results_of({(0, 0): encode_features(FEATURE)}))
    assembled(source_of(store, grid_of(1, 1, crs), [(0, 0)]))
    tell(store, JobItem(image_id="i"))
    told = json.loads(store.read("results.geojson")).get("raytracker:coordinates")
    assert told == (None if crs else "pixels (column, row)")
    assert json.loads(store.read("job.json"))["image_id"] == "i"

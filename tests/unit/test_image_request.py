from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import shapely

from raytracker.errors import InvalidImageRequestException, RaytrackerError
from raytracker.image_request import (
    FeatureDistillationAlgorithmType,
    FeatureDistillationNMS,
    FeatureDistillationSoftNMS,
    ImageCompression,
    ImageFormats,
    ImageRequest,
    ModelInvokeMode,
    MRPostProcessing,
    MRPostprocessingStep,
    SinkType,
)

ROI = "POLYGON ((0 0, 0 1, 1 1, 1 0, 0 0))"
MINIMAL: dict[str, Any] = {
    "jobId": "job",
    "imageUrls": ["s3://bucket/image.tif"],
    "imageProcessor": {"name": "model"},
}
FULL: dict[str, Any] = {
    "jobId": "job",
    "jobName": "A job",
    "imageUrls": ["s3://bucket/image.tif"],
    "imageReadRole": "arn:aws:iam::1:role/read",
    "outputs": [
        {"type": "S3", "bucket": "b", "prefix": "p/"},
        {"type": "Kinesis", "stream": "s", "batchSize": 1000},
    ],
    "imageProcessor": {
        "name": "model",
        "type": "HTTP_ENDPOINT",
        "assumedRole": "arn:aws:iam::1:role/invoke",
    },
    "imageProcessorTileSize": 2048,
    "imageProcessorTileOverlap": 100,
    "imageProcessorTileFormat": "GTIFF",
    "imageProcessorTileCompression": "LZW",
    "imageProcessorParameters": {"TargetVariant": "blue"},
    "regionOfInterest": ROI,
    "featureProperties": [{"sensor": "x"}],
    "postProcessing": [
        {
            "step": "FEATURE_DISTILLATION",
            "algorithm": {
                "algorithmType": "SOFT_NMS",
                "iouThreshold": 0.5,
                "skipBoxThreshold": 0.01,
                "sigma": 0.2,
            },
        }
    ],
}


def parse(**changes: Any) -> ImageRequest:
    message = {name: v for name, v in {**MINIMAL, **changes}.items() if v is not ...}
    return ImageRequest.from_external_message(message)


def test_a_full_message() -> None:
    """Every field of OSML's message lands where OSML puts it."""
    request = ImageRequest.from_external_message(FULL)
    assert request == ImageRequest(
        job_id="job",
        image_id="job:s3://bucket/image.tif",
        image_url="s3://bucket/image.tif",
        image_read_role="arn:aws:iam::1:role/read",
        outputs=FULL["outputs"],
        model_name="model",
        model_invoke_mode=ModelInvokeMode.HTTP_ENDPOINT,
        tile_size=(2048, 2048),
        tile_overlap=(100, 100),
        tile_format="GTIFF",
        tile_compression="LZW",
        model_invocation_role="arn:aws:iam::1:role/invoke",
        feature_properties=[{"sensor": "x"}],
        roi=shapely.from_wkt(ROI),
        post_processing=[
            MRPostProcessing(
                step=MRPostprocessingStep.FEATURE_DISTILLATION,
                algorithm=FeatureDistillationSoftNMS(
                    iou_threshold=0.5, skip_box_threshold=0.01, sigma=0.2
                ),
            )
        ],
        model_endpoint_parameters={"TargetVariant": "blue"},
    )
    assert request.is_valid()


def test_a_minimal_message_gets_osmls_defaults() -> None:
    """NMS at 0.75, tiles of 1024 with 50 overlap, NITF, a SageMaker endpoint."""
    request = parse()
    assert request == ImageRequest(
        job_id="job",
        image_id="job:s3://bucket/image.tif",
        image_url="s3://bucket/image.tif",
        model_name="model",
        model_invoke_mode=ModelInvokeMode.SM_ENDPOINT,
    )
    assert (request.tile_size, request.tile_overlap) == ((1024, 1024), (50, 50))
    assert (request.tile_format, request.tile_compression) == ("NITF", "NONE")
    assert request.roi is None
    assert request.get_feature_distillation_option() == [FeatureDistillationNMS()]
    assert FeatureDistillationNMS().iou_threshold == 0.75
    assert request.is_valid()


@pytest.mark.parametrize("encode", [json.dumps, lambda message: json.dumps(message).encode()])
def test_a_message_may_be_text(encode: Any) -> None:
    """As a queue delivers it."""
    assert ImageRequest.from_external_message(encode(FULL)) == ImageRequest.from_external_message(
        FULL
    )


def test_parsing_does_not_change_the_message() -> None:
    """The caller may send it again."""
    message = json.loads(json.dumps(FULL))
    ImageRequest.from_external_message(message)
    assert message == FULL


def test_fields_that_are_null_are_as_if_left_out() -> None:
    """JSON encoders write them."""
    optional = dict.fromkeys(FULL.keys() - MINIMAL.keys())
    assert parse(**optional) == parse()


def test_legacy_outputs() -> None:
    """A bucket and a prefix are one S3 output; `outputs` wins."""
    legacy = {"outputBucket": "b", "outputPrefix": "p"}
    assert parse(**legacy).outputs == [{"type": "S3", "bucket": "b", "prefix": "p"}]
    outputs = [{"type": "Kinesis", "stream": "s"}]
    assert parse(**legacy, outputs=outputs).outputs == outputs
    assert parse(outputBucket="b").outputs == []


@pytest.mark.parametrize("size", [512, "512", 512.0])
def test_a_tile_size_may_be_text(size: Any) -> None:
    """OSML's messages carry either."""
    assert parse(imageProcessorTileSize=size).tile_size == (512, 512)


@pytest.mark.parametrize("overlap", [0, "0"])
def test_an_overlap_of_zero_is_one(overlap: Any) -> None:
    """OSML takes 0 for missing and fails; "0" works there."""
    assert parse(imageProcessorTileOverlap=overlap).tile_overlap == (0, 0)


@pytest.mark.parametrize(
    "names", [("algorithmType", "iouThreshold"), ("algorithm_type", "iou_threshold")]
)
def test_post_processing_takes_both_spellings(names: tuple[str, str]) -> None:
    """OSML does."""
    step = {"step": "FEATURE_DISTILLATION", "algorithm": {names[0]: "NMS", names[1]: 0.5}}
    [option] = parse(postProcessing=[step]).get_feature_distillation_option()
    assert option == FeatureDistillationNMS(FeatureDistillationAlgorithmType.NMS, 0.5)


def test_several_images_are_a_request_for_the_first(caplog: pytest.LogCaptureFixture) -> None:
    """As in OSML, but not silently."""
    assert parse(imageUrls=["a", "b"]).image_id == "job:a"
    assert "imageUrls has 2 entries" in caplog.text


NMS_STEP = {"step": "FEATURE_DISTILLATION", "algorithm": {"algorithmType": "NMS"}}


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("jobId", ..., "jobId is missing"),
        ("jobId", "", "jobId is missing"),
        ("jobId", 5, "jobId is 5"),
        ("imageUrls", ..., "imageUrls is missing"),
        ("imageUrls", [], "imageUrls is []"),
        ("imageUrls", [""], "imageUrls"),
        ("imageUrls", [None], "imageUrls"),
        ("imageUrls", "s3://bucket/image.tif", "imageUrls"),
        ("imageProcessor", ..., "imageProcessor is missing"),
        ("imageProcessor", "model", "imageProcessor is 'model'"),
        ("imageProcessor", {}, "imageProcessor.name is missing"),
        ("imageProcessor", {"name": 5}, "imageProcessor.name is 5"),
        ("imageProcessor", {"name": "m", "type": "FTP"}, "imageProcessor.type is 'FTP'"),
        ("imageProcessor", {"name": "m", "type": 5}, "imageProcessor.type is 5"),
        ("imageProcessor", {"name": "m", "assumedRole": "r"}, "imageProcessor.assumedRole is 'r'"),
        ("imageReadRole", "role/r", "imageReadRole is 'role/r'"),
        ("imageReadRole", 5, "imageReadRole is 5"),
        ("imageProcessorTileSize", 0, "imageProcessorTileSize is (0, 0)"),
        ("imageProcessorTileSize", -5, "imageProcessorTileSize is (-5, -5)"),
        ("imageProcessorTileSize", "big", "imageProcessorTileSize is 'big'"),
        ("imageProcessorTileSize", 5.5, "imageProcessorTileSize is 5.5"),
        ("imageProcessorTileSize", True, "imageProcessorTileSize is True"),
        ("imageProcessorTileSize", [512, 512], "imageProcessorTileSize is [512, 512]"),
        ("imageProcessorTileSize", float("inf"), "imageProcessorTileSize is inf"),
        ("imageProcessorTileOverlap", -1, "imageProcessorTileOverlap is (-1, -1)"),
        ("imageProcessorTileOverlap", 1024, "imageProcessorTileOverlap is (1024, 1024)"),
        ("imageProcessorTileOverlap", "x", "imageProcessorTileOverlap is 'x'"),
        ("imageProcessorTileFormat", "GIF", "imageProcessorTileFormat is 'GIF'"),
        ("imageProcessorTileCompression", "ZIP", "imageProcessorTileCompression is 'ZIP'"),
        ("regionOfInterest", "POLYGON ((0 0", "regionOfInterest is 'POLYGON ((0 0'"),
        ("regionOfInterest", {"type": "Point"}, "regionOfInterest is {'type'"),
        ("outputs", {"type": "S3"}, "outputs is {'type'"),
        ("outputs", ["S3"], "outputs is ['S3']"),
        ("outputs", [{"type": "S3"}, {"type": "FTP"}], "outputs[1].type is 'FTP'"),
        ("outputs", [{"bucket": "b"}], "outputs[0].type is missing"),
        ("outputBucket", 5, "outputBucket is 5"),
        ("featureProperties", {"a": 1}, "featureProperties is {'a'"),
        ("imageProcessorParameters", "a", "imageProcessorParameters is 'a'; it must be an object"),
        ("featureProperties", ["a"], "featureProperties is ['a']"),
        ("postProcessing", {"step": 1}, "postProcessing is {'step'"),
        ("postProcessing", ["NMS"], "postProcessing[0] is 'NMS'"),
        ("postProcessing", [{"step": "FEATURE_DISTILLATION"}], "postProcessing[0] is"),
        ("postProcessing", [{**NMS_STEP, "step": "X"}], "postProcessing[0].step: 'X'"),
        (
            "postProcessing",
            [NMS_STEP, {**NMS_STEP, "algorithm": {"algorithmType": "WBF"}}],
            "postProcessing[1].algorithm.algorithmType: 'WBF'",
        ),
        (
            "postProcessing",
            [{**NMS_STEP, "algorithm": {"algorithmType": "NMS", "sigma": 1}}],
            "postProcessing[0].algorithm of NMS has no option sigma",
        ),
        (
            "postProcessing",
            [{**NMS_STEP, "algorithm": {"algorithmType": "NMS", "iouThreshold": "x"}}],
            "postProcessing[0].algorithm.iou_threshold is 'x'",
        ),
    ],
)
def test_a_malformed_message_names_the_field(field: str, value: Any, text: str) -> None:
    """And shows the value."""
    with pytest.raises(InvalidImageRequestException) as err:
        parse(**{field: value})
    assert text in str(err.value)


@pytest.mark.parametrize("message", ["not json", b"\xff", "[]", "5", "null", None, 5, [MINIMAL]])
def test_a_message_that_is_no_object(message: Any) -> None:
    """It has no fields to name."""
    with pytest.raises(InvalidImageRequestException, match="the request message"):
        ImageRequest.from_external_message(message)


def test_errors_are_ours_and_value_errors() -> None:
    """For callers that catch either."""
    assert issubclass(InvalidImageRequestException, RaytrackerError)
    assert issubclass(InvalidImageRequestException, ValueError)


def test_a_region_of_interest_needs_shapely(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text says how to get it; without a region nothing needs it."""
    monkeypatch.setitem(sys.modules, "shapely", None)
    assert parse().roi is None
    with pytest.raises(InvalidImageRequestException, match=r"pip install .raytracker\[imagery\]"):
        parse(regionOfInterest=ROI)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"job_id": ""}, "jobId"),
        ({"image_id": ""}, "image_id"),
        ({"image_url": ""}, "imageUrls"),
        ({"model_name": ""}, "imageProcessor.name"),
        ({"model_invoke_mode": None}, "imageProcessor.type"),
        ({"tile_size": None}, "imageProcessorTileSize"),
        ({"tile_size": (5,)}, "imageProcessorTileSize"),
        ({"tile_size": (512, 0)}, "imageProcessorTileSize"),
        ({"tile_overlap": None}, "imageProcessorTileOverlap"),
        ({"tile_overlap": (0, -1)}, "imageProcessorTileOverlap"),
        ({"tile_size": (512, 50)}, "imageProcessorTileOverlap"),
        ({"tile_format": ""}, "imageProcessorTileFormat"),
        ({"tile_compression": "ZIP"}, "imageProcessorTileCompression"),
        ({"image_read_role": "r"}, "imageReadRole"),
        ({"model_invocation_role": "r"}, "imageProcessor.assumedRole"),
        ({"outputs": [{"type": "FTP"}]}, "outputs[0].type"),
        ({"post_processing": 2 * ImageRequest().post_processing}, "postProcessing"),
    ],
)
def test_is_valid_tells_and_logs(
    changes: dict[str, Any], field: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As in OSML: False, and why is in the log."""
    valid = {"job_id": "j", "image_id": "j:u", "image_url": "u", "model_name": "m"}
    assert ImageRequest(**valid).is_valid()
    assert not caplog.records
    assert not ImageRequest(**{**valid, **changes}).is_valid()
    assert field in caplog.text


def test_shared_values() -> None:
    """What a region's request has in common with its image's, by the newest OSML's names."""
    request = ImageRequest.from_external_message(FULL)
    shared = request.get_shared_values()
    assert list(shared) == [
        "image_id",
        "job_id",
        "image_url",
        "image_read_role",
        "model_name",
        "model_invoke_mode",
        "model_endpoint_parameters",
        "model_invocation_role",
        "tile_size",
        "tile_overlap",
        "tile_format",
        "tile_compression",
    ]
    assert all(value == getattr(request, name) for name, value in shared.items())


def test_enums_are_strings() -> None:
    """With OSML's names and values."""
    assert [mode.value for mode in ModelInvokeMode] == ["NONE", "SM_ENDPOINT", "HTTP_ENDPOINT"]
    assert [f.value for f in ImageFormats] == ["NITF", "JPEG", "PNG", "GTIFF"]
    assert [c.value for c in ImageCompression] == ["NONE", "JPEG", "J2K", "LZW"]
    assert [sink.value for sink in SinkType] == ["S3", "Kinesis"]
    assert json.dumps(ModelInvokeMode.NONE) == '"NONE"'

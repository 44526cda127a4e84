"""A request message is anybody's."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raytracker.errors import InvalidGrid, InvalidImageRequestException
from raytracker.image_request import ImageRequest
from raytracker.imagery import plan
from tests.support.grids import image

GOOD: dict[str, Any] = {
    "jobId": "job",
    "imageUrls": ["s3://bucket/scene.tif"],
    "imageProcessor": {"name": "model", "type": "SM_ENDPOINT"},
}
NMS = {"step": "FEATURE_DISTILLATION", "algorithm": {"algorithmType": "NMS"}}


def nested(opening: str, closing: str, levels: int, inner: str = "") -> str:
    return opening * levels + inner + closing * levels


NESTED_WKT = nested("GEOMETRYCOLLECTION (", ")", 45_000, "POINT (0 0)")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("regionOfInterest", NESTED_WKT),
        ("regionOfInterest", "POLYGON ((" + "0 0," * 200_000 + "0 0))"),
        ("regionOfInterest", "POLYGON ((\0"),
        ("featureProperties", json.loads(nested('[{"a":', "}]", 200, "1"))),
        ("postProcessing", [5]),
        ("postProcessing", [{**NMS, "algorithm": 5}]),
        ("postProcessing", [{**NMS, "algorithm": {"algorithmType": 5}}]),
        ("postProcessing", [{**NMS, "algorithm": {"algorithmType": []}}]),
        ("postProcessing", [{**NMS, "step": {}}]),
        ("postProcessing", [{**NMS, "algorithm": {"algorithmType": "NMS", "iouThreshold": 1e999}}]),
        ("outputs", [{"type": []}]),
        ("outputs", [{"type": {"S3": 1}}]),
        ("imageProcessorTileSize", 10**4000),
        ("imageProcessorTileSize", float("nan")),
        ("imageProcessorTileFormat", {}),
        ("imageProcessor", 5),
        ("imageReadRole", 5),
        ("jobId", "\ud800"),
        ("jobId", {"a": 1}),
        ("imageUrls", [[]]),
    ],
)
def test_what_is_wrong_is_named(field: str, value: Any) -> None:
    """The field, in a moment, and no more of the value than a line."""
    began = time.process_time()
    with pytest.raises(InvalidImageRequestException, match=field) as caught:
        ImageRequest.from_external_message({**GOOD, field: value})
    assert len(str(caught.value)) < 800
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "text",
    [
        nested("[", "]", 100_000),
        nested('{"a":', "}", 100_000, "1"),
        json.dumps({**GOOD, "x": "y" * 2_000_000}),
        "1" * 10_000,
        b"\xff\xfe\xfd",
    ],
)
def test_a_text_that_is_no_message(text: str | bytes) -> None:
    """It is refused before anything is made of it."""
    with pytest.raises(InvalidImageRequestException, match="the request message"):
        ImageRequest.from_external_message(text)


@pytest.mark.parametrize("roi", [NESTED_WKT, NESTED_WKT[:300_000], [], 5, "\ud800"])
def test_a_region_of_interest_has_the_same_bounds(roi: Any) -> None:
    """Else the process ended with SIGSEGV."""
    with pytest.raises(InvalidGrid, match="ROI"):
        plan(image(64, 64), 32, roi=roi)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_STEPS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "step": st.just("FEATURE_DISTILLATION") | _JSON,
            "algorithm": _JSON
            | st.dictionaries(
                st.sampled_from(["algorithmType", "iouThreshold", "sigma", "skip_box_threshold"]),
                st.sampled_from(["NMS", "SOFT_NMS"]) | _JSON,
            ),
        },
    ),
    max_size=2,
)
_FIELDS = st.sampled_from(
    ["jobId", "imageUrls", "imageProcessor", "imageReadRole", "outputs", "outputBucket",
     "imageProcessorTileSize", "imageProcessorTileOverlap", "imageProcessorTileFormat",
     "imageProcessorTileCompression", "imageProcessorParameters", "featureProperties",
     "regionOfInterest", "postProcessing"]
)  # fmt: skip


@given(more=st.dictionaries(_FIELDS, _JSON, max_size=3), steps=_STEPS, as_text=st.booleans())
@example(more={"outputs": [{"type": []}]}, steps=[], as_text=True)
def test_any_message_is_a_request_or_refused(
    more: dict[str, Any], steps: list[Any], as_text: bool
) -> None:
    """Nothing else comes of one."""
    message: Any = {**GOOD, "postProcessing": steps, **more}
    try:
        request = ImageRequest.from_external_message(json.dumps(message) if as_text else message)
    except InvalidImageRequestException:
        return
    assert request.is_valid() in (True, False)

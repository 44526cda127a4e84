"""What a Feature's properties may be, and what JSON makes of them."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

import numpy as np
import pytest
import shapely

from raytracker.errors import OutputError
from raytracker.imagery import describe, plan
from raytracker.pipeline.features import encode_features
from tests.support.results import FEATURE
from tests.support.scenes import BAHAMAS

TILE = plan(describe(BAHAMAS), 256).tile(0, 5)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.datetime64("2026-01-02"), "2026-01-02"),
        (np.datetime64("2026"), "2026-01-01"),
        (np.datetime64("2026-03"), "2026-03-01"),
        (np.datetime64("2026-01-02T03"), "2026-01-02T03:00:00"),
        (np.datetime64("2026-01-02T03:04:05"), "2026-01-02T03:04:05"),
        (np.datetime64("2026-01-02T03:04:05.006", "ms"), "2026-01-02T03:04:05.006"),
        (np.datetime64("2026-01-02T03:04:05", "us"), "2026-01-02T03:04:05.000000"),
        (np.datetime64("2026-01-02T03:04:05", "ns"), "2026-01-02T03:04:05.000000000"),
        (np.array(["2026-01", "2026-02"], "datetime64[M]"), ["2026-01-01", "2026-02-01"]),
        (np.array("2026-01-02", "datetime64[D]"), "2026-01-02"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (
            datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.timezone.utc),
            "2026-01-02T03:00:00+00:00",
        ),
        (datetime.time(3, 4), "03:04:00"),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.int64(2**62), 2**62),
        (np.array([[1, 2], [3, 4]], "uint8"), [[1, 2], [3, 4]]),
        (np.array(5), 5),
        ({1: "a", "b": (1, 2)}, {"1": "a", "b": [1, 2]}),
        ({np.int64(3): np.int8(4)}, {"3": 4}),
        ([{"deep": {np.uint8(1): [np.datetime64("2026")]}}], [{"deep": {"1": ["2026-01-01"]}}]),
    ],
)
def test_properties_that_json_can_hold(value: Any, told: Any) -> None:
    """Numpy's values, times of whatever unit as ISO 8601, keys that are whole numbers."""
    [feature] = json.loads(
        encode_features(TILE.feature(shapely.Point(1, 2), {"value": value}), TILE)
    )
    assert feature["properties"] == {"value": told}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), "properties.value is nan"),
        (np.float32("-inf"), "properties.value is -inf"),
        (np.array([1, np.nan]), r"properties.value\[1\] is nan"),
        ({"deep": [1, {"mean": np.nan}]}, r"properties.value.deep\[1\].mean is nan"),
        (np.datetime64("NaT"), "properties.value: NaT"),
        (np.array(["NaT", "2026"], "datetime64[D]"), "properties.value: NaT"),
        ({1, 2}, "properties.value: {1, 2} is a set"),
        (b"x", "properties.value: b'x' is a bytes"),
        (1j, "properties.value: 1j is a complex"),
        (np.timedelta64(1, "s"), "properties.value: .* is a timedelta"),
        (uuid.UUID(int=1), "properties.value: .* is a UUID"),
        ({(1, 2): 3}, r"properties.value has the key \(1, 2\), a tuple"),
        ({"a": {np.float32(1): 3}}, "properties.value.a has the key"),
    ],
)
def test_properties_that_json_cannot_hold(value: Any, told: str) -> None:
    """Are named."""
    with pytest.raises(OutputError, match=told):
        encode_features(TILE.feature(shapely.Point(1, 2), {"fine": 1, "value": value}), TILE)


def test_a_list_that_holds_itself() -> None:
    """Is told, too."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(OutputError, match="can't be JSON"):
        encode_features({**FEATURE, "properties": {"endless": endless}})


def test_what_each_feature_is_given() -> None:
    """As OSML does it, a request's properties are written over the feature's own."""
    found = [TILE.feature(shapely.Point(1, 2), {"n": n, "sensor": "mine"}) for n in (1, 2)]
    more = {"sensor": "theirs", "more": True}
    features = json.loads(encode_features(found, TILE, more))
    assert [feature["properties"] for feature in features] == [{"n": n, **more} for n in (1, 2)]

"""What a resume disagrees in is told in the words of the command."""

from __future__ import annotations

from typing import Any

import pytest

from raytracker.cli.told import in_options
from raytracker.errors import ResumeMismatch
from raytracker.pipeline.noted import Difference


@pytest.mark.parametrize(
    ("name", "theirs", "ours", "told"),
    [
        ("merge", "none", "nms", "was --merge none; is --merge nms"),
        (
            "formats",
            ["geojson"],
            ["geojson", "parquet"],
            "was --format geojson; is --format geojson --format parquet",
        ),
        ("merge_by", None, ["kind"], "was no --merge-by; is --merge-by kind"),
        ("band_names", ["a"], None, "was --band-name a; is no --band-name"),
        (
            "colormap",
            {"1": [0, 0, 255]},
            {"1": [9, 0, 0, 255]},
            "was --colormap 1=#0000ff; is --colormap 1=#090000ff",
        ),
        ("stride", 1, 4, "was --stride 1; is --stride 4"),
        ("tile_size", [256, 256], [512, 512], "was --tile-size 256x256; is --tile-size 512x512"),
    ],
)
def test_how_results_are_assembled(name: str, theirs: Any, ours: Any, told: str) -> None:
    """Names and values as they would be typed."""
    error = ResumeMismatch("", [Difference(name, theirs, ours)])
    assert in_options(error, f"was {name}={theirs!r}; is {name}={ours!r}") == told

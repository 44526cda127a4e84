"""What the tests of `process_image` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytracker import ImageRequest, JobItem, JobTable, process_image
from tests.support.scenes import BAHAMAS


@pytest.fixture
def run(job_table: JobTable, tmp_path: Path) -> Callable[..., JobItem]:
    """`process_image` of the Bahamas in 12 tiles and 4 regions, with an output folder."""

    def run(function: Any, image: Any = BAHAMAS, **arguments: Any) -> JobItem:
        defaults: dict[str, Any] = {
            "table": job_table,
            "tile_size": 256,
            "region_size": 512,
            "output": tmp_path / "out",
            "allow_url": isinstance(image, ImageRequest),  # it is the test's own
        }
        return process_image(image, function, **defaults | arguments)

    return run

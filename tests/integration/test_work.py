"""How the tiles of an image are run: what a tile does is its own affair."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytracker import JobItem, Work
from raytracker.imagery import Tile
from tests.support.scenes import outline, results

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_a_tile_that_takes_too_long_is_an_error(run: Callable[..., JobItem]) -> None:
    """And it alone."""

    def hang(pixels: Any, tile: Tile) -> None:
        if (tile.row, tile.column) == (1, 1):
            time.sleep(60)

    job = run(hang, work=Work(timeout=1, retries=0))
    assert (job.status, job.region_success, job.region_error) == ("PARTIAL", 3, 1)
    assert list((job.tracker_errors or {}).values()) == [
        "TaskTimeout: the task took longer than 1 s"
    ]


def test_a_tile_that_ends_its_process_is_an_error(
    run: Callable[..., JobItem], tmp_path: Path
) -> None:
    """And it alone; what the others gave is there."""

    def die(pixels: Any, tile: Tile) -> Any:
        if (tile.row, tile.column) == (1, 1):
            os._exit(1)
        return outline(pixels, tile)

    job = run(die, tile_size=64, work=Work(retries=1))
    assert job.region_error == 1
    places = [tuple(f["properties"]["place"]) for f in results(tmp_path)["features"]]
    assert (1, 1) not in places
    assert len(places) == len(set(places)) == 155


def test_a_failure_that_goes_is_none(run: Callable[..., JobItem], tmp_path: Path) -> None:
    """A tile is tried again, as often as is said."""
    seen = tmp_path / "seen"
    seen.mkdir()

    def fail_at_first(pixels: Any, tile: Tile) -> Any:
        mine = seen / f"{tile.row}-{tile.column}"
        if not mine.exists():
            mine.touch()
            raise ConnectionError("try again")
        return outline(pixels, tile)

    assert run(fail_at_first).status == "SUCCESS"
    assert len(results(tmp_path)["features"]) == 12


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"retries": -1}, "retries=-1"),
        ({"timeout": 0}, "timeout=0"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": (2, 1)}, "concurrency=\\(2, 1\\)"),
        ({"fn_constructor_args": "weights.pt"}, "fn_constructor_args="),
        ({"tolerated_failure_count": -1}, "tolerated_failure_count=-1"),
        ({"tolerated_failure_percentage": 101}, "tolerated_failure_percentage=101"),
    ],
)
def test_work_that_cannot_be_is_refused(how: dict[str, Any], told: str) -> None:
    """By name and value."""
    with pytest.raises(ValueError, match=told):
        Work(**how)

"""What there is of an image, while it runs or once it has failed: `collect`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytracker import JobItem, JobTable, Work, collect
from raytracker.errors import JobStopped, OutputError
from raytracker.imagery import Tile
from tests.support.scenes import BAHAMAS, outline, results

pytestmark = pytest.mark.usefixtures("ray_cluster")

SCENE = str(BAHAMAS)


def but_one(pixels: Any, tile: Tile) -> Any:
    if (tile.row, tile.column) == (1, 1):
        raise ValueError("haze")
    return outline(pixels, tile)


def gated(pixels: Any, tile: Tile) -> Any:
    """Waits, but for the first tiles."""
    folder = Path(tile.image.url).parent
    (folder / f"ran-{tile.row}-{tile.column}").touch()
    while len(list(folder.glob("ran-*"))) > 4 and not (folder / "gate").exists():
        time.sleep(0.05)
    return outline(pixels, tile)


def places(folder: Path) -> set[tuple[int, int]]:
    found = json.loads((folder / "results.geojson").read_text())["features"]
    return {tuple(feature["properties"]["place"]) for feature in found}


def test_what_there_is_of_an_image_that_was_stopped(
    run: Callable[..., JobItem], job_table: JobTable, tmp_path: Path
) -> None:
    """Where it was to go, or elsewhere; item and tiles stay as they are, for a redrive."""
    with pytest.raises(JobStopped):
        run(but_one, work=Work(tolerated_failure_count=0, concurrency=1, retries=0))
    before = job_table.read(SCENE)
    assert not (tmp_path / "out" / "results.geojson").exists()
    steps: list[tuple[int, int]] = []
    [name] = collect(SCENE, table=job_table, on_progress=lambda *step: steps.append(step))
    assert name == str(tmp_path / "out" / "results.geojson")
    there = places(tmp_path / "out")
    assert 0 < len(there) < 12
    assert steps[-1] == (2, 2)
    collect(SCENE, table=job_table, output=tmp_path / "elsewhere")
    assert places(tmp_path / "elsewhere") == there
    assert job_table.read(SCENE) == before
    assert run(but_one, if_exists="resume", redrive=True).status == "PARTIAL"
    assert len(places(tmp_path / "out")) == 11


def test_what_there_is_of_an_image_that_runs(
    run: Callable[..., JobItem], job_table: JobTable, tmp_path: Path
) -> None:
    """Without pending tiles; it goes on as if nobody had looked."""
    image = tmp_path / "scene.tif"
    image.write_bytes(BAHAMAS.read_bytes())
    seen = threading.Event()

    def look(progress: Any) -> None:
        if progress.tile_success >= 2:
            seen.set()

    ended: list[JobItem] = []
    runs = threading.Thread(target=lambda: ended.append(run(gated, image, on_progress=look)))
    runs.start()
    try:
        assert seen.wait(60)
        collect(str(image), table=job_table, output=tmp_path / "so far")
    finally:
        (tmp_path / "gate").touch()
        runs.join(60)
    assert 2 <= len(places(tmp_path / "so far")) <= 4
    assert ended[0].status == "SUCCESS"
    assert len(results(tmp_path)["features"]) == 12


def test_what_cannot_be_collected(
    run: Callable[..., JobItem], job_table: JobTable, tmp_path: Path
) -> None:
    """Nothing was kept; or it is in one file, and what that was made of is gone."""
    run(outline, image_id="nowhere", output=None)
    with pytest.raises(OutputError, match="'nowhere' was run without an output"):
        collect("nowhere", table=job_table)
    run(outline)
    told = "is a SUCCESS, and is assembled: results.geojson in .*keep_tiles=True keeps it"
    with pytest.raises(OutputError, match=told):
        collect(SCENE, table=job_table, output=tmp_path / "again")
    run(outline, image_id="kept", output=tmp_path / "kept", keep_tiles=True)
    collect("kept", table=job_table, output=tmp_path / "again")
    assert len(places(tmp_path / "again")) == 12

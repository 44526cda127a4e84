"""`raytracker map`: the picture from the item and the image alone."""

import io
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from typer.testing import CliRunner

from raytracker import job_table
from raytracker.cli import map as cli_map
from raytracker.cli.command import app
from raytracker.cli.found import drawn_of
from raytracker.cli.options import Refused
from raytracker.cli.tables import job_of
from raytracker.errors import InvalidImage, OutputError
from raytracker.imagery import Grid, describe, plan
from raytracker.job_table import JobItem, ledger_of
from raytracker.ledger import Outcome
from raytracker.pipeline import ResultStore
from raytracker.run.beginning import How, begin
from tests.support.images import make_image
from tests.support.simulated_table import SimulatedTable

WHERE = {"crs": "EPSG:32618", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)}
ROI = "POLYGON ((500000 4000000, 500990 4000000, 500990 3999010, 500000 3999010, 500000 4000000))"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> SimulatedTable:
    """A job table that the command finds."""
    table = SimulatedTable()
    monkeypatch.setattr(job_table, "JobTable", lambda name: table)
    return table


def scene(folder: Path, size: int = 200) -> Path:
    return make_image(folder / "scene.tif", np.full((1, size, size), 90, "uint8"), **WHERE)


def started(table: SimulatedTable, path: Path, image_id: str, **cut: Any) -> Grid:
    """Notes a run of the image, as `process_image` does."""
    grid = plan(describe(path), 50, 10, 100, **cut)
    job = JobItem(image_id, image_url=str(path), roi_wkt=grid.roi)
    begin(job, grid.tiles_per_region, table, "error", grid.to_dict(), False, How())
    return grid


@pytest.mark.parametrize("cut", [{}, {"roi": ROI}, {"edges": "pad", "bands": [1, 1]}])
def test_the_grid_is_in_the_item(tmp_path: Path, table: SimulatedTable, cut: Any) -> None:
    """With ROI, edges and bands; nothing else is needed."""
    grid = started(table, scene(tmp_path), "scene", **cut)
    job = table.read("scene")
    assert job is not None
    found = cli_map.grid_of(job)
    assert found.to_dict() == grid.to_dict()
    assert found.tiles_per_region == grid.tiles_per_region
    assert cli_map.picture_of(job, found).startswith(b"\x89PNG")


@pytest.mark.parametrize("by", ["scene-1", "scene.tif"])
def test_the_command_draws_it(
    tmp_path: Path, table: SimulatedTable, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """By its key, or by the path that `run` took; beside the reader."""
    monkeypatch.chdir(tmp_path)
    path = scene(tmp_path)
    started(table, path, by if by == "scene-1" else str(path))
    done = CliRunner().invoke(app, ["map", by, "--table", "T"])
    assert done.exit_code == 0, done.output
    assert done.stdout == "picture    scene-map.png\n"
    assert Image.open(io.BytesIO(Path("scene-map.png").read_bytes())).width > 500
    assert CliRunner().invoke(app, ["map", by, "--table", "T", "--output", "x.png"]).exit_code == 0
    assert Path("x.png").exists()


def test_the_title_says_which_when_and_why(
    tmp_path: Path, table: SimulatedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image, the date, how it ended, and what tiles failed of most often."""
    started(table, scene(tmp_path), "scene-1")
    job = table.read("scene-1")
    assert job is not None
    assert len(list(cli_map._title(job))) == 2
    ledger = ledger_of(job)
    reasons = {0: "rare", 1: "often", 2: "often"}
    ledger.merge([(tile, bytes([Outcome.ERROR])) for tile in reasons], reasons)
    monkeypatch.setattr(cli_map, "ledger_of", lambda job: ledger)
    name, told, why = cli_map._title(replace(job, end_time=1_764_232_500_000))
    assert name == "scene-1"
    assert told.startswith("2025-11-27 08:35 UTC · ")
    assert why == "failed, 2 of 3: often"


def test_what_cannot_be_drawn(tmp_path: Path, table: SimulatedTable) -> None:
    """Is told in one line: no such image, one without a cut, another image, no place for it."""
    with pytest.raises(Refused, match="'nobody' is not in table 'T'"):
        cli_map.map_image(job_of("nobody", "T"), None)
    begin(JobItem("plain"), 5, table, "error", None, False, How())
    with pytest.raises(Refused, match="'plain' was not cut by raytracker"):
        cli_map.map_image(job_of("plain", "T"), None)
    path = scene(tmp_path)
    started(table, path, "scene")
    with pytest.raises(OutputError, match="cannot be written"):
        cli_map.map_image(job_of("scene", "T"), str(tmp_path / "no" / "x.png"))
    scene(tmp_path, 300)
    with pytest.raises(Refused, match="is not the image that 'scene' was cut from"):
        cli_map.map_image(job_of("scene", "T"), None)
    path.unlink()
    with pytest.raises(InvalidImage, match="scene.tif"):
        cli_map.map_image(job_of("scene", "T"), None)


def test_what_is_outlined_takes_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many Features as are outlined at all; one more, and none is."""
    # With a tenth of them: each is traced as it is allocated.
    monkeypatch.setattr(cli_map, "MAX_OUTLINED_BYTES", cli_map.MAX_OUTLINED_BYTES // 10)
    (tmp_path / "out").mkdir()
    path, feature = tmp_path / "out" / "results.geojson", json.dumps(feature_of_corners())
    count = (cli_map.MAX_OUTLINED_BYTES - 50) // (len(feature) + 1)
    text = f'{{"type": "FeatureCollection", "features": [{",".join([feature] * count)}]}}'
    path.write_text(text)
    store = ResultStore(str(tmp_path / "out"), "image")
    tracemalloc.start()
    try:
        found = cli_map.features_of(store)
        drawn = drawn_of(plan(describe(scene(tmp_path))), found)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert drawn.features == len(found) == count > 2_000
    assert most < 30e6
    path.write_text(text + " " * cli_map.MAX_OUTLINED_BYTES)
    assert cli_map.features_of(store) == []


def feature_of_corners() -> dict[str, Any]:
    ring = [[-74.9991234 + x, 36.1411234 + y] for x, y in ((0, 0), (0, 1e-4), (1e-4, 0), (0, 0))]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"kind": "ship", "score": 0.5}}


def test_a_large_picture_takes_some_of_its_pixels_memory(tmp_path: Path) -> None:
    """As bytes, a few times over; as floats, which matplotlib makes of it, it were 270 MB."""
    pixels = np.random.default_rng(0).integers(0, 255, (3, 1500, 1500), np.uint8)
    grid = plan(describe(make_image(tmp_path / "large.tif", pixels, **WHERE)), 5, 0, 100)
    drawn = np.random.default_rng(0).choice([0, 1, 2], 90_000, p=[0.3, 0.01, 0.69])
    outcomes = drawn.astype(np.uint8).tobytes()
    tracemalloc.start()
    png = cli_map.draw_map(grid, outcomes, title=["large"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert Image.open(io.BytesIO(png)).width > 1500
    assert peak < 150_000_000

"""Failed tiles of a choice of images run again, and of no others."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import ray

from raytracker import JobItem, JobTable
from raytracker.imagery import Tile
from raytracker.job_table import ledger_of
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import Ledger
from raytracker.pipeline import process_image
from tests.support.command import BAHAMAS, command, run

MODULE = """
def detect(pixels, tile):
    return None
"""


def test_those_that_fit_are_run_again(
    ray_cluster: None, job_table: JobTable, dynamodb_local: str, tmp_path: Path
) -> None:
    """By status and reason; asked first; what was chosen for them stands in their items."""

    def failing(reason: str) -> object:
        def detect(pixels: object, tile: Tile) -> None:
            if tile.number == 0:
                raise ValueError(reason)

        return detect

    for image_id, reason in (("a", "haze"), ("b", "clouds"), ("c", "haze")):
        process_image(
            BAHAMAS,
            failing(reason),  # type: ignore[arg-type]
            table=job_table,
            image_id=image_id,
            tile_size=256,
            region_size=512,
            output=tmp_path / image_id,
        )
    before = job_table.read("b")
    (tmp_path / "mended.py").write_text(MODULE)
    where = {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_local,
        "RAY_ADDRESS": ray.get_runtime_context().gcs_address,
    }
    line = command(
        tmp_path, "redrive", "mended.py:detect", "--table", job_table.table_name,
        "--reason", "ValueError: haze",
    )  # fmt: skip
    asked = run(line, tmp_path, **where)
    assert asked.returncode != 0
    assert [text.split(":")[0] for text in asked.stderr.splitlines()[:2]] == ["c", "a"]
    assert job_table.read("a").status == "FAILED"  # type: ignore[union-attr]
    ended = run([*line, "--yes"], tmp_path, **where)
    assert ended.returncode == 0, ended.stderr
    assert "2 of 2 images are a SUCCESS now" in ended.stderr
    for image_id in ("a", "c"):
        job = job_table.read(image_id)
        assert job is not None
        assert job.status == "SUCCESS"
        assert (tmp_path / image_id / "results.geojson").exists()
    assert job_table.read("b") == before


def test_those_that_were_broken_off_go_on(
    ray_cluster: None, job_table: JobTable, dynamodb_local: str, tmp_path: Path
) -> None:
    """What has ended, lives, or is somebody else's, is not touched; failed tiles stay failed."""
    (tmp_path / "mended.py").write_text(MODULE)

    def detect(pixels: object, tile: Tile) -> None:
        if tile.number == 0:
            raise ValueError("haze")

    for image_id in ("cancelled", "ended", "lives"):
        process_image(
            BAHAMAS, detect, table=job_table, image_id=image_id, tile_size=256, region_size=512
        )
    done = job_table.read("ended")
    assert done is not None
    begun = {
        "region_success": 0,
        "region_error": 0,
        "tracker_ledger": to_text(Ledger(ledger_of(done).layout).encode()),
        "tracker_errors": {},
    }
    alive = {"end_time": None, "tracker_alive_until": int(time.time() + 140)}
    for image_id, how in (("cancelled", {"tracker_state": "CANCELLED"}), ("lives", alive)):
        job = job_table.read(image_id)
        assert job is not None
        job_table.put_ddb_item(replace(job, **begun, **how))
    table = job_table.table_name
    job_table.put_ddb_item(JobItem("osml", start_time=1, region_count=3, region_success=1))
    others = ("ended", "lives", "osml")
    before = [job_table.read(image_id) for image_id in others]
    line = command(tmp_path, "resume", "mended.py:detect", "--table", table, "--yes", "--force")
    where = {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_local,
        "RAY_ADDRESS": ray.get_runtime_context().gcs_address,
    }
    ended = run(line, tmp_path, **where)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.splitlines()[0].startswith("cancelled: CANCELLED, 0 of 12 tiles")
    assert "1 of 1 images are a SUCCESS now" in ended.stderr
    assert [job_table.read(image_id) for image_id in others] == before

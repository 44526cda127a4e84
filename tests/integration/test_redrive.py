"""Failed tiles of a choice of images run again, and of no others."""

from __future__ import annotations

from pathlib import Path

import ray

from raytracker import JobTable
from raytracker.imagery import Tile
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

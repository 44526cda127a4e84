"""`raytracker status`: how far an image has come, in this process."""

import json
import os
import re
import time
from pathlib import Path

import pytest

from raytracker.job_table import Flush, JobItem, JobTable, Starter
from raytracker.ledger import ERROR, SUCCESS, Layout, Ledger
from tests.support.in_process import invoke, job_in, refused, run_refused

pytestmark = pytest.mark.usefixtures("folder")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize(
    ("outcomes", "state", "status", "code"),
    [
        ("ppp", None, "STARTED", 0),
        ("spp", None, "IN_PROGRESS", 0),
        ("sss", None, "SUCCESS", 0),
        ("sse", None, "PARTIAL", 3),
        ("eee", None, "FAILED", 4),
        ("spp", "CANCELLED", "CANCELLED", 5),
    ],
)
def test_the_status_of_an_image(
    moto_table: JobTable, outcomes: str, state: str | None, status: str, code: int
):
    """In words, as JSON and as the exit status; without Ray."""
    job_in(moto_table, outcomes, state)
    shown = invoke("status", "scene-1", "--table", moto_table.table_name)
    assert shown.exit_code == code
    assert shown.stderr == ""
    success, error, pending = (outcomes.count(letter) for letter in "sep")
    assert f"regions    {success} success, {error} error, {pending} pending of 3" in shown.stdout
    settled = f", {1 - pending / 3:.0%} of its tiles are settled" if pending and not state else ""
    assert f"status     {status}{settled}\n" in shown.stdout
    as_json = invoke("status", "scene-1", "--table", moto_table.table_name, "--json")
    assert as_json.exit_code == code
    assert len(as_json.stdout.splitlines()) == 1
    job = json.loads(as_json.stdout)
    assert (job["status"], job["region_success"]) == (status, success)


def test_of_two_regions_the_tiles_are_told(moto_table: JobTable):
    """By OSML's rules nothing has begun until one is settled; text and JSON say what has."""
    layout = Layout.of([36, 36])
    moto_table.start(JobItem(image_id="scene-1"), run="run", layout=layout, keep_for=3600)
    moto_table.claim("scene-1", "run", "owner")
    ledger = Ledger(layout)
    reason = "ValueError: \x1b[31mred"
    ledger.merge([(0, SUCCESS * 34 + ERROR)], {34: reason, 33: "a success since then"})
    flush = Flush(0, 0, ledger.encode(), ledger.reasons(), None, None, 70, int(time.time()) + 3590)
    moto_table.flush("scene-1", "run", "owner", 1, flush)
    shown = invoke("status", "scene-1", "--table", moto_table.table_name).stdout
    assert "status     STARTED, 49% of its tiles are settled\n" in shown
    assert "tiles      34 success, 1 error, 37 pending of 72\n" in shown
    assert "regions    0 success, 0 error, 2 pending of 2\n" in shown
    assert "time left  about 74 s, at the average rate since the start\n" in shown
    assert re.search(r"written    20\S+ \S+, 1\d s ago\n", shown)
    assert "errors     region 0: ValueError: \N{REPLACEMENT CHARACTER}[31mred\n" in shown
    as_json = json.loads(
        invoke("status", "scene-1", "--table", moto_table.table_name, "--json").stdout
    )
    told = {
        **{"status": "STARTED", "region_count": 2, "region_success": 0, "region_pending": 2},
        **{"tile_count": 72, "tile_success": 34, "tile_error": 1, "tile_pending": 37},
        **{"pending_regions": [0, 1], "errors": {"0": reason}, "eta_seconds": 74.0},
    }
    assert as_json.items() >= told.items()
    assert time.time() - 30 < as_json["last_write"] / 1000 < time.time()
    line = run_refused(moto_table.table_name, "--image-id", "scene-1")
    assert "already (STARTED, 34 of 72 tiles, 1 failed, 0 of 2 regions): --resume" in line


@pytest.mark.parametrize(
    ("alive", "pid", "told"),
    [
        (60, os.getpid(), None),
        (-60, os.getpid(), "no sign of life for long: its driver has gone, or reaches no table; "),
        (None, os.getpid(), "nobody goes on with it; "),
        (60, 2**22 + 1, "process 4194305, which began it, has gone from this machine; "),
    ],
)
def test_a_run_that_has_died(moto_table: JobTable, alive: int | None, pid: int, told: str | None):
    """Its item says IN_PROGRESS for ever: text and JSON say that nobody seems to go on with it."""
    job_in(moto_table, "spp")
    item = moto_table.read("scene-1")
    item.tracker_alive_until = None if alive is None else int(time.time()) + alive
    item.tracker_started_by = Starter.this("job")._replace(pid=pid).to_text()
    moto_table.put_ddb_item(item)
    line = ["status", "scene-1", "--table", moto_table.table_name]
    shown = [text for text in invoke(*line).stdout.splitlines() if text.startswith("trouble")]
    trouble = json.loads(invoke(*line, "--json").stdout)["trouble"]
    cure = "`raytracker run --resume IMAGE_ID MODULE:FUNCTION` goes on"
    assert trouble == (told and told + cure)
    assert shown == ([f"trouble    {told}{cure}"] if told else [])


def test_a_path_that_run_took(moto_table: JobTable, folder: Path):
    """Its item has the full path; a key of that name comes first."""
    name = moto_table.table_name
    (folder / "sub").mkdir()
    (folder / "sub" / "scene.tif").touch()
    line = refused("status", "sub/../sub/scene.tif", "--table", name)
    assert line == f"raytracker: image '{folder}/sub/scene.tif' is not in table '{name}'"
    moto_table.start_image_request(JobItem(f"{folder}/sub/scene.tif", region_count=4))
    for path in ("sub/scene.tif", "./sub/scene.tif", f"{folder}/sub/scene.tif"):
        shown = invoke("status", path, "--table", name).stdout
        assert f"image      {folder}/sub/scene.tif\n" in shown
    moto_table.start_image_request(JobItem("sub/scene.tif", region_count=5))
    assert "of 5\n" in invoke("status", "sub/scene.tif", "--table", name).stdout
    (folder / "a.nc").touch()
    moto_table.start_image_request(JobItem(f"netcdf:{folder}/a.nc:band", region_count=7))
    assert "of 7\n" in invoke("status", "netcdf:a.nc:band", "--table", name).stdout
    assert "'gone.tif' is not in table" in refused("status", "gone.tif", "--table", name)


def test_a_status_tells_reasons_and_what_is_pending(moto_table: JobTable):
    """The first ten of each."""
    job_in(moto_table, "s" * 10 + "e" * 12 + "p" * 12)
    shown = invoke("status", "scene-1", "--table", moto_table.table_name).stdout
    assert "errors     region 10: ValueError: 10 is bad\n" in shown
    assert "region 19:" in shown
    assert "region 20:" not in shown
    assert "and 2 more regions with errors" in shown
    assert "regions 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 and 2 more\n" in shown
    assert "time left  about 16 s, at the average rate" in shown  # 22 of 34 took 30 s


def test_a_time_left_is_told_only_if_it_is_known(moto_table: JobTable):
    """Not before the first tile, and not after the end."""
    job_in(moto_table, "ppp")
    assert "time left" not in invoke("status", "scene-1", "--table", moto_table.table_name).stdout


def test_the_status_of_an_item_of_osmls(moto_table: JobTable):
    """It has no ledger; what it has is shown."""
    moto_table.start_image_request(JobItem(image_id="scene-1", region_count=4))
    moto_table.complete_region_request("scene-1", error=False)
    shown = invoke("status", "scene-1", "--table", moto_table.table_name)
    assert "regions    1 success, 0 error, 3 pending of 4" in shown.stdout
    assert "tiles" not in shown.stdout


def test_large_numbers_are_told_in_groups_of_three(moto_table: JobTable):
    """As everywhere in text; in JSON they are numbers."""
    moto_table.start_image_request(JobItem(image_id="scene-1", region_count=12_000))
    moto_table.complete_region_request("scene-1", error=False)
    shown = invoke("status", "scene-1", "--table", moto_table.table_name)
    assert "regions    1 success, 0 error, 11,999 pending of 12,000" in shown.stdout
    as_json = invoke("status", "scene-1", "--table", moto_table.table_name, "--json")
    assert json.loads(as_json.stdout)["region_count"] == 12_000


def test_an_image_that_is_not_in_the_table(moto_table: JobTable):
    """Status 2, whether or not JSON is wanted."""
    name = moto_table.table_name
    for more in ([], ["--json"]):
        line = refused("status", "scene-2", "--table", name, *more)
        assert line == f"raytracker: image 'scene-2' is not in table '{name}'"

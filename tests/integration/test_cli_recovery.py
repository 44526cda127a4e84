"""`raytracker run` when its driver is killed, and when another takes the image over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from raytracker.job_table import JobTable, ledger_of
from tests.support.command import BAHAMAS, command, environment, run
from tests.support.moto_s3 import moto_server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(240)

# Each call leaves a mark, so that they can be counted; 6 x 6 tiles of 128, a region each.
DETECTOR = """
import os, pathlib, time
def slow(pixels, tile):
    with open(os.path.join({folder!r}, f"ran-{{tile.region}}"), "a") as file:
        file.write("x")
    time.sleep(0.4)

def held(pixels, tile):
    slow(pixels, tile)
    while tile.region > 9 and not os.path.exists(os.path.join({folder!r}, "go")):
        time.sleep(0.05)
"""
CUT = ["--tile-size", "128", "--region-size", "128"]
REGIONS = 42


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "detector.py").write_text(DETECTOR.format(folder=str(tmp_path)))
    return tmp_path


def begin(
    folder: Path, table: JobTable, endpoint: str, *options: str, function: str = "slow"
) -> subprocess.Popen[str]:
    """Starts the command with a Ray cluster of its own."""
    line = command(folder, "run", BAHAMAS, f"detector.py:{function}", "--table", table.table_name)
    return subprocess.Popen(
        [*line, *CUT, *options],
        cwd=folder,
        env=environment(AWS_ENDPOINT_URL_DYNAMODB=endpoint),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def settled(table: JobTable) -> int:
    item = table.read(BAHAMAS)
    return 0 if item is None else (item.region_success or 0)


def test_after_a_killed_driver_only_the_rest_runs_again(
    folder: Path, job_table: JobTable, dynamodb_local: str
) -> None:
    """Tiles that were durable do not run again; the job ends right."""
    with begin(folder, job_table, dynamodb_local) as first:
        wait_until(lambda: settled(job_table) >= 5, 60, "five durable regions")
        os.killpg(first.pid, signal.SIGKILL)
    durable = ledger_of(job_table.get_image_request(BAHAMAS)).tile_outcomes()
    assert 5 <= REGIONS - durable.count(0) < REGIONS
    line = command(folder, "run", BAHAMAS, "detector.py:slow", "--table", job_table.table_name)
    resumed = run([*line, "--resume"], folder, AWS_ENDPOINT_URL_DYNAMODB=dynamodb_local)
    assert resumed.returncode == 0, resumed.stderr
    assert job_table.get_image_request(BAHAMAS).region_success == REGIONS
    ran = [(folder / f"ran-{region}").stat().st_size for region in range(REGIONS)]
    assert all(times == 1 for times, outcome in zip(ran, durable, strict=True) if outcome)
    assert max(ran) <= 2  # what ran, and was not durable when the driver died


@pytest.mark.parametrize("how", [["--resume"], ["--if-exists", "restart"]])
def test_a_run_that_lives_is_left_alone(
    folder: Path, job_table: JobTable, dynamodb_local: str, how: list[str]
) -> None:
    """Whoever types its image again is told who runs it, and what to do; it goes on."""
    with begin(folder, job_table, dynamodb_local) as first:
        wait_until(lambda: settled(job_table) >= 1, 60, "a durable region of the first")
        mine = job_table.get_image_request(BAHAMAS).tracker_run
        line = command(folder, "run", BAHAMAS, "detector.py:slow", "--table", job_table.table_name)
        env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamodb_local}
        if how == ["--resume"]:  # nor has what is refused for other reasons done any harm
            other = run([*line, *how, "--tile-size", "64"], folder, **env)
            assert other.returncode == 2
            told = "was begun with --tile-size 128x128; the resume is given --tile-size 64x64: "
            assert told in other.stderr.splitlines()[-1]
        second = run([*line, *how], folder, **env)
        assert second.returncode == 2
        refuses = second.stderr.splitlines()[-1]
        assert re.search(rf"is run by .* \(process {first.pid}, .*waiting \d+ s", second.stderr)
        assert f"process {first.pid}" in refuses
        assert "--force" in refuses
        _, told = first.communicate(timeout=120)
    assert first.returncode == 0, told
    item = job_table.get_image_request(BAHAMAS)
    assert (item.status, item.tracker_run) == ("SUCCESS", mine)


def test_of_two_commands_for_one_image_the_later_wins(
    folder: Path, job_table: JobTable, dynamodb_local: str
) -> None:
    """If it is to: one item, right; the first ends with a line that says why."""
    options = (folder, job_table, dynamodb_local, "--if-exists", "restart")
    with begin(*options, function="held") as first:
        wait_until(lambda: settled(job_table) >= 1, 60, "a durable region of the first")
        mine = job_table.get_image_request(BAHAMAS).tracker_run
        with begin(*options, "--force", function="held") as second:
            wait_until(
                lambda: job_table.get_image_request(BAHAMAS).tracker_run != mine, 90, "the second"
            )
            (folder / "go").touch()
            _, told = first.communicate(timeout=120)
            second.communicate(timeout=120)
    assert first.returncode == 1
    assert "was taken over by" in told.splitlines()[-1]
    assert second.returncode == 0
    item = job_table.get_image_request(BAHAMAS)
    assert (item.status, item.region_success) == ("SUCCESS", REGIONS)
    assert item.tracker_run != mine


def test_ctrl_c_while_the_table_is_away(folder: Path) -> None:
    """Why is said within ten seconds; it ends soon, and doesn't say that nothing was done."""
    with moto_server() as endpoint:
        table = JobTable("jobs", endpoint)
        table.create()
        process = begin(folder, table, endpoint)  # tiles go on: only who writes meets the table
        wait_until(lambda: settled(table) >= 1, 60, "a durable region")
    with process, ExitStack() as stack:
        stack.callback(process.kill)
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        began = time.monotonic()
        assert any("its table is not reached" in line for line in lines)
        assert time.monotonic() - began < 15  # 5 to 10; the machine may be busy
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        told = list(lines)
        assert process.wait(60) == 130
        assert time.monotonic() - began < 10  # 4 to 5
    said = "".join(told)
    assert re.search(r"could not be cancelled: .*DynamoDB does not answer", said)
    assert re.search(r"when last seen: \d+/42 tiles", said)
    assert "had not been started" not in said
    assert "go on with: raytracker run --resume" in said

"""The command, as far as it goes without Ray: bad usage, the status of an image, the table."""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

import raytracker
from raytracker.cli import app
from raytracker.imagery import describe, plan
from raytracker.job_table import Flush, JobItem, JobTable, Starter
from raytracker.ledger import ERROR, SUCCESS, Layout, Ledger, Outcome
from raytracker.pipeline import Cut
from tests.support.command import BAHAMAS

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a detector in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "detector", raising=False)
    (tmp_path / "detector.py").write_text("def detect(pixels, tile): return None")
    return tmp_path


def invoke(*args: str):
    result = CliRunner().invoke(app, list(args))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def refused(*args: str) -> str:
    """Returns the one line that bad usage ends with."""
    result = invoke(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    lines = [line for line in lines if not re.match(r"after \d+ s, ", line)]  # on a busy machine
    assert len(lines) == 1, result.stderr
    return lines[0]


def run_refused(table: str, *more: str, image: str = BAHAMAS) -> str:
    return refused("run", image, "detector.py:detect", "--table", table, *more)


def job_in(table: JobTable, outcomes: str, state: str | None = None) -> None:
    """Writes the item of image "scene-1", one region a letter: s(uccess), e(rror), p(ending)."""
    layout = Layout.of(len(outcomes))
    table.start(JobItem(image_id="scene-1"), run="run", layout=layout)
    table.claim("scene-1", "run", "owner")
    ledger = Ledger(layout)
    known = {"p": Outcome.PENDING, "e": Outcome.ERROR, "s": Outcome.SUCCESS}
    reasons = {
        region: f"ValueError: {region} is bad"
        for region, letter in enumerate(outcomes)
        if letter == "e"
    }
    ledger.merge([(0, bytes(known[letter] for letter in outcomes))], reasons)
    ended = state or "p" not in outcomes
    table.flush(
        "scene-1",
        "run",
        "owner",
        1,
        Flush(
            region_success=outcomes.count("s"),
            region_error=outcomes.count("e"),
            ledger=ledger.encode(),
            errors=ledger.reasons(),
            state=state,
            end_time=1_700_000_000_000 if ended else None,
            processing_duration=30,
            expire_time=1_800_000_000,
        ),
    )


# --- help ---


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["run"],
        ["status"],
        ["dev"],
        ["table"],
        ["table", "create"],
        ["cost"],
        ["list"],
        ["errors"],
        ["cancel"],
        ["delete"],
        ["doctor"],
        ["table", "check"],
    ],
)
def test_help(command: list[str]):
    """Every command has it, with an example."""
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    text = COLOUR.sub("", result.output)
    assert "Usage: " in text
    assert " ".join(["raytracker", *command]) in text


def test_the_help_of_run_tells_what_a_person_needs():
    """Examples, the environment, the exit statuses."""
    text = " ".join(COLOUR.sub("", invoke("run", "--help").output).split())
    for needed in (
        "raytracker run scene.tif detect.py:detect --embedded",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "RAY_ADDRESS",
        "0 SUCCESS, 3 PARTIAL",
        "130 cancelled by Ctrl-C",
    ):
        assert needed in text


def test_version():
    """The package's."""
    assert invoke("--version").stdout == f"raytracker {raytracker.__version__}\n"


# --- bad usage: one line, status 2, before Ray starts ---


def test_an_argument_that_is_missing():
    """Typer says it; the status is the same."""
    result = invoke("run", BAHAMAS, "--table", "jobs")
    assert result.exit_code == 2
    assert "MODULE:FUNCTION" in COLOUR.sub("", result.stderr)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tile-size", "big"], "--tile-size 'big': give pixels, as N or WIDTHxHEIGHT"),
        (["--tile-size", "1x2x3"], "--tile-size '1x2x3': give pixels"),
        (["--tile-overlap", "1.5"], "--tile-overlap '1.5': give pixels"),
        (["--region-size", ""], "--region-size '': give pixels"),
        (["--bands", "3,x"], "--bands '3,x': give numbers of bands, such as 3,2,1"),
        (["--bands", ""], "--bands '': give numbers"),
        (["--bands", "3,2,4"], "has no band 4, its bands are 1 to 3"),
        (["--tile-size", "0"], "tile_size 0: give 1 or more pixels"),
        (["--tile-size", "100,-5"], "tile_size (100, -5): give 1 or more pixels"),
        (["--tile-overlap", "-1"], "tile_overlap -1: give 0 or more pixels"),
        (["--tile-overlap", "512"], "tile_overlap 512 is not smaller than tile_size 512"),
        (["--roi", "CIRCLE(1 2)"], "ROI 'CIRCLE(1 2)'"),
        (["--keep-for", "7"], "--keep-for '7': give days, hours or minutes (7d, 12h, 30m)"),
        (["--keep-for", "0d"], "--keep-for '0d': give days"),
        (["--batch-size", "0"], "--batch-size 0: it is at least 1"),
        (["--concurrency", "x"], "--concurrency 'x': give a number, or LEAST:MOST, such as 1:8"),
        (["--concurrency", "8:1"], "--concurrency=(8, 1): give a number, at least 1"),
        (["--concurrency", "1:8"], "concurrency=(1, 8) is for a model, a class"),
        (["--constructor-arg", "weights.pt"], "fn_constructor_args are for a model, a class"),
        (["--image-id", ""], "image_id is ''"),
        (["--image-id", "x" * 2049], "has 2049 bytes of UTF-8"),
    ],
)
def test_bad_values(moto_table: JobTable, options: list[str], says: str):
    """They are named, with what would be right."""
    assert says in run_refused(moto_table.table_name, *options)


def test_the_options_of_a_cut(monkeypatch: pytest.MonkeyPatch):
    """They make the grid that `process_image` makes of its arguments."""
    cuts: list[dict[str, Any]] = []

    def note(*_: Any, cut: dict[str, Any], **__: Any) -> int:
        cuts.append({name: value for name, value in cut.items() if value is not None})
        return 0

    monkeypatch.setattr("raytracker.cli.run.run_image", note)
    line = ["run", BAHAMAS, "detector.py:detect", "--table", "jobs"]
    assert invoke(*line).exit_code == 0
    assert invoke(*line, "--edges", "pad", "--bands", "3, 1", "--skip-empty").exit_code == 0
    info = describe(BAHAMAS)
    assert [Cut(**cut).applied(info, {}) for cut in cuts] == [
        plan(info),
        plan(info, edges="pad", bands=[3, 1], skip_empty=True),
    ]


def test_two_sizes_are_width_and_height(moto_table: JobTable):
    """With an x or a comma between them."""
    for size in ("100x4000", "100,4000", " 100 X 4000 "):
        line = run_refused(moto_table.table_name, "--tile-size", size, "--tile-overlap", "100x0")
        assert "tile_overlap (100, 0) is not smaller than tile_size (100, 4000)" in line


def test_a_function_that_is_not_there():
    """See test_function for all that can be wrong with one."""
    line = refused("run", BAHAMAS, "detector:other", "--table", "jobs")
    assert line == "raytracker: detector has no function 'other'; its functions are: detect"


def test_an_image_that_is_missing_or_none(folder: Path):
    """Neither gets as far as the table."""
    assert "gone.tif cannot be opened as an image" in run_refused("jobs", image="gone.tif")
    (folder / "text.tif").write_text("no pixels")
    assert "text.tif cannot be opened as an image" in run_refused("jobs", image="text.tif")


def test_a_table_that_is_missing(moto_table: JobTable):
    """The line says how to make it; the same for a status."""
    cure = "raytracker table create absent"
    assert cure in run_refused("absent")
    assert cure in refused("status", "scene-1", "--table", "absent")


def test_a_table_with_another_key(moto_table: JobTable):
    """It is some other program's."""
    boto3.client("dynamodb").create_table(
        TableName="other",
        KeySchema=[{"AttributeName": "viewpoint_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "viewpoint_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    assert "another key" in run_refused("other")
    assert "another key" in refused("status", "scene-1", "--table", "other")
    assert "viewpoint_id" in refused("table", "create", "other")


def test_missing_credentials(monkeypatch: pytest.MonkeyPatch):
    """Nothing falls back to the embedded DynamoDB."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for line in (
        run_refused("jobs"),
        refused("status", "scene-1", "--table", "jobs"),
        refused("table", "create", "jobs"),
    ):
        assert "AWS credentials are missing" in line


def test_a_table_that_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    """That is nobody's bad usage: status 1, also in one line."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    result = invoke("status", "scene-1", "--table", "jobs")
    assert result.exit_code == 1
    assert "DynamoDB does not answer" in result.stderr or "Could not connect" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_image_that_is_in_the_table_already(moto_table: JobTable):
    """The line says how to go on with it, in the command's words."""
    job_in(moto_table, "sp")
    line = run_refused(moto_table.table_name, "--image-id", "scene-1")
    assert "already (IN_PROGRESS, 1 of 2 regions): --resume goes on with it" in line
    assert "--resume" in line


def test_a_ray_that_is_not_there(moto_table: JobTable, monkeypatch: pytest.MonkeyPatch):
    """Found out in seconds; Ray's own try takes longer than a person waits."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    result = invoke("run", BAHAMAS, "detector.py:detect", "--table", moto_table.table_name)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith("raytracker: no Ray at 127.0.0.1:1")


# --- status ---


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


def test_an_image_that_is_not_in_the_table(moto_table: JobTable):
    """Status 2, whether or not JSON is wanted."""
    name = moto_table.table_name
    for more in ([], ["--json"]):
        line = refused("status", "scene-2", "--table", name, *more)
        assert line == f"raytracker: image 'scene-2' is not in table '{name}'"


# --- table create ---


def test_making_a_table_twice(moto_table: JobTable):
    """The second time finds that it fits."""
    for _ in range(2):
        result = invoke("table", "create", "new")
        assert (result.exit_code, result.stdout) == (0, "table new is there and fits\n")
    assert boto3.client("dynamodb").describe_table(TableName="new")["Table"]["KeySchema"] == [
        {"AttributeName": "image_id", "KeyType": "HASH"}
    ]


def test_a_table_without_ttl(moto_table: JobTable):
    """It is told, with the cure, and set by that only."""
    client = boto3.client("dynamodb")
    client.create_table(
        TableName="old",
        KeySchema=[{"AttributeName": "image_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "image_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for _ in range(2):
        result = invoke("table", "create", "old")
        assert (result.exit_code, result.stdout) == (
            0,
            "table old is there, but has no TTL: expired items stay; "
            "`raytracker table create old --set-ttl` sets it on expire_time\n",
        )
    result = invoke("table", "create", "old", "--set-ttl")
    assert (result.exit_code, result.stdout) == (0, "table old is there and fits\n")
    ttl = client.describe_time_to_live(TableName="old")["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expire_time"}


# --- cost ---


def test_the_cost_of_an_image():
    """As a table and as JSON; it needs neither a table nor Ray."""
    asked = ("cost", "--regions", "5000", "--tiles", "20000", "--minutes", "10")
    shown = invoke(*asked)
    assert (shown.exit_code, shown.stderr) == (0, "")
    rows = [line.split("  ") for line in shown.stdout.splitlines()]
    table = [[cell.strip() for cell in row if cell] for row in rows]
    assert ["raytracker", "178", "1,410"] in table
    assert ["one a region", "5,002", "5,002"] in table
    assert ["ratio", "28.10", "3.55"] in table
    assert "at most 176, 1 to 12 s apart" in shown.stdout
    as_json = invoke(*asked, "--flush-interval", "10", "--json")
    assert len(as_json.stdout.splitlines()) == 1
    cost = json.loads(as_json.stdout)
    assert cost["tracker"] == {"writes": 62, "wcu": 482}
    assert cost["one_per_region"] == {"writes": 5002, "wcu": 5002}
    assert cost["wcu_ratio"] == pytest.approx(10.38, abs=0.01)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--regions", "0", "--minutes", "1"], "at least one region"),
        (["--regions", "5", "--tiles", "4", "--minutes", "1"], "4 tiles in 5 regions"),
        (["--regions", "5", "--minutes", "-1"], "minutes -1: give 0 or more"),
        (["--regions", "5", "--minutes", "1", "--flush-interval", "nan"], "flush_interval nan"),
        (["--regions", "2000000", "--minutes", "1"], "an item of DynamoDB has room for"),
    ],
)
def test_a_cost_of_nonsense(options: list[str], says: str):
    """One line."""
    assert says in refused("cost", *options)

"""The command, as far as it goes without Ray: bad usage, the table, what it costs."""

import json
import re
from pathlib import Path
from typing import Any

import boto3
import pytest

import raytracker
from raytracker.imagery import describe, plan
from raytracker.job_table import JobTable
from raytracker.pipeline import Cut
from tests.support.command import BAHAMAS
from tests.support.in_process import invoke, job_in, refused, run_refused

pytestmark = pytest.mark.usefixtures("folder")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


# --- help ---


def test_help():
    """Of the whole; that of each command is with what is documented."""
    text = COLOUR.sub("", invoke("--help").output)
    assert "Usage: " in text
    assert "raytracker run scene.tif" in text


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
        (["--status-topic", "images"], "--status-topic 'images': give the ARN of an SNS topic"),
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

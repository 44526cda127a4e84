"""`raytracker dev`, `--embedded` and RAYTRACKER_TABLE: a job table without AWS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from raytracker.cli import app
from raytracker.job_table import JobItem, JobTable
from tests.support.command import BAHAMAS, command
from tests.support.nowhere import without_aws
from tests.support.ports import answers

NO_TABLE = (
    "raytracker: no job table: give --table NAME, or set RAYTRACKER_TABLE; "
    "without AWS, `raytracker dev` opens a shell that has one\n"
)
WRITE = """\
import os
from raytracker import JobTable, JobItem
JobTable(os.environ["RAYTRACKER_TABLE"]).start_image_request(JobItem("scene-1", region_count=4))
"""

Dev = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def dev(tmp_path: Path) -> Any:
    """Starts `raytracker dev` with some arguments, where there is no AWS."""
    started: list[subprocess.Popen[str]] = []

    def start(*args: str, **env: str) -> subprocess.Popen[str]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(
            command(tmp_path, "dev", *args),
            cwd=tmp_path,
            env=without_aws(tmp_path, **{"PATH": _path(tmp_path), **env}),
            text=True,
            start_new_session=True,
            # Where the tests run in the background, it is ignored, and no shell can trap it then.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **pipes,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _path(folder: Path) -> str:
    """Where `raytracker` and `python` are found by their names."""
    bin_ = folder / "named"
    bin_.mkdir(exist_ok=True)
    line = command(folder)
    (bin_ / "raytracker").write_text(f'#!/bin/sh\nexec {line[0]} {line[1]} "$@"\n')
    (bin_ / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for each in bin_.iterdir():
        each.chmod(0o755)
    return f"{bin_}{os.pathsep}{os.environ['PATH']}"


# --- dev ---


def test_a_table_stays_from_command_to_command(dev: Dev, tmp_path: Path):
    """What one writes, the next one reads; neither says where the table is."""
    (tmp_path / "write.py").write_text(WRITE)
    shell = dev("sh", "-c", "python write.py && raytracker status scene-1")
    stdout, stderr = shell.communicate(timeout=60)
    assert (shell.returncode, stderr) == (0, "")
    assert "regions    0 success, 0 error, 4 pending of 4\n" in stdout


def test_a_shell_of_ones_own(dev: Dev):
    """$SHELL, which is told where the table is; all is gone when it ends."""
    shell = dev(SHELL="/bin/sh")
    stdout, stderr = shell.communicate(
        "raytracker table create\necho $AWS_ENDPOINT_URL_DYNAMODB\nexit 7\n", timeout=60
    )
    assert shell.returncode == 7
    made, endpoint = stdout.splitlines()
    assert made == "table ImageJobs is there and fits"
    assert stderr == (
        f"embedded DynamoDB at {endpoint}, table ImageJobs: both last until this shell ends "
        "(sh; `exit`)\n"
    )
    assert not answers(endpoint)


def test_the_table_may_have_another_name(dev: Dev):
    """By the option, or by the variable of the shell around it."""
    for args, env in ((["--table", "jobs"], {}), ([], {"RAYTRACKER_TABLE": "jobs"})):
        shell = dev(*args, "raytracker", "table", "create", **env)
        assert shell.communicate(timeout=60)[0] == "table jobs is there and fits\n"


def test_options_behind_the_command_are_its_own(dev: Dev):
    """With `--` before it, and without."""
    for dashes in ([], ["--"]):
        shell = dev(*dashes, "raytracker", "--version")
        assert shell.communicate(timeout=60)[0].startswith("raytracker ")
        assert shell.returncode == 0


def test_what_the_shell_around_it_says_of_aws(dev: Dev, tmp_path: Path):
    """Credentials and region stay, which images on S3 need; what leads elsewhere does not."""
    home = tmp_path / ".aws"
    home.mkdir()
    (home / "config").write_text("[profile work]\nregion = eu-west-1\n")
    (home / "credentials").write_text("[work]\naws_access_key_id = A\naws_secret_access_key = B\n")
    code = (
        "import boto3; s = boto3.Session(); print(s.region_name, s.get_credentials().access_key);"
        "import raytracker as r; r.JobTable('ImageJobs').create();"
        "import os; print(os.environ.get('RAY_ADDRESS'))"
    )
    elsewhere = {
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "example.com",
        "RAY_ADDRESS": "10.0.0.1:6379",
    }
    for profile, told in (("work", "eu-west-1 A\nNone\n"), ("gone", "us-east-1 embedded\nNone\n")):
        shell = dev("python", "-c", code, AWS_PROFILE=profile, **elsewhere)
        assert shell.communicate(timeout=60) == (told, "")


def test_a_shell_in_a_shell(dev: Dev):
    """Has a table already."""
    shell = dev("raytracker", "dev")
    assert "this shell has its embedded DynamoDB already, at http://127" in shell.communicate()[1]
    assert shell.returncode == 2


def test_a_command_that_is_not_there(dev: Dev):
    """One line."""
    shell = dev("no-such-command")
    said = "raytracker: no-such-command cannot be run: No such file or directory\n"
    assert (shell.communicate()[1], shell.wait()) == (said, 2)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 5), (signal.SIGTERM, 5)])
def test_signals_are_the_commands_own(dev: Dev, number: signal.Signals, status: int):
    """A key reaches the whole group, SIGTERM dev alone: each time the command decides."""
    shell = dev(
        "sh", "-c", f"trap 'exit {status}' INT TERM; echo ready; while :; do sleep 0.1; done"
    )
    assert shell.stdout is not None
    assert shell.stdout.readline() == "ready\n"
    if number == signal.SIGINT:
        os.killpg(shell.pid, number)
    else:
        shell.send_signal(number)
    began = time.monotonic()
    assert shell.wait(30) == status
    assert time.monotonic() - began < 10


def test_a_command_that_a_signal_ended(dev: Dev):
    """The status is a shell's."""
    assert dev("sh", "-c", "kill -9 $$").wait(60) == 128 + 9


# --- which table ---


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables that runs are told of, which do not come to pass."""
    names: list[str] = []

    def note(*_: Any, table_name: str, **__: Any) -> int:
        names.append(table_name)
        return 0

    monkeypatch.setattr("raytracker.cli.run.run_image", note)
    return names


def test_no_table_is_told_with_all_that_would_do(monkeypatch: pytest.MonkeyPatch):
    """One line; nobody is asked for anything."""
    monkeypatch.delenv("RAYTRACKER_TABLE", raising=False)
    for args in (["run", BAHAMAS, "detect:f"], ["status", "x"], ["status", "x", "--table", ""]):
        ended = CliRunner().invoke(app, args)
        assert (ended.exit_code, ended.stdout, ended.stderr) == (2, "", NO_TABLE)


def test_an_embedded_one_needs_no_name(noted: list[str], monkeypatch: pytest.MonkeyPatch):
    """But takes one."""
    line = ["run", BAHAMAS, "detect:f", "--embedded"]
    for args, env in ((line, ""), ([*line, "--table", "a"], "b"), (line, "b")):
        monkeypatch.setenv("RAYTRACKER_TABLE", env)
        assert CliRunner().invoke(app, args).exit_code == 0
    assert noted == ["ImageJobs", "a", "b"]


def test_the_variable_names_the_table(
    moto_table: JobTable, noted: list[str], monkeypatch: pytest.MonkeyPatch
):
    """For each command that takes one; an option outranks it."""
    monkeypatch.setenv("RAYTRACKER_TABLE", moto_table.table_name)
    moto_table.start_image_request(JobItem("scene-1", region_count=4))
    assert CliRunner().invoke(app, ["status", "scene-1"]).exit_code == 0
    assert CliRunner().invoke(app, ["table", "create"]).exit_code == 0
    assert CliRunner().invoke(app, ["run", BAHAMAS, "detect:f"]).exit_code == 0
    assert CliRunner().invoke(app, ["run", BAHAMAS, "detect:f", "--table", "b"]).exit_code == 0
    assert noted == [moto_table.table_name, "b"]


# --- what is missing ---


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({}, "no AWS region; set AWS_DEFAULT_REGION or pass region_name; without AWS, `raytracker"),
        ({"AWS_DEFAULT_REGION": "us_east"}, "AWS_DEFAULT_REGION and region_name are such as us-ea"),
        (
            {"AWS_DEFAULT_REGION": "us-east-1"},
            "AWS credentials are missing or incomplete; renew them, or set AWS_PROFILE, or AWS_ACCE"
            "SS_KEY_ID and AWS_SECRET_ACCESS_KEY; without AWS, `raytracker dev`",
        ),
        (
            {"AWS_ENDPOINT_URL_DYNAMODB": "localhost:8000"},
            "Invalid endpoint: localhost:8000; AWS_ENDPOINT_URL_DYNAMODB and endpoint_url are such",
        ),
        (
            {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"},
            'does not answer: Could not connect to the endpoint URL: "http://127.0.0.1:1/"; start '
            "it, or set AWS_ENDPOINT_URL_DYNAMODB to where it is",
        ),
    ],
)
def test_what_is_missing_is_named_with_its_cure(folder: Path, env: dict[str, str], told: str):
    """In one line, by each command."""
    if "AWS_ENDPOINT_URL_DYNAMODB" in env:
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        env = {"AWS_DEFAULT_REGION": "us-east-1", **keys, **env}
    bare = {**dict.fromkeys(os.environ), **without_aws(folder, **env)}
    for args in (
        ["status", "scene-1", "--table", "jobs"],
        ["table", "create", "jobs"],
        ["run", BAHAMAS, "detector.py:detect", "--table", "jobs"],
    ):
        ended = CliRunner().invoke(app, args, env=bare)
        assert ended.exit_code in (1, 2)
        assert told in ended.stderr
        assert (ended.stdout, ended.stderr.count("\n")) == ("", 1)

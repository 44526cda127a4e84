"""What docs/command.md says of `--json` and of help is what the command does."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from raytracker.cli import app, watching
from raytracker.job_table import JobItem, JobTable
from tests.support.on_call import invoke, put

DOCS = Path(__file__).parents[2] / "docs"
DOC = (DOCS / "command.md").read_text()
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
TRACKERS = {"tracker_run", "tracker_state", "tracker_errors"}
OSMLS = {name for name in JobItem.__dataclass_fields__ if not name.startswith("tracker_")}


def documented(command: str) -> set[str]:
    """Returns the names in the row of a command, but for those of what is inside of others."""
    [row] = re.findall(rf"^\| `{command}.*\|$", DOC, re.MULTILINE)
    return set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", row.split("|")[3])))


@pytest.fixture
def table(moto_table: JobTable, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobTable]:
    """A job table that the command finds, with an image that has ended."""
    monkeypatch.setenv("RAYTRACKER_TABLE", moto_table.table_name)
    ended = int(time.time() * 1000)
    put(moto_table, "a", region_error=2, end_time=ended, tracker_writes=3, tracker_wcu=3)
    return moto_table


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("list", ["list"]),
        ("errors", ["errors", "a"]),
        ("cancel", ["cancel", "a"]),
        ("cost IMAGE_ID", ["cost", "a"]),
        ("cost --regions", ["cost", "--regions", "4", "--minutes", "1"]),
        ("table check", ["table", "check", "a-table"]),
    ],
)
def test_json_has_the_names_that_are_documented(
    table: JobTable, command: str, line: list[str]
) -> None:
    """All of them, and no other: who reads it builds on them."""
    line = [table.table_name if word == "a-table" else word for word in line]
    told = json.loads(invoke(*line, "--json").stdout.splitlines()[0])
    assert set(told) == documented(command)


def test_the_json_of_a_status(table: JobTable) -> None:
    """OSML's attributes, and what is told beside them; of `watch`, what `list` has and more."""
    told = set(json.loads(invoke("status", "a", "--json", status=3).stdout))
    known = documented("run`, `status") - {"busy", "files"}
    assert told - OSMLS | TRACKERS == known
    assert OSMLS - {"ddb_key"} <= told
    seen = watching.Watched().see(table.read("a"))  # type: ignore[arg-type]
    assert set(watching._row_of(seen)) == documented("list") | documented("watch") - {"list"}


def commands() -> list[list[str]]:
    """Returns all commands, as they are typed."""
    found: list[list[str]] = []
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inside = getattr(command, "commands", None)
        found += [[name]] if inside is None else [[name], *([name, each] for each in inside)]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_help_has_an_example(command: list[str]) -> None:
    """Which begins as one types it; and each command is in the docs."""
    text = COLOUR.sub("", invoke(*command, "--help").output)
    assert "Usage: " in text
    example = text[text.index("Example") :]
    assert " ".join(["raytracker", *command]) in example
    docs = "".join(path.read_text() for path in DOCS.glob("*.md"))
    assert re.search(rf"raytracker {' '.join(command)}\b|`{' '.join(command)}`", docs)

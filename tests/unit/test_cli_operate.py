"""What who is on call asks of the table: list, errors."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from raytracker.cli.command import app
from raytracker.cli.listed import ago
from raytracker.imagery import describe, plan
from raytracker.job_table import JobItem, JobTable, jobs_in
from raytracker.job_table.ledger_text import to_text
from raytracker.ledger import ERROR, SUCCESS, Layout, Ledger, classes_of
from raytracker.views import Group, OfClass, classes_in, ranges_text
from tests.support import forty
from tests.support.images import make_image
from tests.support.on_call import ELSEWHERE, NOW, OOM, invoke, put, stored

X = "\N{MULTIPLICATION SIGN}"
WHERE = {"crs": "EPSG:32618", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)}


@pytest.fixture
def table(moto_table: JobTable, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobTable]:
    """A job table that the command finds."""
    monkeypatch.setenv("RAYTRACKER_TABLE", moto_table.table_name)
    return moto_table


def listed(*args: str) -> list[str]:
    """Returns the image_ids that a listing shows, in its order."""
    lines = invoke("list", "--json", *args).stdout.splitlines()
    return [json.loads(line)["image_id"] for line in lines]


# --- list ---


def test_the_newest_come_first_and_so_many_as_asked_for(table: JobTable) -> None:
    """What is not shown is counted."""
    for age in (3, 1, 2):
        put(table, f"age-{age}", start_time=int((NOW - age) * 1000))
    assert listed() == ["age-1", "age-2", "age-3"]
    done = invoke("list", "--json", "--limit", "2")
    assert len(done.stdout.splitlines()) == 2
    assert "3 of 3 images in table" in done.stderr
    assert "2 shown: --all shows them" in done.stderr
    assert listed("--limit", "1", "--all") == ["age-1", "age-2", "age-3"]


def test_filters(table: JobTable) -> None:
    """By status (several), silence, news, model and job."""
    day = 86400 * 1000
    put(table, "runs", model_name="m:f")
    put(table, "silent", tracker_alive_until=int(NOW - 1), job_id="j")
    put(table, "left", tracker_alive_until=None)
    old = int(NOW * 1000) - 3 * day
    put(table, "partial", region_error=2, end_time=old, start_time=old)
    put(table, "cancelled", tracker_state="CANCELLED", end_time=int(NOW * 1000))
    assert sorted(listed("--silent")) == ["left", "silent"]
    assert listed("--status", "PARTIAL") == ["partial"]
    assert sorted(listed("--status", "PARTIAL", "--status", "CANCELLED")) == [
        "cancelled",
        "partial",
    ]
    assert sorted(listed("--since", "2d")) == ["cancelled", "left", "runs", "silent"]
    assert listed("--model", "m:f") == ["runs"]
    assert listed("--job", "j") == ["silent"]
    assert "--since '2w'" in invoke("list", "--since", "2w", status=2).stderr


def test_a_row_says_who_and_when(table: JobTable) -> None:
    """In one line each, also in a pipe."""
    put(table, "scene-1", region_error=1)
    put(table, "two\nlines\x1b[31m", tracker_alive_until=int(NOW - 3600 + 150))
    heads, *rows = invoke("list").stdout.splitlines()
    assert heads.split() == ["STATUS", "REGIONS", "NEWS", "WHO", "IMAGE"]
    assert len(rows) == 2
    [row] = [row for row in rows if "scene-1" in row]
    assert row.split("  ")[0] == "IN_PROGRESS"
    assert "3/4, 1 failed" in row
    assert "ann@node-7" in row
    [row] = [row for row in rows if "two" in row]
    assert row.startswith("IN_PROGRESS, silent")
    assert re.search(r"6\d min ago", row)
    assert "\x1b" not in row


def test_json_says_what_the_text_says(table: JobTable) -> None:
    """And who runs it, taken apart."""
    alive_until = put(table, "scene-1").tracker_alive_until or 0
    known = json.loads(invoke("list", "--json").stdout)
    assert known["status"] == "IN_PROGRESS"
    assert known["silent"] is False
    assert known["last_news"] == (alive_until - 150) * 1000
    assert known["started_by"]["host"] == "node-7"
    assert (known["region_count"], known["region_success"], known["region_error"]) == (4, 2, 0)


def test_foreign_items_break_no_listing(table: JobTable) -> None:
    """OSML's, bare ones, and attributes of types that are not ours, or huge."""
    table.put_ddb_item(JobItem("osml", start_time=int(NOW * 1000), region_count=9, job_id="j"))
    for number, wrong in enumerate(("text", 10**30, True, ["x"], {"a": 1}, b"\x00", None)):
        item: dict[str, Any] = {"image_id": f"hostile-{number}"}
        names = ("start_time", "end_time", "region_count", "region_success", "tracker_alive_until")
        names += ("tracker_started_by", "tracker_keep_for", "tracker_state", "model_name")
        table.table.put_item(Item={**item, **dict.fromkeys(names, wrong)})
    assert len(listed()) == 8
    assert len(invoke("list").stdout.splitlines()) == 9
    assert listed("--silent", "--since", "7d") is not None


def test_a_listing_does_not_fetch_ledgers(table: JobTable) -> None:
    """They are what is large; and more than a page is read to its end."""
    for number in range(20):
        put(table, f"scene-{number}", tracker_ledger="A" * 300_000)
    jobs = list(jobs_in(table))
    assert len(jobs) == 20
    assert all(job.tracker_ledger is None and job.region_count == 4 for job in jobs)


def test_a_listing_that_is_dropped_leaves_no_reader(table: JobTable) -> None:
    """Nor does one that is refused wait for ever."""
    for number in range(20):
        put(table, f"scene-{number}", tracker_ledger="A" * 300_000)
    jobs = jobs_in(table)
    next(jobs)
    jobs.close()  # type: ignore[attr-defined]
    assert "no such table" in invoke("list", "--table", "nowhere", status=2).stderr


def test_a_listing_without_a_region(table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is refused in a line, as all else is."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert "AWS_DEFAULT_REGION" in invoke("list", status=2).stderr


def test_a_terminal_of_80_columns(table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has room for the image, whatever the host is named; colours are rich's, or none."""
    who = ELSEWHERE._replace(host="h" * 64)
    put(table, "s3://bucket/" + "folder/" * 9 + "scene.tif", tracker_started_by=who.to_text())
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = re.sub(r"\x1b\[[0-9;]*m", "", invoke("list").stdout)
    assert max(map(len, text.splitlines())) <= 80
    cells = [line[50:].strip() for line in text.splitlines()[1:]]
    assert "".join(cells).endswith("folder/folder/scene.tif")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s ago"), (90, "90 s ago"), (150, "2 min ago"), (7300, "2 h ago"), (2e5, "2 d ago")],
)
def test_ago(seconds: float, text: str) -> None:
    """In one unit."""
    assert ago(seconds) == text


# --- errors ---


def failed(table: JobTable, reasons: dict[int, str], *, old: bool = False, **more: Any) -> Ledger:
    """Writes an item of regions of 10 tiles, of which those with a reason failed.

    An old one is of before items had classes.
    """
    ledger = Ledger(Layout([(40, 10)]))
    known_as = () if old else classes_of(reasons)
    ledger.merge([(tile, ERROR) for tile in reasons], reasons, known_as)
    put(
        table,
        "scene-1",
        tracker_ledger=to_text(ledger.encode()),
        tracker_errors={str(tile): text for tile, text in ledger.reasons().items()},
        tracker_classes=to_text(ledger.classes().encode(ledger.tile_outcomes())) or None,
        **more,
    )
    return ledger


def test_errors_are_grouped_by_reason(table: JobTable) -> None:
    """The most first; what differs in numbers only is one group, and told to be."""
    reasons = dict.fromkeys([*range(3, 9), 20], OOM) | {
        k: f"ValueError: {k} is bad" for k in (1, 2)
    }
    failed(table, reasons)
    assert invoke("errors", "scene-1").stdout.splitlines() == [
        "scene-1: IN_PROGRESS, 9 of 400 tiles failed",
        f"        7 {X} {OOM}",
        "            tiles 3-8, 20",
        f"        2 {X} ValueError: 1 is bad, and alike",
        "            tiles 1-2",
    ]


def test_errors_are_grouped_by_class_and_under_it_by_reason(table: JobTable) -> None:
    """All that failed are counted by class; the item keeps the lowest 100 texts."""
    reasons = dict.fromkeys(range(50, 200), OOM) | dict.fromkeys((1, 2), "KeyError: 'band'")
    failed(table, reasons | {3: "KeyError: 'b\x1b[2J'"} | {300: "too cloudy"})
    done = invoke("errors", "scene-1")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "scene-1: IN_PROGRESS, 154 of 400 tiles failed",
        f"      150 {X} OutOfMemoryError",
        "            tiles 50-199",
        f"            97 {X} CUDA out of memory",
        "                tiles 50-146",
        f"            53 {X} text not kept",
        "                tiles 147-199",
        f"        3 {X} KeyError",
        "            tiles 1-3",
        f"            2 {X} 'band'",
        "                tiles 1-2",
        f"            1 {X} 'b\ufffd[2J'",
        "                tiles 3",
        f"        1 {X} reported",
        "            tiles 300",
    ]
    known = json.loads(invoke("errors", "scene-1", "--json").stdout)
    assert (known["complete"], known["tile_error"]) == (False, 154)
    assert [(each["class"], each["tile_error"]) for each in known["classes"]] == [
        ("OutOfMemoryError", 150),
        ("KeyError", 3),
        ("reported", 1),
    ]
    assert known["groups"][1] == {
        "class": "OutOfMemoryError", "reason": None, "alike": False, "tile_error": 53,
        "tiles": [[147, 199]],
    }  # fmt: skip
    [row] = [line for line in invoke("status", "scene-1").stdout.splitlines() if "failed" in line]
    assert row.split(None, 1)[1] == f"150 {X} OutOfMemoryError, 3 {X} KeyError, 1 {X} reported"
    told = json.loads(invoke("status", "scene-1", "--json").stdout)
    assert told["classes"][0] == {"class": "OutOfMemoryError", "tile_error": 150}


def test_an_item_without_classes_has_those_of_its_reasons(table: JobTable) -> None:
    """An older version wrote it; what is not known is told."""
    failed(table, dict.fromkeys(range(150), OOM), old=True)
    done = invoke("errors", "scene-1")
    assert f"      100 {X} {OOM}\n            tiles 0-99" in done.stdout
    assert f"       50 {X} class not known\n            tiles 100-149" in done.stdout
    assert done.stderr.startswith("Of 50 more failed tiles the class is not known: ")
    known = json.loads(invoke("errors", "scene-1", "--json").stdout)
    assert known["complete"] is False
    assert known["tile_error"] == 150
    assert [(g["reason"], g["class"], g["tiles"]) for g in known["groups"]] == [
        (OOM, "OutOfMemoryError", [[0, 99]]),
        (None, None, [[100, 149]]),
    ]
    ledger = Ledger(Layout([(40, 10)]))
    ledger.merge([(0, ERROR * 3)], {})
    put(table, "scene-1", tracker_ledger=to_text(ledger.encode()))
    assert "Of 3 failed tiles the class" in invoke("errors", "scene-1").stderr


def test_a_tile_that_succeeded_later_is_no_error(table: JobTable) -> None:
    """Though its reason is kept."""
    ledger = failed(table, {5: OOM, 6: OOM})
    ledger.merge([(5, SUCCESS)], {})
    assert classes_in(ledger) == [OfClass("OutOfMemoryError", [6], [Group(OOM, [6], False)])]


def test_images_of_a_class_of_failures_are_selected(table: JobTable) -> None:
    """By the whole name, also beyond the texts that are kept; nothing is done without a yes."""
    ended = {"region_count": 1, "region_error": 1, "end_time": 1_700_000_000_000}
    told = dict.fromkeys(range(150), OOM) | {200: "KeyError: 'band'"}
    failed(table, told, tracker_run="run", region_success=0, **ended)
    for name, count in (("KeyError", 1), ("OutOfMemoryError", 1), ("OutOfMemory", 0)):
        asked = ["redrive", "detect.py:ships", "--table", table.table_name, "--class", name]
        done = CliRunner().invoke(app, asked, input="n\n")
        assert done.output.count("scene-1:") == count, done.output
        assert ("nothing was done" in done.output) == bool(count)


def test_errors_as_csv(table: JobTable) -> None:
    """Region, tile in it, number in the image, reason, class."""
    failed(table, {12: 'a, "b"\nc'})
    rows = list(csv.reader(io.StringIO(invoke("errors", "scene-1", "--csv").stdout)))
    assert rows == [
        ["region", "tile", "number", "reason", "class"],
        ["1", "2", "12", 'a, "b"\nc', "reported"],
    ]


def test_errors_as_geojson(table: JobTable, tmp_path: Path) -> None:
    """The outlines of failed tiles in degrees, as far as they are image, from the item's grid."""
    path = make_image(tmp_path / "scene.tif", np.zeros((1, 90, 100), "uint8"), **WHERE)
    grid = plan(describe(path), 50, 0, 100)
    ledger = Ledger(Layout.of(grid.tiles_per_region))
    ledger.merge([(3, ERROR)], {3: OOM})
    put(
        table,
        "scene-1",
        image_url=str(path),
        tracker_grid=json.dumps(grid.to_dict()),
        tracker_ledger=to_text(ledger.encode()),
        tracker_errors={"3": OOM},
    )
    [feature] = json.loads(invoke("errors", "scene-1", "--geojson").stdout)["features"]
    assert feature["properties"] == {
        "region": 0, "tile": 3, "number": 3, "reason": OOM, "class": "OutOfMemoryError",
    }  # fmt: skip
    west, north = grid.tile(0, 3).lonlat(0, 0)
    east, south = grid.tile(0, 3).lonlat(40, 50)
    [ring] = feature["geometry"]["coordinates"]
    assert any(np.allclose(point, (west, north), atol=1e-6) for point in ring)
    assert any(np.allclose(point, (east, south), atol=1e-6) for point in ring)
    path.unlink()
    assert "scene.tif" in invoke("errors", "scene-1", "--geojson", status=2).stderr


def test_items_without_errors_of_ours(table: JobTable) -> None:
    """OSML's say so; damaged ones are told; one form at a time."""
    table.put_ddb_item(JobItem("osml", region_count=9, region_error=2))
    assert "counts 2 failed regions" in invoke("errors", "osml", status=2).stderr
    failed(table, {1: OOM}, image_url="/nowhere.tif")
    item = table.table.get_item(Key={"image_id": "scene-1"})["Item"]
    table.table.put_item(Item={**item, "tracker_errors": {"x": "y", "1": 5, "-3": "z"}})
    assert "the attribute tracker_errors" in invoke("errors", "scene-1", status=2).stderr
    assert "give one of them" in invoke("errors", "scene-1", "--csv", "--json", status=2).stderr


def test_ranges() -> None:
    """So many, and how many more."""
    assert ranges_text([(0, 7), (9, 9)]) == "0-7, 9"
    assert ranges_text([(k, k) for k in range(0, 30, 2)]).endswith("18, and 5 more")


# --- forty images ---


def test_each_question_is_one_command(table: JobTable) -> None:
    """What runs, what is silent, what failed and why; the others stay when some are cancelled."""
    forty.fill(table)
    assert len(listed("--all")) == 40
    assert sorted(listed("--silent")) == [forty.STUCK, forty.OSML]
    assert listed("--status", "CANCELLED") == [forty.CANCELLED]
    assert listed("--status", "PARTIAL") == ["scene-31"]
    assert sorted(listed("--failing")) == sorted(forty.FAILING)
    known = json.loads(invoke("errors", "scene-27", "--json").stdout)
    assert [(g["reason"], g["tile_error"]) for g in known["groups"]] == [
        (forty.OOM, 100),
        (None, 1550),
    ]
    before = {job.image_id: stored(table, job.image_id) for job in jobs_in(table)}
    invoke("cancel", forty.STUCK)
    invoke("delete", forty.OSML, "--yes")
    for image_id, job in before.items():
        if image_id not in {forty.STUCK, forty.OSML}:
            assert stored(table, image_id) == job
    assert stored(table, forty.STUCK).status == "CANCELLED"
    assert table.read(forty.OSML) is None

"""Whoever can write the table may have put anything into an item."""

from __future__ import annotations

import json
import resource
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from raytracker import ImageTracker
from raytracker.cli.command import app
from raytracker.errors import LedgerError, RaytrackerError, TableError
from raytracker.job_table import JobItem, JobTable, ledger_of
from raytracker.job_table.ledger_text import to_text
from raytracker.job_table.life import Starter
from raytracker.ledger import ERROR, Layout, Ledger
from raytracker.pipeline import Cut, plan_image
from tests.support.command import BAHAMAS

LEDGER = to_text(Ledger(Layout.of([3, 2])).encode())
GOOD: dict[str, Any] = {
    "image_id": "scene",
    "image_url": BAHAMAS,
    "region_count": Decimal(2),
    "region_success": Decimal(0),
    "region_error": Decimal(0),
    "start_time": Decimal(1_700_000_000_000),
    "processing_duration": Decimal(5),
    "tracker_run": "run",
    "tracker_ledger": LEDGER,
}
NUMBERS = [f.name for f in fields(JobItem) if str(f.type).startswith("int")]


def zipped(plain: bytes) -> str:
    """Returns the text of a ledger whose checksum is right, whatever is in it."""
    body = zlib.compress(plain, 9)
    crc = zlib.crc32(body, 1).to_bytes(4, "little")
    return to_text(b"RTL\x02\x01" + crc + body)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, aws_env: None) -> Callable[[dict[str, Any]], None]:
    """Has every table answer with an item."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(JobTable, "read_item", lambda *_: dict(found))

    def answer(item: dict[str, Any]) -> None:
        found.clear()
        found.update(item)

    return answer


DAMAGES = {
    "tracker_errors": [{"x": "y"}, {"-1": "y"}, {"1" * 5000: "y"}, {"0": 5}, ["y"], {"9": "y"}],
    "tracker_ledger": [
        Decimal(5),
        "not base64",
        "YWJj",
        zipped(b"\x80" * 40_000_000),
        zipped(b"\x01" + b"\xff\xff\xff\x7f" * 2),
        zipped(b"\xff" * 300_000),
    ],
    "tracker_classes": [Decimal(5), {"0": "ValueError"}, [["x"]]],
    "start_time": ["noon", Decimal("1E60"), Decimal(-1), True],
    "end_time": ["noon", Decimal("1E60"), {"a"}],
    "tracker_pool": ["x/0", "x/0/abc", "x/abc", "x/-1/y", "/", Decimal(1), "x/" + "9" * 5000],
    "tracker_keep_for": ["week", Decimal("1E60")],
    "tracker_seq": ["one", [Decimal(1)]],
    "region_count": [Decimal(-1), Decimal("1E90"), "two", {Decimal(1), Decimal(2)}],
    "image_url": [Decimal(3), {"S": "x"}],
    "tracker_ends": ["no"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in DAMAGES.items() for value in values]
)
def test_a_malformed_attribute_is_refused_by_name(
    asked: Callable[[dict[str, Any]], None], name: str, value: Any
) -> None:
    """In one line that names image and attribute, and in a moment."""
    asked({**GOOD, name: value})
    began = time.process_time()
    result = CliRunner().invoke(app, ["status", "scene", "--table", "jobs"])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    assert "image 'scene'" in line
    assert name in line
    with pytest.raises((TableError, LedgerError)):
        ImageTracker.attach("scene", table="jobs")
    assert time.process_time() - began < 1


def test_no_ledger_is_unpacked_beyond_what_an_item_holds() -> None:
    """Neither in time nor in memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bombs = [zipped(b"\x80" * 40_000_000), zipped(b"\x01" + b"\xff\xff\xff\x7f" * 2)]
    made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    for bomb in bombs:
        with pytest.raises(LedgerError, match="image 'x'"):
            ledger_of(JobItem("x", tracker_ledger=bomb))
    assert time.process_time() - began < 0.1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - made < 20_000  # KiB
    assert made >= before


@pytest.mark.parametrize("text", ["no base64", "YWJj", "", "\ud800", "AAAA" * 50_000])
def test_damaged_classes_are_not_known(text: str) -> None:
    """The ledger is: no work depends on classes."""
    ledger = Ledger(Layout.of([3]))
    ledger.merge([(0, ERROR * 3)], {})
    item = {**GOOD, "tracker_ledger": to_text(ledger.encode()), "tracker_classes": text}
    assert ledger_of(JobItem.from_ddb(item)) == ledger


def test_nested_values_are_not_gone_into() -> None:
    """Whatever their depth."""
    deep: Any = "x"
    for _ in range(10_000):
        deep = [deep]
    for name in ("image_url", "tracker_errors", "region_count", "tracker_ends", "tracker_ledger"):
        with pytest.raises((TableError, LedgerError), match=name):
            JobItem.from_ddb({**GOOD, name: deep})
    assert JobItem.from_ddb({**GOOD, "somebodys": deep}).status == "STARTED"


def test_no_text_of_an_item_moves_the_cursor(asked: Callable[[dict[str, Any]], None]) -> None:
    """Nor forges a line: not the id, nor a reason."""
    evil = "a\x1b[2J\x9b1m\nstatus     SUCCESS\r\u202egnp.exe"
    ledger = Ledger(Layout.of([3, 2]))
    ledger.merge([(0, bytes([1]))], {0: evil})
    asked({**GOOD, "image_id": evil, "tracker_ledger": to_text(ledger.encode()),
           "tracker_errors": {"0": evil}})  # fmt: skip
    output = CliRunner().invoke(app, ["status", evil, "--table", "jobs"]).output
    assert not [each for each in output if not each.isprintable() and each != "\n"]
    assert len([line for line in output.splitlines() if line.startswith("status ")]) == 1


@pytest.mark.parametrize("pid", ["1e400", "-5", "9" * 30, "null", "[[1]]"])
def test_who_began_a_run_may_be_anything(pid: str) -> None:
    """Then it is not known."""
    told = f'{{"host": "h", "pid": {pid}, "user": "u", "job": "j", "since": 1, "place": "p"}}'
    assert Starter.of(JobItem("x", tracker_started_by=told)) is None


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=20),
    st.sampled_from(["x/0", "x/1/y", "[[" * 5000, '{"tile_size": 0}', LEDGER, "\x1b[2J\nforged"]),
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
    st.sampled_from([Decimal("9E125"), Decimal("-9E125"), Decimal("1E-130")]),
    st.binary(max_size=20),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
ITEMS = st.builds(
    lambda more: {**GOOD, **more},
    st.dictionaries(
        st.sampled_from([f.name for f in fields(JobItem) if f.name not in ("image_id", "ddb_key")]),
        _VALUES,
        max_size=4,
    ),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(item=ITEMS)
@example(item={**GOOD, "start_time": Decimal(253_402_300_799_000)})
@example(item={**GOOD, "end_time": Decimal(0), "region_error": Decimal(2**53 - 1)})
@example(item={**GOOD, "tracker_alive_until": Decimal(0), "tracker_started_by": "{}"})
def test_whatever_is_in_an_item_is_told_in_lines(
    asked: Callable[[dict[str, Any]], None], item: dict[str, Any]
) -> None:
    """No traceback, no minute, no forged line, wherever it is read."""
    asked(item)
    began = time.process_time()
    for more in ([], ["--json"]):
        result = CliRunner().invoke(app, ["status", "scene", "--table", "jobs", *more])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "\x1b" not in result.output
        assert not any(line.startswith("forged") for line in result.output.splitlines())
    with suppress(RaytrackerError):
        job = JobItem.from_ddb(item)
        assert repr(job)
        assert json.dumps(job.to_dict())
        ledger_of(job)
        ImageTracker.attach("scene", table="jobs")._run.spec.actor_name  # noqa: B018
    assert time.process_time() - began < 2


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_OPTIONS = ["tile_size", "tile_overlap", "region_size", "roi", "roi_crs", "edges", "bands",
            "skip_empty", "size", "bytes", "crs", "function", "merge", "merge_iou", "merge_by",
            "formats", "blend", "stride", "nodata", "colormap", "band_names"]  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    grid=st.dictionaries(st.sampled_from(_OPTIONS), _JSON, max_size=3),
    outputs=_JSON.map(json.dumps) | st.text(max_size=5),
    properties=_JSON.map(json.dumps) | st.text(max_size=5),
    url=st.sampled_from([BAHAMAS, "", "\0", "nowhere.tif", "\x1b[2J"]),
)
@example(grid={"tile_size": [1, 1], "region_size": 1}, outputs="", properties="", url=BAHAMAS)
@example(grid={"tile_size": 2**70}, outputs="[5]", properties="5", url=BAHAMAS)
def test_a_resume_of_whatever_an_item_notes(
    asked: Callable[[dict[str, Any]], None],
    tmp_path: Path,
    grid: dict[str, Any],
    outputs: str,
    properties: str,
    url: str,
) -> None:
    """It is planned, or refused as one of ours."""
    asked(
        {
            **GOOD,
            "image_url": url,
            "outputs": outputs,
            "feature_properties": properties,
            "tracker_grid": json.dumps({"tile_size": 512, **grid}),
        }
    )
    with suppress(RaytrackerError):
        plan_image("scene", print, Cut(), table=JobTable("jobs"), if_exists="resume")

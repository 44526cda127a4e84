"""Log records: of which image they are, and that reports make none."""

from __future__ import annotations

import ast
import logging
from pathlib import Path
from typing import Any

import pytest

import raytracker
from raytracker.events import RegionSettled
from raytracker.ledger import Outcome
from raytracker.logs import log_event, wants_regions
from tests.support.world import World, report

SOURCES = Path(raytracker.__file__).parent


def named(record: logging.LogRecord) -> tuple[Any, ...]:
    return tuple(getattr(record, name, None) for name in ("image_id", "run", "region"))


def test_an_image_is_logged_from_its_start_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """At INFO, with what it is of as attributes; a thousand reports are no record."""
    caplog.set_level(logging.INFO)
    world = World(1000)
    coordinator = world.open()
    coordinator.news.subscribe(log_event, regions=wants_regions())
    world.serve(coordinator, until=1)
    for region in range(999):
        report(coordinator, region)
        world.serve(coordinator, until=1)
    report(coordinator, error={999: "clouds"})
    world.serve(coordinator)
    told = [record for record in caplog.records if record.name == "raytracker.events"]
    assert [(record.message, *named(record)) for record in told] == [
        ("image scene: started, 0 of 1000 regions are settled", "scene", "run", None),
        ("image scene: region 999, tile 0 failed: clouds", "scene", "run", 999),
        ("image scene: PARTIAL, 999 of 1000 regions succeeded", "scene", "run", None),
    ]


def test_regions_are_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    assert not wants_regions()
    caplog.set_level(logging.DEBUG)
    assert wants_regions()
    log_event(RegionSettled("scene", "run", 0, 7, Outcome.ERROR, 4, 1))
    [record] = caplog.records
    assert (record.levelname, *named(record)) == ("DEBUG", "scene", "run", 7)
    assert record.message == "image scene: region 7: ERROR, 1 of 4 tiles failed"


def test_trouble_says_of_which_run(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    coordinator = world.open()
    world.table.fates.extend(["refuse"])
    world.serve(coordinator, until=40)
    caplog.set_level(logging.INFO)
    told = [record for record in caplog.records if record.name == "raytracker.actor.trouble"]
    assert [named(record) for record in told] == [("scene", "run", None)]


def calls(tree: ast.AST) -> list[ast.Call]:
    """Returns the calls of a module's logger."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "logger"
        and node.func.attr in {"debug", "info", "warning", "error", "exception", "log"}
    ]


def test_each_record_of_an_image_names_it_in_an_attribute() -> None:
    """Whatever text begins with the image."""
    without = []
    for path in SOURCES.rglob("*.py"):
        for call in calls(ast.parse(path.read_text())):
            text = ast.unparse(call)
            if "image %s" in text and "extra=" not in text:
                without.append(f"{path.name}:{call.lineno}")
    assert without == []

"""How a run begins when the network loses answers and holds requests back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raytracker import JobItem
from raytracker.actor import Batch, Coordinator
from raytracker.errors import ResumeMismatch
from raytracker.ledger import Layout
from raytracker.run import How, IfExists, begin, go_on
from tests.support.simulated_table import SimulatedTable


def serve(table: SimulatedTable, run: str, *regions: int) -> None:
    """Has a process of the run claim the image, take reports and flush them."""
    coordinator = Coordinator("scene", run, table, flush_interval=0.0)
    coordinator.report(Batch.of(dict.fromkeys(regions, 2), {}))
    coordinator.step()
    coordinator.step()


def settled(table: SimulatedTable) -> int:
    item = JobItem.from_ddb(table.items["scene"])
    assert item.region_success is not None
    return item.region_success


@pytest.mark.parametrize(
    ("if_exists", "redrive"), [("restart", False), ("resume", False), ("resume", True)]
)
def test_a_run_that_has_begun_is_not_begun_again(if_exists: IfExists, redrive: bool) -> None:
    """The answer was lost, so it is tried again; a second write would arrive in mid-run."""
    table = SimulatedTable()
    table.start(JobItem(image_id="scene"), run="before", layout=Layout.of(5))
    serve(table, "before", 0)
    inherited = 1 if if_exists == "resume" else 0
    table.fates.extend(["ok", "lose_response", "ok", "hold_back"])  # a read and a write, twice
    how = How(take_over=True)
    run = begin(JobItem(image_id="scene"), 5, table, if_exists, None, redrive, how).spec.run
    table.fates.clear()
    serve(table, run, 3, 4)
    assert settled(table) == 2 + inherited
    owner = table.items["scene"]["tracker_owner"]
    while table.held_back:
        table.deliver(0)
    assert settled(table) == 2 + inherited
    assert table.items["scene"]["tracker_owner"] == owner


def test_a_resume_that_got_through_is_not_made_again() -> None:
    """The same for `ImageTracker.resume`."""
    table = SimulatedTable()
    table.start(JobItem(image_id="scene"), run="before", layout=Layout.of(5))
    table.fates.extend(["ok", "lose_response", "ok", "hold_back"])
    begun = go_on("scene", table, How(take_over=True), redrive=False)
    table.fates.clear()
    assert begun.before is not None
    assert begun.before.tracker_run == "before"
    serve(table, begun.spec.run, 3)
    owner = table.items["scene"]["tracker_owner"]
    while table.held_back:
        table.deliver(0)
    assert table.items["scene"]["tracker_owner"] == owner


CUT = {"tile_size": [256, 256], "edges": "clip", "bands": None}


@pytest.mark.parametrize(
    ("theirs", "ours", "told"),
    [
        (CUT, {**CUT, "edges": "pad"}, 'cut with edges "clip"; the .* cut with edges "pad": give'),
        (
            CUT,
            {**CUT, "tile_size": [64, 64], "bands": [3]},
            r"with tile_size \[256, 256\], bands null; .* with tile_size \[64, 64\], bands \[3\]: ",
        ),
        (None, CUT, "cut with no grid; the .* cut with edges"),
        (CUT, None, r"cut with tile_size \[256, 256\], .* cut with no grid: "),
        ("[" * 100_000, CUT, r"cut with \[\["),
        ("[1]", CUT, r"cut with \[1\]; the resume"),
        ("garbage", CUT, "cut with garbage; "),
    ],
)
def test_a_resume_with_another_cut_names_what_differs(theirs: Any, ours: Any, told: str) -> None:
    """With both values; other options are not named."""
    table = SimulatedTable()
    cut = theirs if isinstance(theirs, str | None) else json.dumps(theirs)
    table.start(JobItem("scene", tracker_grid=cut), run="before", layout=Layout.of(5))
    with pytest.raises(ResumeMismatch, match=told):
        begin(JobItem("scene"), 6, table, "resume", ours, False, How())
    assert table.items["scene"]["tracker_run"] == "before"

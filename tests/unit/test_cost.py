"""What tracking an image costs: the model, and a simulated run that it is held against."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from raytracker.actor import Batch, Coordinator
from raytracker.cost import Writes, estimate
from raytracker.errors import InvalidEstimate, InvalidLayout
from raytracker.job_table import JobItem
from raytracker.ledger import Layout, Ledger, Outcome, encode_outcomes
from tests.support.simulated_table import SimulatedClock, SimulatedTable

DOC = Path(__file__).parents[2] / "docs" / "cost.md"


@pytest.mark.parametrize(
    ("tiles", "wcu"), [(1, 1), (10_000, 4), (100_000, 34), (1_000_000, 327), (1_100_000, 359)]
)
def test_a_flush_costs_a_wcu_for_each_kilobyte(tiles: int, wcu: int) -> None:
    """Of the whole item: 2 bits a tile, as text, and half a KB."""
    assert estimate(tiles, minutes=1).flush_wcu == wcu


def test_flushes_are_an_interval_apart() -> None:
    """One at the end of each, and the one that ends the job; beside them start and claim."""
    cost = estimate(1000, minutes=0.75)
    assert (cost.tiles, cost.flush_pause, cost.last_pause) == (1000, 1.0, 1.0)
    assert cost.tracker == Writes(48, 48)
    assert estimate(1000, minutes=10, flush_interval=40).tracker == Writes(18, 18)


def test_the_flushes_of_a_long_job_are_further_apart() -> None:
    """By 2 % of its age, up to half a minute."""
    cost = estimate(10_000, minutes=10)
    assert (cost.flush_pause, cost.last_pause, cost.tracker.writes) == (1.0, 12.0, 178)
    day, two = (estimate(10_000, minutes=days * 1440).tracker.writes for days in (1, 2))
    assert two - day == 24 * 60 * 2


def test_dear_flushes_are_further_apart() -> None:
    """So that they take no more capacity a second than allowed."""
    cost = estimate(1_000_000, minutes=60)
    assert cost.flush_pause == pytest.approx(13.08)
    assert cost.tracker == Writes(2 + 162, 2 * 2 + 162 * 327)
    cost = estimate(1_000_000, minutes=60, max_wcu_per_second=327)
    assert (cost.flush_pause, cost.tracker.writes) == (1.0, 2 + 292)


def test_a_flush_tells_of_a_tile_at_least() -> None:
    """An image of few tiles takes no more writes than one a tile."""
    assert estimate(8, minutes=600).tracker == Writes(10, 10)
    assert estimate(8, 16, minutes=600).tracker == Writes(18, 18)
    assert estimate(8, minutes=0).tracker == Writes(3, 3)


def test_one_write_for_each_region_is_what_it_is_compared_with() -> None:
    """However many tiles and minutes; with a start and an end."""
    cost = estimate(5000, 20_000, minutes=10)
    assert cost.one_per_region == Writes(5002, 5002)
    assert cost.write_ratio == pytest.approx(5002 / 178)
    assert cost.wcu_ratio == pytest.approx(5002 / (2 + 176 * 8))


def test_large_ledgers_can_cost_more_than_they_save() -> None:
    """Many tiles in few regions: the ratio says so."""
    assert estimate(64, 1_000_000, minutes=60).wcu_ratio < 0.002


def test_tiles_are_shared_evenly() -> None:
    """The layout is in the item, too; two sizes take two runs, and their text four bytes more."""
    even, uneven = estimate(3, 6, minutes=1), estimate(3, 7, minutes=1)
    assert uneven.item_bytes == even.item_bytes + 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"regions": 0}, "at least one region"),
        ({"regions": -1, "tiles": 5}, "at least one region"),
        ({"regions": 3, "tiles": 2}, "2 tiles in 3 regions: a region has at least one tile"),
        ({"regions": 3, "tiles": 2_000_000}, "an item of DynamoDB has room for"),
    ],
)
def test_layouts_that_are_none(arguments: dict[str, int], says: str) -> None:
    """The text says what an image has."""
    with pytest.raises(InvalidLayout, match=says):
        estimate(**arguments, minutes=1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"minutes": -0.1}, "minutes -0.1: give 0 or more"),
        ({"minutes": float("nan")}, "minutes nan: give 0 or more"),
        ({"minutes": float("inf")}, "minutes inf: give 0 or more"),
        ({"minutes": 1, "flush_interval": -1}, "flush_interval -1: give 0 or more"),
        ({"minutes": 1, "max_wcu_per_second": 0}, "max_wcu_per_second 0: give more than 0"),
    ],
)
def test_times_that_are_none(arguments: dict[str, float], says: str) -> None:
    """The text names the argument."""
    with pytest.raises(InvalidEstimate, match=says):
        estimate(1, **arguments)


@pytest.mark.parametrize(
    ("regions", "minutes", "options"),
    [
        (2000, 10, {}),
        (2000, 10, {"flush_interval": 5.0}),
        (20_000, 10, {"max_wcu_per_second": 2.0}),
        (5, 10, {}),
    ],
)
def test_a_coordinator_writes_as_often_as_the_model_says(
    regions: int, minutes: float, options: dict[str, float]
) -> None:
    """With reports at an even pace, and a table on which each flush costs the most it can."""
    cost = estimate(regions, minutes=minutes, **options)
    table, clock = SimulatedTable(), SimulatedClock()
    table.wcu = cost.flush_wcu
    table.start(JobItem(image_id="scene"), run="run", layout=Layout.of(regions))
    coordinator = Coordinator("scene", "run", table, clock=clock, **options)
    began, pace = clock.now, minutes * 60 / regions
    coordinator.step()  # claims
    for region in range(regions):
        end = began + (region + 1) * pace
        while (due := coordinator.due()) is not None and due <= end:
            clock.now = max(clock.now, due)
            coordinator.step()
        clock.now = end
        coordinator.report(Batch.of({region: Outcome.SUCCESS}, {}))
    coordinator.step()
    assert coordinator.finished
    # The first flush does not wait for what flushes cost; a report is not always there in time.
    assert len(table.writes) == pytest.approx(cost.tracker.writes, rel=0.01, abs=1)


def test_what_zlib_makes_of_a_ledger() -> None:
    """As docs/cost.md says: four fifths of the bound at worst; a tenth where tiles go in order."""
    tiles, rng = 100_000, random.Random(0)
    layout = Layout.of(tiles)
    bound = Ledger.max_encoded_bytes(layout)
    worst = bytes(rng.choices((0, 1, 2), k=tiles))
    assert len(encode_outcomes(layout, worst)) / bound == pytest.approx(0.8, abs=0.05)
    in_order = bytes(rng.choices((1, 2), (2, 98), k=tiles // 2)) + bytes(tiles // 2)
    assert len(encode_outcomes(layout, in_order)) / bound == pytest.approx(0.1, abs=0.05)


def test_the_examples_of_the_page_are_right() -> None:
    """Each row of the table in docs/cost.md is what the command prints."""
    rows = re.findall(r"^\| ([\d,]+ \|[\d,. |]+) \|$", DOC.read_text(), re.MULTILINE)
    assert len(rows) == 10
    for row in rows:
        cells = [float(cell.replace(",", "")) for cell in row.split("|")]
        regions, tiles, minutes, interval, *printed = cells
        cost = estimate(int(regions), int(tiles), minutes=minutes, flush_interval=interval)
        ours, theirs = cost.tracker, cost.one_per_region
        assert printed == pytest.approx(
            [cost.flush_wcu, ours.writes, ours.wcu, theirs.wcu, cost.write_ratio, cost.wcu_ratio],
            abs=0.005,
        )

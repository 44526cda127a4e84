"""What an image did cost, as its item says: over flushes, restarts of the actor, and runs."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raytracker.job_table import WCU_BYTES, JobItem, JobTable, Spent
from raytracker.job_table.size import bytes_of
from raytracker.ledger import Layout
from tests.support.in_process import invoke, job_in, refused
from tests.support.world import World, report

DEEDS = st.lists(st.sampled_from(["report", "restart", "resume", "lose"]), max_size=12)


def _spent(world: World) -> Spent:
    spent = world.item.spent
    assert spent is not None
    return spent


@given(deeds=DEEDS)
@settings(max_examples=60, deadline=None)
def test_each_write_that_was_answered_is_counted_once(deeds: list[str]) -> None:
    """Whoever made it; one whose answer is lost is missing, and nothing is counted twice."""
    world, run, lost, tile = World(40), 0, 0, 0
    world.table.writes.append("start")
    coordinator = world.open()
    for deed in deeds:
        if deed == "restart":
            coordinator = world.open("run" if not run else f"run-{run}")
        elif deed == "resume":
            run += 1
            world.table.resume(world.item, f"run-{run}")
            coordinator = world.open(f"run-{run}")
        else:
            report(coordinator, tile)
            tile += 1
            if deed == "lose" and coordinator.claimed:
                world.table.fates.append("lose_response")
                lost += 1
            world.serve(coordinator, until=10)
        assert _spent(world).writes == len(world.table.writes) - lost


def test_wcu_are_those_that_dynamodb_charged() -> None:
    """For all flushes but the last; that one, like start and claim, is counted by its size."""
    world = World()
    world.table.wcu = 7.0
    coordinator = world.open()
    for tile in range(3):
        report(coordinator, tile)
        world.serve(coordinator, until=10)
    assert world.table.writes == ["update"] * 4  # a claim, three flushes
    assert _spent(world) == Spent(5, 1 + 1 + 7 + 7 + 1)


def test_the_last_write_is_counted_by_its_size() -> None:
    """It can't know its own price: a WCU for each KB of the item that is begun."""
    job = JobItem("scene", tracker_writes=9, tracker_wcu=20, tracker_ledger="A" * 5000)
    assert job.spent == Spent(10, 20 + math.ceil(bytes_of(job.to_put()) / WCU_BYTES))
    assert job.spent == Spent(10, 25)


def test_a_restart_goes_on_counting(moto_table: JobTable) -> None:
    """It is the same image's money; an item of nobody's run begins at nothing."""
    moto_table.start_image_request(JobItem("scene", region_count=1))
    read = moto_table.read("scene")
    assert read is not None
    assert read.spent is None
    for run in ("first", "second"):
        moto_table.start(JobItem("scene"), run=run, layout=Layout.of(1), replacing=read)
        read = moto_table.claim("scene", run, "owner")
    assert read.spent == Spent(4, 4)


def test_what_an_image_did_cost_is_told(moto_table: JobTable, monkeypatch: pytest.MonkeyPatch):
    """By `status` and `cost`, in words and as JSON; the same numbers."""
    monkeypatch.setenv("RAYTRACKER_TABLE", moto_table.table_name)
    job_in(moto_table, "s" * 98 + "ep")
    item = moto_table.read("scene-1")
    assert item is not None
    moto_table.put_ddb_item(
        JobItem(**{**item.to_put(), "tracker_writes": 1_200, "tracker_wcu": 3_000})
    )
    assert "cost       1,201 writes, 3,001 WCU\n" in invoke("status", "scene-1").stdout
    known = json.loads(invoke("status", "scene-1", "--json").stdout)
    assert known["cost"] == {"writes": 1_201, "wcu": 3_001}
    shown = [line.split() for line in invoke("cost", "scene-1").stdout.splitlines()]
    assert ["raytracker", "1,201", "3,001"] in shown
    assert ["one", "a", "region", "102", "102"] in shown
    cost = json.loads(invoke("cost", "scene-1", "--json").stdout)
    assert cost["tracker"] == {"writes": 1_201, "wcu": 3_001}
    assert cost["one_per_region"] == {"writes": 102, "wcu": 102}


def test_costs_that_are_not_known(moto_table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text says what can be asked instead."""
    monkeypatch.setenv("RAYTRACKER_TABLE", moto_table.table_name)
    moto_table.start_image_request(JobItem("osml", region_count=4))
    assert "was not run by raytracker, or by an earlier version" in refused("cost", "osml")
    assert "without other options" in refused("cost", "osml", "--regions", "4")
    assert "--regions N and --minutes M" in refused("cost", "--minutes", "4")
    assert json.loads(invoke("status", "osml", "--json").stdout)["cost"] is None


def test_an_older_owner_is_not_counted_again() -> None:
    """What one that lost the item had counted is in the item that its follower reads."""
    world = World()
    old, new = world.open(), world.open()
    report(old, 1)
    world.serve(old, until=5)
    assert _spent(world).writes == 3
    report(new, 2)
    world.serve(new, until=5)
    assert _spent(world).writes == 5


def test_an_item_with_half_a_character_has_a_size() -> None:
    """Somebody else may have written it; a status tells of it all the same."""
    job = JobItem("scene", tracker_run="run", tracker_writes=3, tracker_wcu=3, job_id="\ud800")
    assert job.spent == Spent(4, 4)

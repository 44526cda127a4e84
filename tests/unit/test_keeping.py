"""Runs that are kept alive: their actors are called until they have ended or nobody holds them."""

from __future__ import annotations

import gc
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from raytracker.actor import Spec
from raytracker.run import How, keeping
from tests.support.simulated_table import SimulatedTable
from tests.support.waiting import wait_until


class FakeRun:
    """A run whose actor answers as told."""

    def __init__(self, image_id: str, keep_for: int | None = None) -> None:
        self.image_id = image_id
        self.spec = Spec(image_id, "run", SimulatedTable(), keep_for=keep_for)
        self.ended = False
        self.error: Exception | None = None

    def knock(self) -> bool:
        knocks[self.image_id] += 1
        if self.error:
            raise self.error
        return self.ended


knocks: Counter[str] = Counter()


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A keeper that calls every hundredth of a second."""
    monkeypatch.setattr(keeping, "LONGEST_PAUSE_SECONDS", 0.01)
    knocks.clear()
    return keeping.Keeper()


def is_called(*image_ids: str) -> bool:
    """Waits for two rounds more; returns whether these, and no others, were called in both."""
    before = Counter(knocks)
    wait_until(lambda: knocks[image_ids[0]] >= before[image_ids[0]] + 3)
    return {name for name in knocks if knocks[name] > before[name] + 1} == set(image_ids)


def test_a_run_is_called_until_it_has_ended(keeper: Any) -> None:
    """And another one on."""
    ends, goes_on = FakeRun("ends"), FakeRun("goes on")
    keeper.keep(ends)
    keeper.keep(goes_on)
    assert is_called("goes on", "ends")
    ends.ended = True
    wait_until(lambda: len(keeper._runs) == 1)
    assert is_called("goes on")


def test_a_run_that_nobody_holds_is_not_called(keeper: Any) -> None:
    """The keeper itself is no reason to go on."""
    dropped, held = FakeRun("dropped"), FakeRun("held")
    keeper.keep(dropped)
    keeper.keep(held)
    assert is_called("dropped", "held")
    del dropped
    gc.collect()
    wait_until(lambda: len(keeper._runs) == 1)
    assert is_called("held")


def test_a_run_whose_actor_cannot_be_called_disturbs_no_other(keeper: Any) -> None:
    """It is tried again: Ray may be there by then."""
    broken, other = FakeRun("broken"), FakeRun("other")
    broken.error = ZeroDivisionError()
    keeper.keep(broken)
    keeper.keep(other)
    assert is_called("other", "broken")


def test_a_short_life_is_renewed_in_time(keeper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times in it; however many are begun meanwhile, no round is made for that."""
    monkeypatch.setattr(keeping, "LONGEST_PAUSE_SECONDS", 3600.0)
    runs = [FakeRun(f"scene-{n}") for n in range(100)]
    for run in runs:
        keeper.keep(run)
    assert not knocks
    short = FakeRun("short", keep_for=1)
    keeper.keep(short)
    assert keeper._pause() == 0.25
    wait_until(lambda: knocks["short"] == 2)
    assert knocks["scene-0"] <= 3


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were a cluster."""
    monkeypatch.setattr("raytracker.run.beginning.check_connected", lambda: None)


@pytest.mark.parametrize(
    ("keep_for", "seconds"),
    [(None, None), (90, 90), (2.9, 2), (timedelta(days=30), 30 * 86400)],
)
def test_how_long_an_item_is_kept(connected: None, keep_for: Any, seconds: int | None) -> None:
    """Whole seconds, as DynamoDB counts them."""
    assert How.of(1, 25, keep_for, None, 2).keep_for == seconds


@pytest.mark.parametrize(
    "keep_for", [0, -1, 0.5, timedelta(0), float("nan"), float("inf"), "7d", [1]]
)
def test_what_is_no_time_to_keep_an_item_is_refused(connected: None, keep_for: Any) -> None:
    """With the value, and what there is instead."""
    with pytest.raises(ValueError, match=r"keep_for=.*timedelta.*None keeps it for ever"):
        How.of(1, 25, keep_for, None, 2)

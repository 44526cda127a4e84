"""Numbers that are none are refused where they are given, before anything is written."""

import math
from typing import Any

import numpy as np
import pytest

from raytracker import Work, process_image
from raytracker.actor import Pool
from raytracker.mapping.policy import Bound
from raytracker.run import beginning
from raytracker.run.beginning import How

NO_NUMBERS = [-1, math.nan, math.inf, -math.inf, True, "1", np.float64("nan"), [1]]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize(
    "name",
    [
        *("num_cpus", "num_gpus", "memory", "retries", "timeout", "concurrency"),
        *("tolerated_failure_count", "tolerated_failure_percentage"),
    ],
)
def test_work_refuses_what_is_no_number(name: str, value: Any):
    """The text names the argument and the value, and says what it may be."""
    with pytest.raises(ValueError, match=rf"^{name}=.*: give a ") as refused:
        Work(**{name: value})
    assert name == "concurrency" or repr(value) in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_gpus", 1.5),
        ("retries", 1.5),
        ("timeout", 0),
        ("concurrency", 0),
        ("concurrency", 1.5),
        ("concurrency", ()),
        ("concurrency", (1,)),
        ("concurrency", (0, 1)),
        ("concurrency", (True, 2)),
        ("concurrency", (2, 1)),
        ("tolerated_failure_count", 0.5),
        ("tolerated_failure_percentage", 100.5),
        ("resources", "gpu"),
        ("resources", {"accelerator": -1}),
        ("resources", {"accelerator": "1"}),
    ],
)
def test_work_refuses_what_makes_no_sense(name: str, value: Any):
    """Ray refused it for each task, when the image was in the table."""
    with pytest.raises(ValueError, match=rf"^{name}.*: give "):
        Work(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_cpus", 0),
        ("num_cpus", np.float64(1.5)),
        ("num_gpus", np.int64(2)),
        ("memory", 1e9),
        ("retries", np.int64(0)),
        ("timeout", np.float32(0.5)),
        ("tolerated_failure_count", np.int32(0)),
        ("tolerated_failure_percentage", np.float64(100)),
        ("resources", {"accelerator": np.float64(0.5)}),
    ],
)
def test_work_takes_numpys_numbers(name: str, value: Any):
    """And zero, where it makes sense."""
    assert getattr(Work(**{name: value}), name) == value


def test_numpys_number_of_workers_is_a_number():
    assert Work(concurrency=np.int64(2)).range == (2, 2)
    assert Work(concurrency=(np.int64(1), 3)).range == (1, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, *NO_NUMBERS], ids=repr)
@pytest.mark.parametrize("name", ["flush_interval", "max_wcu_per_second", "keep_for", "pool_size"])
def test_a_start_refuses_what_is_no_number(name: str, value: Any, monkeypatch: pytest.MonkeyPatch):
    """No write per second is none either; no pause between flushes is."""
    monkeypatch.setattr(beginning, "check_connected", lambda: None)
    monkeypatch.setattr("raytracker.actor.spec.runtime_environment", lambda: "")
    given = {
        "flush_interval": 1.0,
        "max_wcu_per_second": 25.0,
        "keep_for": 60,
        "pool": "p",
        "pool_size": 1,
    }
    if (name, value) == ("flush_interval", 0):
        assert How.of(**given | {name: value}).flush_interval == 0
        return
    with pytest.raises(ValueError, match=f"^{name}=") as refused:
        How.of(**given | {name: value})
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize("value", [0, 1.5, *NO_NUMBERS], ids=repr)
def test_a_bound_is_a_whole_number(value: Any):
    with pytest.raises(ValueError, match=r"^max_in_flight=.*: give a whole number, at least 1"):
        Bound(value, lambda: 1.0)


def test_a_pool_has_a_whole_number_of_actors():
    with pytest.raises(ValueError, match=r"pool_size=1.5: give a whole number"):
        Pool.of("p", 1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, 1.5, *NO_NUMBERS], ids=repr)
def test_a_batch_has_a_whole_number_of_tiles(value: Any):
    """Before the image is looked at."""
    with pytest.raises(ValueError, match=r"^batch_size=.*: give a whole number, at least 1"):
        process_image("away.tif", print, table="Jobs", batch_size=value)

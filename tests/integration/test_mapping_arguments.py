"""What `map_unordered` takes: functions, their options, items, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import ray

from raytracker import ImageTracker, JobTable
from raytracker.errors import UnknownRegion
from tests.support.jobs import counts

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def tracker(job_table: JobTable) -> ImageTracker:
    """An image of four regions of one tile."""
    return ImageTracker.start("scene", regions=4, table=job_table)


@ray.remote
def echo(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


# --- functions ---


def test_options_of_a_function_are_kept(tracker: ImageTracker) -> None:
    """Those of its decorator, and those of `.options(...)`."""

    @ray.remote(num_cpus=2)
    def cpus() -> float:
        return ray.get_runtime_context().get_assigned_resources()["CPU"]

    seen = {k: r for k, r, _ in tracker.map_unordered(cpus, [(0, ())])}
    seen |= {k: r for k, r, _ in tracker.map_unordered(cpus.options(num_cpus=1), [(1, ())])}
    assert seen == {0: 2.0, 1: 1.0}


@ray.remote
class Actor:
    def run(self, region: int) -> None: ...


def generate(region: int) -> Iterator[int]:
    yield region


async def generate_later(region: int) -> Any:
    yield region


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: len, r"no remote function: decorate it with @ray\.remote"),
        (lambda: Actor, r"an actor class; give a function with @ray\.remote"),
        (lambda: Actor.options(num_cpus=0), "an actor class"),
        (lambda: Actor.options(num_cpus=0).remote().run, "a method of an actor"),
        (lambda: ray.remote(generate), "generate is a generator function"),
        (lambda: ray.remote(generate).options(num_returns="streaming"), "a generator function"),
        (lambda: ray.remote(generate_later), "generate_later is a generator function"),
        (lambda: echo.options(num_returns=2), "num_returns=2 of echo"),
        (lambda: echo.options(num_returns=0), "num_returns=0 of echo"),
        (lambda: ray.remote(generate).options(num_returns=3), "a generator function"),
    ],
)
def test_what_is_no_function_of_one_result_is_refused(
    tracker: ImageTracker, make: Any, text: str
) -> None:
    """Before anything runs, in words that say what to give."""
    with pytest.raises(TypeError, match=text):
        tracker.map_unordered(make(), [(0, (0,))])
    assert tracker.progress().region_pending == 4


def test_what_cannot_be_sent_is_refused(tracker: ImageTracker) -> None:
    """Before anything runs: what does not pickle, and what is too large for Ray."""
    large, unsendable = bytes(120_000_000), (n for n in [1])

    @ray.remote
    def refer(region: int) -> int:
        return len(large)

    @ray.remote
    def iterate(region: int) -> int:
        return next(unsendable)

    with pytest.raises(ValueError, match=r"refer has 120 MB.*100 MB at most: ray\.put\(\)"):
        tracker.map_unordered(refer, [(0, (0,))])
    with pytest.raises(TypeError, match=r"iterate cannot be sent.*generator"):
        tracker.map_unordered(iterate, [(0, (0,))])


def test_a_bound_is_at_least_one(tracker: ImageTracker) -> None:
    """The message names it."""
    with pytest.raises(ValueError, match="max_in_flight=0"):
        tracker.map_unordered(echo, [(0, ())], max_in_flight=0)


# --- items ---


def test_arguments_are_passed_as_ray_passes_them(tracker: ImageTracker) -> None:
    """By place and by name; references are resolved, but for those inside of something."""
    reference = ray.put("resolved")
    items = [
        (0, (1, reference)),
        (1, [2], {"key": reference, "args": 3, "self": 4}),
        ((2, 0), (), {}),
        (np.int64(3), ([reference],)),
    ]
    seen = {key: result for key, result, _ in tracker.map_unordered(echo, items)}
    nested = seen.pop(3)
    assert seen == {
        0: ((1, "resolved"), {}),
        1: ((2,), {"key": "resolved", "args": 3, "self": 4}),
        (2, 0): ((), {}),
    }
    assert nested == (([reference],), {})
    assert counts(tracker.wait(30)) == (4, 4, 0)


def test_wrong_arguments_are_an_error_of_their_region(tracker: ImageTracker) -> None:
    """Others go on."""

    @ray.remote
    def process(region: int) -> int:
        return region

    items = [(0, ()), (1, (1,)), (2, (2,), {"scale": 3}), (3, (3,))]
    errors = {key: error for key, _, error in tracker.map_unordered(process, items)}
    assert [type(errors[key]) for key in range(4)] == [TypeError, type(None)] * 2
    assert counts(tracker.wait(30)) == (4, 2, 2)


@pytest.mark.parametrize(
    ("item", "error", "text"),
    [
        ((9, ()), UnknownRegion, "region 9"),
        (((0, 1), ()), UnknownRegion, "tile 1"),
        (("0", ()), TypeError, r"key '0': give a region, or \(region, tile\)"),
        (((0, 0, 0), ()), TypeError, r"key \(0, 0, 0\)"),
        (5, TypeError, r"item 5: give \(key, args\)"),
        ((0,), TypeError, r"item \(0,\): give \(key, args\)"),
        ((0, 5), TypeError, "item of key 0: args is a tuple"),
        ((0, "args"), TypeError, "not str and dict"),
        ((0, (), [1]), TypeError, "not tuple and list"),
    ],
)
def test_an_item_that_is_none_is_told(
    tracker: ImageTracker, item: Any, error: type[Exception], text: str
) -> None:
    """After what came before it, and before a task of it runs."""
    results = tracker.map_unordered(echo, [(1, ()), item, (2, ())])
    assert next(results)[0] == 1
    with pytest.raises(error, match=text):
        next(results)
    assert list(results) == []
    assert tracker.pending() == [0, 2, 3]

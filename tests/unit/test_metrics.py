"""Metrics: what is counted of an image, without a Ray that shows them."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from raytracker import metrics
from raytracker.metrics import ImageMetrics
from tests.support.world import World, report


class Recorded:
    """Instruments that add up what they are given, by name and label."""

    def __init__(self) -> None:
        self.seen: Counter[Any] = Counter()

    def __getattr__(self, name: str) -> Any:
        seen = self.seen

        class Instrument:
            def inc(self, value: float = 1, tags: Any = None) -> None:
                assert value > 0  # else Ray refuses it
                seen[(name, *(tags or {}).values())] += value

            def set(self, value: float) -> None:
                seen[(name,)] = value

            def observe(self, value: float) -> None:
                seen[(name,)] += value

        return Instrument()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[Any]:
    recorded = Recorded()
    monkeypatch.setattr(metrics, "_instruments", lambda: recorded)
    return recorded.seen


def test_regions_are_counted_once(seen: Counter[Any]) -> None:
    """Also after a failed flush, in a run that others began, and when an error is mended."""
    world = World()
    first = world.open()
    report(first, 0, 1)
    world.serve(first, until=2)
    coordinator = world.open()
    coordinator.news.subscribe(ImageMetrics(), regions=False)
    coordinator.step()
    report(coordinator, 2, error={3: "clouds"})
    world.table.fates.append("lose_request")
    world.serve(coordinator, until=5)
    report(coordinator, *range(10))
    world.serve(coordinator)
    assert seen["regions", "success"] == 8
    assert seen["regions", "error"] == 1
    assert seen["images", "SUCCESS"] == 1
    assert seen["flush_failures",] == 1
    assert seen["reports",] >= 2
    assert seen["wcu",] >= 2


def test_lag_is_the_age_of_what_is_not_durable(
    seen: Counter[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came while a flush was under way is not older than that flush."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    image, world = ImageMetrics(), World()
    coordinator = world.open()
    coordinator.step()
    coordinator.news.subscribe(image, regions=False)
    image.reported(now)
    report(coordinator, 1)
    now += 7
    metrics.set_levels([image, ImageMetrics()], 3)
    assert (seen["lag",], seen["dropped",]) == (7, 3)

    def meanwhile() -> None:
        nonlocal now
        world.clock.now += 2
        now += 2
        image.reported(now)

    world.table.after_write = meanwhile
    world.clock.now += 1
    coordinator.step()
    assert image.lag(now + 5) == 7
    world.table.after_write = lambda: None
    report(coordinator, 2)
    now += 5
    world.clock.now += 5
    coordinator.step()
    assert image.lag(now + 100) == 0

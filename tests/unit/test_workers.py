"""Who gets a place in a worker: images in turn, and suspects alone."""

from __future__ import annotations

from typing import Any

import pytest

from raytracker.mapping import workers
from raytracker.mapping.workers import CHUNKS_OF_A_WORKER, HUNGRY_SECONDS, Place, WorkerPool


class Image:
    """An image, as far as the pool knows of it."""

    def __init__(self, pool: WorkerPool) -> None:
        self.hungry_since = 0.0
        self.woken = 0
        self.places: list[Place] = []
        self._pool: Any = pool
        self._pool.enter(self)

    @property
    def under_way(self) -> int:
        return int(self._pool.under_way(self))

    def wake(self) -> None:
        self.woken += 1

    def take(self, *, alone: bool = False) -> bool:
        """Asks for a place; returns whether it got one."""
        place = self._pool.place(self, alone=alone)
        if place is not None:
            self.places.append(place)
        return place is not None

    def leave(self) -> None:
        """Gives back the place that it got first."""
        self._pool.left(self.places.pop(0), None)


def a_pool(ready: int) -> WorkerPool:
    """A pool of workers whose models are made."""
    pool = WorkerPool(object, (), {}, options={}, least=ready, most=ready)
    for _ in range(ready):
        pool._wanted().is_ready = True
    return pool


def test_a_worker_has_two_chunks() -> None:
    """Spread over all workers first; then it is told when there is room."""
    pool = a_pool(3)
    image = Image(pool)
    for _ in range(3):
        assert image.take()
    assert len({id(place.member) for place in image.places}) == 3
    for _ in range(3 * (CHUNKS_OF_A_WORKER - 1)):
        assert image.take()
    assert not image.take()
    image.leave()
    assert image.woken == 1
    assert image.take()


def test_images_share_evenly() -> None:
    """Who has fewer chunks under way goes first, as long as it asks."""
    pool = a_pool(2)
    first, second = Image(pool), Image(pool)
    while first.take():
        pass
    assert not second.take()
    for _ in range(2):
        first.leave()
        assert not first.take()
        assert second.take()
        assert not second.take()
    first.leave()
    assert first.take() or second.take()
    assert {first.under_way, second.under_way} == {2}


def test_who_does_not_ask_keeps_no_worker_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image may have nothing to place, or nobody who reads its results."""
    now = 1000.0
    monkeypatch.setattr(workers.time, "monotonic", lambda: now)
    pool = a_pool(1)
    first, second = Image(pool), Image(pool)
    assert first.take()
    assert first.take()
    assert not second.take()
    first.leave()
    assert not first.take()
    now += HUNGRY_SECONDS
    assert first.take()


def test_a_suspect_is_alone() -> None:
    """It gets a worker that is empty, which is kept for it; and nobody else gets in."""
    pool = a_pool(2)
    image, other = Image(pool), Image(pool)
    while image.take():
        pass
    assert not other.take(alone=True)
    image.leave()  # of the worker that is kept, or of the other one
    image.leave()
    while image.take():
        pass
    while image.places and not other.take(alone=True):
        image.leave()
    [place] = other.places
    assert place.member.places == [place]
    while image.take():
        pass
    assert place.member.places == [place]
    other.leave()
    assert image.take()


def test_who_leaves_keeps_nothing() -> None:
    """A worker that was kept for a suspect is everybody's again."""
    pool = a_pool(1)
    image, other = Image(pool), Image(pool)
    assert image.take()
    assert not other.take(alone=True)
    assert not image.take()
    pool.leave(other)  # type: ignore[arg-type]
    assert image.take()

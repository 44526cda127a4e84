"""Who gets a place in a worker: images in turn, and suspects alone."""

from __future__ import annotations

from typing import Any

import pytest
import ray
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raytracker.mapping import workers
from raytracker.mapping.dispatch import Chunk, Dispatch, Loss
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
    pool = WorkerPool(object, (), {}, options={}, least=min(1, ready), most=ready)
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


def test_a_suspect_that_found_another_worker_keeps_none() -> None:
    """The one that was kept for it is everybody's again: it may be the only one that is left."""
    pool = a_pool(2)
    image, other = Image(pool), Image(pool)
    assert other.take()
    assert other.take()
    assert not image.take(alone=True)  # one of the two is kept for it
    kept = [place for place in other.places if not can_take(pool, place.member)]
    other.places.sort(key=lambda place: place in kept)
    other.leave()  # the other one is empty first
    assert image.take(alone=True)
    assert image.places[0].member is not kept[0].member
    assert other.take()
    assert other.places[-1].member is kept[0].member


def can_take(pool: WorkerPool, member: Any) -> bool:
    """Returns whether a worker has room for anybody."""
    places = []
    image = Image(pool)
    while image.take():
        places.append(image.places[-1])
    pool.leave(image)  # type: ignore[arg-type]
    for place in places:
        pool.left(place, None)
    return any(place.member is member for place in places)


class Busy(Image):
    """An image with tiles, of which some end the process that they are in."""

    def __init__(self, pool: WorkerPool, tiles: int, deadly: set[int]) -> None:
        super().__init__(pool)
        self.dispatch = Dispatch(range(tiles), tiles, grain=2)
        self.deadly = deadly
        self.at: list[tuple[Place, Chunk]] = []

    def submit(self, now: float) -> None:
        """Places what it can; as `Chunked` does."""
        while waiting := self.dispatch.waiting:
            if (making := self._pool.prepare(self, waiting)) is not None:
                making.member.is_ready = True
                making.member.watcher = None
                continue
            for suspect in self.dispatch.kinds(now):
                if not self.take(alone=suspect):
                    continue
                chunk = self.dispatch.next(now, suspect=suspect)
                if chunk is not None:
                    self.at.append((self.places.pop(), chunk))
                    break
                self._pool.left(self.places.pop(), None)
            else:
                return

    def take_back(self, which: int, now: float) -> None:
        """A chunk of it finishes, or ends its worker with whatever else is there."""
        place, chunk = self.at.pop(which % len(self.at))
        if not self.deadly & set(chunk.tiles):
            self._pool.left(place, None)
            self.dispatch.finished(chunk, {}, 0.1)
            return
        for image in self._pool._images:
            for its in [its for its in image.at if its[0].member is place.member]:
                image.at.remove(its)
                image.lose(*its, now)
        self.lose(place, chunk, now)

    def lose(self, place: Place, chunk: Chunk, now: float) -> None:
        """A chunk of it did not come back."""
        self._pool.left(place, ray.exceptions.RayActorError())
        self.dispatch.lost(chunk, Loss.PROCESS, "it died", now)


@settings(max_examples=2000, deadline=None)
@given(
    workers_=st.integers(1, 4),
    images=st.lists(
        st.tuples(st.integers(1, 12), st.sets(st.integers(0, 11), max_size=3)),
        min_size=1,
        max_size=3,
    ),
    order=st.lists(st.integers(0, 1000), min_size=8, max_size=8),
)
@example(2, [(1, set()), (3, set()), (3, {1})], [86, 0, 0, 0, 0, 0, 0, 0])
def test_there_is_always_something_under_way(
    workers_: int, images: list[tuple[int, set[int]]], order: list[int]
) -> None:
    """Whatever dies, and whatever finishes first: all tiles come to their end."""
    now = 1000.0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workers.time, "monotonic", lambda: now)
        patched.setattr(workers.ray, "kill", lambda handle: None)
        pool = a_pool(workers_)
        all_ = [Busy(pool, tiles, deadly) for tiles, deadly in images]
        for step in range(1000):
            for image in all_:
                image.submit(now)
            going = [image for image in all_ if image.at]
            if not going:
                now += HUNGRY_SECONDS
                for image in all_:
                    image.submit(now)
                going = [image for image in all_ if image.at]
            if not going:
                break
            pick = order[step % len(order)]
            going[pick % len(going)].take_back(pick, now)
            for image in all_:
                if image.dispatch.is_over:
                    pool.leave(image)  # type: ignore[arg-type]
    assert [image.dispatch.waiting for image in all_] == [0] * len(all_)

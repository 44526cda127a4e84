"""Workers, each with a model: how many there are, and whose chunks they get."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray

from ..errors import ModelFailed, RaytrackerError
from ..ray_runtime import died_with_node, how_many_fit, in_a_line, resources_of
from .chunks import Answer
from .dispatch import Chunk
from .executors import Executor, asked, check_fits
from .failure import ProcessSpoiled, cause_of
from .model_worker import ModelWorker

logger = logging.getLogger(__name__)

CHUNKS_OF_A_WORKER = 2  # under way: it never waits for the driver
LOOK_SECONDS = 1.0  # how often it is seen how many the nodes hold
PATIENCE_SECONDS = 10.0  # until it is told that no worker can be placed
MOST_FAILURES = 3  # to make a model, one after another, where others may do better
PAUSE_SECONDS = 1.0  # after the first of them; then twice as long
HUNGRY_SECONDS = 2.0


@dataclass(eq=False)
class _Member:
    """A worker, from when it is wanted to its end."""

    since: float
    handle: Any = None
    making: Any = None  # a reference, which holds nothing once the model is made
    is_ready: bool = False
    watcher: Any = None  # the image whose engine waits for it
    places: list[Place] = field(default_factory=list)


@dataclass(eq=False)
class Place:
    """Room for a chunk in a worker."""

    member: _Member
    image: OfImage
    is_alone: bool


class WorkerPool:
    """Workers that hold a model, for chunks of any number of images at a time.

    Args:
        model: A class, or what else makes a model when it is called.
        args: Its arguments; references among them are resolved.
        kwargs: The same, by name.
        options: Ray's, for each worker.
        least: So many workers are made at once.
        most: So many there are at most; None: as many as the cluster's nodes hold.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        options: Mapping[str, Any],
        least: int,
        most: int | None,
    ) -> None:
        self.name = getattr(model, "__name__", type(model).__name__)
        self.made = 0
        self.trouble: str | None = None  # that no worker is ready, where that takes long
        self._model = model
        self._args, self._kwargs = tuple(args), dict(kwargs)
        own = {"num_cpus": 1, **options, "max_restarts": 0, "max_task_retries": 0}
        self._request = resources_of(own)
        self._actor = ray.remote(**own)(ModelWorker)
        self._least, self._most = least, most
        self._lock = threading.RLock()
        self._members: list[_Member] = []
        self._images: dict[OfImage, None] = {}
        self._kept: dict[OfImage, _Member] = {}  # for its suspect, which needs it alone
        self._failures = 0
        self._wait_until = self._look_at = 0.0
        self._fit = 0
        self._is_closed = False

    def start(self) -> None:
        """Makes the first workers, and does not wait for them."""
        with self._lock:
            for _ in range(self._least - len(self._members)):
                self.submit(self._wanted())

    def close(self) -> None:
        """Ends all workers."""
        with self._lock:
            self._is_closed = True
            members, self._members = self._members, []
        for member in members:
            if member.handle is not None:
                ray.kill(member.handle)

    @property
    def ready(self) -> int:
        """How many have their model."""
        return sum(member.is_ready for member in self._members)

    # --- their making ---

    def prepare(self, image: OfImage, waiting: int) -> Making | None:
        """As in `Executor`."""
        now = time.monotonic()
        self._look(now)
        with self._lock:
            if self._is_closed:
                raise RaytrackerError(f"the workers of {self.name} were closed")
            for member in self._members:
                if not member.is_ready and member.watcher is None:
                    member.watcher = image
                    return Making(self, member)
            if now >= self._wait_until and len(self._members) < self._target(waiting):
                member = self._wanted()
                member.watcher = image
                return Making(self, member)
        return None

    def _look(self, now: float) -> None:
        """Sees once a second how many workers the nodes hold; tells it where that is none.

        Never with the lock: who has it must not wait for Ray's own, which `submit` is called with.

        Raises:
            CannotBePlaced: No node could ever hold one.
        """
        waits = bool(self._members) and not self.ready
        if now < self._look_at or not (waits or self._most is None):
            return
        self._look_at = now + LOOK_SECONDS
        self._fit = how_many_fit(self._request)
        if not waits:
            self.trouble = None
            return
        check_fits(self._request, f"a worker of {self.name}")
        since = min((member.since for member in list(self._members)), default=now)
        if now - since > PATIENCE_SECONDS and self.trouble is None:
            self.trouble = (
                f"no worker of {self.name} is ready yet; each asks for {asked(self._request)}"
            )
            logger.warning("%s", self.trouble)

    def _target(self, waiting: int) -> int:
        """Returns how many workers there should be."""
        if len(self._members) < self._least:
            return self._least
        busy = all(len(m.places) >= CHUNKS_OF_A_WORKER for m in self._members if m.is_ready)
        if not busy or len(self._members) >= waiting:
            return 0
        return self._fit if self._most is None else self._most

    def _wanted(self) -> _Member:
        member = _Member(time.monotonic())
        self._members.append(member)
        return member

    def submit(self, member: _Member) -> Any:
        """Has a worker made, if it is not yet; returns what `Making.submit` returns."""
        with self._lock:
            if member.handle is None:
                member.handle = self._actor.remote()
                names, values = tuple(self._kwargs), tuple(self._kwargs.values())
                member.making = member.handle.make.remote(self._model, names, *self._args, *values)
            return member.making

    def take_made(self, member: _Member, answer: Any) -> None:
        """Takes note that a worker's model is made, or is not.

        Raises:
            ModelFailed: It is not, and no other worker is left.
        """
        with self._lock:
            if member.is_ready or member not in self._members:
                return
            if not isinstance(answer, BaseException):
                member.is_ready = True
                self.made += 1
                self._failures = 0
                self.trouble = None
                self._wake()
                return
            self._members.remove(member)
            ray.kill(member.handle)  # else it lives, and has its GPU, as long as somebody knows it
            why = in_a_line(cause_of(answer))
            if not died_with_node(answer):
                self._failures += 1
                raised = isinstance(answer, ray.exceptions.RayTaskError)
                final = 1 if raised and not self.made else MOST_FAILURES
                if not self._members and self._failures >= final:
                    raise ModelFailed(f"the model {self.name} cannot be made: {why}")
            pause = PAUSE_SECONDS * 2 ** min(5, self._failures)
            self._wait_until = time.monotonic() + pause
            logger.warning("a worker's model %s cannot be made: %s", self.name, why)

    # --- their chunks ---

    def place(self, image: OfImage, *, alone: bool) -> Place | None:
        """As in `Executor`."""
        with self._lock:
            member = self._empty(image) if alone else self._free(image)
            if member is None:
                return None
            place = Place(member, image, alone)
            member.places.append(place)
            return place

    def _empty(self, image: OfImage) -> _Member | None:
        """Returns a worker with nothing to do; if there is none, keeps others from one for it."""
        for_others = [member for other, member in self._kept.items() if other is not image]
        ours = [m for m in self._members if m.is_ready and m not in for_others]
        empty = [member for member in ours if not member.places]
        if empty or not ours:
            self._kept.pop(image, None)  # whichever it is, it needs one only
            return empty[0] if empty else None
        if self._kept.get(image) not in ours:
            self._kept[image] = min(ours, key=lambda member: len(member.places))
        return None

    def _free(self, image: OfImage) -> _Member | None:
        """Returns a worker with room, where no other image is to have it first."""
        kept = self._kept.values()
        free = [
            member
            for member in self._members
            if member.is_ready
            and member not in kept
            and len(member.places) < CHUNKS_OF_A_WORKER
            and not any(place.is_alone for place in member.places)
        ]
        now = time.monotonic()
        others = (other for other in self._images if other is not image)
        first = any(
            now - other.hungry_since < HUNGRY_SECONDS and other.under_way < image.under_way
            for other in others
        )
        image.hungry_since = now if first or not free else 0.0
        return None if first or not free else min(free, key=lambda member: len(member.places))

    def left(self, place: Place, answer: Any) -> None:
        """As in `Executor`; a worker that died is replaced when there is need."""
        member = place.member
        with self._lock:
            if place in member.places:
                member.places.remove(place)
            if _is_of_no_use(answer) and member in self._members:
                self._members.remove(member)
                ray.kill(member.handle)  # one that is only out of reach must not come back
            self._wake()

    def under_way(self, image: OfImage) -> int:
        """Returns how many chunks of an image are at workers."""
        return sum(place.image is image for member in self._members for place in member.places)

    def enter(self, image: OfImage) -> None:
        """An image has chunks."""
        with self._lock:
            self._images[image] = None

    def leave(self, image: OfImage) -> None:
        """An image has no more chunks to place."""
        with self._lock:
            self._images.pop(image, None)
            self._kept.pop(image, None)
            for member in self._members:
                if member.watcher is image:
                    member.watcher = None
            self._wake()

    def _wake(self) -> None:
        for image in self._images:
            image.wake()


def _is_of_no_use(answer: Any) -> bool:
    """Returns whether the worker that gave an answer has died, or is to."""
    dead = (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError)
    spoiled = isinstance(answer, BaseException) and isinstance(cause_of(answer), ProcessSpoiled)
    return spoiled or isinstance(answer, dead)


@dataclass(frozen=True)
class Making:
    """A worker whose model is to be made."""

    pool: WorkerPool
    member: _Member

    def submit(self) -> Any:
        """Submits it; returns a reference that holds nothing once the model is there."""
        return self.pool.submit(self.member)

    def made(self, answer: Any) -> None:
        """Takes what the reference holds, or the exception in its place.

        Raises:
            ModelFailed: The model cannot be made, and no other worker is left.
        """
        self.pool.take_made(self.member, answer)


class OfImage(Executor):
    """The workers, for the chunks of one image.

    Args:
        pool: The workers.
        work_through: What they run, given the numbers of tiles and the model.
        wake: Called when there may be room.
    """

    def __init__(self, pool: WorkerPool, work_through: Callable[..., Answer]) -> None:
        self._pool = pool
        self._image = [ray.put(work_through)]  # in a list Ray leaves the reference alone
        self.hungry_since = 0.0
        self.wake: Callable[[], None] = lambda: None
        pool.enter(self)

    @property
    def under_way(self) -> int:
        """How many chunks of this image are at workers."""
        return self._pool.under_way(self)

    @property
    def at_a_time(self) -> int:
        """As in `Executor`."""
        return self._pool.ready

    @property
    def trouble(self) -> str | None:
        """As in `Executor`."""
        return self._pool.trouble

    def prepare(self, waiting: int) -> Making | None:
        """As in `Executor`."""
        return self._pool.prepare(self, waiting)

    def place(self, *, alone: bool) -> Place | None:
        """As in `Executor`."""
        return self._pool.place(self, alone=alone)

    def refuse(self, place: Place) -> None:
        """As in `Executor`."""
        self._pool.left(place, None)

    def put(self, place: Place, chunk: Chunk) -> Any:
        """As in `Executor`."""
        return place.member.handle.work_through.remote(self._image, chunk.tiles)

    def left(self, place: Place, chunk: Chunk, answer: Any) -> None:
        """As in `Executor`."""
        self._pool.left(place, answer)

    def cancel(self, place: Place, reference: Any, *, force: bool) -> None:
        """As in `Executor`; but the process stays: other images need its model."""
        if not force:
            ray.cancel(reference)

    def close(self) -> None:
        """As in `Executor`."""
        self._pool.leave(self)

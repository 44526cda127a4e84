"""Where chunks are worked through: the only place that submits them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import ray
from ray import exceptions as rays

from ..errors import CannotBePlaced
from ..ray_runtime import (
    died_with_node,
    how_many_fit,
    may_grow,
    most_of_a_node,
    remote_once,
    resources_of,
)
from .dispatch import Chunk, Loss
from .failure import ProcessSpoiled, cause_of
from .known import work_of
from .policy import Bound

LOOK_SECONDS = 1.0


_OF_THE_NODE = (
    rays.NodeDiedError,
    rays.LocalRayletDiedError,
    rays.ObjectLostError,
    rays.TaskCancelledError,  # by us, or with whoever owned it: no tile is to blame
)


class Executor(Protocol):
    """Where the chunks of one image are worked through."""

    wake: Callable[[], None]  # to be called when there may be room; set by who places chunks

    @property
    def at_a_time(self) -> int:
        """How many chunks are worked through at a time, about."""

    @property
    def trouble(self) -> str | None:
        """Why nothing is worked through at present, where that takes long; else None."""

    def prepare(self, waiting: int) -> Any | None:
        """Returns something that is to be made ready first, for `submit`, or None.

        Args:
            waiting: How many tiles wait.

        Raises:
            RaytrackerError: Nothing is there that could work, nor will be.
        """

    def place(self, *, alone: bool) -> Any | None:
        """Returns where a chunk may go now, or None; `put` or `refuse` follows.

        Args:
            alone: Whether nothing else may be there.
        """

    def refuse(self, place: Any) -> None:
        """Gives a place back: there is no chunk for it."""

    def put(self, place: Any, chunk: Chunk) -> Any:
        """Submits a chunk; returns a reference of what it tells."""

    def left(self, place: Any, chunk: Chunk, answer: Any) -> None:
        """Takes note that a chunk is at its place no more, whatever became of it."""

    def cancel(self, place: Any, reference: Any, *, force: bool) -> None:
        """Cancels a chunk; with force, ends its process if need be."""

    def close(self) -> None:
        """No more chunks of this image come; those at their places may still leave."""


def work_through_tiles(image: Sequence[Any], tiles: Sequence[int]) -> Any:
    """Works through tiles of an image: what the tasks run, of whatever image.

    Args:
        image: A reference of what is called with the tiles.
        tiles: Their numbers.
    """
    return work_of(image)(tiles)


class Tasks(Executor):
    """A Ray task for each chunk.

    Args:
        work_through: What the tasks run, given the numbers of tiles.
        options: Ray's, for each task.
        bound: How many may be submitted.
    """

    def __init__(
        self, work_through: Callable[..., Any], options: Mapping[str, Any], bound: Bound
    ) -> None:
        # Who decides what is tried again is one place, and that is not Ray.
        own = {"name": "tiles", **options, "max_retries": 0, "num_returns": 1}
        self._remote = remote_once(work_through_tiles, own)
        self._image = [ray.put(work_through)]  # in a list Ray leaves the reference alone
        self._bound = bound
        self._request = resources_of({"num_cpus": 1, **options})
        self._came_back = False
        self._look_at = 0.0
        self.wake = lambda: None

    @property
    def at_a_time(self) -> int:
        """As in `Executor`."""
        return self._bound.at_a_time

    @property
    def trouble(self) -> None:
        """As in `Executor`."""

    def prepare(self, waiting: int) -> None:
        """As in `Executor`: nothing.

        Raises:
            CannotBePlaced: No node could ever run one of these tasks.
        """
        if not self._came_back and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            check_fits(self._request, "a task for tiles")

    def place(self, *, alone: bool) -> Any:
        """As in `Executor`: a process of its own, each."""
        return True

    def refuse(self, place: Any) -> None:
        """As in `Executor`."""

    def put(self, place: Any, chunk: Chunk) -> Any:
        """As in `Executor`."""
        return self._remote.remote(self._image, chunk.tiles)

    def left(self, place: Any, chunk: Chunk, answer: Any) -> None:
        """As in `Executor`."""
        self._came_back = True

    def cancel(self, place: Any, reference: Any, *, force: bool) -> None:
        """As in `Executor`."""
        ray.cancel(reference, force=force)

    def close(self) -> None:
        """As in `Executor`."""


def loss_of(error: BaseException) -> Loss | None:
    """Returns why a chunk did not come back; None: it did, with what it raised."""
    if isinstance(error, rays.OutOfMemoryError):
        return Loss.MEMORY
    if isinstance(error, rays.ActorUnavailableError):  # Ray was not told of its death in a second
        return Loss.UNCLEAR
    if isinstance(error, _OF_THE_NODE) or died_with_node(error):
        return Loss.NODE
    died = isinstance(error, (rays.WorkerCrashedError, rays.RayActorError))
    return Loss.PROCESS if died or isinstance(cause_of(error), ProcessSpoiled) else None


def check_fits(request: Mapping[str, float], who: str) -> None:
    """Does nothing where some node could hold what is asked for, or may come.

    Args:
        request: How much of which resource.
        who: Who asks, for the error.

    Raises:
        CannotBePlaced: None could, and there is no autoscaler.
    """
    if not how_many_fit(request) and may_grow() is False:
        raise CannotBePlaced(
            f"no node of the cluster has what {who} asks for: {asked(request)}; ask for less, or "
            "start a node that has it"
        )


def asked(request: Mapping[str, float]) -> str:
    """Returns in words how much is asked for, and how much there is."""
    return ", ".join(
        f"{amount:g} {name} (a node has {most_of_a_node(name):g} at most)"
        for name, amount in request.items()
    )

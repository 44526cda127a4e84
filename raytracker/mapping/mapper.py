"""The results of `map_unordered`, for whoever consumes them, and what drives its engine."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError

from ..errors import RayNotInitialized
from ..numeric import check_number
from ..ray_runtime import check_sendable, cluster, holding_connection, in_worker
from ..run import Run
from .chunks import Chunked, ChunkFunction, reporting
from .engine import Engine
from .executors import Executor, Tasks
from .failure import cause_of
from .policy import Bound, TimeLimit, Tolerance
from .source import Finished, Source
from .task import Given, Key, Mapped, Task
from .workers import OfImage, WorkerPool

POLL_SECONDS = 0.1

Result = tuple[Key, Any, BaseException | None]


def map_items(
    run: Run,
    remote_function: Any,
    items: Iterable[Given],
    *,
    max_in_flight: int | None,
    timeout: float | None,
    tolerance: Tolerance,
) -> Results:
    """Maps items; see `ImageTracker.map_unordered`."""
    task = Task(run, remote_function, TimeLimit(timeout))
    return Results(run, Mapped(run, task, items), Bound(max_in_flight, _cpus), tolerance)


def map_chunks(
    run: Run,
    function: ChunkFunction,
    *,
    workers: WorkerPool | None,
    options: Mapping[str, Any],
    retries: int,
    grain: int,
    order: Iterable[int] | None,
    max_in_flight: int | None,
    tolerance: Tolerance,
) -> Results:
    """Maps the pending tiles in chunks; see `ImageTracker.map_chunks`."""
    check_number("retries", retries, whole=True)
    check_number("grain", grain, 1, whole=True)
    work_through = reporting(run, function)
    check_sendable(work_through)
    executor: Executor
    bound = None
    if workers is not None:
        executor = OfImage(workers, work_through)
    else:
        bound = Bound(max_in_flight, _cpus)
        executor = Tasks(work_through, options, bound)
    outcomes = run.tile_outcomes()
    every = range(run.layout.tile_count) if order is None else order
    tiles = (tile for tile in every if not outcomes[tile])
    source = Chunked(run, executor, tiles, outcomes.count(0), retries=retries, grain=grain)
    return Results(run, source, bound, tolerance)


def _cpus() -> float:
    with holding_connection():
        return float(ray.cluster_resources().get("CPU", 0.0))


class Results(Iterator[Result]):
    """The results of `ImageTracker.map_unordered`, in the order in which tasks finish.

    Tasks run whether or not this is read, and their results stay with Ray until then. Inside a Ray
    task or actor they are submitted while this is read, or `wait` waits. Closing or dropping it
    cancels what is in flight, as does Ctrl-C; a task that is in a call into C then, and does not
    leave it, is ended some seconds later.
    """

    _closed = True  # until there is something to close

    def __init__(self, run: Run, source: Source, bound: Bound | None, tolerance: Tolerance) -> None:
        self._cluster = cluster()
        self._engine = engine = Engine(run, source, bound, tolerance)
        self._finished = engine.finished
        self._pumped = in_worker()
        self._waiting: list[Finished | BaseException | None] = []  # taken, and not yet given
        self._ended = self._closed = False
        if not self._pumped:
            # These must not hold this object, or dropping it would go unnoticed.
            for drive in (engine.feed, _Taker(engine).run):
                threading.Thread(target=drive, daemon=True, name="raytracker-map").start()

    def __next__(self) -> Result:
        if self._ended:
            raise StopIteration
        try:
            entry = self._next()
            if isinstance(entry, Finished):
                return self._fetched(entry)
        except (KeyboardInterrupt, SystemExit):
            self.close()
            raise
        self._ended = True
        self.close()
        if entry is not None:
            raise entry
        raise StopIteration

    def ready(self, seconds: float) -> bool:
        """Waits for the next result or the end, so long at most; returns whether it is there."""
        deadline = time.monotonic() + seconds
        while not (self._ended or self._waiting):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._pumped:
                self._engine.pump(min(left, POLL_SECONDS))
                left = 0.0
            with suppress(queue.Empty):
                self._waiting.append(self._finished.get(left > 0, left or None))
        return True

    def _next(self) -> Finished | BaseException | None:
        if self._waiting:
            return self._waiting.pop()
        if not self._pumped:
            return self._finished.get()
        while True:
            with suppress(queue.Empty):
                return self._finished.get_nowait()
            self._engine.pump(POLL_SECONDS)

    def _fetched(self, finished: Finished) -> Result:
        if finished.result is None:
            return finished.key, None, finished.error
        if cluster() != self._cluster:  # or Ray would start another by itself
            raise RayNotInitialized("the cluster of these results has gone")
        try:
            return finished.key, ray.get(finished.result), None
        except RayError as err:  # lost with its node, or not to be unpacked here
            return finished.key, None, cause_of(err)

    def close(self) -> None:
        """Submits no more tasks, and cancels those in flight."""
        if self._closed:
            return
        self._closed = True
        self._engine.end()
        if self._pumped and self._engine.in_flight:  # else there is a thread that does it
            threading.Thread(target=self._engine.cancel, daemon=True).start()

    def __del__(self) -> None:
        self.close()


class _Taker:
    """Takes what has finished, in a driver: the life of a thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._earlier = _shown_interrupt()

    def run(self) -> None:
        try:
            self._take()
        except BaseException as err:  # or nobody would be told
            self._engine.end(err)
        self._engine.cancel()

    def _take(self) -> None:
        while self._engine.under_way:
            if self._engine.take(POLL_SECONDS):
                continue
            if (shown := _shown_interrupt()) is not None and shown is not self._earlier:
                self._engine.end()


def _shown_interrupt() -> BaseException | None:
    """Returns the Ctrl-C whose traceback an interactive session keeps, or None.

    With it, it keeps the frames of the interrupted cell alive, and so the results that it reads.
    """
    for name in ("last_exc", "last_value"):  # the first since Python 3.12
        if isinstance(error := getattr(sys, name, None), KeyboardInterrupt):
            return error
    return None

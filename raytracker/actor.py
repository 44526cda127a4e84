"""The Ray actor: a thin host of coordinators, and how a process finds it.

No method waits for DynamoDB: threads of the actor step the coordinators. Every call carries the
image's spec, because Ray restarts an actor with its first arguments only: what it was told later
is gone, and what it needs is in the item.

An actor hosts one image, or its share of the images of a pool; it does not know which.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import ray

from .coordinator import Ack, Batch, Coordinator
from .errors import RayNotInitialized, RaytrackerError
from .schedule import Schedule

if TYPE_CHECKING:
    from .job_table import JobTable
    from .progress import Progress

logger = logging.getLogger(__name__)

NAMESPACE = "raytracker"
LINGER_SECONDS = 10.0
IDLE_SECONDS = 300.0
SWEEP_SECONDS = 2.5
EXIT_SECONDS = 2.0
MAX_THREADS = 8  # and so as many connections to DynamoDB, for however many images
HEAD_NODE = "node:__internal_head__"


class Pool(NamedTuple):
    """A fixed number of actors that host many images: of those with this name, in the cluster.

    Attributes:
        name: The pool's name.
        size: How many actors it has.
    """

    name: str
    size: int

    @classmethod
    def of(cls, name: str | None, size: int) -> Pool | None:
        """Returns the pool; None without a name.

        Raises:
            ValueError: The name is empty, or the size not positive.
        """
        if name is None:
            return None
        if not name:
            raise ValueError("pool='': a pool has a name")
        if size < 1:
            raise ValueError(f"pool_size={size}: a pool has at least one actor")
        return cls(name, size)

    @classmethod
    def parse(cls, text: str | None) -> Pool | None:
        """Returns the pool that `str` wrote into an item."""
        if not text:
            return None
        name, _, size = text.rpartition("/")
        return cls(name, int(size))

    def __str__(self) -> str:
        return f"{self.name}/{self.size}"


@dataclass(frozen=True)
class Spec:
    """What a process must know to open an image: it travels in every call to the actor.

    Attributes:
        image_id: The image.
        run: The run that the caller belongs to.
        table: The job table; pickles as its settings.
        flush_interval: Seconds between flushes, at least.
        max_wcu_per_second: Write capacity that the flushes use, at most, on average.
        pool: The pool whose actor hosts the image; None: it has an actor of its own.
    """

    image_id: str
    run: str
    table: JobTable
    flush_interval: float = 1.0
    max_wcu_per_second: float = 25.0
    pool: Pool | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        settings = (self.flush_interval, self.max_wcu_per_second, self.pool)
        return Spec, (self.image_id, self.run, self.table, *settings)

    @cached_property
    def key(self) -> tuple[object, ...]:
        """What tells this run of this image from all others, in a process."""
        return (self.image_id, self.run, *self.table.settings)

    @cached_property
    def actor_name(self) -> str:
        """The name of the image's actor in the namespace `raytracker`."""
        if self.pool is None:
            return f"{self.table.table_name}/{self.image_id}"
        number = zlib.crc32(self.image_id.encode()) % self.pool.size
        return f"pool:{self.pool}/{number}"  # a table's name has no colon


class _Moved(RaytrackerError):
    """This process is a leftover: another one has claimed the image for the same run."""


class _ImageActor:
    """Hosts coordinators: one for each run of each image that reports arrive for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._hosted: dict[tuple[object, ...], Coordinator] = {}
        self._schedule: Schedule[tuple[object, ...]] = Schedule()
        self._stepping: set[tuple[object, ...]] = set()
        self._tables: dict[object, JobTable] = {}
        self._threads = 0
        self._stays = _in_local_mode()  # asked now: later Ray may have gone
        self._leaving = False
        self._last_call = self._swept = time.monotonic()
        self._start_thread()  # before any call: if none ever comes, it ends this process

    def report(self, reports: Sequence[tuple[Spec, Batch, bool]]) -> list[Ack | RaytrackerError]:
        """Takes batches, each with its image's spec and whether it is urgent."""
        return [self._report(*report) for report in reports]

    def _report(self, spec: Spec, batch: Batch, urgent: bool) -> Ack | RaytrackerError:
        try:
            coordinator = self._open(spec)
            ack = coordinator.report(batch, urgent=urgent)
        except RaytrackerError as err:
            return err
        self._reschedule(spec.key, coordinator)
        return ack

    def open(self, spec: Spec) -> None:
        """Serves the image, though there is nothing to report: it may want to be ended."""
        self._reschedule(spec.key, self._open(spec))

    def end(self, spec: Spec, state: str) -> None:
        coordinator = self._open(spec)
        coordinator.end(state)
        self._reschedule(spec.key, coordinator)

    def status(self, spec: Spec) -> Progress | RaytrackerError | None:
        coordinator = self._hosted.get(spec.key)
        return coordinator.status() if coordinator else None

    def view(self, spec: Spec) -> tuple[bytes, dict[int, str]] | RaytrackerError | None:
        coordinator = self._hosted.get(spec.key)
        return coordinator.view() if coordinator else None

    def pid(self) -> int:
        return os.getpid()

    def leave(self) -> None:
        """Ends the process, unless a call came in since that was decided."""
        with self._changed:
            if self._done():
                ray.actor.exit_actor()  # unlike a crash, nothing that Ray would restart
            self._leaving = False
            self._changed.notify_all()

    def hurry(self) -> bool:
        """Flushes what has been received, now; returns whether all of it is durable."""
        hosted = list(self._hosted.items())
        late = [(key, one) for key, one in hosted if not (one.finished or one.idle)]
        for key, coordinator in late:
            coordinator.report(Batch.of({}, {}), urgent=True)
            self._reschedule(key, coordinator)
        return not late

    def __ray_shutdown__(self) -> None:
        """Flushes before an orderly end of the process, such as SIGTERM; Ray calls it."""
        deadline = time.monotonic() + EXIT_SECONDS
        while not self.hurry() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _open(self, spec: Spec) -> Coordinator:
        with self._changed:
            self._last_call = time.monotonic()
            coordinator = self._hosted.get(spec.key)
            if coordinator is None:
                table = self._tables.setdefault(
                    (type(spec.table), *spec.table.settings), spec.table
                )
                coordinator = self._hosted[spec.key] = Coordinator(
                    spec.image_id,
                    spec.run,
                    table,  # the same for all images, and with it its connections
                    flush_interval=spec.flush_interval,
                    max_wcu_per_second=spec.max_wcu_per_second,
                )
                if self._threads < min(len(self._hosted), MAX_THREADS):
                    self._start_thread()
        if coordinator.moved:
            raise _Moved(f"image {spec.image_id!r} is served by another process now")
        return coordinator

    def _start_thread(self) -> None:
        self._threads += 1
        threading.Thread(target=self._serve, daemon=True, name="raytracker").start()

    def _reschedule(self, key: tuple[object, ...], coordinator: Coordinator) -> None:
        with self._changed:
            # One thread at a time steps a coordinator; that thread sets its next time.
            if key not in self._stepping and self._schedule.set(key, coordinator.due()):
                self._changed.notify()

    def _serve(self) -> None:
        """Steps whichever coordinator is due next, for ever."""
        while True:
            with self._changed:
                key = self._next()
                coordinator = self._hosted[key]
                self._stepping.add(key)
            coordinator.step()
            with self._changed:
                self._stepping.discard(key)
                self._reschedule(key, coordinator)

    def _next(self) -> tuple[object, ...]:
        while True:
            now = time.monotonic()
            key = self._schedule.take(now)
            first = self._schedule.first()
            if key is not None:
                if first is not None and first <= now:
                    self._changed.notify()  # work for another thread
                return key
            if now - self._swept > SWEEP_SECONDS:
                self._swept = now
                self._sweep()
            self._changed.wait(SWEEP_SECONDS if first is None else min(first - now, SWEEP_SECONDS))

    def _sweep(self) -> None:
        """Forgets images that nobody needs here any more, and leaves when none is left."""
        now = time.monotonic()
        for key, coordinator in list(self._hosted.items()):
            if coordinator.finished and now - coordinator.last_used > LINGER_SECONDS:
                del self._hosted[key]
                self._schedule.set(key, None)
        if self._done() and not self._leaving and not self._stays:
            self._leaving = True
            # From a thread only a call to ourselves ends the process as intended.
            myself = ray.get_runtime_context().current_actor
            myself.leave.options(max_task_retries=0).remote()

    def _done(self) -> bool:
        """Whether nobody needs this process any more."""
        hosted, now = self._hosted.values(), time.monotonic()
        if not hosted:
            # Before its first image, its driver may be preparing for a while.
            return now - self._last_call > (LINGER_SECONDS if self._tables else IDLE_SECONDS)
        if all(coordinator.moved for coordinator in hosted):
            return True
        used = max(self._last_call, *(coordinator.last_used for coordinator in hosted))
        return now - used > IDLE_SECONDS and all(c.finished or c.idle for c in hosted)


def check_connected() -> None:
    """Does nothing in a process that is connected to a cluster.

    Raises:
        RayNotInitialized: It is not.
    """
    if not ray.is_initialized():
        raise RayNotInitialized("Ray is not running in this process: call ray.init() first")


def cluster() -> tuple[str, str]:
    """Returns what tells the cluster, and this process's connection to it, from any other.

    Raises:
        RayNotInitialized: This process is connected to none.
    """
    check_connected()
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()


# Ray's local mode has one current actor for the whole process, and aborts when a thread calls an
# actor while a task runs. There the images are hosted by plain objects, called without Ray.
_hosts_here: dict[str, _ImageActor] = {}


def call(handle: Any, method: str, *args: object) -> Future[Any]:
    """Calls a method of an image's actor; the future has its answer, or Ray's error.

    Args:
        handle: What `find` or `find_or_start` returned.
        method: The method's name.
        args: Its arguments.
    """
    if not isinstance(handle, _ImageActor):
        future: Future[Any] = getattr(handle, method).remote(*args).future()
        return future
    future = Future()
    try:
        future.set_result(getattr(handle, method)(*args))
    except Exception as err:
        future.set_exception(err)
    return future


def find(spec: Spec) -> Any | None:
    """Returns a handle of the image's actor, or None where none is alive."""
    if _in_local_mode():
        return _hosts_here.get(spec.actor_name)
    try:
        return ray.get_actor(spec.actor_name, namespace=NAMESPACE)
    except ValueError:
        return None


def find_or_start(spec: Spec) -> Any:
    """Returns a handle of the image's actor, which is started where none is alive."""
    if _in_local_mode():
        return _hosts_here.setdefault(spec.actor_name, _ImageActor())
    # Detached: a handle got by name is weak, and an actor that belongs to the task which happened
    # to start it would die with that task. On the head node, which outlives the workers.
    head = {HEAD_NODE: 0.001} if HEAD_NODE in ray.cluster_resources() else {}
    return (
        ray.remote(_ImageActor)
        .options(
            name=spec.actor_name,
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            num_cpus=0,
            resources=head,
            max_restarts=-1,
            max_task_retries=-1,
        )
        .remote()
    )


def in_a_line(error: BaseException) -> str:
    """Returns what Ray says, without colours and the middle of its tracebacks."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    ends = lines[:1] if len(lines) == 1 else [lines[0], lines[-1]]
    return f"{type(error).__name__}: {' ... '.join(ends)}"[:400]


def in_worker() -> bool:
    """Whether this process is a worker of the cluster, not a driver."""
    return bool(ray.get_runtime_context().worker.mode == ray.WORKER_MODE)


def _in_local_mode() -> bool:
    """Whether the whole cluster is this process."""
    # Ray 2.54 took local mode away, and later its constant.
    return bool(ray.get_runtime_context().worker.mode == getattr(ray, "LOCAL_MODE", None))

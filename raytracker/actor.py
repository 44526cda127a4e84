"""The Ray actor: a thin host of coordinators, and how a process finds it.

No method waits for DynamoDB: threads of the actor step the coordinators. Every call carries the
image's spec, because Ray restarts an actor with its first arguments only: what it was told later
is gone, and what it needs is in the item.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from .coordinator import Ack, Batch, Coordinator
from .errors import RayNotInitialized, RaytrackerError

if TYPE_CHECKING:
    from .job_table import JobTable
    from .progress import Progress

logger = logging.getLogger(__name__)

NAMESPACE = "raytracker"
LINGER_SECONDS = 10.0
IDLE_SECONDS = 300.0
EXIT_SECONDS = 2.0
MAX_THREADS = 8
HEAD_NODE = "node:__internal_head__"


@dataclass(frozen=True)
class Spec:
    """What a process must know to open an image: it travels in every call to the actor.

    Attributes:
        image_id: The image.
        run: The run that the caller belongs to.
        table: The job table; pickles as its settings.
        flush_interval: Seconds between flushes, at least.
        max_wcu_per_second: Write capacity that the flushes use, at most, on average.
    """

    image_id: str
    run: str
    table: JobTable
    flush_interval: float = 1.0
    max_wcu_per_second: float = 25.0

    @property
    def key(self) -> tuple[object, ...]:
        """What tells this run of this image from all others, in a process."""
        return (self.image_id, self.run, *self.table.settings)

    @property
    def actor_name(self) -> str:
        """The name of the image's actor in the namespace `raytracker`."""
        return f"{self.table.table_name}/{self.image_id}"


class _Moved(RaytrackerError):
    """This process is a leftover: another one has claimed the image for the same run."""


class _ImageActor:
    """Hosts the coordinators of an image: one for each run that reports arrive for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._hosted: dict[tuple[object, ...], Coordinator] = {}
        self._busy: set[tuple[object, ...]] = set()
        self._threads = 0
        self._leaving = False
        self._last_call = time.monotonic()

    def report(self, spec: Spec, batch: Batch, urgent: bool) -> Ack:
        coordinator = self._open(spec)
        ack = coordinator.report(batch, urgent=urgent)
        self._wake()
        return ack

    def end(self, spec: Spec, state: str) -> None:
        self._open(spec).end(state)
        self._wake()

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

    def __ray_shutdown__(self) -> None:
        """Flushes before an orderly end of the process, such as SIGTERM; Ray calls it."""
        deadline = time.monotonic() + EXIT_SECONDS
        for coordinator in list(self._hosted.values()):
            coordinator.report(Batch.of({}, {}), urgent=True)
        self._wake()
        while time.monotonic() < deadline and not all(
            coordinator.finished or coordinator.idle for coordinator in self._hosted.values()
        ):
            time.sleep(0.01)

    def _open(self, spec: Spec) -> Coordinator:
        with self._changed:
            self._last_call = time.monotonic()
            coordinator = self._hosted.get(spec.key)
            if coordinator is None:
                coordinator = Coordinator(
                    spec.image_id,
                    spec.run,
                    spec.table,
                    flush_interval=spec.flush_interval,
                    max_wcu_per_second=spec.max_wcu_per_second,
                )
                self._hosted[spec.key] = coordinator
                if self._threads < MAX_THREADS:
                    self._threads += 1
                    threading.Thread(target=self._serve, daemon=True, name="raytracker").start()
        if coordinator.moved:
            raise _Moved(f"image {spec.image_id!r} is served by another process now")
        return coordinator

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _serve(self) -> None:
        """Steps whichever coordinator is due next, for ever."""
        while True:
            with self._changed:
                key, coordinator = self._next()
                self._busy.add(key)
            coordinator.step()
            with self._changed:
                self._busy.discard(key)
                self._changed.notify_all()

    def _next(self) -> tuple[tuple[object, ...], Coordinator]:
        while True:
            now = time.monotonic()
            times = [
                (due, key)
                for key, coordinator in self._hosted.items()
                if key not in self._busy and (due := coordinator.due()) is not None
            ]
            due, key = min(times, key=lambda entry: entry[0], default=(now + LINGER_SECONDS, ()))
            if due <= now:
                return key, self._hosted[key]
            if self._done() and not self._leaving and not _in_local_mode():
                self._leaving = True
                # From a thread only a call to ourselves ends the process as intended.
                myself = ray.get_runtime_context().current_actor
                myself.leave.options(max_task_retries=0).remote()
            self._changed.wait(min(due - now, LINGER_SECONDS / 4))

    def _done(self) -> bool:
        """Whether nobody needs this process any more."""
        now = time.monotonic()
        if any(coordinator.moved for coordinator in self._hosted.values()):
            return True
        used = max([self._last_call, *(c.last_used for c in self._hosted.values())])
        if all(coordinator.finished for coordinator in self._hosted.values()):
            return now - used > LINGER_SECONDS
        if all(coordinator.finished or coordinator.idle for coordinator in self._hosted.values()):
            return now - used > IDLE_SECONDS
        return False


def cluster() -> tuple[str, str]:
    """Returns what tells the cluster, and this process's connection to it, from any other.

    Raises:
        RayNotInitialized: This process is connected to none.
    """
    if not ray.is_initialized():
        raise RayNotInitialized("Ray is not running in this process: call ray.init() first")
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

"""The Ray actor: a thin host of coordinators.

No method waits for DynamoDB: threads of the actor step the coordinators. Every call carries the
image's spec, because Ray restarts an actor with its first arguments only: what it was told later
is gone, and what it needs is in the item.

An actor hosts one run, or its share of the images of a pool; it does not know which. What is wrong
with one image is answered for that image: it spoils no call, and ends no thread.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import ray

from ..errors import RaytrackerError
from ..logs import about, log_event, wants_regions
from ..metrics import ImageMetrics, set_levels
from ..ray_runtime import attempts_of, in_a_line, in_local_mode, node_address, this_actor
from .aside import Aside
from .attempts import LOOK_SECONDS, Attempts
from .coordinator import Coordinator
from .messages import Ack, Batch, LedgerView, Status
from .posting import Poster
from .schedule import Schedule
from .spec import Spec

if TYPE_CHECKING:
    from ..job_table import JobTable

logger = logging.getLogger(__name__)

LINGER_SECONDS = 10.0
IDLE_SECONDS = 300.0
SWEEP_SECONDS = 2.5
EXIT_SECONDS = 2.0
MAX_THREADS = 8  # and so as many connections to DynamoDB, for however many images

_Key = tuple[object, ...]


class _Moved(RaytrackerError):
    """This process is a leftover: another one has claimed the image for the same run."""


class ImageActor:
    """Hosts coordinators: one for each run of each image that reports arrive for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._hosted: dict[_Key, Coordinator] = {}
        self._schedule: Schedule[_Key] = Schedule()
        self._stepping: set[_Key] = set()
        self._tables: dict[object, JobTable] = {}
        self._place = f"node {node_address()}, process {os.getpid()}"
        self._threads = 0
        self._aside = Aside()
        self._poster: Poster[_Key] = Poster(self._hosted.get, self._reschedule)
        self._told: set[_Key] = set()  # whose subscribers are told
        self._metrics: dict[_Key, ImageMetrics] = {}
        self._uncertain: set[_Key] = set()  # of whose errors some may not be final
        self._inquires = False
        self._stays = in_local_mode()  # asked now: later Ray may have gone
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
        except Exception as err:
            return _told(spec, err)
        metrics = self._metrics.get(spec.key)  # a sweep may have come in between
        if metrics is not None and ack.received > ack.durable:
            metrics.reported(time.monotonic())
        self._reschedule(spec.key, coordinator)
        if batch.tentative:
            self._inquire_about(spec.key)
        return ack

    def open(self, spec: Spec) -> bool:
        """Serves the image, though there is nothing to report; returns whether all is done."""
        coordinator = self._open(spec)
        coordinator.heard()
        self._reschedule(spec.key, coordinator)
        return coordinator.finished

    def left(self, spec: Spec) -> None:
        """Takes note that nobody goes on with the run, so that another need not wait for it."""
        coordinator = self._hosted.get(spec.key)
        if coordinator is not None:
            coordinator.left()
            self._reschedule(spec.key, coordinator)

    def superseded(self, spec: Spec, by: str) -> None:
        """Takes note that another run has the image now: this one's reporters are to learn of it.

        Found out by itself, at the next write, it may take days.
        """
        self._open(spec).superseded(by)

    def end(self, spec: Spec, state: str | None) -> tuple[RaytrackerError | None]:
        """Ends the job; see `Coordinator.end`. Returns what that raised."""
        try:
            coordinator = self._open(spec)
            coordinator.end(state)
        except Exception as err:
            return (_told(spec, err),)
        self._reschedule(spec.key, coordinator)
        return (None,)

    def status(self, spec: Spec) -> Status | None:
        """Returns how the image stands; None if it is not served here."""
        try:
            coordinator = self._hosted.get(spec.key)
            if coordinator is None:
                return None
            status = coordinator.status()
            if status.trouble:
                self._reschedule(spec.key, coordinator)  # it is asked again
            return status
        except Exception as err:
            return Status(None, None, _told(spec, err))

    def view(self, spec: Spec) -> LedgerView | None:
        """Returns a copy of the ledger; None if it is not served here."""
        try:
            coordinator = self._hosted.get(spec.key)
            return coordinator.view() if coordinator else None
        except Exception as err:
            return LedgerView(None, {}, None, _told(spec, err))

    def pid(self) -> int:
        """Returns the process."""
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
        late = [(key, one) for key, one in hosted if not (one.finished or one.durable)]
        for key, coordinator in late:
            coordinator.report(Batch.of({}, {}), urgent=True)
            self._reschedule(key, coordinator)
        return not late

    def __ray_shutdown__(self) -> None:
        """Flushes before an orderly end of the process, such as SIGTERM; Ray calls it."""
        deadline = time.monotonic() + EXIT_SECONDS
        while not (self.hurry() and self._told_all()) and time.monotonic() < deadline:
            time.sleep(0.01)

    def _told_all(self) -> bool:
        hosted = list(self._hosted.values())
        return self._aside.idle and not any(one.news.outbox.unsent() for one in hosted)

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
                    keep_for=spec.keep_for,
                    place=self._place,
                )
                metrics = self._metrics[spec.key] = ImageMetrics()
                coordinator.news.subscribe(metrics, regions=False)
                coordinator.news.subscribe(log_event, regions=wants_regions())
                if self._threads < min(len(self._hosted), MAX_THREADS):
                    self._start_thread()
            if spec.on_event is not None and spec.key not in self._told:
                # Who opened the image may have been somebody who had only attached to it.
                self._told.add(spec.key)
                coordinator.news.subscribe(partial(self._aside.put, spec.on_event))
        if coordinator.moved:
            raise _Moved(f"image {spec.image_id!r} is served by another process now")
        return coordinator

    # --- steps ---

    def _start_thread(self) -> None:
        self._threads += 1
        threading.Thread(target=self._serve, daemon=True, name="raytracker").start()

    def _reschedule(self, key: _Key, coordinator: Coordinator) -> None:
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
            try:
                coordinator.step()
            except Exception:  # a defect of ours; it must not end what serves the others
                extra = about(coordinator.image_id, coordinator.run)
                logger.exception("image %s", coordinator.image_id, extra=extra)
                time.sleep(SWEEP_SECONDS)
            if coordinator.news.outbox.unsent():
                self._poster.wake(key)
            with self._changed:
                self._stepping.discard(key)
                self._reschedule(key, coordinator)

    def _next(self) -> _Key:
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
        waiting = [self._metrics[key] for key, one in self._hosted.items() if not one.finished]
        set_levels(waiting, self._aside.dropped)
        for key, coordinator in list(self._hosted.items()):
            if coordinator.finished and now - coordinator.last_used > LINGER_SECONDS:
                del self._hosted[key]
                self._metrics.pop(key, None)
                self._told.discard(key)
                self._schedule.set(key, None)
        if self._done() and not self._leaving and not self._stays:
            try:
                # From a thread only a call to ourselves ends the process as intended.
                this_actor().leave.options(max_task_retries=0).remote()
                self._leaving = True
            except Exception as err:  # the next sweep tries again
                logger.warning("the actor cannot leave: %s", in_a_line(err))

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

    # --- errors that may not be final ---

    def _inquire_about(self, key: _Key) -> None:
        with self._changed:
            self._uncertain.add(key)
            if not self._inquires:
                self._inquires = True
                threading.Thread(target=self._inquire, daemon=True, name="raytracker-ask").start()

    def _inquire(self) -> None:
        """Asks Ray about once a second which errors are final, as long as some may not be."""
        attempts = Attempts()
        while True:
            started = time.monotonic()
            with self._changed:
                asked = self._asked()
                if not self._uncertain:
                    self._inquires = False
                    return
            try:
                self._decide(attempts, asked)
            except Exception as err:  # the head node is away, say
                logger.warning("Ray does not tell which attempts were the last: %s", in_a_line(err))
            # A look takes seconds where Ray remembers many tasks.
            time.sleep(max(LOOK_SECONDS, 4 * (time.monotonic() - started)))

    def _asked(self) -> dict[tuple[str, int], list[_Key]]:
        """Returns the attempts whose errors may not be final, and the runs that these are of."""
        asked: dict[tuple[str, int], list[_Key]] = {}
        for key in list(self._uncertain):
            coordinator = self._hosted.get(key)
            errors = coordinator.tentative() if coordinator else []
            for error in errors:
                asked.setdefault((error.task, error.attempt), []).append(key)
            # Before the claim there is nothing to ask about yet.
            if coordinator is None or (coordinator.claimed and not errors) or coordinator.finished:
                self._uncertain.discard(key)
        return asked

    def _decide(self, attempts: Attempts, asked: dict[tuple[str, int], list[_Key]]) -> None:
        # In local mode there is one attempt of each task.
        known = {} if self._stays or not asked else attempts_of({task for task, _ in asked})
        last, lost = attempts.decide(asked, known, time.monotonic())
        if self._stays:
            last = dict.fromkeys(asked, True)
        elif lost:
            logger.warning("Ray knows nothing of tasks %s: their errors count", lost[:10])
        for (task, number), final in last.items():
            for key in set(asked[task, number]):
                coordinator = self._hosted.get(key)
                if coordinator is not None:
                    coordinator.resolve(task, number, final)
                    self._reschedule(key, coordinator)


def _told(spec: Spec, error: Exception) -> RaytrackerError:
    """Returns an error as it is answered: of that image alone, and with nothing but its text."""
    if isinstance(error, RaytrackerError):
        return error
    logger.error("image %s", spec.image_id, exc_info=error, extra=about(spec.image_id, spec.run))
    return RaytrackerError(f"image {spec.image_id!r}: {in_a_line(error)}")

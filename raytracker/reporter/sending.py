"""What this process knows and is not durable yet, and the thread that tells the actors.

There is one reporter a process. It holds every outcome until the actor has acknowledged it as
durable, and sends it again when another owner answers: so an outcome is lost only together with
every process that knows it.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any

import ray

from ..actor import Ack, Batch, Schedule, Spec, call, find, find_or_start
from ..errors import ActorUnavailable, FlushTimeout, RaytrackerError
from ..ledger import Span
from ..ray_runtime import (
    check_connected,
    check_not_forked,
    cluster,
    in_a_line,
    in_worker,
    is_connected,
)
from .held import URGENT_POLL_SECONDS, Held

MAX_REPORTS = 500  # of as many images, at a time
EXIT_SECONDS = 2.0
UNREACHABLE_SECONDS = 30.0  # a restart takes one; a lost node is noticed within 20


_Call = list[tuple[Held, Batch, bool]]  # whether it is urgent


class Reporter:
    """Holds what this process reported until it is durable; sends it from a thread of its own."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)  # what flush and deliver wait for
        self._work = threading.Condition(self._lock)  # what the thread waits for
        self._runs: dict[tuple[object, ...], Held] = {}
        self._schedule: Schedule[Held] = Schedule()
        self._holding: set[Held] = set()
        self._pin: Any = None
        self._actors: dict[tuple[str, object], Any] = {}
        self._cluster: tuple[str, str] | None = None
        self._thread: threading.Thread | None = None
        self._at_exit_registered = False

    def report(self, spec: Spec, spans: Sequence[Span], reasons: Mapping[int, str]) -> None:
        """Takes outcomes and returns; they are sent in the background.

        Args:
            spec: The image and run.
            spans: Outcomes of neighbouring tiles.
            reasons: Why tiles failed, by tile number.

        Raises:
            RayNotInitialized: This process is not connected to a cluster.
            RaytrackerError: What ended this run, if anything did: JobCancelled,
                TrackerSuperseded, JobVanished, LedgerError.
        """
        check_connected()
        with self._lock:
            held = self._held(spec)
            if held.fault:
                _raise(held.fault)
            waits = held.waits  # then the thread knows already when to send
            try:
                held.add(spans, reasons)
            finally:
                if not waits and held.outcomes:
                    self._holding.add(held)
                    self._reschedule(held)

    def deliver(self, spec: Spec, timeout: float) -> bool:
        """Waits until the actor has all that this process reported; returns whether it has."""
        with self._changed:
            held = self._held(spec)
            held.hurries = True  # until the next answer
            self._reschedule(held)
            return self._changed.wait_for(
                lambda: held.fault is not None or not (held.waits or held.in_flight), timeout
            )

    def flush(self, spec: Spec, timeout: float) -> None:
        """Waits until all that this process reported is durable.

        Args:
            spec: The image and run.
            timeout: Seconds to wait.

        Raises:
            FlushTimeout: It was not durable in time; it is still held and sent.
            TableError: DynamoDB refuses the flush, and will until somebody changes something.
            RaytrackerError: What ended this run, if anything did.
        """
        with self._changed:
            held = self._held(spec)
            held.urgent = True
            held.trouble = None  # what the next answer says counts
            self._reschedule(held)
            done = self._changed.wait_for(
                lambda: held.fault or held.trouble or not held.outcomes, timeout
            )
            held.urgent = False
            _raise(held.fault)
            if not held.outcomes:
                return
            _raise(held.trouble)
            if not done:
                raise FlushTimeout(
                    f"image {spec.image_id!r}: {len(held.outcomes)} outcomes of this process were "
                    f"not durable after {timeout:g} s; they are still held and sent"
                    + (f" ({in_a_line(held.unreachable)})" if held.unreachable else "")
                    + (" (the image's actor has not answered)" if held.in_flight else "")
                )

    def check_reachable(self, spec: Spec) -> None:
        """Does nothing while the image's actor answers, or may be restarting.

        Raises:
            ActorUnavailable: It has not been reached for too long.
        """
        with self._changed:
            held = self._runs.get(spec.key)
            since, error = (held.unreachable_since, held.unreachable) if held else (None, None)
        if error and since and time.monotonic() - since > UNREACHABLE_SECONDS:
            raise ActorUnavailable(
                f"image {spec.image_id!r}: its actor cannot be started or reached for "
                f"{UNREACHABLE_SECONDS:g} s: {in_a_line(error)}"
            )

    def fail(self, spec: Spec, fault: RaytrackerError) -> None:
        """Notes what ended the run, for the next caller."""
        with self._changed:
            self._held(spec).give_up(fault)
            self._changed.notify_all()

    def actor(self, spec: Spec, *, start: bool) -> Any | None:
        """Returns a handle of the image's actor, looked up once.

        Args:
            spec: The image and run.
            start: Whether to start one where there is none.

        Raises:
            RayNotInitialized: This process is not connected to a cluster.
        """
        here = cluster()
        with self._changed:
            if self._cluster != here:
                self._actors.clear()  # handles of another cluster, or of an earlier connection
                self._cluster = here
            handle = self._actors.get(_actor_key(spec))
        if handle is None:
            handle = find_or_start(spec) if start else find(spec)
            if handle is not None:
                with self._changed:
                    self._actors[_actor_key(spec)] = handle
                    self._register_at_exit()
        return handle

    def forget_actor(self, spec: Spec) -> None:
        """Has the next call look the actor up again."""
        with self._changed:
            self._actors.pop(_actor_key(spec), None)

    def _held(self, spec: Spec) -> Held:
        held = self._runs.get(spec.key)
        if held is None:
            held = self._runs[spec.key] = Held(spec)
        return held

    def _reschedule(self, held: Held) -> None:
        if self._schedule.set(held, held.due()):
            self._work.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, daemon=True, name="raytracker")
            self._thread.start()
            self._register_at_exit()

    def _register_at_exit(self) -> None:
        if not self._at_exit_registered and not in_worker():
            self._at_exit_registered = True
            atexit.register(self._at_exit)  # in a worker, a call at exit never returns

    def _serve(self) -> None:
        while True:
            with self._work:
                calls = self._next()
            for parcel in calls:
                self._send(parcel)

    def _next(self) -> Iterable[_Call]:
        """Waits until runs are due; returns a call for each of their actors."""
        while True:
            now = time.monotonic()
            calls: dict[object, _Call] = {}
            for _ in range(MAX_REPORTS):
                held = self._schedule.take(now)
                if held is None:
                    break
                held.in_flight = True
                report = held, held.take(), held.urgent
                calls.setdefault(_actor_key(held.spec), []).append(report)
            if calls:
                return calls.values()
            first = self._schedule.first()
            self._work.wait(None if first is None else first - now)

    def _send(self, parcel: _Call) -> None:
        def answered(future: Future[list[Ack | RaytrackerError]]) -> None:
            self._sent(parcel, future.exception() or future.result())

        try:
            handle = self.actor(parcel[0][0].spec, start=True)
            if self._pin is None and in_worker():
                self._pin = ray.put(b"")  # Ray does not end an idle worker that owns an object
            reports = [(held.spec, batch, urgent) for held, batch, urgent in parcel]
            call(handle, "report", reports).add_done_callback(answered)
        except Exception as err:
            self._sent(parcel, err)

    def _sent(
        self, parcel: _Call, answers: Sequence[Ack | RaytrackerError] | BaseException
    ) -> None:
        """Notes what became of a call."""
        each: Sequence[Ack | BaseException]
        each = [answers] * len(parcel) if isinstance(answers, BaseException) else answers
        with self._changed:
            for (held, batch, _), answer in zip(parcel, each, strict=True):
                self._answered(held, batch, answer)
                self._reschedule(held)
            if not self._holding:
                self._pin = None
            self._changed.notify_all()

    def _answered(self, held: Held, batch: Batch, answer: Ack | BaseException) -> None:
        """Notes what became of one run's part of a call."""
        held.in_flight = False
        held.send_at = time.monotonic()
        if isinstance(answer, Ack):
            held.failures = 0
            held.unreachable = held.unreachable_since = None
            held.acknowledge(answer, batch)
            held.hurries = answer.ends_soon
        else:
            # The actor died, moved or cannot be reached: look it up again, tell it everything.
            held.failures += 1
            held.unreachable_since = held.unreachable_since or time.monotonic()
            held.unreachable = answer
            held.send_all_again()
            self._actors.pop(_actor_key(held.spec), None)
        if not held.outcomes:
            self._holding.discard(held)
            if held.fault is None:  # or a later report would be told nothing
                self._runs.pop(held.spec.key, None)

    def _at_exit(self) -> None:
        if os.getpid() != self._pid:
            return  # a forked child's exit
        deadline = time.monotonic() + EXIT_SECONDS
        for held in list(self._runs.values()):
            if is_connected() and held.outcomes:
                try:
                    self.flush(held.spec, max(0.0, deadline - time.monotonic()))
                except RaytrackerError:
                    continue  # nobody is left to be told; a resume runs these tiles again
        if is_connected():
            with suppress(Exception):
                self._hurry_actors(deadline)

    def _hurry_actors(self, deadline: float) -> None:
        """Has the actors flush what tasks reported: a Ray of this process's own ends with it."""
        actors = list(self._actors.values())
        while actors and time.monotonic() < deadline:
            answers = {call(handle, "hurry"): handle for handle in actors}
            done, _ = wait(answers, max(0.0, deadline - time.monotonic()))
            actors = [answers[a] for a in done if a.exception() is None and not a.result()]
            time.sleep(URGENT_POLL_SECONDS if actors else 0)


def _actor_key(spec: Spec) -> tuple[str, object]:
    return spec.actor_name, spec.table.settings


def _raise(fault: RaytrackerError | None) -> None:
    if fault is not None:
        raise type(fault)(*fault.args)  # a new one: the same object would gather tracebacks


_reporter: Reporter | None = None
_reporter_lock = threading.Lock()


def reporter() -> Reporter:
    """Returns the reporter of this process.

    Raises:
        ForkedProcess: It was forked from a connected one; that one's locks may be held here.
    """
    global _reporter
    check_not_forked()
    if _reporter is None:
        with _reporter_lock:
            if _reporter is None:
                _reporter = Reporter()
    return _reporter


def _after_fork() -> None:
    global _reporter, _reporter_lock
    _reporter, _reporter_lock = None, threading.Lock()  # threads do not survive a fork


os.register_at_fork(after_in_child=_after_fork)

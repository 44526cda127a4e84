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
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

import ray

from . import actor
from .actor import Spec
from .coordinator import Ack, Batch
from .errors import ActorUnavailable, FlushTimeout, RaytrackerError
from .ledger import clip_reason

SEND_GAP_SECONDS = 0.05
URGENT_POLL_SECONDS = 0.02
LONGEST_POLL_SECONDS = 5.0
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0
EXIT_SECONDS = 2.0
UNREACHABLE_SECONDS = 30.0  # a restart takes one; a lost node is noticed within 20


class _Held:
    """The outcomes of one run that are not durable yet: bounded by the tiles of the image."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.outcomes: dict[int, int] = {}
        self.reasons: dict[int, str] = {}
        self.unsent: dict[int, int] = {}
        self.sent: deque[tuple[int, dict[int, int]]] = deque()  # (mark, outcomes up to it)
        self.owner: str | None = None
        self.in_flight = False
        self.urgent = False
        self.failures = 0
        self.send_at = 0.0
        self.poll_seconds = spec.flush_interval
        self.fault: RaytrackerError | None = None
        self.trouble: RaytrackerError | None = None
        self.unreachable: BaseException | None = None
        self.unreachable_since: float | None = None
        self.pin: Any = None

    def add(self, outcomes: Iterable[tuple[int, int]], reasons: Mapping[int, str]) -> None:
        for number, outcome in outcomes:
            if outcome > self.outcomes.get(number, 0):
                self.outcomes[number] = outcome
                self.unsent[number] = outcome
                if number in reasons:
                    self.reasons[number] = clip_reason(reasons[number])

    def take(self) -> dict[int, int]:
        taken, self.unsent = self.unsent, {}
        return taken

    def send_all_again(self) -> None:
        self.unsent = dict(self.outcomes)
        self.sent.clear()

    def acknowledge(self, ack: Ack, batch: dict[int, int]) -> None:
        """Notes an answer: the only place where something held is let go."""
        if batch:
            self.sent.append((ack.received, batch))
        if self.owner not in (None, ack.owner):
            self.send_all_again()
        self.owner = ack.owner
        while self.sent and self.sent[0][0] <= ack.durable:
            for number, outcome in self.sent.popleft()[1].items():
                if self.outcomes.get(number) == outcome:
                    del self.outcomes[number]
                    self.reasons.pop(number, None)
        self.trouble = ack.trouble
        if ack.fault:
            self.give_up(ack.fault)

    def give_up(self, fault: RaytrackerError) -> None:
        self.fault = fault
        self.outcomes.clear()
        self.reasons.clear()
        self.unsent.clear()
        self.sent.clear()

    def due(self) -> float | None:
        """Returns when, in monotonic seconds, the actor is to be called, or None."""
        if self.in_flight or not self.outcomes:
            return None
        wait = self.poll_seconds
        if self.failures:
            backoff = FIRST_RETRY_SECONDS * 2 ** min(self.failures - 1, 10)
            wait = min(LONGEST_RETRY_SECONDS, backoff)
        elif self.urgent:
            wait = URGENT_POLL_SECONDS
        elif self.unsent:
            wait = SEND_GAP_SECONDS
        return self.send_at + wait


class Reporter:
    """Holds what this process reported until it is durable; sends it from a thread of its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._runs: dict[tuple[object, ...], _Held] = {}
        self._actors: dict[tuple[str, object], Any] = {}
        self._cluster: tuple[str, str] | None = None
        self._thread: threading.Thread | None = None

    def report(
        self, spec: Spec, outcomes: Iterable[tuple[int, int]], reasons: Mapping[int, str]
    ) -> None:
        """Takes outcomes and returns; they are sent in the background.

        Args:
            spec: The image and run.
            outcomes: (tile number, outcome) pairs.
            reasons: Why tiles failed, by tile number.

        Raises:
            RayNotInitialized: This process is not connected to a cluster.
            RaytrackerError: What ended this run, if anything did: JobCancelled,
                TrackerSuperseded, JobVanished, LedgerError.
        """
        actor.cluster()
        with self._changed:
            held = self._held(spec)
            _raise(held.fault)
            held.add(outcomes, reasons)
            self._wake()

    def deliver(self, spec: Spec, timeout: float) -> bool:
        """Waits until the actor has all that this process reported; returns whether it has."""
        with self._changed:
            held = self._held(spec)
            return self._changed.wait_for(
                lambda: held.fault is not None or not (held.unsent or held.in_flight), timeout
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
            self._wake()
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
                    + (f" ({actor.in_a_line(held.unreachable)})" if held.unreachable else "")
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
                f"{UNREACHABLE_SECONDS:g} s: {actor.in_a_line(error)}"
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
        cluster = actor.cluster()
        with self._changed:
            if self._cluster != cluster:
                self._actors.clear()  # handles of another cluster, or of an earlier connection
                self._cluster = cluster
            handle = self._actors.get(_actor_key(spec))
        if handle is None:
            handle = actor.find_or_start(spec) if start else actor.find(spec)
            if handle is not None:
                with self._changed:
                    self._actors[_actor_key(spec)] = handle
        return handle

    def forget_actor(self, spec: Spec) -> None:
        """Has the next call look the actor up again."""
        with self._changed:
            self._actors.pop(_actor_key(spec), None)

    def _held(self, spec: Spec) -> _Held:
        held = self._runs.get(spec.key)
        if held is None:
            held = self._runs[spec.key] = _Held(spec)
        return held

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, daemon=True, name="raytracker")
            self._thread.start()
            if not actor.in_worker():
                atexit.register(self._at_exit)  # in a worker, a call at exit never returns
        self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            with self._changed:
                held, batch = self._next()
                held.in_flight = True
                reasons = {n: held.reasons[n] for n in batch if n in held.reasons}
            try:
                self._send(held, batch, reasons)
            except Exception as err:
                self._sent(held, batch, err)

    def _next(self) -> tuple[_Held, dict[int, int]]:
        while True:
            now = time.monotonic()
            times = [(due, held) for held in self._runs.values() if (due := held.due()) is not None]
            due, held = min(times, key=lambda entry: entry[0], default=(None, None))
            if due is not None and held is not None and due <= now:
                return held, held.take()
            self._changed.wait(None if due is None else due - now)

    def _send(self, held: _Held, batch: dict[int, int], reasons: Mapping[int, str]) -> None:
        handle = self.actor(held.spec, start=True)
        assert handle is not None
        if held.pin is None and actor.in_worker():
            held.pin = ray.put(b"")  # Ray does not end an idle worker that owns an object
        answer = actor.call(handle, "report", held.spec, Batch.of(batch, reasons), held.urgent)

        def answered(future: Future[Ack]) -> None:
            self._sent(held, batch, future.exception() or future.result())

        answer.add_done_callback(answered)

    def _sent(self, held: _Held, batch: dict[int, int], answer: Ack | BaseException) -> None:
        """Notes what became of a batch."""
        with self._changed:
            held.in_flight = False
            held.send_at = time.monotonic()
            if isinstance(answer, Ack):
                held.failures = 0
                held.unreachable = held.unreachable_since = None
                held.acknowledge(answer, batch)
                held.poll_seconds = (
                    held.spec.flush_interval
                    if batch
                    else min(LONGEST_POLL_SECONDS, held.poll_seconds * 1.5)
                )
            else:
                # The actor died, moved or cannot be reached: look it up again, tell it everything.
                held.failures += 1
                held.unreachable_since = held.unreachable_since or time.monotonic()
                held.unreachable = answer
                held.send_all_again()
                self._actors.pop(_actor_key(held.spec), None)
            if not held.outcomes:
                held.pin = None
                if held.fault is None:  # or a later report would be told nothing
                    self._runs.pop(held.spec.key, None)
            self._changed.notify_all()

    def _at_exit(self) -> None:
        deadline = time.monotonic() + EXIT_SECONDS
        for held in list(self._runs.values()):
            if ray.is_initialized() and held.outcomes:
                try:
                    self.flush(held.spec, max(0.0, deadline - time.monotonic()))
                except RaytrackerError:
                    continue  # nobody is left to be told; a resume runs these tiles again


def _actor_key(spec: Spec) -> tuple[str, object]:
    return spec.actor_name, spec.table.settings


def _raise(fault: RaytrackerError | None) -> None:
    if fault is not None:
        raise type(fault)(*fault.args)  # a new one: the same object would gather tracebacks


_reporter: Reporter | None = None
_reporter_lock = threading.Lock()


def reporter() -> Reporter:
    """Returns the reporter of this process."""
    global _reporter
    with _reporter_lock:
        if _reporter is None:
            _reporter = Reporter()
        return _reporter


def _after_fork() -> None:
    global _reporter, _reporter_lock
    _reporter, _reporter_lock = None, threading.Lock()  # threads do not survive a fork


os.register_at_fork(after_in_child=_after_fork)

"""What this process knows and nobody else may: reports are taken here, and waited for.

There is one reporter a process. It holds every outcome until somebody else has it for sure, and
sends it again when another owner answers: so an outcome is lost only together with every process
that knows it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ray.exceptions import RayError

from ..actor import Spec, Tentative
from ..errors import ActorUnavailable, FlushTimeout, RaytrackerError, ReporterFault, TableError
from ..ledger import ERROR, ClassSpan, Span
from ..ray_runtime import (
    check_connected,
    check_not_forked,
    in_a_line,
    in_async_loop,
    in_worker,
    may_end,
)
from .held import FIRST_RETRY_SECONDS, Held
from .leaving import Leaving
from .moment import may_call
from .receipts import ENDING_WAIT_SECONDS, WAIT_SECONDS, Receipts, Way
from .sending import Parcel, Sender

UNREACHABLE_SECONDS = 30.0  # a restart takes one; a lost node is noticed within 20


class Reporter:
    """Holds what this process reported until it is durable, and has the actors told."""

    def __init__(self) -> None:
        self._receipts = Receipts()
        self._sender = Sender(self._receipts)
        self._leaving = Leaving(self)

    def report(
        self,
        spec: Spec,
        spans: Sequence[Span],
        reasons: Mapping[int, str],
        classes: Sequence[ClassSpan] = (),
        *,
        wait: bool = True,
        held_elsewhere: bool = False,
    ) -> None:
        """Takes outcomes; returns at once, or, where that is cheap, when the actor has them.

        Args:
            spec: The image and run.
            spans: Outcomes of neighbouring tiles.
            reasons: Why tiles failed, by tile number.
            classes: The classes of failed tiles.
            wait: Whether it may wait for the actor.
            held_elsewhere: Whether a driver holds them as well, so that this process may let go of
                them when the actor has them.

        Raises:
            RayNotInitialized: This process is not connected to a cluster.
            ForkedProcess: It was forked from one that is.
            RaytrackerError: What ended this run, if anything did: JobCancelled,
                TrackerSuperseded, JobVanished, LedgerError.
            ReporterFault: The thread that sends had ended, or something could not be sent.
        """
        check_connected()
        with self._sender.lock:
            held = self._usable(spec)
            way = self._way(wait, is_error=not held_elsewhere and _has_error(spans))
            if way is Way.ASIDE and held.waits:  # the thread knows already when to send it
                held.add(spans, reasons, classes, held_elsewhere=held_elsewhere)
                return
            try:
                held.add(spans, reasons, classes, held_elsewhere=held_elsewhere)
            finally:
                self._taken(held, way)
            is_news = held.waits
        if way is not Way.ASIDE and is_news:
            self._tell(held, way)

    def report_tentative(self, spec: Spec, error: Tentative) -> None:
        """Takes an error of an attempt that Ray may repeat, as `report` takes outcomes."""
        check_connected()
        with self._sender.lock:
            held, way = self._usable(spec), self._way(wait=True, is_error=True)
            held.add_tentative(error)
            self._taken(held, way)
        if way is not Way.ASIDE:
            self._tell(held, way)

    def _usable(self, spec: Spec) -> Held:
        held = self._sender.held(spec)
        if held.fault:
            self._sender.start_thread()
            _check(held)
        return held

    def _way(self, wait: bool, *, is_error: bool) -> Way:
        """Returns which way a report of this thread goes now."""
        ends = may_end()
        if wait:
            is_error = is_error and in_worker()
            way = self._receipts.way(time.monotonic(), ends=ends, is_error=is_error)
        else:
            way = Way.SUBMIT if ends else Way.ASIDE
        if way is Way.ASIDE or not may_call():
            return Way.ASIDE
        return Way.SUBMIT if in_async_loop() else way

    def _taken(self, held: Held, way: Way) -> None:
        if held.holds:
            self._sender.hold(held)
            self._leaving.register()
            if way is Way.ASIDE:
                self._sender.reschedule(held)

    def _tell(self, held: Held, way: Way) -> None:
        """Calls the actor on the thread of whoever reported, which may wait for the receipt."""
        try:
            parcel = self._sender.dispatch([held])
            if way is Way.WAIT:
                limit = ENDING_WAIT_SECONDS if may_end() else WAIT_SECONDS
                answered = self._received(held, parcel, time.monotonic() + limit)
                with self._sender.lock:
                    self._receipts.waited(time.monotonic(), answered=answered)
                    _check(held)
        finally:
            with self._sender.lock:
                self._sender.reschedule(held)

    def _received(self, held: Held, parcel: Parcel, deadline: float) -> bool:
        """Waits until the actor has what was told before; returns whether it has, or never will."""
        changed = self._sender.changed
        while True:
            with self._sender.lock:
                told: set[Any] = {parcel, *held.under_way}  # the thread may have what we reported
            if parcel.call is not None:
                with suppress(RayError):  # Ray ends
                    parcel.call.wait(max(0.0, deadline - time.monotonic()))
            with changed:
                while told & held.under_way and time.monotonic() < deadline:
                    changed.wait(max(0.0, deadline - time.monotonic()))
                if held.fault or all(one.received for one in told):
                    return True
            if time.monotonic() + FIRST_RETRY_SECONDS >= deadline:
                return False
            time.sleep(FIRST_RETRY_SECONDS)
            parcel = self._sender.dispatch([held])

    # --- what callers wait for ---

    def deliver(self, spec: Spec, timeout: float) -> bool:
        """Waits until the actor has all that this process reported; returns whether it has."""
        changed = self._sender.changed
        self._sender.check_connection()
        with changed:
            held = self._sender.held(spec)
            held.hurries = True  # until the next answer
            self._sender.reschedule(held)
            return changed.wait_for(
                lambda: held.fault is not None or not (held.waits or held.under_way), timeout
            )

    def flush(self, spec: Spec, timeout: float, *, received: bool = False) -> None:
        """Waits until all that this process reported is durable.

        Args:
            spec: The image and run.
            timeout: Seconds to wait.
            received: Whether also what it let go of when the actor had received it.

        Raises:
            FlushTimeout: It was not durable in time; it is still held and sent.
            RayNotInitialized: Something is held, and this process is not connected to a cluster.
            TableError: DynamoDB refuses the flush, and will until somebody changes something.
            RaytrackerError: What ended this run, if anything did.
        """
        changed = self._sender.changed
        with changed:
            held = self._sender.held(spec)
            held.all_durable = not received
            held.ask_anew()

            def is_over() -> bool:
                refused = isinstance(held.trouble, TableError) and held.refused_anew
                return bool(held.fault or refused or held.is_durable(received=received))

            if not is_over():
                check_connected()
                self._sender.check_connection()
            held.flushers += 1
            try:
                self._sender.reschedule(held)
                in_time = changed.wait_for(is_over, timeout)
            finally:
                held.flushers -= 1
            _check(held)
            if not held.is_durable(received=received):
                _raise(FlushTimeout(_late(held, timeout)) if not in_time else held.trouble)

    def check_reachable(self, spec: Spec) -> None:
        """Does nothing while the image's actor answers, or may be restarting.

        Raises:
            ActorUnavailable: It has not been reached for too long.
        """
        with self._sender.lock:
            held = self._sender.known(spec)
            since, error = (held.unreachable_since, held.unreachable) if held else (None, None)
        if error and since and time.monotonic() - since > UNREACHABLE_SECONDS:
            raise ActorUnavailable(
                f"image {spec.image_id!r}: its actor cannot be started or reached for "
                f"{UNREACHABLE_SECONDS:g} s: {in_a_line(error)}"
            )

    def fail(self, spec: Spec, fault: RaytrackerError) -> None:
        """Notes what ended the run, for the next caller."""
        with self._sender.changed:
            self._sender.held(spec).give_up(fault)
            self._sender.changed.notify_all()

    def holding(self) -> list[Spec]:
        """Returns the runs of which something is held."""
        with self._sender.lock:
            return [held.spec for held in self._sender.holding]

    # --- the actors ---

    def actor(self, spec: Spec, *, start: bool) -> Any | None:
        """Returns a handle of the image's actor, looked up once.

        Args:
            spec: The image and run.
            start: Whether to start one where there is none.

        Raises:
            RayNotInitialized: This process is not connected to a cluster.
        """
        self._sender.check_connection()
        handle = self._sender.actors.get(spec, start=start)
        if handle is not None:
            self._leaving.register()
        return handle

    def forget_actor(self, spec: Spec) -> None:
        """Has the next call look the actor up again."""
        self._sender.actors.forget(spec)

    def handles(self) -> list[Any]:
        """Returns handles of the actors that this process has called."""
        return self._sender.actors.handles()


def _check(held: Held) -> None:
    fault = held.fault
    if isinstance(fault, ReporterFault):
        held.fault = None  # told once: what comes next may be sent
    _raise(fault)


def _has_error(spans: Sequence[Span]) -> bool:
    return any(ERROR in outcomes for _, outcomes in spans)


def _raise(fault: RaytrackerError | None) -> None:
    if fault is not None:
        raise type(fault)(*fault.args)  # a new one: the same object would gather tracebacks


def _late(held: Held, timeout: float) -> str:
    why = held.trouble or held.unreachable
    return (
        f"image {held.spec.image_id!r}: {len(held.outcomes)} outcomes of this process were not "
        f"durable after {timeout:g} s; they are still held and sent"
        + (f" ({in_a_line(why)})" if why else "")
        + (" (the image's actor has not answered)" if held.under_way else "")
    )


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

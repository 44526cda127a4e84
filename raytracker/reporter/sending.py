"""How the actors are told what this process holds: calls, their answers, and the thread.

A call is made by this module's thread, or by that of whoever reported something. Either way what a
call was to tell is held until the answer, and all of it waits to be sent again when there is none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from ..actor import Ack, Batch, Call, Schedule, Spec, submit
from ..errors import RaytrackerError, ReporterFault
from ..ray_runtime import holding_connection, in_a_line, in_actor, in_worker, may_end
from .actors import Actors, actor_key
from .held import FIRST_RETRY_SECONDS, Held
from .receipts import Receipts

logger = logging.getLogger(__name__)

MAX_REPORTS = 500  # of as many images, at a time
LOOK_SECONDS = 1.0  # so often, while anything is held, the thread looks for what nobody told it


@dataclass(eq=False)
class Parcel:
    """Batches of some runs on their way to one actor.

    Attributes:
        reports: A run's part of it, and whether it is urgent.
        call: The call; None while it is not submitted.
        submitted_at: When it was, in monotonic seconds.
        received: Whether the actor has all of it.
    """

    reports: list[tuple[Held, Batch, bool]] = field(default_factory=list)
    call: Call | None = None
    submitted_at: float = 0.0
    received: bool = False


class Sender:
    """Sends what is held of each run; has a thread that does so when nobody else did.

    Attributes:
        lock: Guards all that is held.
        changed: Notified, with the lock held, when an answer came.
        actors: The actors that are called.
        holding: The runs of which something is held.
    """

    def __init__(self, receipts: Receipts) -> None:
        self.lock = threading.RLock()  # a signal handler may report while its thread has it
        self.changed = threading.Condition(self.lock)
        self.actors = Actors()
        self.holding: set[Held] = set()
        self._receipts = receipts
        self._work = threading.Condition(self.lock)  # what the thread waits for
        self._runs: dict[tuple[object, ...], Held] = {}
        self._schedule: Schedule[Held] = Schedule()
        self._looked = 0.0
        self._pin: Any = None
        self._thread: threading.Thread | None = None

    # --- all but `check_connection` and `dispatch` are called with the lock held ---

    def held(self, spec: Spec) -> Held:
        """Returns what is held of a run."""
        held = self._runs.get(spec.key)
        if held is None:
            held = self._runs[spec.key] = Held(spec)
        return held

    def known(self, spec: Spec) -> Held | None:
        """Returns what is held of a run; None if nothing is."""
        return self._runs.get(spec.key)

    def hold(self, held: Held) -> None:
        """Looks after a run of which something is held."""
        if not self.holding:
            self._work.notify()  # from now on it looks every second
        self.holding.add(held)
        self.start_thread()

    def reschedule(self, held: Held) -> None:
        """Has the thread send what waits of a run, or ask about it, when that is due."""
        if self._schedule.set(held, held.due()):
            self._work.notify()
        self.start_thread()

    def check_connection(self) -> None:
        """Has all go again that was under way, if the connection that it went by has gone."""
        if self.actors.reconnected():
            with self.lock:
                for held in self._runs.values():
                    held.forget_calls()
                    self.reschedule(held)

    # --- the thread ---

    def start_thread(self) -> None:
        """Starts the thread, unless it runs."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, daemon=True, name="raytracker")
            self._thread.start()

    def _serve(self) -> None:
        try:
            while True:
                self._turn()
        except BaseException as err:
            with self.lock:
                self._thread = None
                for held in self.holding:
                    held.fault = held.fault or ReporterFault(
                        f"image {held.spec.image_id!r}: the thread that sends this process's "
                        f"reports ended ({err!r}); another one sends what it left"
                    )
            raise

    def _turn(self) -> None:
        """Sends what is due, or waits for it; whatever goes wrong, the next turn comes."""
        try:
            self.check_connection()
            if self.holding and self._pin is None and in_worker() and not in_actor():
                self._pin = ray.put(b"")  # Ray does not end an idle worker that owns an object
            with self._work:
                due = self._due()
                if not due:
                    self._work.wait(self._pause())
            for runs in due:
                self.dispatch(runs)
        except Exception:
            logger.exception("raytracker: the thread that sends reports goes on")
            time.sleep(FIRST_RETRY_SECONDS)

    def _due(self) -> list[list[Held]]:
        """Returns the runs that are due, those of one actor together."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            for held in self.holding:
                self._schedule.set(held, held.due())  # a signal may have kept others from it
        due: dict[object, list[Held]] = {}
        for _ in range(MAX_REPORTS):
            first = self._schedule.take(now)
            if first is None:
                break
            due.setdefault(actor_key(first.spec), []).append(first)
        return list(due.values())

    def _pause(self) -> float | None:
        """Returns for how many seconds nothing is to be done; None: until somebody says so."""
        pauses = [LOOK_SECONDS] if self.holding else []
        first = self._schedule.first()
        if first is not None:
            pauses.append(max(0.0, first - time.monotonic()))
        return min(pauses, default=None)

    # --- a call ---

    def dispatch(self, runs: Sequence[Held]) -> Parcel:
        """Submits a call with what waits of some runs, which one actor hosts."""
        parcel = Parcel()
        try:
            self.check_connection()
            ends = may_end()
            with self.lock:
                for held in runs:
                    held.under_way.add(parcel)
                    parcel.reports.append((held, held.take(ends=ends), held.flushers > 0))
            handle = self.actors.get(runs[0].spec, start=True)
            parcel.submitted_at = time.monotonic()
            reports = [(held.spec, batch, urgent) for held, batch, urgent in parcel.reports]
            with holding_connection():
                parcel.call = submit(handle, "report", reports)
            parcel.call.future.add_done_callback(lambda future: self._ended(parcel, future))
        except BaseException as err:  # also a signal's, at whatever place
            self._failed(parcel, runs, err)
            if not isinstance(err, Exception):
                raise
        return parcel

    def _ended(self, parcel: Parcel, future: Future[Any]) -> None:
        """Notes what became of a call; in a thread of Ray's."""
        err = future.exception()
        if err is None:
            self._answered(parcel, future.result())
        else:
            self._failed(parcel, [held for held, _, _ in parcel.reports], err)

    def _answered(self, parcel: Parcel, answers: Sequence[Ack | RaytrackerError]) -> None:
        now = time.monotonic()
        with self.changed:
            self._receipts.answered(now - parcel.submitted_at)
            parcel.received = all(isinstance(answer, Ack) for answer in answers)
            for (held, batch, _), answer in zip(parcel.reports, answers, strict=True):
                if parcel not in held.under_way:
                    continue  # of a connection that has gone
                with self._noting(parcel, held):
                    if isinstance(answer, Ack):
                        held.acknowledge(answer, batch)
                    else:
                        self._missed(held, answer)

    def _failed(self, parcel: Parcel, runs: Sequence[Held], err: BaseException) -> None:
        with self.changed:
            # On another thread it may be the error of a signal handler.
            ours = threading.current_thread() is self._thread
            faults = _faults(parcel, runs, err) if ours else {}
            for held in runs:
                with self._noting(parcel, held):
                    if held in faults:
                        held.give_up(faults[held])
                    else:
                        self._missed(held, err)

    @contextmanager
    def _noting(self, parcel: Parcel, held: Held) -> Iterator[None]:
        """The block notes what became of a call for one of its runs; then it is planned anew."""
        held.under_way.discard(parcel)
        held.answered_at = time.monotonic()
        yield
        if not held.holds:
            self.holding.discard(held)
            if held.fault is None and not held.flushers:  # or a later caller would be told nothing
                self._runs.pop(held.spec.key, None)
        if not self.holding:
            self._pin = None
        self.reschedule(held)
        self.changed.notify_all()

    def _missed(self, held: Held, err: BaseException) -> None:
        """The actor died, moved or cannot be reached: look it up again, tell it everything."""
        held.miss(err)
        self.actors.forget(held.spec)


def _faults(
    parcel: Parcel, runs: Sequence[Held], err: BaseException
) -> dict[Held, RaytrackerError]:
    """Returns of which runs something can never be sent, and what to tell whoever reports next."""
    if isinstance(err, (RayError, RaytrackerError, OSError)):
        return {}  # of the cluster
    causes: dict[Held, BaseException] = {
        held: cause for held, batch, _ in parcel.reports if (cause := _unpicklable(held, batch))
    }
    if len(parcel.reports) < len(runs):
        causes[runs[len(parcel.reports)]] = err
    return {
        held: ReporterFault(
            f"image {held.spec.image_id!r}: what this process had reported cannot be sent, and is "
            f"dropped ({in_a_line(cause)})"
        )
        for held, cause in causes.items()
    }


def _unpicklable(held: Held, batch: Batch) -> Exception | None:
    try:
        ray.cloudpickle.dumps((held.spec, batch))
    except Exception as err:
        return err
    return None

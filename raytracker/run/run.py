"""What a process knows of one run: how to ask its actor, report to it, and read its item."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol
from weakref import WeakValueDictionary

from ray.exceptions import GetTimeoutError, RayError

from .. import metrics
from ..actor import LedgerView, Spec, Status, Tentative, ask, call, find
from ..errors import (
    ActorUnavailable,
    JobVanished,
    RaytrackerError,
    TableError,
    TableUnavailable,
    TrackerSuperseded,
)
from ..job_table import JobItem, ledger_of
from ..ledger import ClassSpan, Layout, Ledger, Span
from ..logs import about
from ..progress import Progress
from ..ray_runtime import actor_state, cluster, holding_connection, in_a_line, is_connected
from ..reporter import reporter
from .failing import Failing
from .patience import START_SECONDS, in_time

logger = logging.getLogger(__name__)

CALL_SECONDS = 5.0
POLL_SECONDS = 0.03
SILENT_SECONDS = 0.5  # less is no silence, on a busy machine
# What `progress` waits for an actor that is there, and then for the table.
ANSWER_SECONDS, ITEM_SECONDS = 1.5, 1.0


class Pumped(Protocol):
    """A `map_unordered` that is under way; in a worker only while it is pumped."""

    @property
    def trouble(self) -> str | None:
        """Why nothing goes on at present, or None."""

    def pump(self, seconds: float) -> None:
        """Submits what may be, and takes what has finished; waits so long for that, at most."""


class Worked:
    """How long the work of a run took in the processes that did it, as far as this one was told.

    Attributes:
        busy_seconds: For how long the user's function computed.
        seconds: For how long they were at it, or waited for more.
    """

    def __init__(self) -> None:
        self.busy_seconds = self.seconds = 0.0

    def add(self, busy_seconds: float, seconds: float) -> None:
        """Adds what one chunk took."""
        metrics.worked(busy_seconds, seconds)
        self.busy_seconds += busy_seconds
        self.seconds += seconds

    @property
    def busy(self) -> float | None:
        """The part of the time in which the function computed; None where none is known of."""
        return self.busy_seconds / self.seconds if self.seconds else None


class _Maps(list[Pumped]):
    """A list that goes with the last of the handles that share it."""


# Of the process, not of the handle: several handles of a run know of each other's.
_maps: WeakValueDictionary[tuple[object, ...], _Maps] = WeakValueDictionary()


class Run:
    """One run of one image, as a process sees it; ImageTracker is its face.

    Attributes:
        spec: The image, the run, the table, and how it is tracked.
        layout: The tiles of each region.
        maps: The `map_unordered` of this run that are under way in this process.
        is_fresh: Whether this process began it with all tiles pending, and has said nothing of it.
        worked: How long the work of this run took, in chunks that this handle was told of.
        failing: What failed first, of what this handle was told.
    """

    def __init__(self, spec: Spec, layout: Layout) -> None:
        self.spec = spec
        self.layout = layout
        self.maps = _maps.setdefault(spec.key, _Maps())
        self.is_fresh = False
        self.worked = Worked()
        self.failing = Failing(layout)
        self._knock: tuple[tuple[str, str], Future[bool]] | None = None
        self._silent_since: float | None = None  # of the actor, in seconds since the epoch
        self._told: Progress | None = None  # by the actor, the last time

    @property
    def image_id(self) -> str:
        """The image."""
        return self.spec.image_id

    def report(
        self,
        spans: Sequence[Span],
        reasons: Mapping[int, str],
        classes: Sequence[ClassSpan] = (),
        *,
        wait: bool = True,
        held_elsewhere: bool = False,
    ) -> None:
        """Takes outcomes; see `Reporter.report`."""
        self.is_fresh = False
        reporter().report(
            self.spec, spans, reasons, classes, wait=wait, held_elsewhere=held_elsewhere
        )

    def report_tentative(self, error: Tentative) -> None:
        """Takes an error that counts unless Ray tries again; see `Reporter.report_tentative`."""
        self.is_fresh = False
        reporter().report_tentative(self.spec, error)

    def flush(self, timeout: float, *, received: bool = False) -> None:
        """Waits until all that this process reported is durable; see `Reporter.flush`."""
        reporter().flush(self.spec, timeout, received=received)

    def deliver(self, timeout: float = CALL_SECONDS) -> None:
        """Lets the actor have what this process reported, so that it sees its own reports."""
        if is_connected():
            reporter().deliver(self.spec, timeout)

    def fail(self, fault: RaytrackerError) -> None:
        """Notes what ended the run, for the next caller in this process."""
        reporter().fail(self.spec, fault)

    def check_reachable(self) -> None:
        """Does nothing while the actor answers, or may be restarting; see `Reporter`."""
        try:
            reporter().check_reachable(self.spec)
        except ActorUnavailable as err:
            raise ActorUnavailable(f"{err}{self._ray_says()}") from err

    def silence(self) -> str | None:
        """Returns in words that the actor does not answer, if it did not the last time."""
        if self._silent_since is None:
            return None
        since = time.strftime("%H:%M:%S UTC", time.gmtime(self._silent_since))
        return f"its actor does not answer since {since}{self._ray_says()}"

    def _ray_says(self) -> str:
        with suppress(Exception):  # it is only to make a message better
            state = actor_state(reporter().actor(self.spec, start=False))
            if state is not None:
                return f"; Ray says: {state}"
        return ""

    def begin(self, before: JobItem | None) -> None:
        """Has the actor open the image, while the caller prepares what it will report.

        Fails in no way: the item is written, and whoever waits is told what is wrong.

        Args:
            before: The item of the run before; the process that serves it is of no use any more.
        """
        try:
            self.knock()
            if before is not None and before.tracker_run:
                spec = Spec.of(before, self.spec.table)
                handle = find(spec)
                if handle is not None:
                    call(handle, "superseded", spec, self.spec.run)
        except Exception as err:
            extra = about(self.image_id, self.spec.run)
            logger.warning("image %s: its actor: %s", self.image_id, in_a_line(err), extra=extra)

    def knock(self) -> bool:
        """Has an actor serve the run, and does not wait; returns whether all is done.

        That is what it answered to the last knock. While it has not, it is not called again.
        """
        with holding_connection():
            here = cluster()
            if self._knock and self._knock[0] == here:
                answer = self._knock[1]
                if not answer.done():
                    return False
                if answer.exception() is not None:
                    reporter().forget_actor(self.spec)
                elif answer.result():
                    return True
            handle = reporter().actor(self.spec, start=True)
            self._knock = here, call(handle, "open", self.spec)
        return False

    def ask(
        self, method: str, *args: Any, start: bool = False, timeout: float = CALL_SECONDS
    ) -> Any:
        """Calls the actor; None where there is none, or it does not answer just now.

        It waits in `ray.get`, on the calling thread: Ray then has a task's CPU do other work.

        Args:
            method: A method of the actor, which takes the spec first.
            args: What it takes beside that.
            start: Whether to start an actor where there is none.
            timeout: Seconds to wait for the answer.

        Raises:
            RayNotInitialized: An actor is to be started, and this process has no cluster.
            ActorUnavailable: It was to be started, and does not answer.
        """
        if not is_connected():
            if start:
                cluster()  # raises
            return None
        asked_at = time.time()
        try:
            handle = reporter().actor(self.spec, start=start)
            answer = handle and ask(handle, method, self.spec, *args, timeout=max(0.0, timeout))
            self._silent_since = None
            return answer
        except (RayError, ConnectionError) as err:
            reporter().forget_actor(self.spec)
            if time.time() - asked_at >= SILENT_SECONDS or not isinstance(err, GetTimeoutError):
                self._silent_since = self._silent_since or asked_at
            if start:
                raise ActorUnavailable(f"image {self.image_id!r}: {in_a_line(err)}") from err
            return None

    def status(self, timeout: float = CALL_SECONDS) -> Status | None:
        """Asks the actor how the image stands; as `ask`, which it does not start an actor for."""
        status: Status | None = self.ask("status", timeout=timeout)
        return status

    def look(self, method: str, silence: float = CALL_SECONDS) -> Any:
        """Asks the actor, once it has what this process reported; None where only the item tells.

        Args:
            method: A method of the actor, which takes the spec first.
            silence: Seconds after which no answer is taken for none.

        Raises:
            RaytrackerError: What ended this run, or keeps it from being claimed.
        """
        began = time.monotonic()
        failures: int | None = None
        self.deliver(silence)
        patience = silence - (time.monotonic() - began)
        while True:
            left = max(SILENT_SECONDS, began + CALL_SECONDS - time.monotonic())
            patience = max(SILENT_SECONDS, min(left, patience))
            answer: Status | LedgerView | None = self.ask(method, timeout=patience)
            if answer is None:
                return None
            if answer.fault:
                self.fail(answer.fault)
                raise answer.fault
            if answer[0] is not None:
                return answer
            if isinstance(answer.trouble, TableError):
                # It may have been mended: a status has the actor ask again.
                status = self.status(left)
                if status is not None and isinstance(status.trouble, TableError):
                    failures = status.failures if failures is None else failures
                    if status.failures > failures:
                        raise status.trouble
            if time.monotonic() >= began + CALL_SECONDS:
                return None
            time.sleep(POLL_SECONDS)
            patience = silence  # it has answered, and is about to claim the image

    def pending(self, timeout: float) -> list[int] | None:
        """Returns the regions that are not settled, if that can be told at once; else None.

        Args:
            timeout: Seconds to wait for the actor and the table.
        """
        deadline = time.monotonic() + timeout
        try:
            # Half of it for each, and an actor that is silent is not asked again.
            silent = self._silent_since is not None
            view: LedgerView | None = None if silent else self.ask("view", timeout=timeout / 2)
            if view is not None and view.encoded is not None:
                return Ledger.decode(view.encoded).pending()
            left = deadline - time.monotonic()
            item = in_time(lambda: self.spec.table.read(self.image_id), max(0.0, left))
            return None if item is None else ledger_of(item).pending()
        except RaytrackerError:
            return None

    def read(self, timeout: float = START_SECONDS) -> JobItem:
        """Returns the run's item.

        Args:
            timeout: Seconds to wait for DynamoDB.

        Raises:
            JobVanished: The item was deleted.
            TrackerSuperseded: Another run took the image over.
            TableError: DynamoDB refuses.
            TableUnavailable: DynamoDB did not answer in time.
        """
        table = self.spec.table
        item = in_time(lambda: table.read(self.image_id), timeout)
        over: RaytrackerError
        if item is None:
            over = JobVanished(f"image {self.image_id!r} is not in table {table.table_name!r}")
        elif item.tracker_run != self.spec.run:
            over = TrackerSuperseded(f"image {self.image_id!r} was taken over by another run")
        else:
            return item
        # The actor may have nothing left to write, and so will never be told.
        self.fail(over)
        raise over

    def progress(self) -> Progress:
        """Returns how far the image has come; see `View.progress`."""
        status = self.look("status", self._patience())
        if status is not None:
            assert isinstance(status.progress, Progress)
            progress = self._told = status.progress
        else:
            progress = self._last_known()
        troubles = (each.trouble for each in list(self.maps))
        trouble = progress.trouble or next(filter(None, troubles), None)
        failed = self.failing.first
        return replace(progress, busy=self.worked.busy, trouble=trouble, failed=failed)

    def _patience(self) -> float:
        """Returns how long the actor is waited for: one that is being made takes longer."""
        if self._told is None and is_connected():
            with suppress(RaytrackerError):  # the actor's, which asking it tells
                state = actor_state(reporter().actor(self.spec, start=False))
                return ANSWER_SECONDS if (state or "").startswith("ALIVE") else CALL_SECONDS
        return ANSWER_SECONDS

    def _last_known(self) -> Progress:
        """Returns what the item says, or the actor said before, whichever is more."""
        told, silence = self._told, self.silence()
        try:
            item = self.read(ITEM_SECONDS if told else 2 * ITEM_SECONDS)
        except TableUnavailable as err:
            if told is None:
                raise
            return replace(told, trouble=f"{silence or 'no actor serves it'}, and {err}")
        found = Progress.of(
            ledger_of(item),
            status=item.status,
            durable=True,
            ended_early=item.tracker_state,
            trouble=silence,
        )
        if silence and told and item.end_time is None and told.tile_pending < found.tile_pending:
            return replace(told, trouble=silence)
        return found

    def tile_outcomes(self) -> bytes:
        """Returns the outcome of each tile, as `Ledger.tile_outcomes`.

        The actor is not asked, and so need not be there yet, where there is nothing to know.
        """
        if self.is_fresh:
            self.is_fresh = False
            return bytes(self.layout.tile_count)
        return self.ledger().tile_outcomes()

    def ledger(self) -> Ledger:
        """Returns a copy of the ledger; see `View.ledger`."""
        view = self.look("view")
        if view is None:
            return ledger_of(self.read())
        return Ledger.decode(view.encoded, view.reasons, view.classes)

"""What can be seen of a run: from its actor, or from the item where no actor serves it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import TimeoutError as FutureTimeoutError  # its own before Python 3.11
from typing import Any

import ray
from ray.exceptions import RayError

from ..actor import Spec, call, cluster, in_a_line
from ..errors import (
    ActorUnavailable,
    JobVanished,
    RaytrackerError,
    TableUnavailable,
    TrackerSuperseded,
)
from ..job_table import JobItem, ledger_of
from ..ledger import Layout, Ledger, Outcome
from ..progress import Progress
from ..reporter import reporter
from .beginning import patiently
from .waiting import POLL_SECONDS

CALL_SECONDS = 5.0

_maps_lock = threading.Lock()


class View:
    """The half of ImageTracker that looks and changes nothing; it needs no Ray, only the table.

    Attributes:
        image_id: The image.
        run: The run, a uuid.
        table: The job table.
    """

    def __init__(self, spec: Spec, layout: Layout) -> None:
        self._spec = spec
        self._layout = layout
        self.image_id = spec.image_id
        self.run = spec.run
        self.table = spec.table
        self._maps = 0  # calls of map_unordered that are under way here

    def progress(self) -> Progress:
        """Returns how far the image has come: the actor's view, or the table's where none runs.

        Raises:
            TrackerSuperseded: Another run took the image over.
            JobVanished: The item was deleted.
            LedgerError: The item's ledger cannot be read.
        """
        status = self._look("status")
        if status is not None:
            assert isinstance(status, Progress)
            return status
        item = self._read()
        return Progress.of(
            ledger_of(item), status=item.status, durable=True, ended_early=item.tracker_state
        )

    def ledger(self) -> Ledger:
        """Returns a copy of the ledger: the actor's, or the table's where none runs.

        Raises:
            TrackerSuperseded: Another run took the image over.
            JobVanished: The item was deleted.
            LedgerError: The item's ledger cannot be read.
        """
        view = self._look("view")
        return ledger_of(self._read()) if view is None else Ledger.decode(*view)

    def pending(self) -> list[int]:
        """Returns the regions that are not settled, in order."""
        return self.ledger().pending()

    def pending_tiles(self) -> list[tuple[int, int]]:
        """Returns the (region, tile) that are pending, in order."""
        return self.ledger().pending_tiles()

    def failed(self) -> dict[int, str]:
        """Returns the regions that are errors, with the reason of their first failed tile."""
        return self.ledger().failed()

    def outcomes(self) -> list[Outcome]:
        """Returns the outcome of each region."""
        ledger = self.ledger()
        return [ledger.outcome(region) for region in range(self._layout.region_count)]

    def tile_outcomes(self) -> bytes:
        """Returns one byte a tile, its outcome, in the order of regions and their tiles."""
        return self.ledger().tile_outcomes()

    # --- inside ---

    def _mapping(self, change: int) -> None:
        with _maps_lock:
            self._maps += change

    def _look(self, method: str) -> Any:
        """Asks the actor, once it has what this process reported; None where only the item tells.

        Raises:
            RaytrackerError: What ended this run.
        """
        self._deliver()
        deadline = time.monotonic() + CALL_SECONDS
        while isinstance(answer := self._ask(method), TableUnavailable):
            if time.monotonic() >= deadline:
                return None
            time.sleep(POLL_SECONDS)
        if isinstance(answer, RaytrackerError):
            raise answer
        return answer

    def _deliver(self) -> None:
        """Lets the actor have what this process reported, so that it sees its own reports."""
        if ray.is_initialized():
            reporter().deliver(self._spec, CALL_SECONDS)

    def _ask(self, method: str, *args: Any, start: bool = False) -> Any:
        """Calls the actor; None where there is none, or it does not answer just now."""
        if not ray.is_initialized():
            if start:
                cluster()  # raises
            return None
        try:
            handle = reporter().actor(self._spec, start=start)
            if handle is None:
                return None
            return call(handle, method, self._spec, *args).result(timeout=CALL_SECONDS)
        except (RayError, TimeoutError, FutureTimeoutError) as err:
            reporter().forget_actor(self._spec)
            if start:
                raise ActorUnavailable(f"image {self.image_id!r}: {in_a_line(err)}") from err
            return None

    def _read(self) -> JobItem:
        item = patiently(lambda: self.table.read(self.image_id))
        over: RaytrackerError
        if item is None:
            name = self.table.table_name
            over = JobVanished(f"image {self.image_id!r} is not in table {name!r}")
        elif item.tracker_run != self.run:
            over = TrackerSuperseded(f"image {self.image_id!r} was taken over by another run")
        else:
            return item
        # The actor may have nothing left to write, and so will never be told.
        reporter().fail(self._spec, over)
        raise over

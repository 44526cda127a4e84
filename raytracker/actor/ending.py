"""How one image ends: by itself once it is settled, when it is told to, or early."""

from __future__ import annotations

from ..errors import RaytrackerError
from ..job_table import JobItem
from ..ledger import Ledger
from .messages import ended_early


class Ending:
    """Whether an image ends, and as what. Not thread-safe: its owner holds a lock.

    Args:
        image_id: The image.

    Attributes:
        state: CANCELLED or STOPPED, once it ends or has ended as that: the counts can't say it.
        end_time: When it ended, in epoch ms; None: it has not.
        closed: Whether the end may be durable: from then on the ledger stays as it is.
        durable: Whether it is.
        by_itself: Whether it ends once it is settled, untold.
        is_open: Whether errors are known that may yet turn out to be final: then it does not.
    """

    def __init__(self, image_id: str) -> None:
        self.state: str | None = None
        self.end_time: int | None = None
        self.closed = self.durable = False
        self.by_itself = True
        self.is_open = False
        self._image_id = image_id
        self._asked = False
        self._asked_as: str | None = None

    def claimed(self, job: JobItem) -> None:
        """Takes from the item how the image stands, and who ends it."""
        self.by_itself = job.tracker_ends is not False
        self.state, self.end_time = job.tracker_state, job.end_time
        self.closed = self.durable = job.end_time is not None

    def status(self, ledger: Ledger) -> str:
        """Returns the status that the item has, or will have once this is durable."""
        return JobItem(
            image_id=self._image_id,
            end_time=self.end_time,
            region_count=ledger.layout.region_count,
            region_success=ledger.region_success,
            region_error=ledger.region_error,
            tracker_ends=self.by_itself and not self.is_open,
            tracker_state=self.state,
        ).status

    def ask(self, ledger: Ledger) -> None:
        """Notes that it is to end as its counts say.

        Raises:
            RaytrackerError: Tiles are pending.
        """
        if not ledger.settled:
            pending = ledger.layout.tile_count - ledger.tile_success - ledger.tile_error
            raise RaytrackerError(
                f"image {self._image_id!r}: {pending} of {ledger.layout.tile_count} tiles are "
                "pending, so it cannot end as its counts say: report them, or cancel it"
            )
        self._asked = True

    def ask_early(self, state: str) -> None:
        """Notes that it is to end as it stands, as CANCELLED or STOPPED."""
        if not self.closed:
            self._asked_as = self._asked_as or state

    def wanted(self, ledger: Ledger | None) -> bool:
        """Whether it is to end, and that is not durable yet."""
        if self.durable:
            return False
        return self._asked or self._asked_as is not None or self._is_over(ledger)

    def early(self, ledger: Ledger | None) -> RaytrackerError | None:
        """Returns what is raised to who reports, if it ends or ended early."""
        state = self._early_state(ledger)
        return None if state is None else ended_early(self._image_id, state)

    def close(self, ledger: Ledger, now: int) -> bool:
        """Closes the image if it is to end, now in epoch ms; returns whether that is news."""
        self.state = self._early_state(ledger)
        if self.closed or not self.wanted(ledger):
            return False
        self.closed, self.end_time = True, now
        return True

    def _early_state(self, ledger: Ledger | None) -> str | None:
        if self.closed or self._is_over(ledger):
            return self.state
        return self._asked_as

    def _is_over(self, ledger: Ledger | None) -> bool:
        if not self.by_itself or self.is_open:
            return False
        return ledger is not None and ledger.settled

"""One coordinator's surroundings, simulated: a table with one image, and a clock."""

from __future__ import annotations

from typing import Any

from raytracker.actor import Ack, Batch, Coordinator
from raytracker.job_table import ALIVE_SECONDS, KEEP_SECONDS, JobItem
from raytracker.ledger import Layout, classes_of
from raytracker.progress import Progress
from tests.support.simulated_table import SimulatedClock, SimulatedTable


class World:
    """A table with one started image of ten regions, and a clock."""

    def __init__(self, regions: int | list[int] = 10, *, ends: bool | None = None) -> None:
        self.table = SimulatedTable()
        self.clock = SimulatedClock()
        job = JobItem(image_id="scene", tracker_ends=ends)
        self.table.start(job, run="run", layout=Layout.of(regions))
        now = int(self.clock.time())
        self.table.items["scene"] |= {
            "start_time": 1000 * now,
            "expire_time": now + KEEP_SECONDS,
            "tracker_alive_until": now + ALIVE_SECONDS,
        }
        self.table.writes.clear()

    def open(self, run: str = "run", **options: Any) -> Coordinator:
        return Coordinator("scene", run, self.table, clock=self.clock, **options)

    def serve(self, coordinator: Coordinator, until: float | None = None) -> None:
        """Steps a coordinator as its host does, for so many seconds; None: until it has nothing."""
        end = self.clock.now + (1000 if until is None else until)
        while (due := coordinator.due()) is not None and due <= end:
            self.clock.now = max(self.clock.now, due)
            coordinator.step()
        if until is not None:
            self.clock.now = end

    @property
    def item(self) -> JobItem:
        return JobItem.from_ddb(self.table.items["scene"])


def ask(coordinator: Coordinator) -> Ack:
    return coordinator.report(Batch.of({}, {}))


def report(coordinator: Coordinator, *success: int, error: dict[int, str] | None = None) -> Ack:
    error = error or {}
    outcomes = dict.fromkeys(success, 2) | dict.fromkeys(error, 1)
    return coordinator.report(Batch.of(outcomes, error)._replace(classes=classes_of(error)))


def progress(coordinator: Coordinator) -> Progress:
    status = coordinator.status().progress
    assert status is not None
    return status

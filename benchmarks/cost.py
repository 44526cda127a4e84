"""What long jobs cost at the table, held against `raytracker cost`."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from raytracker import JobItem, JobTable
from raytracker.actor import Batch, Coordinator
from raytracker.cost import estimate
from raytracker.ledger import Layout, Outcome
from tests.support.simulated_table import SimulatedClock

from .harness import Bench, bench
from .stage import MeteringProxy, metered_table

WRITES = ("PutItem", "UpdateItem")
ERRORS = 0.02  # of the tiles, without reasons


class Job(NamedTuple):
    """A job, and what it may cost.

    Attributes:
        regions: Regions of the image.
        tiles: Tiles of all of them.
        minutes: How long it takes.
        most: What it may cost of one write a region in WCU, by the model; None: no goal.
    """

    regions: int
    tiles: int
    minutes: int
    most: float | None

    def __str__(self) -> str:
        each = "" if self.tiles == self.regions else f" of {self.tiles:,} tiles"
        return f"{self.regions:,} regions{each} in {self.minutes} min"


JOBS = (
    Job(10_000, 10_000, 30, 1 / 10),
    Job(30_000, 30_000, 60, None),
    Job(100_000, 100_000, 60, 1 / 10),
    Job(5_000, 20_000, 10, 1 / 3),
)


@bench
def cost(bench: Bench) -> None:
    """Write capacity of jobs of many minutes, beside one write a region.

    The real coordinator, with a clock that is moved by hand and a report each second of it, writes
    to DynamoDB Local, which says what each write consumed. Tiles settle in order, or at random; 2 %
    of them are errors. By the model zlib is of no use.
    """
    jobs = bench.size(JOBS, (Job(500, 500, 1, None),))
    with metered_table() as (table, proxy):
        for job in jobs:
            bench.tell(str(job))
            model = estimate(job.regions, job.tiles, minutes=job.minutes)
            units = {"model": 1 / model.wcu_ratio}
            for how in ("random", "in order"):
                requests, consumed = _run(job, how, table, proxy)
                units[how] = consumed / (job.regions + 2)
                if job.regions >= 30_000:
                    part = requests / (job.regions + 2)
                    bench.goal(f"{job}: requests, {how}", [part], at_most=0.01)
            for how, part in units.items():
                bench.row(f"{job}: WCU, {how}", "", [part])
            if job.most is not None:
                for how, most in (("model", job.most), ("in order", job.most / 3)):
                    bench.goal(f"{job}: WCU, {how}", [units[how]], at_most=most)
    bench.notes.append("All are parts of what one write a region takes.")


def _run(job: Job, how: str, table: JobTable, proxy: MeteringProxy) -> tuple[int, float]:
    """Runs a job to its end; returns its writes, and what these consumed."""
    before = _consumed(proxy)
    clock, image_id = SimulatedClock(), f"{job} {how}"
    layout = Layout.of([job.tiles // job.regions] * job.regions)
    table.start(JobItem(image_id=image_id), run="r" * 32, layout=layout)
    coordinator = Coordinator(image_id, "r" * 32, table, clock=clock)
    coordinator.step()  # claims
    began, seconds = clock.now, job.minutes * 60
    order = list(range(job.tiles))
    if how == "random":
        random.Random(1).shuffle(order)
    for second in range(1, seconds + 1):
        while (due := coordinator.due()) is not None and due <= began + second:
            clock.now = max(clock.now, due)
            coordinator.step()
        clock.now = began + second
        coordinator.report(_batch(order, job.tiles * (second - 1) // seconds, second, seconds))
    coordinator.step()
    if not coordinator.finished:
        raise RuntimeError(f"{job}: {coordinator.status()}")
    requests, units = _consumed(proxy)
    return requests - before[0], units - before[1]


def _batch(order: Sequence[int], first: int, second: int, seconds: int) -> Batch:
    chance = random.Random(second)
    tiles = order[first : len(order) * second // seconds]
    outcomes = {
        tile: Outcome.ERROR if chance.random() < ERRORS else Outcome.SUCCESS for tile in tiles
    }
    return Batch.of(outcomes, {})


def _consumed(proxy: MeteringProxy) -> tuple[int, float]:
    return sum(proxy.requests[name] for name in WRITES), sum(proxy.capacity[w] for w in WRITES)

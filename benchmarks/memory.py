"""What an image's actor weighs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .harness import Bench, bench, differences
from .process import Peak, unique_mb
from .stage import job_table, local_ray, pid_of, retire, start

CHUNK = 10_000


class Weight(NamedTuple):
    """Memory of an actor, in MB."""

    rest: float
    flush: float
    reports: float


@bench
def memory(bench: Bench) -> None:
    """Memory of the actor of an image of a million tiles.

    What only its process has (USS): at rest, when half of the tiles, drawn by lot, are reported and
    durable; at most while it makes one more report durable; and at most while that half arrives, in
    arrays of 10,000. Beside it the actor of an image of one tile, which is reported and durable.
    """
    tiles, region = bench.size(1_000_000, 20_000), 100
    with job_table() as table, local_ray():

        def weigh(regions: int | Sequence[int]) -> Weight:
            tracker = start(table, regions)
            pid = pid_of(tracker)
            count = tracker.progress().region_count
            drawn = np.random.default_rng(1).permutation(count).astype(np.uint32)
            if count > 1:
                tracker.report(int(drawn[1]))  # what the process loads at its first report
                tracker.flush()
            peak = Peak(pid)
            for at in range(2, count // 2, CHUNK):
                tracker.report(drawn[at : min(at + CHUNK, count // 2)])
            tracker.flush()
            arrived = peak.mb()
            peak, before = Peak(pid), unique_mb(pid)
            tracker.report(int(drawn[0]))
            tracker.flush()
            flushed = before + peak.mb()
            time.sleep(0.5)
            weight = Weight(unique_mb(pid), flushed, arrived)
            retire(tracker)
            return weight

        sides: dict[str, int | list[int]] = {
            "one tile": 1,
            f"{tiles:,} regions of a tile": tiles,
            f"{tiles // region:,} regions of {region} tiles": [region] * (tiles // region),
        }
        weights: dict[str, list[Weight]] = {what: [] for what in sides}
        rounds = bench.rounds()
        for turn in range(1, rounds + 1):
            for what, regions in sides.items():
                weights[what].append(weigh(regions))
                bench.tell(f"{turn} of {rounds}: {what}: {weights[what][-1]}")
        for at, state in enumerate(("at rest", "at a flush")):
            of = {what: [weight[at] for weight in found] for what, found in weights.items()}
            one, *many = of
            for what, values in of.items():
                bench.row(f"{what}, {state}", "MB", values)
            for what in many:
                bench.goal(
                    f"{what} - one, {state}",
                    differences(of[what], of[one]),
                    "MB",
                    at_most=(4, 16)[at],
                )
        for what in list(weights)[1:]:
            values = [weight.reports for weight in weights[what]]
            bench.row(f"{what}, more while half of it arrives", "MB", values)

"""How many reports the actor of one image takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import ray

from .harness import Bench, bench, quotients
from .stage import CountingActor, job_table, local_ray, settle, start, stopwatch

REPORTERS = 4
CHUNK = 10_000  # regions in an array
UNANSWERED = 1_000  # calls of the plain actor


# Tasks, not actors: what Ray may end after any call submits each report at once.
@ray.remote(num_cpus=0.25)
def one_by_one(tracker, regions):
    for region in regions.tolist():
        tracker.report(region)


@ray.remote(num_cpus=0.25)
def arrays(tracker, regions):
    for at in range(0, len(regions), CHUNK):
        tracker.report(regions[at : at + CHUNK])


@ray.remote(num_cpus=0.25)
def calls(counter, regions):
    unanswered = []
    for region in regions.tolist():
        if len(unanswered) == UNANSWERED:
            ray.get(unanswered.pop(0))
        unanswered.append(counter.add.remote(region))
    ray.get(unanswered)


@bench
def reports(bench: Bench) -> None:
    """Reports a second that one image takes from tasks in four processes.

    Until the image's actor has merged all of them. `report` gets a region a call, or an array of
    10,000; in order, or shuffled over the image. Without raytracker each report is a call of an
    actor, whose answers are awaited, a thousand calls later.
    """
    rng = np.random.default_rng(1)
    with job_table() as table, local_ray():

        def rate(
            how: Any, actor: Any, regions: np.ndarray[Any, Any], arrived: Callable[[int], object]
        ) -> float:
            shares = np.array_split(regions, REPORTERS)
            ray.get([how.remote(actor, share[:1]) for share in shares])  # each meets the actor
            arrived(REPORTERS)
            rest = [ray.put(share[1:]) for share in shares]
            with stopwatch() as seconds:
                ray.get([how.remote(actor, share) for share in rest])
                arrived(len(regions))
            return (len(regions) - REPORTERS) / seconds()

        def tracked(how: Any, size: int, *, shuffled: bool = False) -> Callable[[], float]:
            def side() -> float:
                # Of a pool, so that the next one needs no new process.
                tracker = start(table, size, pool="bench", pool_size=1)
                regions = np.arange(size, dtype=np.uint32)
                if shuffled:
                    rng.shuffle(regions)
                found = rate(how, tracker, regions, lambda count: settle(tracker, count))
                tracker.wait()
                return found

            return side

        def naive() -> float:
            counter, regions = CountingActor.remote(), np.arange(few)
            return rate(calls, counter, regions, lambda _: ray.get(counter.count.remote()))

        few, single = bench.size(5_000, 1000), bench.size(200_000, 4000)
        whole = bench.size(1_000_000, 40_000)
        sides = {
            "calls of an actor": naive,
            "report(region)": tracked(one_by_one, single),
            "report(region), shuffled": tracked(one_by_one, single, shuffled=True),
            "report(array)": tracked(arrays, whole),
            "report(array), shuffled": tracked(arrays, whole // 4, shuffled=True),
        }
        naive()  # warms up
        rates = bench.alternate("reports/s", sides)
        plain = rates["calls of an actor"]
        for what in ("report(region)", "report(region), shuffled"):
            bench.goal(f"{what} / calls", quotients(rates[what], plain), at_least=50)
        bench.goal("report(array)", rates["report(array)"], "reports/s", at_least=1_000_000)

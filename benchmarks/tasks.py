"""What reporting costs the tasks that do it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import ray

from raytracker import ImageTracker

from .harness import Bench, bench, quotients
from .process import cpu_seconds_of_all
from .stage import CountingActor, job_table, local_ray, settle, start, stopwatch, warm_up

IN_FLIGHT = 8  # what map_unordered takes on two CPUs
BEFORE = 300  # reports that are not timed: 32 a process may wait for receipts after a pause


@ray.remote
def work(region):
    """What is done with a region: nothing."""


@ray.remote
def work_with(tracker, region):
    """The same, with an argument more."""


@ray.remote
def work_and_report(tracker, region):
    tracker.report(region)


@ray.remote
def work_and_count(counter, region):
    counter.add.remote(region)


@bench
def tasks(bench: Bench) -> None:
    """Rate of Ray tasks that do nothing but report.

    Each task gets the number of its region, and the tracker as an argument or in its closure.
    Without raytracker it does nothing with it, or calls a named actor and does not wait for the
    answer. All are submitted at once, or eight are in flight:
    by `ray.wait` in a loop, and by `map_unordered`. CPU is that of the driver, Ray, its workers,
    the actor and DynamoDB Local together. Where the rounds differ by more than is to be shown, the
    goal is about those of both ways together. Each side that reports begins with some that are not
    timed: after a pause, a process waits for the receipts of its first 32. DynamoDB Local shares
    the cores with the tasks, as a service would not; some thousand requests before have its JVM
    compile what a flush runs.
    """
    size, rounds = bench.size(1500, 300), bench.rounds(11)
    with job_table() as table, local_ray():
        warm_up(table, bench.size(3000, 30))
        tracker = start(table, 3 * size * (rounds + 2))
        counter = CountingActor.options(name="counter").remote()
        reported = 0

        @ray.remote
        def work_and_report_from_closure(region):
            tracker.report(region)

        def side(run: Callable[[range], object], *, reports: bool = False, size: int = size) -> Any:
            def rate() -> float:
                nonlocal reported
                if reports:  # else the pause before would pay for receipts of the first ones
                    run(range(reported, reported + BEFORE))
                    reported += BEFORE
                    settle(tracker, reported)
                regions = range(reported, reported + size)
                cpu = cpu_seconds_of_all()
                with stopwatch() as seconds:
                    run(regions)
                rate.cpu.append(1000 * (cpu_seconds_of_all() - cpu) / size)
                if reports:
                    reported += size
                    settle(tracker, reported)
                ray.get(counter.count.remote())  # it has done what it was sent
                return size / seconds()

            rate.cpu = []
            return rate

        bare, again, unused, argument, closure, naive, bounded, mapped = (
            "no-op",
            "no-op, once more",
            "no-op, the tracker an argument",
            "and report(), the tracker an argument",
            "and report(), the tracker in the closure",
            "and a call of a counting actor",
            "no-op, 8 in flight",
            "no-op, by map_unordered",
        )
        at_once = {
            bare: side(lambda regions: ray.get([work.remote(r) for r in regions])),
            closure: side(
                lambda regions: ray.get([work_and_report_from_closure.remote(r) for r in regions]),
                reports=True,
            ),
            unused: side(lambda regions: ray.get([work_with.remote(tracker, r) for r in regions])),
            argument: side(
                lambda regions: ray.get([work_and_report.remote(tracker, r) for r in regions]),
                reports=True,
            ),
        }
        others = {
            naive: side(
                lambda regions: ray.get([work_and_count.remote(counter, r) for r in regions]),
                size=size // 2,
            ),
            again: side(lambda regions: ray.get([work.remote(r) for r in regions]), size=size // 2),
            bounded: side(_bounded, size=size // 2),
            mapped: side(
                lambda regions: list(
                    tracker.map_unordered(work, ((r, (r,)) for r in regions), IN_FLIGHT)
                ),
                reports=True,
                size=size // 2,
            ),
        }
        for each in (*at_once.values(), *others.values()):
            each()  # warms up
        rates = bench.alternate("tasks/s", at_once, rounds)
        rates |= bench.alternate("tasks/s", others)
        for what in at_once:
            bench.row(f"{what}: CPU of all processes", "ms a task", at_once[what].cpu[1:])
        for what, reports in (("the only report() of a task", 1), ("one of many", size // 5)):
            taken = _cpu_of_report(tracker, reported, reports)
            bench.row(f"{what}: CPU of its thread", "us", taken)
        both = []
        for what, one, other in (
            ("report() / no-op, the tracker an argument of both", argument, unused),
            ("report() / no-op, the tracker in the closure", closure, bare),
        ):
            of_rounds = quotients(rates[one], rates[other])
            bench.row(what, "", of_rounds)
            both += of_rounds
        bench.goal("report() / no-op, both ways", both, at_least=0.97)
        bench.row("the tracker as an argument / none", "", quotients(rates[unused], rates[bare]))
        bench.row("counting actor / no-op", "", quotients(rates[naive], rates[again]))
        bench.row("map_unordered / 8 in flight", "", quotients(rates[mapped], rates[bounded]))
        bench.row("tracker, pickled", "bytes", [len(ray.cloudpickle.dumps(tracker))])


def _cpu_of_report(tracker: ImageTracker, first: int, count: int) -> list[float]:
    """Returns the CPU, in microseconds, of a call of `report`, where each task makes so many."""

    @ray.remote
    def measure(first: int) -> float:
        begun = time.thread_time()
        for region in range(first, first + count):
            tracker.report(region)
        return 1e6 * (time.thread_time() - begun) / count

    tasks = max(5, 300 // count)
    return list(ray.get([measure.remote(first + number * count) for number in range(tasks)]))


def _bounded(regions: Iterable[int]) -> None:
    running: list[ray.ObjectRef] = []
    for region in regions:
        if len(running) == IN_FLIGHT:
            [done], running = ray.wait(running)
            ray.get(done)
        running.append(work.remote(region))
    ray.get(running)

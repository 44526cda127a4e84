"""How soon there is an actor, at first and after it was killed, and what it brings along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import ray

from raytracker.reporter import reporter

from .harness import Bench, bench, differences
from .process import unique_mb
from .stage import (
    PATIENCE,
    job_table,
    local_ray,
    pid_of,
    retire,
    settle,
    start,
    stopwatch,
)

CHUNK = 10_000


def plain_actor(module: str = "os") -> Any:
    """Returns the class of an actor that imports a module and answers, no more.

    It is made here so that Ray sends it as it is: its process imports nothing of ours.
    """

    class Plain:
        def __init__(self):
            __import__(module)

        def pid(self):
            return os.getpid()

    return ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Plain)


@bench
def recovery(bench: Bench) -> None:
    """Time from `kill -9` of the actor until the next report is in the new one.

    The image has a million tiles, of which every second is durable. Accepted is a report when the
    new actor has acknowledged it; a moment later that has claimed the item and read its ledger, and
    `progress` shows the report. Beside it, an actor that does nothing: from the kill to an answer.
    """
    tiles = bench.size(1_000_000, 20_000)
    with job_table() as table, local_ray():
        tracker = start(table, tiles)
        durable = np.arange(0, tiles, 2, dtype=np.uint32)
        for at in range(0, len(durable), CHUNK):
            tracker.report(durable[at : at + CHUNK])
        tracker.flush()
        settled = len(durable)
        plain = plain_actor().remote()
        ray.get(plain.pid.remote())

        claimed: list[float] = []

        def tracked() -> float:
            nonlocal settled
            pid = pid_of(tracker)
            tracker.flush()
            with stopwatch() as seconds:
                os.kill(pid, signal.SIGKILL)
                tracker.report(2 * (settled - len(durable)) + 1)
                reporter().deliver(tracker._run.spec, PATIENCE)
                accepted = seconds()
                settled += 1
                settle(tracker, settled)
            claimed.append(seconds())
            assert pid_of(tracker) != pid
            return accepted

        def empty() -> float:
            pid = ray.get(plain.pid.remote())
            with stopwatch() as seconds:
                os.kill(pid, signal.SIGKILL)
                while ray.get(plain.pid.remote()) == pid:  # Ray has not noticed yet
                    pass
            return seconds()

        sides = {"an actor that does nothing": empty, "the actor of an image": tracked}
        bare, full = bench.alternate("s", sides, bench.rounds(7)).values()
        bench.goal("more than nothing", differences(full, bare), "s", at_most=0.3)
        bench.row("until progress shows it", "s", claimed)
        tracker.flush()
        retire(tracker)


@bench
def startup(bench: Bench) -> None:
    """Time until the first report of an image is in its actor, and what an import takes.

    From `ImageTracker.start` until `progress` shows the report, beside making an actor that does
    nothing until it answers; both in processes that Ray has to start. Imports in a fresh
    interpreter. Memory that only the actor's process has (USS).
    """
    with job_table() as table, local_ray():

        def tracked() -> float:
            with stopwatch() as seconds:
                tracker = start(table, 100)
                tracker.report(0)
                settle(tracker, 1)
            weights[image].append(unique_mb(pid_of(tracker)))
            retire(tracker)
            time.sleep(0.5)
            return seconds()

        def empty(name: str, module: str) -> Callable[[], float]:
            def side() -> float:
                with stopwatch() as seconds:
                    actor = plain_actor(module).remote()
                    pid = ray.get(actor.pid.remote())
                weights[name].append(unique_mb(pid))
                ray.kill(actor)
                time.sleep(0.5)
                return seconds()

            return side

        plain, boto3, image = (
            "an actor that does nothing",
            "an actor that imports boto3",
            "the actor of an image",
        )
        sides = {plain: empty(plain, "os"), boto3: empty(boto3, "boto3"), image: tracked}
        weights: dict[str, list[float]] = {name: [] for name in sides}
        for side in sides.values():
            side()  # uses up the processes that Ray started in advance
        for values in weights.values():
            values.clear()
        bare, _, full = bench.alternate("s", sides).values()
        bench.row("first report - first answer", "s", differences(full, bare))
        for name, values in weights.items():
            bench.row(name, "MB", values)
    modules = ("ray", "boto3", "raytracker", "raytracker.tracker")
    bench.alternate("ms", {f"import {name}": _import_time(name) for name in modules})


def _import_time(module: str) -> Callable[[], float]:
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"

    def side() -> float:
        return 1000 * float(subprocess.check_output([sys.executable, "-c", code]))

    return side

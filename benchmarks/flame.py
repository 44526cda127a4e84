"""Draws where the Python time of a worker goes whose tasks do nothing but report.

`python -m benchmarks.flame` has py-spy draw docs/flame-tasks.svg, in half a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from .__main__ import isolate
from .record import ROOT

PICTURE = "docs/flame-tasks.svg"
SECONDS = 20


def main() -> int:
    """Runs such tasks, and py-spy beside them; returns the exit status."""
    isolate()
    import ray

    from .stage import job_table, local_ray, start

    @ray.remote
    def who() -> int:
        time.sleep(0.1)
        return os.getpid()

    with job_table() as table, local_ray():
        tracker = start(table, 1_000_000)

        @ray.remote
        def work_and_report(region: int) -> None:
            tracker.report(region)

        def run(regions: range) -> None:
            ray.get([work_and_report.remote(region) for region in regions])

        run(range(500))  # imports what there is to import
        worker = ray.get(who.remote())
        spy = f"py-spy record --pid {worker} --duration {SECONDS} --rate 500 --gil --function"
        profiler = subprocess.Popen(
            [*spy.split(), "--output", PICTURE],  # what stands here is the picture's title
            executable=Path(sys.executable).with_name("py-spy"),
            cwd=ROOT,
        )
        done = 500
        while profiler.poll() is None:
            run(range(done, done + 500))
            done += 500
    print(PICTURE)
    return profiler.returncode


if __name__ == "__main__":
    sys.exit(main())

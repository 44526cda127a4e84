"""A driver of its own, to be killed, or to end in order; its arguments are those of `main`."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import ray

from raytracker import ImageTracker, JobTable
from raytracker.errors import ModelFailed
from tests.chaos.draw import draw
from tests.chaos.plan import Leave
from tests.chaos.run import Left, Run
from tests.chaos.scene_run import SceneRun
from tests.chaos.scene_story import MODEL_FAILED
from tests.chaos.seed import REGION

LONG_SECONDS = 60.0


def main(seed: str, image_id: str, address: str, endpoint: str, table: str, folder: str) -> None:
    """Drives the first run of an image, saying BEGUN and its name when it has begun."""
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    [image] = [image for image in draw(int(seed)).images if image.image_id == image_id]
    work = image.first
    if work.scene:
        print("BEGUN", "soon", flush=True)
        _process(SceneRun(image, work, "a", Path(folder)), endpoint, table)
        return
    tracker = ImageTracker.start(
        image_id,
        regions=work.sizes,
        table=JobTable(table, endpoint_url=endpoint, region_name=REGION),
        flush_interval=work.flush_interval,
        pool=image.pool,
    )
    print("BEGUN", tracker.run, flush=True)
    after = image.leave.after if image.leave else None
    run = Run(tracker, work, "a", Path(folder), leave_after=after)
    with suppress(Left):
        run.drive()
    if image.leave:
        _leave(image.leave, run)


def _process(run: SceneRun, endpoint: str, table: str) -> None:
    try:
        run.drive(JobTable(table, endpoint_url=endpoint, region_name=REGION), "error", None)
    except ModelFailed:  # those that made it were killed
        sys.exit(MODEL_FAILED)


def _leave(leave: Leave, run: Run) -> None:
    time.sleep(leave.pause)
    run.journal.note("left", {})
    if leave.how == "sys.exit":
        sys.exit(0)
    if leave.how == "SIGTERM":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LONG_SECONDS)
    if leave.how == "ray.shutdown":
        run.flush()
        ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])

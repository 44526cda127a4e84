"""What models take: batches, workers that are killed, images that share workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from raytracker import JobTable, Work, Workers, process_image
from raytracker.progress import Progress

from .harness import Bench, bench, quotients
from .imagery import image_of_noise
from .stage import job_table, local_ray, stopwatch

TILE = 256
BATCH = 8
SECONDS = 0.02  # that the model computes for a tile
WORKERS = 2


class Busy:
    """A model that computes for so long, and does nothing else; notes its process."""

    def __init__(self, notes: Path | None = None) -> None:
        if notes is not None:
            (notes / str(os.getpid())).touch()

    def __call__(self, pixels: Any, tiles: Any) -> list[None]:
        compute(SECONDS * len(tiles))
        return [None] * len(tiles)


def compute(seconds: float) -> None:
    """Computes for so many seconds of CPU, without a sleep."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        np.dot(_MATRIX, _MATRIX)


_MATRIX = np.random.default_rng(1).random((32, 32))


@bench
def model(bench: Bench) -> None:
    """A model that computes for 20 ms a tile, in batches of 8, two workers.

    From the call to the returned job, with the workers ready: tiles of 256 pixels of an image of
    uint8 (deflate, blocks of 256). Beside it the same calls in two bare processes, with pixels in
    memory. The part of the time in which the model computed is what the last `Progress` says.
    """
    side = bench.size(8_192, 2_048)
    count = (side // TILE) ** 2
    with TemporaryDirectory() as folder, job_table() as table, local_ray():
        path = image_of_noise(Path(folder) / "image.tif", side)
        busy: list[float] = []
        with Workers(Busy, Work(concurrency=WORKERS)) as workers:

            def processed() -> float:
                return _processed(path, workers, table, busy)

            processed()
            busy.clear()
            rates = bench.alternate(
                "tiles/s",
                {
                    f"process_image, {count} tiles": processed,
                    f"two bare processes, {count} tiles": lambda: _bare(count),
                },
                bench.rounds(3),
            )
        bench.goal("process_image / bare", quotients(*rates.values()), at_least=0.95)
        bench.goal("model busy", busy, at_least=0.95)


def _processed(path: Path, workers: Workers, table: JobTable, busy: list[float]) -> float:
    """Processes an image; returns tiles a second, and notes how busy the model was."""
    last: list[Progress] = []
    with stopwatch() as seconds:
        job = process_image(
            path,
            workers,
            table=table,
            image_id=str(uuid.uuid4()),
            tile_size=TILE,
            batch_size=BATCH,
            pool="images",
            on_progress=last.append,
        )
    assert job.status == "SUCCESS"
    busy.append(last[-1].busy or 0.0)
    return last[-1].tile_count / seconds()


def _bare(count: int) -> float:
    """Returns the tiles a second of two bare processes."""
    code = (
        "import sys, time, numpy as np\n"
        "from benchmarks.models import Busy, BATCH, TILE\n"
        "model, pixels = Busy(), np.zeros((BATCH, 1, TILE, TILE), 'uint8')\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "begun = time.perf_counter()\n"
        "for _ in range(int(sys.argv[1]) // BATCH): model(pixels, [None] * BATCH)\n"
        "print(time.perf_counter() - begun, flush=True)\n"
    )
    pipe = subprocess.PIPE
    line = [sys.executable, "-c", code, str(count // WORKERS)]
    with ExitStack() as stack:
        both = [
            stack.enter_context(subprocess.Popen(line, stdin=pipe, stdout=pipe, text=True))
            for _ in range(WORKERS)
        ]
        for process in both:
            assert process.stdout is not None
            process.stdout.readline()
        for process in both:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return count / max(float(process.communicate()[0]) for process in both)


@bench
def shared(bench: Bench) -> None:
    """Ten images on the same two workers, by threads and one after the other.

    The model computes for 20 ms a tile; the images have 256 tiles each, and share the actors of a
    pool. Busy is the part of the time, from the first call to the last returned job, in which the
    models computed. Models that were made are counted over all of it.
    """
    side, images = bench.size(4_096, 1_024), bench.size(10, 3)
    with TemporaryDirectory() as folder, job_table() as table, local_ray():
        path, notes = image_of_noise(Path(folder) / "image.tif", side), Path(folder, "notes")
        notes.mkdir()
        how = Work(fn_constructor_args=(notes,), concurrency=WORKERS)
        ideal = images * (side // TILE) ** 2 * SECONDS / WORKERS
        with Workers(Busy, how) as workers:

            def one() -> None:
                _processed(path, workers, table, [])

            def after_each_other() -> float:
                with stopwatch() as seconds:
                    for _ in range(images):
                        one()
                return ideal / seconds()

            def by_threads() -> float:
                threads = [threading.Thread(target=one) for _ in range(images)]
                with stopwatch() as seconds:
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join()
                return ideal / seconds()

            one()
            parts = bench.alternate(
                "of the time",
                {
                    f"model busy, {images} images by threads": by_threads,
                    f"model busy, {images} images one after the other": after_each_other,
                },
                bench.rounds(2),
            )
            made = len(list(notes.iterdir()))
        bench.goal("model busy, by threads", next(iter(parts.values())), at_least=0.95)
        bench.goal("models made / workers", [made / WORKERS], at_most=1)


@bench
def killed(bench: Bench) -> None:
    """A worker killed every three seconds (`kill -9`), against an undisturbed run.

    The model computes for 20 ms a tile, two workers, batches of 8. What is to be seen is the time
    that each kill costs: the model is made anew, and what was under way runs again.
    """
    side = bench.size(11_264, 4_096)
    count = (side // TILE) ** 2
    with TemporaryDirectory() as folder, job_table() as table, local_ray():
        path = image_of_noise(Path(folder) / "image.tif", side)
        kills: list[int] = []

        def run(*, disturbed: bool) -> float:
            notes = Path(folder, uuid.uuid4().hex)
            notes.mkdir()
            over = threading.Event()
            killer = threading.Thread(target=_kill, args=(notes, over, kills))
            with Workers(Busy, Work(fn_constructor_args=(notes,), concurrency=WORKERS)) as workers:
                if disturbed:
                    killer.start()
                with stopwatch() as seconds:
                    _processed(path, workers, table, [])
                over.set()
                if disturbed:
                    killer.join()
            return seconds()

        sides = bench.alternate(
            "s",
            {
                f"{count} tiles, a worker killed every 3 s": lambda: run(disturbed=True),
                f"{count} tiles": lambda: run(disturbed=False),
            },
            bench.rounds(2),
        )
        bench.goal("killed / undisturbed", quotients(*sides.values()), at_most=1.3)
        bench.notes.append(f"{len(kills)} workers were killed in {bench.rounds(2)} rounds.")


def _kill(notes: Path, over: threading.Event, kills: list[int]) -> None:
    """Kills a worker every three seconds, the one that was made first."""
    while not over.wait(3):
        alive = [pid for pid in _made(notes) if pid not in kills]
        if alive:
            kills.append(alive[0])
            os.kill(alive[0], signal.SIGKILL)


def _made(notes: Path) -> Iterator[int]:
    for path in sorted(notes.iterdir(), key=lambda path: path.stat().st_mtime):
        yield int(path.name)

"""What a real GPU shows: python -m benchmarks.gpu, with torch and a CUDA device.

Not one of `make bench`, as few machines have one. It needs nothing but the package with its extra
`cli`, and torch.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
import ray
import torch
from rasterio.windows import Window

from raytracker import ImageTracker, JobTable, Work, Workers, process_image
from raytracker.local import EmbeddedDynamoDB
from raytracker.progress import Progress

SIDE = 8_192
TILE = 512
BATCH = 16
READERS = 4


class Net:
    """Some convolutions with random weights, in half precision."""

    def __init__(self, channels: int, notes: Path | None = None) -> None:
        from torch import nn

        if notes is not None:
            (notes / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        torch.manual_seed(1)
        torch.backends.cudnn.benchmark = True  # as for arrays of one shape one does
        layers: list[Any] = [nn.Conv2d(3, channels, 3, padding=1), nn.ReLU()]
        for _ in range(3):
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(channels, 1, 1)]
        net = nn.Sequential(*layers).half().cuda().eval()
        self.net = net.to(memory_format=torch.channels_last)

    def __call__(self, pixels: Any, tiles: Any) -> list[Any]:
        with torch.inference_mode():
            batch = torch.from_numpy(pixels).cuda().half().div_(255)
            scores = self.net(batch.contiguous(memory_format=torch.channels_last))
            found = (scores > 0).sum(dim=(1, 2, 3)).tolist()
        return [None for _ in found]


class Poisoned(Net):
    """Reads beyond an array on the GPU at one tile: CUDA then does nothing more in the process."""

    def __call__(self, pixels: Any, tiles: Any) -> list[Any]:
        if any((tile.row, tile.column) == (3, 3) for tile in tiles):
            beyond = torch.tensor([10**6], device="cuda")
            torch.zeros(8, device="cuda")[beyond].sum().item()
        return super().__call__(pixels, tiles)


class Greedy(Net):
    """Takes so much memory for each tile that only a few fit."""

    def __call__(self, pixels: Any, tiles: Any) -> list[Any]:
        most = torch.cuda.get_device_properties(0).total_memory // 5
        held = torch.empty(most * len(tiles), dtype=torch.uint8, device="cuda")
        found = super().__call__(pixels, tiles)
        del held
        return found


def make_image(path: Path) -> Path:
    """Writes an image of three bands of noise, in blocks of 512, deflate."""
    rng = np.random.default_rng(1)
    block = rng.integers(0, 256, (3, 2048, 2048), np.uint8)
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8"}
    how = {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate"}
    with rasterio.open(path, "w", **profile, **how, zlevel=1, num_threads="all_cpus") as image:
        for row in range(0, SIDE, 2048):
            for column in range(0, SIDE, 2048):
                image.write(block, window=Window(column, row, 2048, 2048))
    return path


@contextmanager
def stage() -> Iterator[JobTable]:
    """A Ray with the GPU, and a job table."""
    with EmbeddedDynamoDB() as dynamodb:
        os.environ.update(dynamodb.credentials)
        table = JobTable("gpu", dynamodb.endpoint_url, dynamodb.region_name)
        table.create()
        ray.init(address="local", num_gpus=1, include_dashboard=False, log_to_driver=False)
        try:
            yield table
        finally:
            ray.shutdown()


def by_hand(path: Path, net: Net) -> float:
    """Reads ahead in threads, batch by batch, in one process; returns tiles a second."""
    places = [(row, column) for row in range(0, SIDE, TILE) for column in range(0, SIDE, TILE)]
    batches = [places[i : i + BATCH] for i in range(0, len(places), BATCH)]
    local = threading.local()

    def read(batch: list[tuple[int, int]]) -> Any:
        if not hasattr(local, "source"):
            local.source = rasterio.open(path)
        return np.stack([local.source.read(window=Window(c, r, TILE, TILE)) for r, c in batch])

    net(read(batches[0]), batches[0])
    begun = time.perf_counter()
    with ThreadPoolExecutor(READERS) as pool:
        ahead = [pool.submit(read, batch) for batch in batches[: 2 * READERS]]
        for number in range(len(batches)):
            if number + 2 * READERS < len(batches):
                ahead.append(pool.submit(read, batches[number + 2 * READERS]))
            net(ahead[number].result(), batches[number])
            ahead[number] = None  # type: ignore[call-overload]
    return len(places) / (time.perf_counter() - begun)


def processed(path: Path, workers: Any, table: JobTable, **options: Any) -> tuple[Any, Any, float]:
    """Processes the image; returns the job, its last progress and tiles a second."""
    last: list[Progress] = []
    given: dict[str, Any] = {"batch_size": BATCH, "tile_size": TILE, "pool": "images"} | options
    key = str(uuid.uuid4())
    begun = time.perf_counter()
    job = process_image(path, workers, table=table, image_id=key, on_progress=last.append, **given)
    return job, last[-1], last[-1].tile_count / (time.perf_counter() - begun)


def speed(path: Path, table: JobTable) -> None:
    """Tiles a second beside the loop by hand, and how busy the model is."""
    for channels in (64, 512):
        hand = Net(channels)
        for count in (1, 2):
            work = Work(fn_constructor_args=(channels,), concurrency=count, num_gpus=1 / count)
            with Workers(Net, work) as workers:
                processed(path, workers, table)
                for _ in range(2):
                    _, progress, rate = processed(path, workers, table)
                    bare = by_hand(path, hand)
                    print(
                        f"{channels} channels, workers {count}: {rate:.0f} tiles/s, by hand "
                        f"{bare:.0f}, quotient {rate / bare:.2f}; model busy {progress.busy:.3f}"
                    )
        del hand
        torch.cuda.empty_cache()


def counted(path: Path, table: JobTable) -> None:
    """Ray ends the worker after each call of a task with a GPU: nothing may be lost."""
    tracker = ImageTracker.start(str(uuid.uuid4()), regions=8, table=table)

    @ray.remote(num_gpus=1)
    def task(tracker: ImageTracker, region: int) -> None:
        with tracker.region(region):
            torch.ones(8, device="cuda").sum().item()

    ray.get([task.remote(tracker, region) for region in range(8)])
    job = tracker.wait()
    print(f"tasks with num_gpus=1: {job.region_success} of 8 counted, {job.status}")


def broken(path: Path, table: JobTable) -> None:
    """A tile that spoils the GPU's context, and batches that its memory doesn't hold."""
    for model, retries in ((Poisoned, 0), (Poisoned, 2), (Greedy, 0)):
        with TemporaryDirectory() as notes:
            args = (64, Path(notes))
            work = Work(fn_constructor_args=args, concurrency=1, num_gpus=1, retries=retries)
            job, progress, _ = processed(path, model, table, work=work)
            print(
                f"{model.__name__}, retries {retries}: {progress.tile_success} successes, "
                f"{progress.tile_error} errors of {progress.tile_count}; models made "
                f"{models_made(notes)}; {sorted(set((job.tracker_errors or {}).values()))}"
            )


def models_made(notes: str) -> int:
    """Returns how many models there were."""
    return len(list(Path(notes).iterdir()))


def main() -> None:
    """Runs all, or what is named."""
    print(torch.cuda.get_device_name(), "torch", torch.__version__, "ray", ray.__version__)
    parts = {"counted": counted, "broken": broken, "speed": speed}
    with TemporaryDirectory() as folder, stage() as table:
        path = make_image(Path(folder) / "image.tif")
        for name in sys.argv[1:] or parts:
            begun = time.perf_counter()
            parts[name](path, table)
            print(f"-- {name}: {time.perf_counter() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    from benchmarks import gpu  # whose classes travel to the workers by name, as a user's do

    gpu.main()

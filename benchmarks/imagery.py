"""What reading an image's tiles takes."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import rasterio
import ray
import ray.data
from rasterio.windows import Window

from raytracker import process_image
from raytracker.imagery import Tile, describe, plan, read

from .harness import Bench, bench, quotients
from .process import Peak
from .stage import job_table, local_ray, stopwatch

SIDE = 4_096  # of the image, in pixels
BLOCK = 256
TILE = 64
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@bench
def reading(bench: Bench) -> None:
    """What AWS keys in the environment cost the tiles of a local image.

    The CPU of a tile, when `read` reads tiles of 64 pixels one after the other in one process: of
    an image of uint8 (deflate, blocks of 256), open and unpacked already. Beside it the same
    windows, each in a `rasterio.Env` with plain options, which makes a boto3 session wherever
    there are keys.
    """
    with TemporaryDirectory() as folder:
        path = image_of_noise(Path(folder) / "image.tif")
        grid = plan(describe(path), TILE, region_size=SIDE)
        tiles = [grid.tile(0, number) for number in range(bench.size(4_096, 512))]
        sides = bench.alternate(
            "µs",
            {
                "read(), no AWS keys": lambda: _each(read, tiles, keys=False),
                "read(), AWS keys": lambda: _each(read, tiles, keys=True),
            },
            bench.rounds(11),
        )
        with rasterio.open(path) as source:

            def plainly(tile: Tile) -> None:
                with rasterio.Env(GDAL_CACHEMAX=128 * 1024 * 1024):
                    source.read(window=tile.window)

            bench.alternate(
                "µs",
                {
                    "rasterio.Env(...), no AWS keys": lambda: _each(plainly, tiles, keys=False),
                    "rasterio.Env(...), AWS keys": lambda: _each(plainly, tiles[:100], keys=True),
                },
            )
    bench.goal("AWS keys / none", quotients(*reversed(sides.values())), at_most=1.1)


@bench
def image(bench: Bench) -> None:
    """How many tiles a second `process_image` gives a function that does nothing.

    From the first tile to the last, on a warm Ray with two CPUs: functions note when they are given
    them. Of an image of uint8 (deflate, blocks of 256), in tiles of 64 and of 256 pixels,
    regions of 2,048. Beside it two bare processes that read the same windows with rasterio in a
    loop, half of the rows each; and, once, Ray Data, whose `map_batches` reads them, each process
    with the image kept open. Then a function that makes a Feature of each tile: thrown away; and
    put into a folder and assembled, from the first tile to the returned job, less what that takes
    with one tile. A call for one tile is what a call costs besides its tiles: most of it is Ray's,
    which starts a process for the image's actor; a pool has its own already, and all else is
    measured with that: such a start takes as long as all tiles of 256, and a core.
    """
    side = bench.size(16_000, 2_048)
    with TemporaryDirectory() as folder, job_table() as table, local_ray():
        path = image_of_noise(Path(folder) / "image.tif", side)
        whole: list[float] = []

        def timed(find: Any, size: int, **arguments: Any) -> tuple[float, float]:
            """Returns the seconds from the first tile to the last, and to the returned job."""
            key, marks = str(uuid.uuid4()), Path(folder, uuid.uuid4().hex)
            marks.mkdir()
            how = {"table": table, "image_id": key, "tile_size": size, "pool": "images"}
            with stopwatch() as taken:
                process_image(path, _marking(find, marks), **{**how, **arguments})
            ended, (first, last) = time.monotonic(), _first_and_last(marks)
            whole.append(taken())
            return last - first, ended - first

        def used(find: Any, size: int) -> float:
            return ((side // size) ** 2 - 1) / timed(find, size)[0]

        def kept(size: int) -> float:
            into = [Path(folder, uuid.uuid4().hex) for _ in range(2)]
            one = timed(_one, size, output=into[0], roi=_corner(path))[1]
            return ((side // size) ** 2 - 1) / (timed(_one, size, output=into[1])[1] - one)

        for _ in range(2):  # warms up
            timed(_nothing, side // 8)
        for what, pool in (("its own actor", None), ("the actor of a pool", "images")):
            timed(_nothing, BLOCK, roi=_corner(path), pool=pool)
            whole.clear()
            for _ in range(bench.rounds(5)):
                timed(_nothing, BLOCK, roi=_corner(path), pool=pool)
            bench.goal(f"a call for one tile, {what}", list(whole), "s", at_most=0.6)
        for size, goal in ((TILE, 0.5), (BLOCK, 0.85)):
            what = f"{(side // size) ** 2} tiles of {size}"
            rates = bench.alternate(
                "tiles/s",
                {
                    f"process_image, {what}": partial(used, _nothing, size),
                    f"two bare processes, {what}": partial(_bare, path, side, size),
                    f"process_image with a Feature each, {what}": partial(used, _one, size),
                    f"process_image with output, {what}": partial(kept, size),
                },
                bench.rounds(5),
            )
            plain, bare, thrown, output = rates.values()
            bench.goal(f"of bare, tiles of {size}", quotients(plain, bare), at_least=goal)
            of_none = f"output / no output, tiles of {size}"
            bench.goal(of_none, quotients(output, thrown), at_least=0.5)
            bench.row(f"output / nothing found, tiles of {size}", "", quotients(output, plain))
            data = bench.alternate(
                "tiles/s", {f"Ray Data, {what}": partial(_ray_data, path, side, size)}, 1
            )
            ratio = [median(plain) / rate for rates in data.values() for rate in rates]
            bench.goal(f"process_image / Ray Data, tiles of {size}", ratio, at_least=5)


def _marking(find: Any, folder: Path) -> Any:
    """Returns a function that notes in a file when this process first and last called it."""

    def marking(pixels: Any, tile: Tile) -> Any:
        marks = _marks(folder)
        marks[1] = now = time.monotonic()  # the same clock in all processes
        if not marks[0]:
            marks[0] = now
        return find(pixels, tile)

    return marking


@functools.lru_cache(maxsize=1)
def _marks(folder: Path) -> Any:
    return np.memmap(folder / str(os.getpid()), np.float64, "w+", shape=(2,))


def _first_and_last(folder: Path) -> tuple[float, float]:
    firsts, lasts = zip(*(np.fromfile(path) for path in folder.iterdir()), strict=True)
    return float(min(firsts)), float(max(lasts))


class _Reader:
    """Reads windows for Ray Data."""

    def __init__(self, path: str, size: int) -> None:
        self._source, self._size = rasterio.open(path), size

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for row, column in zip(batch["row"].tolist(), batch["column"].tolist(), strict=True):
            self._source.read(window=Window(column, row, self._size, self._size))
        return batch


def _ray_data(path: Path, side: int, size: int) -> float:
    """Returns the tiles a second of Ray Data, from its call to its last row."""
    places = range(0, side - size + 1, size)
    rows = [{"row": row, "column": column} for row in places for column in places]
    data = ray.data.from_items(rows).map_batches(
        _Reader, fn_constructor_args=(str(path), size), concurrency=2, batch_size=64
    )
    with stopwatch() as seconds:
        assert sum(len(batch["row"]) for batch in data.iter_batches()) == len(rows)
    return len(rows) / seconds()


def _corner(path: Path) -> str:
    """Returns an ROI of one tile, in the image's CRS."""
    with rasterio.open(path) as source:
        left, top = source.transform * (4, 4)
        right, bottom = source.transform * (8, 8)
    return (
        f"POLYGON (({left} {top}, {right} {top}, {right} {bottom}, {left} {bottom}, {left} {top}))"
    )


@bench
def planned(bench: Bench) -> None:
    """Memory of the driver of an image of a million tiles, from its plan to its last tile.

    How far its resident memory rises above what it is once Ray is there, and a small image was
    processed.
    """
    side = bench.size(16_000, 1_600)
    with TemporaryDirectory() as folder, job_table() as table, local_ray():
        path = image_of_noise(Path(folder) / "image.tif", side)
        process_image(path, _nothing, table=table, image_id="small", tile_size=side // 8)
        peak = Peak(os.getpid())
        job = process_image(path, _nothing, table=table, image_id="large", tile_size=16)
        assert job.status == "SUCCESS"
        bench.goal(f"{(side // 16) ** 2} tiles", [peak.mb()], "MB", at_most=200)


def _nothing(pixels: Any, tile: Tile) -> None: ...


def _one(pixels: Any, tile: Tile) -> Any:
    return tile.feature([(0, 0), (9, 0), (9, 9)], {"kind": "corner"})


def _bare(path: Path, side: int, size: int) -> float:
    """Returns the tiles a second of two processes, from when both have opened the image."""
    code = (
        "import sys, time, rasterio\n"
        "from rasterio.windows import Window\n"
        "path, side, size, first = sys.argv[1], *map(int, sys.argv[2:])\n"
        "with rasterio.open(path) as source:\n"
        "    print('ready', flush=True); sys.stdin.readline()\n"
        "    begun = time.perf_counter()\n"
        "    for row in range(first * side // 2, (first + 1) * side // 2, size):\n"
        "        for column in range(0, side, size):\n"
        "            source.read(window=Window(column, row, size, size))\n"
        "    print(time.perf_counter() - begun, flush=True)\n"
    )
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        both = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code, str(path), str(side), str(size), str(first)],
                    stdin=pipe,
                    stdout=pipe,
                    text=True,
                )
            )
            for first in range(2)
        ]
        for process in both:
            assert process.stdout is not None
            process.stdout.readline()
        return (side // size) ** 2 / max(float(p.communicate("go\n")[0]) for p in both)


def image_of_noise(path: Path, side: int = SIDE) -> Path:
    """Writes an image of one band, with noise that deflate can make little of."""
    pixels = np.random.default_rng(1).integers(0, 16, (1, side, side), "uint8")
    profile = {"width": side, "height": side, "count": 1, "dtype": "uint8", "compress": "deflate"}
    blocks = {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "crs": "EPSG:32618"}
    where = rasterio.transform.from_origin(300_000, 4_000_000, 10, 10)
    with rasterio.open(path, "w", "GTiff", transform=where, **profile, **blocks) as target:
        target.write(pixels)
    return path


def _each(look: Callable[[Tile], object], tiles: list[Tile], *, keys: bool) -> float:
    """Returns the CPU that a tile takes, in microseconds: all there is to it, and steadier."""
    with _keys(keys):
        look(tiles[0])
        begun = time.process_time()
        for tile in tiles:
            look(tile)
        return (time.process_time() - begun) / len(tiles) * 1e6


@contextmanager
def _keys(there: bool) -> Iterator[None]:
    with patch.dict(os.environ):
        for name in KEYS:
            os.environ.pop(name, None)
            if there:
                os.environ[name] = "testing"
        yield

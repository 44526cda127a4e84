"""What reading an image's tiles takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import rasterio

from raytracker.imagery import Tile, describe, plan, read

from .harness import Bench, bench, quotients

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
        path = _image(Path(folder) / "image.tif")
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


def _image(path: Path) -> Path:
    """Writes an image of one band, with noise that deflate can make little of."""
    pixels = np.random.default_rng(1).integers(0, 16, (1, SIDE, SIDE), "uint8")
    profile = {"width": SIDE, "height": SIDE, "count": 1, "dtype": "uint8", "compress": "deflate"}
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

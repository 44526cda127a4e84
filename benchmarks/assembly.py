"""What it takes to make one answer of the results of all tiles."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from rio_cogeo import cog_validate

from raytracker.imagery import ImageInfo, plan
from raytracker.ledger import SUCCESS
from raytracker.pipeline import Assembly, ResultStore
from raytracker.pipeline.assembly.assemble import assemble
from raytracker.pipeline.assembly.source import Source
from raytracker.pipeline.assembly.suppression import nms, soft_nms
from raytracker.pipeline.objects import Key, TileResult

from .harness import Bench, bench, quotients
from .process import Peak
from .stage import local_ray

CHUNK = 64  # tiles of an object


@bench
def assembly(bench: Bench) -> None:
    """Results of all tiles become one file.

    A million Features of 10,000 tiles, in objects of 64, against the plain way: a loop that reads
    each object, and writes them as one FeatureCollection, in one process. Boxes of as many, of
    which those that overlap are suppressed, in one process. And the mask of 40,000 x 40,000 pixels,
    made tile by tile of 512, as a Cloud Optimized GeoTIFF. The driver's memory is what only it has.
    """
    with local_ray():
        _features(bench)
        _boxes(bench)
        _mask(bench)


@contextmanager
def _stored(size: int, result: Callable[[int, int], TileResult]) -> Iterator[Source]:
    """A store with a result for each tile, of 512 pixels, of an image of so many a side."""
    info = ImageInfo("/none.tif", size, size, 1, "uint8", "EPSG:32633", (10, 0, 5e5, 0, -10, 5e6))
    grid = plan(info, 512)
    with TemporaryDirectory() as folder:
        store = ResultStore(folder)
        Path(folder, "tiles").mkdir()
        keys = [(r, t) for r, tiles in enumerate(grid.tiles_per_region) for t in range(tiles)]
        for begin in range(0, len(keys), CHUNK):
            chunk: dict[Key, TileResult] = {}
            for key in keys[begin : begin + CHUNK]:
                tile = grid.tile(*key)
                chunk[key] = result(tile.row, tile.column)
            store.write_chunk(chunk)
        yield Source(store, grid, SUCCESS * len(keys), store)


def _assembled(source: Source, **how: Any) -> tuple[float, float]:
    """Returns how long it took, and the MB by which this process grew meanwhile, at most."""
    peak, begun = Peak(os.getpid()), time.monotonic()
    assemble(source, Assembly(**how).applied({}))
    return time.monotonic() - begun, peak.mb()


def _features(bench: Bench) -> None:
    size, each = bench.size(51_200, 5_120), 100
    line = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [[[10.123456, 50.654321]] * 5]},
        "properties": {"kind": "water", "score": 0.5},
    }
    found = json.dumps([line] * each).encode()
    memory = []
    with _stored(size, lambda row, column: TileResult((row, column), found)) as source:

        def ours() -> float:
            seconds, mb = _assembled(source)
            memory.append(mb)
            return seconds

        sides = {"a million Features": ours, "the same, by hand": lambda: _by_hand(source)}
        values = bench.alternate("s", sides, bench.rounds(3))
    bench.row("memory of the driver for them", "MB", memory)
    bench.goal("memory of the driver for them", memory, "MB", at_most=200)
    bench.row("by hand / ours", "", quotients(*reversed(list(values.values()))))


def _by_hand(source: Source) -> float:
    begun = time.monotonic()
    features = []
    for each in source.store.chunks():
        chunk = source.store.read_chunk(each.name)
        for key in sorted(chunk.lines):
            features += [json.loads(text) for text in chunk.lines[key].features()]
    with source.store.writing("results.geojson") as file:
        file.write(json.dumps({"type": "FeatureCollection", "features": features}).encode())
    return time.monotonic() - begun


def _boxes(bench: Bench) -> None:
    rng, count = np.random.default_rng(1), bench.size(1_000_000, 20_000)
    spread = np.sqrt(count) * 40
    apart = rng.uniform(0, spread, (count, 2))
    crowded = np.repeat(rng.uniform(0, spread, (count // 300 + 1, 2)), 300, 0)[:count]
    scores, classes = rng.random(count), rng.integers(0, 5, count)
    for what, corner in (("apart", apart), ("300 on each thing", crowded)):
        boxes = np.hstack([corner, corner + rng.uniform(20, 40, (count, 2))])
        seconds, memory = [], []
        for _ in range(bench.rounds(3)):
            peak, begun = Peak(os.getpid()), time.monotonic()
            nms(boxes, scores, classes, 0.5)
            seconds.append(time.monotonic() - begun)
            memory.append(peak.mb())
        bench.row(f"a million boxes, {what}: memory", "MB", memory)
        bench.goal(f"a million boxes, {what}", seconds, "s", at_most=60)
        some, begun = slice(0, count // 10), time.monotonic()
        soft_nms(boxes[some], scores[some], classes[some], 0.1, 0.0001)
        bench.row(f"soft, a tenth of them, {what}", "s", [time.monotonic() - begun])


def _mask(bench: Bench) -> None:
    size = bench.size(40_000, 4_000)
    rows, columns = np.mgrid[:512, :512]

    def mask(row: int, column: int) -> TileResult:
        tile = ((rows + 37 * row) ** 2 + (columns + 91 * column) ** 2) // 9000 % 2
        height, width = (min(512, size - 512 * at) for at in (row, column))
        array = tile[np.newaxis, :height, :width].astype(np.uint8)
        return TileResult((row, column), arrays={"raster": array})

    with _stored(size, mask) as source:
        seconds, memory = [], []
        for _ in range(bench.rounds(3)):
            took, mb = _assembled(source)
            seconds.append(took)
            memory.append(mb)
        path = Path(source.store.url, "result.tif")
        is_valid, errors, warnings = cog_validate(path, strict=True)
        with rasterio.open(path) as made:
            assert made.shape == (size, size)
    assert is_valid, (errors, warnings)
    bench.row(f"a mask of {size:,} x {size:,}", "s", seconds)
    bench.goal("memory of the driver for it", memory, "MB", at_most=200)

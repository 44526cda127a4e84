"""A real U-Net over a scene: cloud masks, tile by tile and of the whole array."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from raytracker import JobTable, Work, Workers, process_image

from .harness import Bench, bench, quotients
from .stage import job_table, local_ray

FOLDER = Path(__file__).parents[1] / ".cache" / "csmask"
INSTALL = f"pip install --target {FOLDER} --no-deps ukis-csmask onnxruntime flatbuffers scipy"
BANDS = ("blue", "green", "red", "nir")
TILE, OVERLAP = 256, 52  # csmask's: a fifth, rounded up
LEAD = 51  # pixels that csmask puts before the scene
BATCH = 1  # csmask's own
THREADS = 2
SCALE = 10_000  # of scores: half the bytes of floats, and as good

# csmask by itself: the whole scene in memory, two threads.
BY_HAND = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
import numpy as np
from ukis_csmask.mask import CSmask
scene = np.load(sys.argv[2])
begun = time.monotonic()
made = CSmask(scene, list({bands!r}), batch_size={batch}, intra_op_num_threads={threads})
seconds = time.monotonic() - begun
np.save(sys.argv[3], made.csm[..., 0])
mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
print(json.dumps([seconds, mb]))
"""


class Clouds:
    """csmask's model, for tiles: what each pixel is likely to be."""

    def __init__(self, folder: str, notes: str) -> None:
        sys.path.insert(0, folder)
        import onnxruntime

        model = next(Path(folder).glob("ukis_csmask/model_4b_l1c.onnx"))
        statistics = json.loads(model.with_suffix(".json").read_text())["data"]
        mean, std = statistics["dataset_statistics"]["img"]
        self._mean, self._std = (
            np.array(each, np.float32).reshape(1, -1, 1, 1) for each in (mean, std)
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
        self._name = self._session.get_inputs()[0].name
        self._notes = notes

    def __call__(self, pixels: NDArray[Any], tiles: Any) -> list[Any]:
        [logits] = self._session.run(None, {self._name: (pixels - self._mean) / self._std})
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        Path(self._notes, f"worker-{os.getpid()}").write_text(f"{mb}")
        return list(np.rint(likely * SCALE).astype(np.uint16))


@bench
def unet(bench: Bench) -> None:
    """A cloud mask by a real U-Net, of a made scene of 4,000 x 4,000.

    The four-band model of the package ukis-csmask, with onnxruntime on the CPU. By itself csmask
    has the scene and all tiles in memory; raytracker has one worker. Both compute with two threads,
    a tile at a time; raytracker's model is loaded before. The tiles are csmask's: of 256, a fifth
    of which overlaps, begun 51 pixels before the scene. Scores travel as integers of 16 bits. What
    a scene of one tile takes is what any image does: processes that track and assemble it begin.
    """
    if not FOLDER.exists():
        raise SystemExit(f"this bench needs a model: {INSTALL}")
    size = bench.size(4_000, 600)
    with TemporaryDirectory() as name, job_table() as table, local_ray():
        folder = Path(name)
        scene = _scene(size)
        np.save(folder / "scene.npy", scene)
        _write(scene, folder / "scene.tif")
        _write(_scene(1), folder / "one-tile.tif")
        memory: dict[str, list[float]] = {"csmask": [], "raytracker": []}

        def theirs() -> float:
            seconds, mb = _by_hand(folder)
            memory["csmask"].append(mb)
            return seconds

        def ours() -> float:
            seconds, mb = _processed(folder, "scene.tif", workers, table)
            memory["raytracker"].append(mb)
            return seconds

        def least() -> float:
            return _processed(folder, "one-tile.tif", workers, table)[0]

        work = Work(fn_constructor_args=(str(FOLDER), name), num_cpus=THREADS, concurrency=1)
        with Workers(Clouds, work) as workers:
            least()  # which makes the model
            values = bench.alternate("s", {"raytracker": ours, "csmask": theirs}, bench.rounds(3))
            made = _mask(folder / "out" / "result.tif", size)
            bench.alternate("s", {"raytracker, a scene of one tile": least}, bench.rounds(3))
        alone = np.load(folder / "mask.npy")
    bench.goal("raytracker / csmask", quotients(*values.values()), at_most=1.05)
    bench.goal("pixels that agree", [float((made == alone).mean())], at_least=0.999)
    for what, mb in memory.items():
        bench.row(f"memory of the processes of {what}", "MB", mb)
    bench.goal(
        "memory: raytracker / csmask",
        quotients(*(memory[n] for n in ("raytracker", "csmask"))),
        at_most=0.2,
    )
    told = np.bincount(alone.ravel(), minlength=3) / alone.size
    bench.notes.append(
        f"Of csmask's mask {told[1]:.0%} are clouds, and {told[2]:.0%} their shadows."
    )


def _by_hand(folder: Path) -> tuple[float, float]:
    """Has csmask make the mask; returns the seconds that it took, and its MB."""
    code = BY_HAND.format(bands=BANDS, batch=BATCH, threads=THREADS)
    files = [str(FOLDER), str(folder / "scene.npy"), str(folder / "mask.npy")]
    done = subprocess.run(
        [sys.executable, "-c", code, *files], check=True, capture_output=True, text=True
    )
    seconds, mb = json.loads(done.stdout.splitlines()[-1])
    return float(seconds), float(mb)


def _processed(folder: Path, name: str, workers: Workers, table: JobTable) -> tuple[float, float]:
    """Has raytracker make the scores; returns the seconds that it took, and the worker's MB."""
    for each in folder.glob("worker-*"):
        each.unlink()
    begun = time.monotonic()
    job = process_image(
        folder / name,
        workers,
        table=table,
        image_id=str(begun),
        tile_size=TILE,
        tile_overlap=OVERLAP,
        batch_size=BATCH,
        output=folder / "out",
        blend="mean",
    )
    seconds = time.monotonic() - begun
    assert job.status == "SUCCESS", job.status
    return seconds, sum(float(each.read_text()) for each in folder.glob("worker-*"))


def _scene(size: int) -> NDArray[np.float32]:
    """Reflectances of a land with clouds, (rows, columns, bands): smooth noise of several sizes."""
    rng = np.random.default_rng(3)

    def noise(cell: int) -> NDArray[Any]:
        coarse = rng.random((size // cell + 3, size // cell + 3), np.float32)
        at = np.arange(size) / cell
        low, part = at.astype(int), (at % 1).astype(np.float32)
        rows = coarse[low] * (1 - part)[:, None] + coarse[low + 1] * part[:, None]
        return rows[:, low] * (1 - part) + rows[:, low + 1] * part

    land = 0.03 + 0.07 * noise(97) + 0.02 * noise(9)
    cloud = np.clip((noise(180) + 0.5 * noise(40) + 0.2 * noise(11) - 1.0) * 4, 0, 1)
    bands = [land * shade for shade in (0.7, 0.9, 0.8, 2.5)]
    made = [band * (1 - cloud) + (0.75 + 0.1 * noise(7)) * cloud for band in bands]
    return np.ascontiguousarray(np.stack(made, -1), np.float32)


def _write(scene: NDArray[Any], path: Path) -> None:
    """Writes a scene with what csmask puts around it, as far as its tiles reach: all are whole."""
    around = (LEAD, TILE + 1 + LEAD)
    padded = np.pad(scene, (around, around, (0, 0)), "symmetric")
    step = TILE - OVERLAP
    side = (len(padded) - TILE) // step * step + TILE
    padded = padded[:side, :side]
    rows, columns, bands = padded.shape
    profile = {
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "transform": rasterio.Affine.scale(2),
    }
    with rasterio.open(
        path, "w", "GTiff", columns, rows, bands, dtype="float32", **profile
    ) as file:
        file.write(np.moveaxis(padded, -1, 0))


def _mask(path: Path, size: int) -> NDArray[Any]:
    with rasterio.open(path) as file:
        likely = file.read(window=((LEAD, LEAD + size), (LEAD, LEAD + size)))
    return likely.argmax(axis=0).astype(np.uint8)
